"""Imputation of missing proteins, learned from the training samples alone.

Missing because it was too faint (not at random): `LODImputer`, `MinProb`, `QRILC`. Missing for
no reason of its own: `KNNProteins`. A test of differences between groups should not impute at
all; a prediction may have to.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from ..errors import DataWarning, FormatError, list_some
from ._imputer import Imputer, NeverObserved, RandomImputer
from ._transformer import Array, Matrix

__all__ = ["QRILC", "KNNProteins", "LODImputer", "MinProb"]


class LODImputer(Imputer):
    """Put a value at the limit of detection in place of what lies below it.

    Parameters
    ----------
    lod : mapping or pandas.Series, optional
        Limit of each protein, log2; by default the layer ``lod`` (a limit for each sample),
        else ``var["lod"]``. Where a sample has no limit, that of the training counts.
    shift : float, default -0.5
        Added to the limit. -0.5 on log2 is LOD/√2, the mean of what lies below when that
        rises evenly towards the limit; -1 is LOD/2, 0 the limit itself.
    replace : {"missing", "below", "both"}, default "missing"
        What is replaced: what is missing, measured values below the limit, or both. NPX below
        the limit are measurements, if noisy ones, so by default they stay.
    never_observed : {"error", "keep", "fill"}, default "error"
        What to do with proteins without any training value: refuse them, leave them as they
        are, or fill them too.

    Attributes
    ----------
    lod_ : pandas.Series
        Limit of each protein: the median over the training samples.
    never_observed_ : numpy.ndarray
        Proteins without a training value.

    References
    ----------
    Hornung RW, Reed LD. Estimation of average concentration in the presence of nondetectable
    values. Appl Occup Environ Hyg 1990;5:46-51.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.proteomics import LODImputer
    >>> table = pd.DataFrame({"IL1B": [1.0, None, 0.2], "NEFL": [5.0, 6.0, 7.0]})
    >>> LODImputer({"IL1B": 0.5, "NEFL": 1.0}).fit_transform(table)["IL1B"].tolist()
    [1.0, 0.0, 0.2]
    """

    def __init__(
        self,
        lod: Mapping[Any, float] | pd.Series | None = None,
        *,
        shift: float = -0.5,
        replace: Literal["missing", "below", "both"] = "missing",
        never_observed: NeverObserved = "error",
    ) -> None:
        self.lod = lod
        self.shift = shift
        self.replace = replace
        self.never_observed = never_observed

    def _learn(self, values: Array, matrix: Matrix) -> None:
        ways = ("missing", "below", "both")
        if self.replace not in ways:
            raise FormatError(f"replace is one of {list_some(ways)}, found {self.replace!r}")
        names = self.feature_names_in_
        if self.lod is not None:
            given = pd.Series(self.lod, dtype=float)
            limits = given.reindex(names).to_numpy(dtype=float)
        elif "lod" in matrix.layers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a protein without a limit
                limits = np.nanmedian(matrix.layers["lod"][matrix.sample], axis=0)
        elif "lod" in matrix.var:
            limits = matrix.var["lod"].to_numpy(dtype=float, na_value=np.nan)
        else:
            raise FormatError(
                "found no limits of detection", where="X",
                remedy="pass lod=, or an AnnData with layers['lod'] or var['lod']",
            )  # fmt: skip
        lacking = np.isnan(limits) & self._filled
        if lacking.any():
            raise FormatError(
                f"{int(lacking.sum())} proteins have no limit of detection: "
                f"{list_some(names[lacking])}",
                where="X",
                remedy="give their limits in lod=, or leave them out",
            )
        self.lod_ = pd.Series(np.asarray(limits, dtype=float), index=list(names))

    def _impute(self, values: Array, matrix: Matrix) -> Array:
        limits = np.broadcast_to(self.lod_.to_numpy(), values.shape)
        if self.lod is None and "lod" in matrix.layers:
            own = matrix.layers["lod"]
            limits = np.where(np.isfinite(own), own, limits)
        chosen = np.zeros(values.shape, dtype=bool)
        if self.replace != "below":
            chosen |= np.isnan(values)
        if self.replace != "missing":
            with np.errstate(invalid="ignore"):
                chosen |= values < limits
        return np.where(chosen, limits + self.shift, values)


class MinProb(RandomImputer):
    """Draw missing values from a normal distribution near the sample's lowest.

    Its mean is a low quantile of the sample's own values, its standard deviation the median
    of those of the proteins that most training samples have.

    Parameters
    ----------
    quantile : float, default 0.01
        Of the sample's observed values.
    width : float, default 1.0
        Factor on the standard deviation.
    min_observed : float, default 0.5
        Proteins observed in a larger share of the training samples give the standard
        deviation.
    never_observed : {"error", "keep", "fill"}, default "error"
        What to do with proteins without any training value.
    random_state : int, default 0
        Seed. The draws of a sample hang on it and on the sample's own values, so that they
        are the same in any company and order.

    Attributes
    ----------
    sd_ : float
        Standard deviation of the draws, before `width`.
    never_observed_ : numpy.ndarray
        Proteins without a training value.

    References
    ----------
    Lazar C, Gatto L, Ferro M, Bruley C, Burger T. Accounting for the multiple natures of missing
    values in label-free quantitative proteomics data sets to compare imputation strategies.
    J Proteome Res 2016;15:1116-1125.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import MinProb
    >>> values = np.array([[20.0, 25.0, np.nan], [21.0, 26.0, 18.0], [19.0, 25.5, 18.5]])
    >>> filled = MinProb().fit_transform(values)
    >>> bool(np.isfinite(filled).all() and filled[0, 2] < 25)
    True
    """

    def __init__(
        self,
        *,
        quantile: float = 0.01,
        width: float = 1.0,
        min_observed: float = 0.5,
        never_observed: NeverObserved = "error",
        random_state: int = 0,
    ) -> None:
        self.quantile = quantile
        self.width = width
        self.min_observed = min_observed
        self.never_observed = never_observed
        self.random_state = random_state

    def _learn(self, values: Array, matrix: Matrix) -> None:
        known = np.isfinite(values)
        often = (known.mean(axis=0) > self.min_observed) & (known.sum(axis=0) > 1)
        if not often.any():
            raise FormatError(
                f"no protein is observed in more than {self.min_observed:.0%} of the "
                f"{len(values)} training samples, so no standard deviation can be learned",
                where="X",
                remedy="lower min_observed, or leave out proteins and samples with many gaps",
            )
        self.sd_ = float(np.median(np.nanstd(values[:, often], axis=0, ddof=1)))

    def _impute(self, values: Array, matrix: Matrix) -> Array:
        for row in values:
            seen, gaps = self._counted(row), np.isnan(row)
            if seen.any() and gaps.any():
                low = np.quantile(row[seen], self.quantile)
                draws = self._stream(row).normal(low, self.width * self.sd_, len(row))
                row[gaps] = draws[gaps]
        return values


class QRILC(RandomImputer):
    """Draw missing values from below the point where the sample's distribution is cut off.

    The observed values of a sample are taken for the upper part of a normal distribution, cut
    off below at its share of missing values. Mean and standard deviation of the whole are the
    intercept and slope of the observed quantiles on normal ones; draws come from the part
    below the cut.

    Parameters
    ----------
    width : float, default 1.0
        Factor on the standard deviation of the draws.
    upper : float, default 0.99
        Quantiles above it are left out of the regression.
    never_observed : {"error", "keep", "fill"}, default "error"
        What to do with proteins without any training value; kept, they don't count as
        missing.
    random_state : int, default 0
        Seed; see `MinProb`.

    Attributes
    ----------
    never_observed_ : numpy.ndarray
        Proteins without a training value. Nothing else is learned: mean and standard
        deviation are the sample's own.

    References
    ----------
    Lazar C et al. J Proteome Res 2016;15:1116-1125.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import QRILC
    >>> values = np.random.default_rng(0).normal(24, 2, (3, 200))
    >>> values[values < 22] = np.nan
    >>> filled = QRILC(never_observed="fill").fit_transform(values)
    >>> bool(abs(filled.mean() - 24) < 0.3 and filled.min() < 21)
    True
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        upper: float = 0.99,
        never_observed: NeverObserved = "error",
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.upper = upper
        self.never_observed = never_observed
        self.random_state = random_state

    def _learn(self, values: Array, matrix: Matrix) -> None:
        if not 0 < self.upper < 1:
            raise FormatError(f"upper is a share between 0 and 1, found {self.upper!r}")

    def _impute(self, values: Array, matrix: Matrix) -> Array:
        from scipy.special import ndtr, ndtri

        few = 0
        for row in values:
            seen, gaps = self._counted(row), np.isnan(row) & self._filled
            if not gaps.any() or not seen.any():
                continue
            share = gaps.sum() / self._filled.sum()
            if seen.sum() < 3 or share >= self.upper:
                few += 1
                continue
            mean, sd = _complete(row[seen], share, self.upper)
            cut = mean + sd * ndtri(share)
            top = ndtr((cut - mean) / (sd * self.width)) if sd > 0 else 0.0
            uniform = self._stream(row).uniform(np.finfo(float).tiny, 1.0, len(row))[gaps]
            row[gaps] = mean + sd * self.width * ndtri(uniform * top) if sd > 0 else cut
        if few:
            warnings.warn(
                f"{few} samples have too few values to tell their distribution; they stay as "
                "they are", DataWarning, stacklevel=5,
            )  # fmt: skip
        return values


