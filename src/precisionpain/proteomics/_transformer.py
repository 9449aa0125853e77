"""What all estimators on proteins have in common: data in, data out, columns matched by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..errors import AlignmentError, FormatError, list_some
from ._layout import check_log2, is_assay, is_sample, values_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Matrix", "ProteinTransformer"]

Array = NDArray[np.float64]


class Matrix:
    """Values (samples × proteins), and what is known of rows and columns.

    Parameters
    ----------
    values : numpy.ndarray of shape (samples, proteins)
        A copy, on the log2 scale.
    obs, var : pandas.DataFrame
        Of an AnnData; for a DataFrame, `obs` holds the columns that were named as batch,
        covariate or the like, and `var` is empty; for an array both are empty.
    layers : dict of str to numpy.ndarray
        Of an AnnData.
    sample : numpy.ndarray of bool
        Rows that are samples of people; only these are learned from.
    """

    def __init__(
        self,
        values: Array,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        layers: dict[str, Array],
        sample: NDArray[np.bool_],
    ) -> None:
        self.values = values
        self.obs = obs
        self.var = var
        self.layers = layers
        self.sample = sample

    @property
    def measures(self) -> NDArray[np.bool_]:
        """Which columns measure a protein; controls of the method are never learned from."""
        return is_assay(self)


class ProteinTransformer(TransformerMixin, BaseEstimator):
    """Base of the estimators on proteins.

    `fit` and `transform` take an AnnData (and give one back), a DataFrame (columns are
    proteins), or an array. Columns are matched by name, never by place. Rows that aren't
    samples of people are transformed but never learned from. The input stays as it was.

    A subclass implements ``_fit(matrix)`` and ``_transform(matrix)`` (which returns the new
    values), and names in ``_columns`` those of its parameters that hold names of columns of
    ``obs`` (or of the DataFrame, which are then no proteins and not in the output).
    """

    _columns: ClassVar[tuple[str, ...]] = ()
    feature_names_in_: NDArray[Any]

    def fit(self, X: AnnData | pd.DataFrame | Array, y: Any = None) -> Self:
        """Learn from the samples of people.

        Parameters
        ----------
        X : anndata.AnnData, pandas.DataFrame or ndarray
            Samples × proteins, log2 scale.
        y : object
            Ignored.

        Returns
        -------
        self
        """
        matrix, names = self._read(X)
        if not matrix.sample.any():
            raise FormatError(
                f"expected samples to learn from, found none among {len(matrix.sample)} rows",
                where="X",
                remedy="see obs['sample_type']: only rows of type SAMPLE are learned from",
            )
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)
        self._fit(matrix)
        return self

    def transform(self, X: AnnData | pd.DataFrame | Array) -> Any:
        """Apply what was learned.

        Parameters
        ----------
        X : anndata.AnnData, pandas.DataFrame or ndarray
            Samples × proteins; the proteins of `fit`, in any order.

        Returns
        -------
        anndata.AnnData, pandas.DataFrame or numpy.ndarray
            Of the kind that came in; proteins in the order of `fit`.
        """
        check_is_fitted(self)
        matrix, names = self._read(X)
        matrix, order = self._matched(matrix, names)
        values = self._transform(matrix)
        whole: Any = X
        if hasattr(whole, "obs"):
            out = whole[:, order].copy()
            out.X = values
            return out
        if isinstance(X, pd.DataFrame):
            return pd.DataFrame(values, index=X.index, columns=list(self.feature_names_in_))
        return values

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the proteins.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self)
        return self.feature_names_in_

    def _fit(self, matrix: Matrix) -> None:
        raise NotImplementedError

    def _transform(self, matrix: Matrix) -> Array:
        raise NotImplementedError

    def _named(self) -> list[str]:
        """Return the columns that this estimator's parameters name."""
        found: list[str] = []
        for parameter in self._columns:
            value = getattr(self, parameter)
            if value is not None:
                found += [value] if isinstance(value, str) else list(value)
        return found

    def _read(self, X: Any) -> tuple[Matrix, list[Any]]:
        """Return the values with what belongs to them, and the names of the proteins."""
        wanted = self._named()
        if hasattr(X, "obs") and hasattr(X, "var"):
            self._check_has(wanted, [*X.obs.columns, *X.obsm], "X.obs")
            check_log2(X, where="X")
            matrix = Matrix(
                values_of(X), X.obs, X.var,
                {name: np.asarray(layer) for name, layer in X.layers.items()}, is_sample(X),
            )  # fmt: skip
            return matrix, list(X.var_names)
        if isinstance(X, pd.DataFrame):
            self._check_has(wanted, X.columns, "the columns of X")
            own = X.drop(columns=wanted)
            wrong = [c for c, kind in own.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
            if wrong:
                raise FormatError(
                    f"expected numbers, found text in column {list_some(wrong)}", where="X"
                )
            values, obs = own.to_numpy(np.float64, copy=True), X[wanted]
            names: list[Any] = list(own.columns)
        else:
            if wanted:
                raise FormatError(
                    f"an array has no column {list_some(wanted)}", where="X",
                    remedy="pass an AnnData, or a DataFrame that has the column",
                )  # fmt: skip
            values = np.array(X, dtype=np.float64)
            if values.ndim != 2:
                raise FormatError(
                    f"expected two dimensions (samples × proteins), found {values.ndim}", where="X"
                )
            names, obs = list(range(values.shape[1])), pd.DataFrame(index=np.arange(len(values)))
        if np.isinf(values).any():
            raise FormatError(
                f"found {int(np.isinf(values).sum())} infinite values", where="X",
                remedy="an intensity of 0 means not measured: make it NaN before the logarithm",
            )  # fmt: skip
        everyone = np.ones(len(values), dtype=bool)
        return Matrix(values, obs, pd.DataFrame(index=names), {}, everyone), names

    def _check_has(self, wanted: list[str], there: Any, where: str) -> None:
        absent = [name for name in wanted if name not in there]
        if absent:
            raise FormatError(
                f"expected the column {list_some(absent)}, found {list_some(list(there))}",
                where=where,
            )

    def _matched(self, matrix: Matrix, names: list[Any]) -> tuple[Matrix, NDArray[np.intp]]:
        """Bring the proteins into the order of `fit`."""
        place = {name: i for i, name in enumerate(names)}
        absent = [name for name in self.feature_names_in_ if name not in place]
        if absent:
            raise AlignmentError(
                f"{len(absent)} of the {self.n_features_in_} proteins of `fit` are not in X: "
                f"{list_some(absent)}",
                where="X",
                remedy="transform the same proteins; one that wasn't measured is a column of NaN",
            )
        order = np.array([place[name] for name in self.feature_names_in_], dtype=np.intp)
        layers = {name: layer[:, order] for name, layer in matrix.layers.items()}
        return Matrix(
            matrix.values[:, order], matrix.obs, matrix.var.iloc[order], layers, matrix.sample
        ), order
