"""Scores of a person's proteins on the axes of a panel."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import PrecisionPainError, PrecisionPainWarning
from ...proteomics import Panel, panels, score_panel
from .nerves import last_visit

_CONTROLS = 3


def protein_scores(
    view: Cohort, assay: str, subject_id: str, others: pd.Index, who: str, panel: Panel | str
) -> dict[str, Any]:
    """Return the scores of one assay, or why there are none."""
    head: dict[str, Any] = {"assay": assay, "axes": [], "note": "", "reference": who}
    adata = view.assays[assay]
    obs = adata.obs
    if not (obs["subject_id"] == subject_id).any():
        return {**head, "note": "not measured"}
    keep = np.ones(len(obs), dtype=bool)
    if "visit" in obs:
        visit = last_visit(view, obs.loc[obs["subject_id"] == subject_id, "visit"])
        keep = (obs["visit"] == visit).to_numpy() if visit is not None else keep
        head["visit"] = visit
    adata = adata[keep].copy()
    chosen = [i for i in others if i != subject_id and (adata.obs["subject_id"] == i).any()]
    head["n_reference"] = len(chosen)
    if len(chosen) < _CONTROLS:
        return {**head, "note": f"{len(chosen)} people to compare with, {_CONTROLS} are needed"}
    named = panels[panel] if isinstance(panel, str) else panel
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PrecisionPainWarning)
            table = score_panel(adata, named, {"subject_id": chosen})
    except PrecisionPainError as error:
        return {**head, "note": error.what}
    row = table[table["subject_id"] == subject_id]
    if len(row) != 1:
        return {**head, "note": f"{len(row)} samples of one person; keep one"}
    axes = {**named.axes, "overall": "all of them together"}
    found = row.iloc[0].to_dict()
    return {
        **head,
        "panel": named.name,
        "axes": [_axis(found, axis, text) for axis, text in axes.items()],
        "not_found": list(table.attrs["not_found"]),
    }


def _axis(found: Mapping[Any, Any], axis: str, text: str) -> dict[str, Any]:
    score, low, high = (float(found[f"{axis}{end}"]) for end in ("", "_low", "_high"))
    known = bool(np.isfinite([score, low, high]).all())
    return {
        "axis": axis, "meaning": text, "score": score, "low": low, "high": high,
        "outside": (not low <= score <= high) if known else None,
        "n_measured": int(found[f"{axis}_n_measured"]),
        "n_missing": int(found[f"{axis}_n_missing"]),
        "n_below_lod": int(found[f"{axis}_n_below_lod"]),
    }  # fmt: skip
