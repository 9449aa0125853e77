"""The BIDS tree of the synthetic trigeminal cohort: all that is text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..trigeminal.anatomy import Label
from ._tree import PIPELINE, put, put_json, write_derivative, write_raw

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["write_texts"]

_README = """\
# A synthetic cohort of trigeminal neuralgia

No person stands behind these data: people, scans, labels and outcomes were made up by
`precisionpain.datasets.sample_tn`; `code/sample_tn.json` holds its arguments.

- `sub-*/ses-*/anat`: simulated scans of the cerebellopontine cistern (CISS or SPACE).
- `derivatives/truth`: the label of each voxel (`dseg`), the share of each label in it
  (`probseg`), the true measures of both nerves (`nerves.tsv`), and what no clinic knows of the
  people (`participants.tsv`).
- `code/columns.json`: what each column of `participants.tsv` is, which of them are outcomes, and
  the outcomes' definitions.

Open it with

    precisionpain.read_cohort(ROOT, columns="ROOT/code/columns.json", derivatives=["truth"])
"""


def write_texts(top: Path, cohort: Cohort, version: str) -> None:
    """Write the descriptions and tables of the tree, ``README`` last.

    Parameters
    ----------
    top : pathlib.Path
        Its root.
    cohort : Cohort
        The people, their visits, columns and outcomes.
    version : str
        Of this library.
    """
    made_by = {
        "Name": "precisionpain.datasets.sample_tn",
        "Version": version,
        "Description": "synthetic: simulated scans of made-up people",
    }
    write_raw(top, cohort, made_by, "surgery")
    write_derivative(top, cohort, made_by, {int(label): label.name.lower() for label in Label})
    text = "one row per side; columns as in precisionpain.trigeminal.Cistern"
    about = {"Synthetic": True, "Description": text}
    put_json(top / "derivatives" / PIPELINE / "nerves.json", about)
    put(top / "README", _README.encode())
