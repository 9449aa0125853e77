"""A random intercept per person, by restricted maximum likelihood, all proteins at once.

y = X β + b + e, where b has variance λ σ² and is shared by the samples of a person. Given λ
all else has a closed form, so that the likelihood is a function of one number per protein;
its derivatives are known, and a few Newton steps find all λ together. A person's samples enter
by their number and sums only.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ._t import Array, Table, rounding, t_columns
from .linear import LinearFit, by_block, fit_linear, invert

__all__ = ["MixedFit", "fit_mixed"]

_CHUNK = 4_000_000
# Variance between people over that within, where the search begins.
_GRID = np.array([0.03, 0.1, 0.25, 0.5, 0.8, 1.2, 2.0, 4.0, 9.0, 25.0, 100.0])


@dataclasses.dataclass(frozen=True)
class _State:
    """What follows from a ratio λ: everything of shape (…, proteins)."""

    inverse: Array
    beta: Array
    rss: Array
    size: Array
    deviance: Array
    slope: Array
    curvature: Array
    matrix_slope: Array
    rss_slope: Array
    fixed_curvature: Array
    rss_curvature: Array


@dataclasses.dataclass(frozen=True)
class MixedFit:
    """Mixed models of p proteins.

    Parameters
    ----------
    coefficients : numpy.ndarray of shape (k, p)
    inverse : numpy.ndarray of shape (k, k, p)
        Covariance of the coefficients over σ².
    variance : numpy.ndarray of shape (p,)
        σ², within people.
    ratio : numpy.ndarray of shape (p,)
        λ, variance between people over that within.
    n : numpy.ndarray of shape (p,)
        Number of samples.
    """

    coefficients: Array
    inverse: Array
    variance: Array
    ratio: Array
    n: NDArray[np.intp]
    df_residual: Array
    constant: NDArray[np.bool_]
    # Derivative of X'V⁻¹X, and the inverse of the Hessian in (λ, σ²) times 2.
    matrix_slope: Array
    information: tuple[Array, Array, Array]

    def _satterthwaite(self, weights: Array) -> tuple[Array, Array]:
        """Return the variance of a weighted sum (weights k × p), and its degrees of freedom."""
        half = np.einsum("jkp,kp->jp", self.inverse, weights)
        unscaled = (weights * half).sum(axis=0)
        by_ratio = -self.variance * np.einsum("jp,jkp,kp->p", half, self.matrix_slope, half)
        a, b, c = self.information
        spread = by_ratio**2 * a + 2 * by_ratio * unscaled * b + unscaled**2 * c
        variance = self.variance * unscaled
        with np.errstate(divide="ignore", invalid="ignore"):
            df = 2 * variance**2 / spread
        # On the border, λ = 0, the model is an ordinary regression.
        return variance, np.where(self.ratio > 0, df, self.df_residual)

    def t_test(self, weights: Array, confidence: float) -> Table:
        """Test a weighted sum of the coefficients (weights of shape (k,))."""
        wide = np.broadcast_to(weights[:, None], self.coefficients.shape)
        variance, df = self._satterthwaite(wide)
        return t_columns(weights @ self.coefficients, np.sqrt(variance), df, confidence)

    def f_test(self, columns: list[int]) -> Table:
        """Test whether some coefficients are all zero (Satterthwaite; Fai & Cornelius 1996)."""
        q, (k, p) = len(columns), self.coefficients.shape
        block = (self.inverse[columns][:, columns] * self.variance).transpose(2, 0, 1)
        good: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(block), axis=(1, 2))
        _, vectors = np.linalg.eigh(np.where(good[:, None, None], block, np.eye(q)))
        total, dfs = np.zeros(p), np.empty((q, p))
        for i in range(q):
            weights = np.zeros((k, p))
            weights[columns] = vectors[:, :, i].T
            variance, dfs[i] = self._satterthwaite(weights)
            with np.errstate(divide="ignore", invalid="ignore"):
                total += (weights * self.coefficients).sum(axis=0) ** 2 / variance
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(dfs > 2, dfs / (dfs - 2), 0.0).sum(axis=0)
            df = np.where(mean > q, 2 * mean / (mean - q), np.nan)
        alike = np.ptp(dfs, axis=0) < 1e-8
        df = np.where(alike, dfs.mean(axis=0), np.where((dfs <= 2).any(axis=0), 2.0, df))
        f = np.where(good, total / q, np.nan)
        df = np.where(good, df, np.nan)
        return {"statistic": f, "df_term": np.where(good, q, np.nan), "df": df,
                "p_value": special.fdtrc(q, df, f), "n": self.n}  # fmt: skip


def fit_mixed(
    values: Array, design: Array, person: NDArray[np.intp], *, reml: bool = True
) -> MixedFit:
    """Fit a random intercept per person to each protein.

    Parameters
    ----------
    values : numpy.ndarray of shape (samples, proteins)
        NaN is not measured.
    design : numpy.ndarray of shape (samples, k)
        Of full rank.
    person : numpy.ndarray of int, shape (samples,)
        0, 1, 2, …
    reml : bool, default True
        Restricted maximum likelihood; else maximum likelihood, whose variances are too small.

    Returns
    -------
    MixedFit
        NaN for proteins whose observed samples don't determine all coefficients, or in
        which nobody has two samples.

    References
    ----------
    Pinheiro & Bates, Mixed-Effects Models in S and S-PLUS, chapter 2 (2000); Giesbrecht &
    Burns, Biometrics 41, 477 (1985).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> person = np.tile(np.arange(20), 2)
    >>> values = rng.normal(size=(40, 3)) + rng.normal(size=(20, 3))[person]
    >>> design = np.column_stack([np.ones(40), np.repeat([0, 1], 20)])
    >>> fit = fit_mixed(values, design, person)
    >>> fit.t_test(np.array([0.0, 1.0]), 0.95)["df"].round(6).tolist()
    [19.0, 19.0, 19.0]
    """
    k, p = design.shape[1], values.shape[1]
    step = max(1, _CHUNK // (k * k * (int(person.max()) + 1)))
    parts = [_fit(values[:, i : i + step], design, person, reml) for i in range(0, p, step)]
    joined: list[Any] = []
    for field in dataclasses.fields(MixedFit):
        pieces = [getattr(part, field.name) for part in parts]
        if field.name == "information":
            joined.append(tuple(np.concatenate(piece) for piece in zip(*pieces, strict=True)))
        else:
            joined.append(np.concatenate(pieces, axis=-1))
    return MixedFit(*joined)


def _fit(values: Array, design: Array, person: NDArray[np.intp], reml: bool) -> MixedFit:
    q, r = np.linalg.qr(design)
    p = values.shape[1]
    ordinary = fit_linear(values, q)
    data = gather(values, q, ordinary, person, reml)
    # What doesn't vary has no ratio: an ordinary regression, its variance that of rounding.
    floor = rounding(ordinary.mean)
    constant = ordinary.variance <= floor
    ratio = np.where(constant, 0.0, search_ratio(data))
    state = data.at(ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma2 = np.where(constant, floor, state.rss / data.df)
    # Hessian of the deviance in (λ, σ²), at the optimum; its inverse times 2 is the
    # covariance of the estimates.
    hessian_ratio = state.fixed_curvature + state.rss_curvature / sigma2
    hessian_cross = -state.rss_slope / sigma2**2
    hessian_sigma = data.df / sigma2**2
    determinant = hessian_ratio * hessian_sigma - hessian_cross**2
    with np.errstate(divide="ignore", invalid="ignore"):
        information = tuple(
            2 * part / determinant for part in (hessian_sigma, -hessian_cross, hessian_ratio)
        )
    bad = (data.size.max(axis=0) < 2) | (ordinary.df < 1)
    bad = np.broadcast_to(bad, (p,)).copy()
    bad[list(ordinary.free)] = True
    back = np.linalg.inv(r)
    coefficients = back @ (ordinary.coefficients.T + state.beta)
    inverse = np.einsum("ij,jlp,ml->imp", back, state.inverse, back, optimize=True)
    slope = np.einsum("ji,jlp,lm->imp", r, state.matrix_slope, r, optimize=True)
    return MixedFit(
        np.where(bad, np.nan, coefficients), np.where(bad, np.nan, inverse),
        np.where(bad, np.nan, sigma2), ratio, ordinary.n, data.df, constant, slope,
        information,
    )  # fmt: skip


def gather(
    values: Array, q: Array, ordinary: LinearFit, person: NDArray[np.intp], reml: bool
) -> Sums:
    """Add up what the likelihood needs; `q` is an orthonormal design, `ordinary` its fit."""
    observed = (~np.isnan(values)).astype(float)
    # What an ordinary regression leaves: the large part of y is gone before sums are taken.
    rest = np.nan_to_num(values - q @ ordinary.coefficients.T)
    if observed.all():
        observed = observed[:, :1]
    columns = np.stack([by_block(column[:, None] * observed, person) for column in q.T])
    return Sums(
        by_block(observed, person),
        columns,
        columns[:, None] * columns[None],
        by_block(rest, person),
        np.einsum("nj,nl,np->jlp", q, q, observed, optimize=True),
        (rest**2).sum(axis=0),
        (ordinary.n - (q.shape[1] if reml else 0)).astype(float),
        float(reml),
    )


@dataclasses.dataclass(frozen=True)
class Sums:
    """All that the likelihood needs of the data; (people, proteins or 1) and the like."""

    size: Array
    columns: Array
    products: Array
    total: Array
    matrix: Array
    square: Array
    df: Array
    reml: float

    def _over_people(self, what: Array, weight: Array) -> Array:
        if what.shape[-1] == 1:
            found: Array = what[..., 0] @ weight
        else:
            found = np.einsum("...bp,bp->...p", what, weight)
        return found

    def at(self, ratio: Array) -> _State:
        """Return estimates, deviance and derivatives for a ratio λ per protein."""
        d = 1 + ratio * self.size
        matrix = self.matrix - self._over_people(self.products, ratio / d)
        inverse, _ = invert(np.broadcast_to(matrix, (*matrix.shape[:2], len(ratio))).copy())
        right = -self._over_people(self.columns, ratio / d * self.total)
        beta = np.einsum("jkp,kp->jp", inverse, right)
        rss = self.square - (ratio / d * self.total**2).sum(axis=0) - (right * beta).sum(axis=0)
        rss = np.maximum(rss, 1e-100)
        left = self.total - np.einsum("jbp,jp->bp", self.columns, beta)
        matrix1 = -self._over_people(self.products, 1 / d**2)
        matrix2 = self._over_people(self.products, 2 * self.size / d**3)
        between = np.einsum("jkp,klp->jlp", inverse, matrix1)
        log_slope = (self.size / d).sum(axis=0) + self.reml * np.einsum("jjp->p", between)
        log_curve = -((self.size / d) ** 2).sum(axis=0) + self.reml * (
            np.einsum("jkp,kjp->p", inverse, matrix2) - np.einsum("jkp,kjp->p", between, between)
        )
        v = -self._over_people(self.columns, left / d**2)
        rss1 = -((left / d) ** 2).sum(axis=0)
        rss2 = (2 * self.size * left**2 / d**3).sum(axis=0) - 2 * np.einsum(
            "jp,jkp,kp->p", v, inverse, v
        )
        sign, logdet = np.linalg.slogdet(inverse.transpose(2, 0, 1))
        deviance = self.df * np.log(rss) + np.log(d).sum(axis=0)
        deviance -= self.reml * np.where(sign > 0, logdet, 0)
        slope = self.df * rss1 / rss + log_slope
        curvature = self.df * (rss2 / rss - (rss1 / rss) ** 2) + log_curve
        return _State(
            inverse, beta, rss, self.size, deviance, slope, curvature, matrix1, rss1, log_curve,
            rss2,
        )  # fmt: skip


def search_ratio(data: Sums, lowest: float = 0.0) -> Array:
    """Find the ratio of the smallest deviance for each protein: a grid, then Newton.

    Parameters
    ----------
    data : Sums
        What the likelihood needs.
    lowest : float, default 0
        Smallest ratio that is allowed, above −1 / (size of the largest block).

    Returns
    -------
    numpy.ndarray of shape (p,)
    """
    p = len(data.square)
    largest = float(data.size.max())
    # s = log(1 + λ m), in which the deviance is close to a parabola.
    s = np.log1p(np.unique(np.append(_GRID[lowest < _GRID], lowest)) * largest)
    s = np.append(s, np.log1p(1e8))
    states = [data.at(np.full(p, np.expm1(point) / largest)) for point in s]
    best = np.argmin([state.deviance for state in states], axis=0)
    border = (best == 0) & (states[0].slope >= 0)
    low, high = s[np.maximum(best - 1, 0)], s[np.minimum(best + 1, len(s) - 1)]
    now = np.where(best == 0, (low + high) / 2, s[best])
    for _ in range(60):
        state = data.at(np.expm1(now) / largest)
        low = np.where(state.slope < 0, np.maximum(low, now), low)
        high = np.where(state.slope >= 0, np.minimum(high, now), high)
        with np.errstate(divide="ignore", invalid="ignore"):
            proposed = now - state.slope / (state.curvature * np.exp(now) / largest + state.slope)
        inside = (proposed > low) & (proposed < high)
        following = np.where(inside, proposed, (low + high) / 2)
        done = np.abs(following - now) <= 1e-13 * (1 + np.abs(now))
        now = following
        if (done | border | ~np.isfinite(state.slope)).all():
            break
    return np.where(border, lowest, np.expm1(now) / largest)
