"""The record of what was done, in ``uns``, in a form that an h5ad file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._layout import about

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["log_step", "plain"]

_KEY = "precisionpain"


def plain(step: dict[str, Any]) -> dict[str, Any]:
    """Return the step with lists as arrays of text, which h5ad keeps even when they are empty."""
    out: dict[str, Any] = {}
    for name, value in step.items():
        if isinstance(value, (list, tuple)):
            out[name] = np.array([str(v) for v in value], dtype=object)
        else:
            out[name] = value.item() if hasattr(value, "item") else value
    return out


def log_step(adata: AnnData, step: dict[str, Any]) -> None:
    """Add a step to ``uns["precisionpain"]["normalization"]``, under its number."""
    known = about(adata)
    # A list of dicts can't be written to h5ad; numbered names can.
    steps = dict(known.get("normalization", {}))
    steps[str(len(steps) + 1)] = plain(step)
    adata.uns[_KEY] = {**known, "normalization": steps}
