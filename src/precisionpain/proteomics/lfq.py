"""Readers of label-free mass spectrometry: from the export of a program to an AnnData.

All give samples × protein groups: ``X`` is log2 of the intensity, NaN where nothing was measured
(0 in a file is no measurement), ``layers["intensity"]`` the same values on the linear scale.
A group ``P1;P2`` is one column, and its leading protein is ``var["uniprot"]``. Decoys,
contaminants and groups identified by a modification site only are left out and counted in
``uns["precisionpain"]["removed"]``, in rows of the file.

A group is a decoy where the file flags it or all its proteins are marked (``REV__``, ``rev_``,
``DECOY_``), and a contaminant where the file flags it or its *leading* protein is marked
(``CON__``, ``Cont_``, ``contam_``, ``cRAP``, the spiked ``iRT-Kit``). One ``CON__`` protein among
the minor members of a group of real proteins takes nothing away: in plasma that is the bovine
homologue of a human protein. A group with two reasons is counted under both.
"""

from __future__ import annotations

from .diann import read_diann
from .fragpipe import read_fragpipe
from .matrix import read_matrix
from .maxquant import read_maxquant
from .mztab import read_mztab
from .spectronaut import read_spectronaut

__all__ = [
    "read_diann",
    "read_fragpipe",
    "read_matrix",
    "read_maxquant",
    "read_mztab",
    "read_spectronaut",
]
