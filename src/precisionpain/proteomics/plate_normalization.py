"""Bring the plates of one project to one level: at once, or learned in the fold."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, DataWarning, FormatError, list_some
from ._layout import as_adata, is_assay, lod_of
from ._normalization.steps import log_step
from ._normalization.usable import column_medians, labels_of, lod_names, panels_of, usable
from ._transformer import Array, Matrix, ProteinTransformer

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["MedianNormalizer", "plate_normalize"]

_FEWEST = 8


class MedianNormalizer(ProteinTransformer):
    """Take the median of each plate away, and add one that all share.

    `fit` stores the median of the training samples on each plate, assay by assay, and
    `transform` adds (reference − median of the plate) to every row of that plate, controls
    too. Limits of detection (layers and columns of ``var`` named ``lod`` or ``…_lod``) move
    with the values. It's right where people were placed on plates at random.

    Parameters
    ----------
    by : str or sequence of str, default "plate"
        Columns of ``obs`` (or of a DataFrame) that make the groups; where panels have plates
        of their own (``obsm``), each panel goes by its own. ``"panel"`` may be named and
        changes nothing: medians are per assay, so panels never mix.
    reference : {"overall", "zero"} or mapping of assay to median, default "overall"
        The level after it: the median of all training samples, 0, or given ones.
    unseen : {"error", "reference"}, default "error"
        What happens to rows of a plate that had no training samples: an error; or the plate
        is taken to be at the level of the reference, with a warning.
    exclude_qc : collection of {"PASS", "WARN", "FAIL"}, default ("WARN", "FAIL")
        Samples with such a verdict aren't learned from.

    Attributes
    ----------
    medians_ : pandas.DataFrame of shape (groups, assays)
        NaN where an assay was not measured on the plate, or is a control.
    reference_ : numpy.ndarray of shape (assays,)
    n_used_ : pandas.Series
        Training samples of each group.
    n_left_out_ : int
        Rows that weren't learned from: controls, and samples that didn't pass.

    Raises
    ------
    AlignmentError
        On rows of a plate that `fit` did not see.
    FormatError
        On rows without a plate, or without the column.

    Warns
    -----
    DataWarning
        With fewer than 8 training samples on a plate; for unseen plates that pass.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> level = MedianNormalizer().fit(adata)
    >>> level.medians_.shape
    (2, 92)
    >>> level.transform(adata).shape == adata.shape
    True
    """

    _columns: ClassVar[tuple[str, ...]] = ("by",)

    def __init__(
        self,
        by: str | tuple[str, ...] = "plate",
        *,
        reference: str | Mapping[str, float] = "overall",
        unseen: str = "error",
        exclude_qc: Collection[str] = ("WARN", "FAIL"),
    ) -> None:
        self.by = by
        self.reference = reference
        self.unseen = unseen
        self.exclude_qc = exclude_qc

    def transform(self, X: AnnData | pd.DataFrame | Array) -> Any:
        """Apply what was learned, to values and limits of detection.

        Parameters
        ----------
        X : anndata.AnnData or pandas.DataFrame
            Samples × assays, with their plates.

        Returns
        -------
        anndata.AnnData or pandas.DataFrame
            Of the kind that came in.
        """
        out = super().transform(X)
        if hasattr(out, "obs") and hasattr(out, "layers"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # it was said above
                matrix, names = self._read(out)
                shift = self._shift(self._matched(matrix, names)[0])
            for name in lod_names(out):
                limit = lod_of(out, name)
                assert limit is not None
                out.layers[name] = limit + shift
                if name in out.var:
                    out.var[name] = np.where(
                        np.isnan(out.layers[name]), -np.inf, out.layers[name]
                    ).max(axis=0)  # of all plates the highest
        return out

    def _named(self) -> list[str]:
        return [name for name in super()._named() if name != "panel"]

    def _read(self, X: Any) -> tuple[Matrix, list[Any]]:
        """Return the values with the groups as ``obs`` (one column per panel)."""
        if self.unseen not in ("error", "reference"):
            raise FormatError(f"expected 'error' or 'reference', found {self.unseen!r}",
                              where="unseen")  # fmt: skip
        if not self._named():
            raise FormatError("expected the column that holds the plate, found none", where="by")
        matrix, names = super()._read(X)
        if hasattr(X, "obs") and hasattr(X, "var"):
            matrix.obs = labels_of(X, self._named())
            use = usable(X, self.exclude_qc) & is_assay(X)[None, :]
        else:
            missing = matrix.obs.isna().any(axis=1)
            if missing.any():
                raise FormatError(
                    f"{int(missing.sum())} rows have no plate: {list_some(X.index[missing])}",
                    where="X",
                )
            joined = [" / ".join(map(str, row)) for row in matrix.obs.to_numpy()]
            matrix.obs = pd.DataFrame({"": joined}, index=X.index)
            use = np.ones(matrix.values.shape, dtype=bool)
        matrix.layers = {"use": np.broadcast_to(use, matrix.values.shape)}
        return matrix, names

    def _fit(self, matrix: Matrix) -> None:
        use = matrix.layers["use"]
        values = np.where(use, matrix.values, np.nan)
        panels = panels_of(matrix.var)
        labels = pd.unique(matrix.obs.to_numpy(dtype=object).ravel())
        medians = pd.DataFrame(np.nan, index=labels, columns=self.feature_names_in_)
        n_used = pd.Series(0, index=labels)
        for panel, table in matrix.obs.items():
            columns = np.flatnonzero(panels == panel)
            for label, rows in _groups(table):
                own = values[np.ix_(rows, columns)]
                medians.loc[label, self.feature_names_in_[columns]] = column_medians(own)
                used = int(use[np.ix_(rows, columns)].any(axis=1).sum())
                n_used[label] = max(n_used[label], used)
        learned = n_used.index[n_used > 0]
        few = n_used[(n_used > 0) & (n_used < _FEWEST)]
        if len(few):
            warnings.warn(
                DataWarning(
                    f"{len(few)} plates have fewer than {_FEWEST} samples to learn from: "
                    f"{list_some(f'{label} ({n})' for label, n in few.items())}"
                ),
                stacklevel=3,
            )
        self.medians_ = medians.loc[learned]
        self.n_used_ = n_used[learned]
        self.n_left_out_ = int((~use.any(axis=1)).sum())
        self.reference_ = self._level(values)

    def _level(self, values: Array) -> Array:
        if isinstance(self.reference, str):
            if self.reference == "overall":
                return column_medians(values)
            if self.reference == "zero":
                return np.zeros(values.shape[1])
            raise FormatError(
                f"expected 'overall', 'zero' or a mapping, found {self.reference!r}",
                where="reference",
            )
        given = pd.Series(self.reference, dtype=np.float64).reindex(self.feature_names_in_)
        if given.isna().any():
            raise AlignmentError(
                f"{int(given.isna().sum())} assays have no reference: "
                f"{list_some(given.index[given.isna()])}",
                where="reference",
            )
        level: Array = np.asarray(given, dtype=np.float64)
        return level

    def _transform(self, matrix: Matrix) -> Array:
        shifted: Array = matrix.values + self._shift(matrix)
        return shifted

    def _shift(self, matrix: Matrix) -> Array:
        """Return what is added to each value."""
        panels = panels_of(matrix.var)
        learned = self.medians_.to_numpy()
        shift: Array = np.zeros(matrix.values.shape, dtype=np.float64)
        unseen: dict[str, int] = {}
        for panel, table in matrix.obs.items():
            # An assay that no plate has a median for (a control) stays as it is.
            columns = np.flatnonzero((panels == panel) & ~np.isnan(learned).all(axis=0))
            for label, rows in _groups(table):
                place = self.medians_.index.get_indexer(pd.Index([label]))[0]
                median = learned[place, columns] if place >= 0 else np.full(len(columns), np.nan)
                measured = ~np.isnan(matrix.values[np.ix_(rows, columns)])
                if np.isnan(median).all() and measured.any():
                    unseen[label] = max(unseen.get(label, 0), len(rows))
                    continue
                difference = self.reference_[columns] - median
                shift[np.ix_(rows, columns)] = np.where(np.isnan(difference), 0.0, difference)
        if unseen and self.unseen == "error":
            raise AlignmentError(
                f"{len(unseen)} groups had no samples to learn from in `fit`: "
                f"{list_some(unseen)}; learned were {list_some(self.medians_.index)}",
                where=f"{sum(unseen.values())} rows of X",
                remedy="keep each plate's samples in the training data, bridge the plate, or "
                "pass unseen='reference' if it is at that level already",
            )
        if unseen:
            warnings.warn(
                DataWarning(
                    f"{sum(unseen.values())} rows of {len(unseen)} unseen groups are taken to "
                    f"be at the level of the reference: {list_some(unseen)}"
                ),
                stacklevel=4,
            )
        return shift


def plate_normalize(
    adata: AnnData,
    *,
    by: str | tuple[str, ...] | None = None,
    reference: str | Mapping[str, float] = "overall",
    exclude_qc: Collection[str] = ("WARN", "FAIL"),
) -> AnnData:
    """Bring the plates of an assay to one level, by the medians of their samples.

    It learns from all samples at once. Where a model is judged on some of them, put
    `MedianNormalizer` into the pipeline instead.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale, with their plates in ``obs`` or, panel by panel, in
        ``obsm``.
    by : str or tuple of str, optional
        Columns that make the groups; by default ``"plate"``, within ``"project"`` where there
        are several: two projects may each have a plate 1.
    reference, exclude_qc
        As for `MedianNormalizer`.

    Returns
    -------
    anndata.AnnData
        A copy with values and limits of detection moved; ``varm["plate_adjustment"]`` holds
        what was added (assays × plates), ``uns["precisionpain"]["normalization"]`` what was
        done, counted.

    Raises
    ------
    AlignmentError
        When a plate has no samples to learn from.
    FormatError
        When a row has no plate.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> level = plate_normalize(adata, exclude_qc=())
    >>> people = level[level.obs["sample_type"] == "SAMPLE"]
    >>> medians = people.to_df().groupby(people.obs["plate"].astype(str)).median()
    >>> bool((medians.iloc[0] - medians.iloc[1]).abs().max() < 1e-9)
    True
    """
    adata = as_adata(adata)
    if by is None:
        several = "project" in adata.obs and adata.obs["project"].nunique() > 1
        by = ("project", "plate") if several else "plate"
    model = MedianNormalizer(by, reference=reference, exclude_qc=exclude_qc).fit(adata)
    out: AnnData = model.transform(adata)
    added = pd.DataFrame(
        model.reference_ - model.medians_.to_numpy(), model.medians_.index, adata.var_names
    ).T
    out.varm["plate_adjustment"] = added.rename(columns=str)
    log_step(
        out,
        {
            "method": "plate_median", "by": [by] if isinstance(by, str) else list(by),
            "reference": reference if isinstance(reference, str) else "given",
            "n_plates": len(model.medians_), "n_used": adata.n_obs - model.n_left_out_,
            "n_left_out": model.n_left_out_,
        },
    )  # fmt: skip
    return out


def _groups(table: pd.Series) -> list[tuple[str, NDArray[np.intp]]]:
    codes, labels = pd.factorize(table.to_numpy(dtype=object))
    return [(str(label), np.flatnonzero(codes == i)) for i, label in enumerate(labels)]
