"""Moderated t-tests: every protein borrows strength from the variances of all the others."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ._checks import as_numbers, check_fraction
from ._t import Array
from .linear import LinearFit
from .variance_prior import SqueezedVariance, squeeze_variance

__all__ = ["ModeratedT", "moderated_t"]


@dataclasses.dataclass(frozen=True, repr=False)
class ModeratedT:
    """Moderated t-tests of one contrast.

    Parameters
    ----------
    estimate, ci_low, ci_high, se, statistic, df, p_value : numpy.ndarray of shape (p,)
        NaN where the contrast can't be estimated. Two-sided.
    squeezed : SqueezedVariance
        Where the variances come from.
    """

    estimate: Array
    ci_low: Array
    ci_high: Array
    se: Array
    statistic: Array
    df: Array
    p_value: Array
    squeezed: SqueezedVariance

    def __repr__(self) -> str:
        return f"ModeratedT({int(np.isfinite(self.p_value).sum())} tests, {self.squeezed!r})"


def moderated_t(
    fit: LinearFit,
    contrast: ArrayLike,
    *,
    trend: bool | ArrayLike = False,
    robust: bool = False,
    prior: Literal["moments", "likelihood"] = "moments",
    confidence: float = 0.95,
) -> ModeratedT:
    """Test a contrast in each response, with variances that borrow from each other.

    t = estimate / (s̃ √v), where s̃² is the squeezed variance and v the unscaled variance of
    the estimate; its degrees of freedom are d + d₀, at most those of all responses together.

    Parameters
    ----------
    fit : LinearFit
        Of `fit_linear`.
    contrast : array-like of shape (k,)
        Weights of the coefficients.
    trend : bool or array-like of shape (p,), default False
        Let the prior variance follow the mean of each response, or this covariate.
    robust : bool, default False
        See `squeeze_variance`.
    prior : {"moments", "likelihood"}, default "moments"
        See `squeeze_variance`.
    confidence : float, default 0.95
        Level of the limits of the estimate.

    Returns
    -------
    ModeratedT

    Raises
    ------
    FormatError
        When the contrast doesn't match the coefficients, and as `squeeze_variance`.

    References
    ----------
    Smyth, Statistical Applications in Genetics and Molecular Biology 3, 3 (2004).

    Examples
    --------
    >>> import numpy as np
    >>> from precisionpain.stats import fit_linear
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat([0, 1], 6)
    >>> values = rng.normal(size=(12, 200)) * np.sqrt(8 / rng.chisquare(8, 200))
    >>> values[:, 0] += 4 * group
    >>> test = moderated_t(fit_linear(values, np.column_stack([np.ones(12), group])), [0, 1])
    >>> int(test.p_value.argmin()), bool(test.p_value[0] < 1e-4)
    (0, True)
    """
    check_fraction(confidence, "confidence")
    estimate, unscaled = fit.contrast(as_numbers(contrast, "contrast"))
    covariate = None
    if trend is not False:
        covariate = fit.mean if trend is True else np.asarray(trend, dtype=np.float64)
    squeezed = squeeze_variance(
        fit.variance, fit.df, covariate=covariate, robust=robust, prior=prior
    )
    se = np.sqrt(squeezed.variance * unscaled)
    df = np.minimum(fit.df + squeezed.prior_df, fit.df.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = special.stdtrit(df, (1 + confidence) / 2) * se
    return ModeratedT(
        estimate, estimate - half, estimate + half, se, t, df,
        2 * special.stdtr(df, -np.abs(t)), squeezed,
    )  # fmt: skip