def _complete(observed: Array, share: float, upper: float) -> tuple[float, float]:
    """Return mean and SD of the normal distribution whose upper part was observed."""
    from scipy.special import ndtri

    # The lowest part of the observed is left out too: the cut isn't sharp.
    probability = np.linspace(share + 0.01 * (1 - share), upper, 200)
    normal = ndtri(probability)
    quantiles = np.quantile(observed, (probability - share) / (1 - share))
    slope, intercept = np.polyfit(normal, quantiles, 1)
    return float(intercept), float(max(slope, 0.0))


class KNNProteins(Imputer):
    """Fill gaps with what the training samples with the most similar proteins have.

    The nearest are found over the proteins that both samples have, each in its own standard
    deviations, so that no protein counts more for being more variable.

    Parameters
    ----------
    n_neighbors : int, default 10
        How many training samples are averaged.
    weights : {"uniform", "distance"}, default "distance"
        Whether the nearer count more.
    never_observed : {"error", "keep"}, default "error"
        What to do with proteins without any training value; there is nothing to fill them
        with.

    Attributes
    ----------
    mean_, sd_ : numpy.ndarray of shape (n_proteins,)
        Of the training samples.
    never_observed_ : numpy.ndarray
        Proteins without a training value.

    References
    ----------
    Troyanskaya O et al. Missing value estimation methods for DNA microarrays. Bioinformatics
    2001;17:520-525.

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.proteomics import KNNProteins
    >>> values = np.array([[1.0, 1.0], [2.0, 2.0], [9.0, 9.0], [1.0, np.nan]])
    >>> KNNProteins(n_neighbors=1).fit_transform(values)[3].tolist()
    [1.0, 1.0]
    """

    _choices: ClassVar[tuple[str, ...]] = ("error", "keep")

    def __init__(
        self,
        n_neighbors: int = 10,
        *,
        weights: Literal["uniform", "distance"] = "distance",
        never_observed: NeverObserved = "error",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.never_observed = never_observed

    def _learn(self, values: Array, matrix: Matrix) -> None:
        from sklearn.impute import KNNImputer

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a protein without a value
            self.mean_ = np.nanmean(values, axis=0)
            sd = np.nanstd(values, axis=0)
        self.sd_ = np.where(sd > 0, sd, 1.0)
        self._imputer = KNNImputer(
            n_neighbors=self.n_neighbors, weights=self.weights, keep_empty_features=True
        ).fit((values - self.mean_) / self.sd_)

    def _impute(self, values: Array, matrix: Matrix) -> Array:
        filled = self._imputer.transform((values - self.mean_) / self.sd_)
        return np.where(np.isnan(values), filled * self.sd_ + self.mean_, values)
