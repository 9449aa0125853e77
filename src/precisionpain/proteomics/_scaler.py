"""What the scalers share: limits of detection move with the values, or are no longer known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._layout import lod_of
from ._transformer import Array, Matrix, ProteinTransformer

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Scaler"]


class Scaler(ProteinTransformer):
    """Base of the estimators that change the level of values.

    A limit of detection that stayed behind would call the wrong values too low, so the layer
    ``lod`` of what comes out holds the limits on the new scale: NaN where a subclass can't
    tell. Without a layer, those of ``var`` are taken.
    """

    def transform(self, X: AnnData | pd.DataFrame | Array) -> Any:
        """Apply what was learned.

        Parameters
        ----------
        X : anndata.AnnData, pandas.DataFrame or ndarray
            Samples × proteins; the proteins of `fit`, in any order.

        Returns
        -------
        anndata.AnnData, pandas.DataFrame or numpy.ndarray
            Of the kind that came in; proteins in the order of `fit`. The layer ``lod`` of an
            AnnData holds limits of detection on the new scale, missing where unknown.
        """
        out = super().transform(X)
        if hasattr(X, "obs"):
            same: Any = X[:, list(self.feature_names_in_)]
            limits = lod_of(same)
            if limits is not None:
                out.layers["lod"] = self._limits(np.array(limits), self._read(same)[0])
        return out

    def _limits(self, limits: Array, matrix: Matrix) -> Array:
        """Return the limits on the new scale; `matrix` holds the values on the old one."""
        return np.full_like(limits, np.nan)
