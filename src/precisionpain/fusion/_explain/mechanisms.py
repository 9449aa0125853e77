"""Which mechanism a feature speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from ...errors import FormatError

__all__ = ["assign_mechanisms", "mechanism_map", "unwrapped"]

_PANELS = ("trigeminal_wide", "crps", "diabetic_neuropathy")


def mechanism_map() -> dict[str, str]:
    """Return which mechanism each feature speaks of, as the library reads them.

    Returns
    -------
    dict of str to str
        Pattern → mechanism, the first that fits counts. A pattern is matched with the name of
        the feature, and with ``block/feature``; ``*`` stands for anything. First comes the
        evidence of `MECHANISMS`, then the axes of the packaged panels
        (`precisionpain.proteomics.panels`): both are what others claim, not facts. Then all
        that diffusion measures is axonal, and all other measures of a nerve are compression,
        although its atrophy may be injury of axons as well. What fits no pattern is "clinic"
        where it is a clinical column, else "other".

    Examples
    --------
    >>> import precisionpain as pp
    >>> mechanisms = pp.fusion.mechanism_map()
    >>> mechanisms["NEFL"], mechanisms["affected:*"]
    ('axonal', 'compression')
    >>> mine = {"age": "ageing", **mechanisms}  # the first that fits counts
    """
    from ...proteomics import panels
    from ..mechanisms import MECHANISMS

    found: dict[str, str] = {}
    for mechanism in MECHANISMS:
        for name in (name for each in mechanism.evidence for name in each.columns):
            source, _, column = name.partition(":")
            # A gene with several assays has the id added, a level its value.
            endings = ("", " *") if source == "protein" else ("", "=*")
            starts = ("",) if source in ("protein", "clinical") else ("", "*:")
            for start in starts:
                for end in endings:
                    found.setdefault(f"{start}{column}{end}", mechanism.name)
    for panel in (panels[name] for name in _PANELS):
        for axis in panel.axes:
            found.setdefault(axis, axis)  # of `PanelScores`
        for analyte in panel:
            for gene in (analyte.gene or (analyte.name,)) if analyte.axis else ():
                found.setdefault(gene, str(analyte.axis))
                found.setdefault(f"{gene} *", str(analyte.axis))
    for measure in ("fa", "md", "ad", "rd"):
        found |= {f"*:{measure}": "axonal", measure: "axonal"}
    for side in ("affected", "contralateral", "asymmetry"):
        found[f"{side}:*"] = "compression"
    return found


def assign_mechanisms(
    columns: pd.Index, sources: Mapping[str, Any], mapping: Mapping[str, str] | None
) -> pd.Series:
    """Assign a mechanism to each (block, feature).

    Parameters
    ----------
    columns : pandas.Index
        Levels (block, feature).
    sources : mapping of str to object
        What made the features of each block.
    mapping : mapping of str to str or None
        As `mechanism_map` gives it, the default.

    Returns
    -------
    pandas.Series of str
        Index `columns`.
    """
    from ...evaluation import ClinicalFeatures

    patterns = mechanism_map() if mapping is None else mapping
    if not isinstance(patterns, Mapping):
        raise FormatError(
            "mechanisms is a mapping from patterns of features to mechanisms",
            remedy="start from precisionpain.fusion.mechanism_map()",
        )
    found = []
    for key in columns:
        block, feature = key[0], str(key[1])
        fits = (
            mechanism
            for pattern, mechanism in patterns.items()
            if fnmatchcase(feature, pattern) or fnmatchcase(f"{block}/{feature}", pattern)
        )
        clinical = isinstance(unwrapped(sources.get(block)), ClinicalFeatures)
        found.append(next(fits, "clinic" if clinical else "other"))
    return pd.Series(found, columns, dtype=object, name="mechanism")


def unwrapped(source: Any) -> Any:
    """Return the features inside of a wrapper, such as `Harmonized`.

    Parameters
    ----------
    source : object
        Fitted transformer.

    Returns
    -------
    object
    """
    return getattr(source, "features_", source)
