"""Scalers of samples and proteins that learn from the training samples alone.

Limits of detection move with the values where that is exact (`MedianScaler`); after the others
they are missing, so impute with them first.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd

from ..errors import FormatError, list_some
from ._normalizers import from_reference, loess, nanmean, quantile_reference, vsn_fit, vsn_row
from ._scaler import Scaler
from ._transformer import Array, Matrix

__all__ = ["VSN", "CyclicLoess", "MedianScaler", "QuantileNormalizer"]


class MedianScaler(Scaler):
    """Bring the median of every sample to that of the training samples, by a shift on log2.

    Each panel is shifted on its own, because panels have separate runs and levels. Control
    assays have no part in the medians, but are shifted with their panel; so are limits of
    detection.

    Parameters
    ----------
    by_panel : bool, default True
        Whether to shift each ``var["panel"]`` on its own, where there is one.
    min_observed : float, default 0.0
        Share of the training samples in which a protein must be observed to count in the
        medians. With label-free data, 0.5 or more keeps the faint ones, which come and go,
        from moving them.

    Attributes
    ----------
    reference_ : pandas.Series
        Median of the medians of the training samples, log2, by panel (``""`` without).
    counted_ : numpy.ndarray of bool
        Proteins that count in the medians.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import MedianScaler
    >>> values = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [5.0, 7.0, 9.0]])
    >>> MedianScaler().fit_transform(values)
    array([[2., 3., 4.],
           [2., 3., 4.],
           [1., 3., 5.]])
    """

    def __init__(self, *, by_panel: bool = True, min_observed: float = 0.0) -> None:
        self.by_panel = by_panel
        self.min_observed = min_observed

    def _fit(self, matrix: Matrix) -> None:
        values = matrix.values[matrix.sample]
        seen = np.isfinite(values).mean(axis=0)
        self.counted_ = matrix.measures & (seen >= self.min_observed) & (seen > 0)
        if self.by_panel and "panel" in matrix.var:
            self._panels = matrix.var["panel"].astype(str).to_numpy()
        else:
            self._panels = np.full(values.shape[1], "", dtype=object)
        found = {name: np.nanmedian(row) for name, row in self._medians(values).items()}
        self.reference_ = pd.Series(found, dtype=float)

    def _medians(self, values: Array) -> dict[str, Array]:
        medians = {}
        for panel in pd.unique(self._panels):
            columns = self.counted_ & (self._panels == panel)
            if not columns.any():
                raise FormatError(
                    f"no protein of panel {panel!r} counts in the medians" if panel
                    else "no protein counts in the medians",
                    where="X", remedy="lower min_observed, or leave these columns out",
                )  # fmt: skip
            medians[str(panel)] = _nanmedian(values[:, columns])
        return medians

    def _transform(self, matrix: Matrix) -> Array:
        return self._shifted(matrix.values, matrix.values)

    def _limits(self, limits: Array, matrix: Matrix) -> Array:
        return self._shifted(limits, matrix.values)

    def _shifted(self, what: Array, values: Array) -> Array:
        for panel, medians in self._medians(values).items():
            shift = self.reference_[panel] - medians
            what[:, self._panels == panel] += shift[:, None]
        return what


class QuantileNormalizer(Scaler):
    """Give every sample the distribution of the training samples.

    The reference is the mean of the sorted training samples. A value becomes the reference's
    value at its rank; equal values share their mean rank; over gaps, ranks and reference are
    interpolated. New samples are mapped to the same reference. Control assays have no part, and
    stay as they are.

    Attributes
    ----------
    reference_ : numpy.ndarray of shape (n_proteins,)
        The mean distribution, sorted.

    References
    ----------
    Bolstad BM, Irizarry RA, Åstrand M, Speed TP. A comparison of normalization methods for high
    density oligonucleotide array data based on variance and bias. Bioinformatics
    2003;19:185-193.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import QuantileNormalizer
    >>> values = np.array([[1.0, 2.0, 3.0], [7.0, 5.0, 3.0]])
    >>> QuantileNormalizer().fit_transform(values)
    array([[2. , 3.5, 5. ],
           [5. , 3.5, 2. ]])
    """

    def _fit(self, matrix: Matrix) -> None:
        self._counted = matrix.measures
        values = matrix.values[matrix.sample][:, self._counted]
        enough = np.isfinite(values).sum(axis=1) >= 2
        if not enough.any():
            raise FormatError("expected a sample with two values or more, found none", where="X")
        self.reference_ = quantile_reference(values[enough])

    def _transform(self, matrix: Matrix) -> Array:
        result, columns = matrix.values, self._counted
        for row in result:
            row[columns] = from_reference(row[columns], self.reference_)
        return result


class VSN(Scaler):
    """Calibrate samples and make the variance the same at every intensity.

    Linear intensities y become arsinh(a + b·y), with an offset a and a factor b for each
    sample, found by maximum likelihood. At high intensity this is log2 of the calibrated
    intensity; near zero it is linear, so faint proteins don't scatter.

    Learned in the fold: the mean of each protein and the variance. A new sample has an a and a
    b of its own, fitted to these by the same likelihood, so that it depends on no other
    sample. For training samples this gives back the joint fit. Control assays have no part in
    the fits, but are transformed with their sample.

    Parameters
    ----------
    robust : float, default 0.9
        Share of the proteins that the fit keeps, the best fitting of each intensity (least
        trimmed squares): those that truly differ shouldn't steer it. 1 uses all.
    max_iter : int, default 2000
        Most steps of the optimiser in each round of trimming.

    Attributes
    ----------
    mean_ : numpy.ndarray of shape (n_proteins,)
        Mean of each protein in the training, on the arsinh scale.
    sigma2_ : float
        Variance on the arsinh scale.
    used_ : numpy.ndarray of bool
        Proteins that the fit used.
    shift_ : float
        log2 units added to arsinh / log(2), so that high values keep their level.

    Notes
    -----
    Values come in and leave on the log2 scale; the model itself works on 2**x. Fitting warns
    (`ConvergenceWarning`) when it stops before the maximum of the likelihood.

    References
    ----------
    Huber W, von Heydebreck A, Sültmann H, Poustka A, Vingron M. Variance stabilization applied
    to microarray data calibration and to the quantification of differential expression.
    Bioinformatics 2002;18 Suppl 1:S96-104.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import VSN
    >>> rng = np.random.default_rng(0)
    >>> level = rng.uniform(8, 14, 200)
    >>> loading = np.array([0.0, 1.0, -1.0])[:, None]
    >>> values = level + loading + rng.normal(0, 0.1, (3, 200))
    >>> medians = np.median(VSN().fit_transform(values), axis=1)
    >>> bool(np.ptp(medians) < 0.1)
    True
    """

    def __init__(self, *, robust: float = 0.9, max_iter: int = 2000) -> None:
        self.robust = robust
        self.max_iter = max_iter

    def _fit(self, matrix: Matrix) -> None:
        if not 0.5 <= self.robust <= 1:
            raise FormatError(f"robust is a share of 0.5 to 1, found {self.robust!r}")
        if self.max_iter < 1:
            raise FormatError(f"max_iter is at least 1, found {self.max_iter!r}")
        columns = matrix.measures
        values = matrix.values[matrix.sample][:, columns]
        values = values[np.isfinite(values).sum(axis=1) >= 3]
        if len(values) < 2:
            raise FormatError(
                f"expected two samples or more with three values each, found {len(values)}",
                where="X",
            )
        # In an order of their own, so that the result doesn't hang on the rows' order by the
        # optimiser's last digits; in units of a typical intensity, so that it sees numbers near 1.
        values = values[np.lexsort(np.nan_to_num(values).T)]
        self._unit = float(np.nanmedian(values))
        a, log_b, mean, self.sigma2_, used = vsn_fit(
            np.exp2(values - self._unit), robust=self.robust, max_iter=self.max_iter
        )
        self.mean_, self.used_ = np.full(len(columns), np.nan), np.zeros(len(columns), dtype=bool)
        self.mean_[columns], self.used_[columns] = mean, used
        if not self.sigma2_ > 0:
            raise FormatError("the samples don't differ, so no variance can be learned", where="X")
        self._start = (float(a.mean()), float(log_b.mean()))
        # arsinh(z) ~ log(2z): undo the factor 2·b of an average sample, and the unit.
        self.shift_ = self._unit - 1 - self._start[1] / np.log(2)

    def _transform(self, matrix: Matrix) -> Array:
        result = matrix.values
        mean = np.where(self.used_, self.mean_, np.nan)
        for row in result:
            known = np.isfinite(row)
            if (known & np.isfinite(mean)).sum() < 3:
                row[:] = np.nan  # an offset and a factor can't be told from so few
                continue
            y = np.exp2(row - self._unit)
            a, log_b = vsn_row(y, mean, self.sigma2_, self._start)
            row[:] = np.arcsinh(a + np.exp(log_b) * y) / np.log(2) + self.shift_
        return result


class CyclicLoess(Scaler):
    """Take out differences between samples that depend on intensity, by loess curves.

    Parameters
    ----------
    method : {"fast", "affy", "pairs"}, default "fast"
        How the training reference is found: each sample against the mean of all; against the
        mean, in pairs that are averaged; or every pair in turn.
    span : float, default 0.7
        Share of the proteins in each window.
    n_iter : int, default 3
        Rounds.

    Attributes
    ----------
    references_ : numpy.ndarray of shape (rounds, n_proteins)
        What a sample is compared with, round by round: for "fast" the mean of the training
        samples at each round, else their mean in the end.

    Notes
    -----
    Control assays have no part in the curves, and stay as they are.

    A sample is transformed against the references alone. With "fast" this is the same, for
    the training samples, as the plain method on all of them; with "pairs" and "affy", whose
    curves belong to pairs of samples, it is their curve against the normalised mean.

    References
    ----------
    Bolstad BM et al. Bioinformatics 2003;19:185-193. Ballman KV, Grill DE, Oberg AL, Therneau
    TM. Faster cyclic loess: normalizing RNA arrays via linear models. Bioinformatics
    2004;20:2778-2786.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import CyclicLoess
    >>> level = np.linspace(4, 12, 50)
    >>> bent = np.vstack([level, level + 0.1 * (level - 8) + 1])
    >>> one, two = CyclicLoess().fit_transform(bent)
    >>> bool(np.abs(one - two).max() < 1e-6)
    True
    """

    def __init__(
        self,
        method: Literal["fast", "affy", "pairs"] = "fast",
        *,
        span: float = 0.7,
        n_iter: int = 3,
    ) -> None:
        self.method = method
        self.span = span
        self.n_iter = n_iter

    def _fit(self, matrix: Matrix) -> None:
        methods = ("fast", "affy", "pairs")
        if self.method not in methods:
            raise FormatError(f"method is one of {list_some(methods)}, found {self.method!r}")
        if self.n_iter < 1 or not 0 < self.span <= 1:
            raise FormatError(
                f"expected n_iter ≥ 1 and a span in (0, 1], found {self.n_iter!r}, {self.span!r}"
            )
        self._counted = matrix.measures
        values = matrix.values[matrix.sample][:, self._counted]
        references = []
        for _ in range(self.n_iter):
            if self.method == "fast":
                references.append(nanmean(values))
                values = np.vstack([self._against(row, references[-1]) for row in values])
            else:
                values = self._in_pairs(values)
        self.references_ = np.array(references or [nanmean(values)])

    def _against(self, row: Array, reference: Array) -> Array:
        return row - loess(row - reference, reference, self.span)

    def _in_pairs(self, values: Array) -> Array:
        n = len(values)
        if self.method == "pairs":
            for i in range(n - 1):
                for j in range(i + 1, n):
                    curve = self._curve(values[i], values[j])
                    values[i] -= curve / 2
                    values[j] += curve / 2
            return values
        shift = np.zeros_like(values)
        for i in range(n - 1):
            for j in range(i + 1, n):
                curve = self._curve(values[i], values[j])
                shift[i] += curve
                shift[j] -= curve
        return values - shift / n

    def _curve(self, one: Array, two: Array) -> Array:
        # A protein that one of the two lacks says nothing of their difference.
        return np.nan_to_num(loess(one - two, (one + two) / 2, self.span))

    def _transform(self, matrix: Matrix) -> Array:
        result, columns = matrix.values, self._counted
        for row in result:
            for reference in self.references_:
                row[columns] = self._against(row[columns], reference)
        return result


def _nanmedian(values: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sample without a value
        result: Array = np.nanmedian(values, axis=1)
    return result
