"""How many people a prediction model needs: Riley's criteria for a binary outcome."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, xlogy

from ..errors import FormatError
from ._checks import check_fraction

__all__ = [
    "SampleSize",
    "SampleSizeVerdict",
    "cox_snell_r2",
    "minimum_sample_size",
    "sample_size_verdict",
    "supported_parameters",
]


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """The smallest sample for developing a prediction model, criterion by criterion.

    Parameters
    ----------
    n : int
        The largest of the three.
    n_shrinkage : int
        Criterion 1: overfitting of at most 1 − shrinkage.
    n_optimism : int
        Criterion 2: optimism in Nagelkerke's R² of at most `r2_margin`.
    n_risk : int
        Criterion 3: overall risk known to ± `risk_margin`. It doesn't depend on the number
        of parameters.
    events : float
        Expected events among `n`.
    events_per_parameter : float
        `events` / number of parameters.
    r2_cox_snell, r2_max : float
        Expected Cox–Snell R², and the largest possible one at that prevalence.
    """

    n: int
    n_shrinkage: int
    n_optimism: int
    n_risk: int
    events: float
    events_per_parameter: float
    r2_cox_snell: float
    r2_max: float


@dataclasses.dataclass(frozen=True)
class SampleSizeVerdict:
    """Whether a sample is large enough for a model.

    Parameters
    ----------
    ok : bool
        Whether all three criteria are met.
    n, n_events, n_parameters : int
        What there is.
    required : int
        People that the criteria ask for.
    supported : int
        Parameters that the sample carries by criteria 1 and 2.
    sentence : str
        The same in plain English.
    """

    ok: bool
    n: int
    n_events: int
    n_parameters: int
    required: int
    supported: int
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@functools.lru_cache(maxsize=1)
def _normal_quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights for means over the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    return nodes, weights / weights.sum()


@functools.lru_cache(maxsize=256)
def cox_snell_r2(prevalence: float, c_statistic: float) -> float:
    """Return the Cox–Snell R² that goes with a C statistic.

    The linear predictor is taken as normal with unit variance in people with and without
    the event, its means √2 Φ⁻¹(C) apart. Riley and colleagues simulate a large sample
    from this and fit a logistic model; that model is known exactly, so that its expected
    log-likelihood is an integral, taken here by Gauss–Hermite quadrature.

    Parameters
    ----------
    prevalence : float
        Share of people with the event.
    c_statistic : float
        Area under the ROC curve, above 0.5 and below 1.

    Returns
    -------
    float
        1 − exp(−2 · (gain in log-likelihood per person)).

    Raises
    ------
    FormatError
        When an argument is out of range.

    References
    ----------
    Riley, Van Calster & Collins, Statistics in Medicine 40, 859 (2021).

    Examples
    --------
    >>> round(cox_snell_r2(0.25, 0.75), 3)
    0.145
    """
    check_fraction(prevalence, "prevalence")
    if not 0.5 < c_statistic < 1:
        raise FormatError(f"c_statistic lies between 0.5 and 1, found {c_statistic!r}")
    distance = float(np.sqrt(2) * ndtri(c_statistic))
    nodes, weights = _normal_quadrature()
    intercept = np.log(prevalence / (1 - prevalence)) - distance**2 / 2
    log_likelihood = 0.0
    for event, share in ((True, prevalence), (False, 1 - prevalence)):
        logit = intercept + distance * (nodes + distance * event)
        log_likelihood += share * float(weights @ -np.logaddexp(0, -logit if event else logit))
    null = float(xlogy(prevalence, prevalence) + xlogy(1 - prevalence, 1 - prevalence))
    return float(-np.expm1(-2 * (log_likelihood - null)))


def _r2_max(prevalence: float) -> float:
    null = xlogy(prevalence, prevalence) + xlogy(1 - prevalence, 1 - prevalence)
    return float(-np.expm1(2 * null))


def _people_per_parameter(
    prevalence: float, c_statistic: float, shrinkage: float, r2_margin: float
) -> tuple[float, float]:
    """Return what criteria 1 and 2 ask for per parameter; both are proportional to it."""
    check_fraction(shrinkage, "shrinkage")
    check_fraction(r2_margin, "r2_margin")
    r2 = cox_snell_r2(prevalence, c_statistic)
    if r2 >= shrinkage:
        raise FormatError(f"an R² of {r2:.3f} leaves no room for a shrinkage of {shrinkage}")
    second = r2 / (r2 + r2_margin * _r2_max(prevalence))
    return (
        1 / ((shrinkage - 1) * math.log1p(-r2 / shrinkage)),
        1 / ((second - 1) * math.log1p(-r2 / second)),
    )


def minimum_sample_size(
    prevalence: float,
    c_statistic: float,
    n_parameters: int,
    *,
    shrinkage: float = 0.9,
    r2_margin: float = 0.05,
    risk_margin: float = 0.05,
) -> SampleSize:
    """Return how many people a model of a binary outcome needs.

    Parameters
    ----------
    prevalence : float
        Expected share of people with the event.
    c_statistic : float
        Area under the ROC curve to be expected of new people, honestly guessed.
    n_parameters : int
        Candidate parameters, counted before any selection: levels − 1 for a category, one
        per spline term and interaction.
    shrinkage : float, default 0.9
        Uniform shrinkage factor to be expected, at least.
    r2_margin : float, default 0.05
        Largest acceptable optimism in Nagelkerke's R².
    risk_margin : float, default 0.05
        Largest acceptable half width of the 95% interval of the overall risk.

    Returns
    -------
    SampleSize

    Raises
    ------
    FormatError
        When an argument is out of range.

    References
    ----------
    Riley et al., Statistics in Medicine 38, 1276 (2019); Riley et al., BMJ 368, m441
    (2020).

    Examples
    --------
    >>> need = minimum_sample_size(0.25, 0.75, n_parameters=10)
    >>> need.n, need.n_shrinkage, need.n_optimism, need.n_risk
    (569, 569, 269, 289)
    """
    if n_parameters < 1:
        raise FormatError(f"n_parameters is at least 1, found {n_parameters!r}")
    check_fraction(risk_margin, "risk_margin")
    first, second = _people_per_parameter(prevalence, c_statistic, shrinkage, r2_margin)
    n_shrinkage = math.ceil(n_parameters * first)
    n_optimism = math.ceil(n_parameters * second)
    n_risk = math.ceil((ndtri(0.975) / risk_margin) ** 2 * prevalence * (1 - prevalence))
    n = max(n_shrinkage, n_optimism, n_risk)
    return SampleSize(
        n=n,
        n_shrinkage=n_shrinkage,
        n_optimism=n_optimism,
        n_risk=n_risk,
        events=n * prevalence,
        events_per_parameter=n * prevalence / n_parameters,
        r2_cox_snell=cox_snell_r2(prevalence, c_statistic),
        r2_max=_r2_max(prevalence),
    )


def supported_parameters(
    n: int,
    prevalence: float,
    c_statistic: float,
    *,
    shrinkage: float = 0.9,
    r2_margin: float = 0.05,
) -> int:
    """Return how many candidate parameters a sample carries.

    By criteria 1 and 2 of `minimum_sample_size`; criterion 3 doesn't depend on their
    number and isn't asked here.

    Parameters
    ----------
    n : int
        People.
    prevalence, c_statistic, shrinkage, r2_margin : float
        As for `minimum_sample_size`.

    Returns
    -------
    int
        Zero when not even one.

    Raises
    ------
    FormatError
        When an argument is out of range.

    Examples
    --------
    >>> supported_parameters(150, 0.25, 0.75)
    2
    """
    if n < 1:
        raise FormatError(f"n is at least 1, found {n!r}")
    return int(n / max(_people_per_parameter(prevalence, c_statistic, shrinkage, r2_margin)))


def sample_size_verdict(
    n: int, n_events: int, n_parameters: int, c_statistic: float = 0.75
) -> SampleSizeVerdict:
    """Say whether a sample is large enough for a model, before fitting it.

    Parameters
    ----------
    n : int
        People.
    n_events : int
        Those with the event; neither nobody nor everybody.
    n_parameters : int
        Candidate parameters.
    c_statistic : float, default 0.75
        Area under the ROC curve to be expected: about what clinical variables reach in
        pain cohorts.

    Returns
    -------
    SampleSizeVerdict

    Raises
    ------
    FormatError
        When an argument is out of range.

    Examples
    --------
    >>> print(sample_size_verdict(150, 38, 10))
    150 people with 38 events are too few for 10 parameters: about 565 are needed at a C statistic of 0.75, and this sample carries 2.
    """  # noqa: E501
    if not 0 < n_events < n:
        raise FormatError(
            f"expected people with and without the event, found {n_events} events in {n}"
        )
    prevalence = n_events / n
    need = minimum_sample_size(prevalence, c_statistic, n_parameters)
    supported = supported_parameters(n, prevalence, c_statistic)
    ok = n >= need.n
    have = f"{n} people with {n_events} event{'s' * (n_events != 1)}"
    model = f"{n_parameters} parameter{'s' * (n_parameters != 1)}"
    if ok:
        sentence = (
            f"{have} suffice for {model}: about {need.n} are needed at a C statistic of "
            f"{c_statistic:g}."
        )
    elif supported >= n_parameters:
        sentence = (
            f"{have} suffice to fit {model} at a C statistic of {c_statistic:g}, but not to "
            f"know the overall risk to within 5 points: for that {need.n} are needed."
        )
    else:
        sentence = (
            f"{have} are too few for {model}: about {need.n} are needed at a C statistic of "
            f"{c_statistic:g}, and this sample carries {supported or 'none'}."
        )
    return SampleSizeVerdict(
        ok=ok,
        n=n,
        n_events=n_events,
        n_parameters=n_parameters,
        required=need.n,
        supported=supported,
        sentence=sentence,
    )
