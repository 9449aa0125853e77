"""Accelerated failure times: from a score to a distribution of times."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from scipy import optimize, stats

from ...errors import ConvergenceWarning

__all__ = ["Accelerated", "fit_accelerated"]

# Distribution of the residual of log time → (log density, log survival, median).
_KINDS = {
    "normal": (stats.norm.logpdf, stats.norm.logsf, 0.0),
    "logistic": (stats.logistic.logpdf, stats.logistic.logsf, 0.0),
    "extreme": (stats.gumbel_l.logpdf, stats.gumbel_l.logsf, float(np.log(np.log(2)))),
}


@dataclasses.dataclass(frozen=True)
class Accelerated:
    """log time = intercept + slope · score + scale · residual."""

    kind: str
    intercept: float
    slope: float
    scale: float

    def survival(self, score: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return people × times."""
        location = self.intercept + self.slope * score
        with np.errstate(divide="ignore"):
            z = (np.log(times) - location[:, None]) / self.scale
        return np.asarray(np.exp(_KINDS[self.kind][1](z)))

    def median(self, score: np.ndarray) -> np.ndarray:
        """Return the median time of each person."""
        middle = _KINDS[self.kind][2]
        return np.exp(self.intercept + self.slope * score + self.scale * middle)


def fit_accelerated(
    score: np.ndarray, time: np.ndarray, event: np.ndarray, kind: str
) -> Accelerated:
    """Fit the three numbers to times by maximum likelihood.

    The slope lies within 0 to 2, so that a score of noise is turned down and none is turned round.
    """
    log_pdf, log_survival, _ = _KINDS[kind]
    log_time = np.log(time)
    middle, spread = float(score.mean()), float(score.std()) or 1.0
    u = (score - middle) / spread

    def loss(values: np.ndarray) -> float:
        z = (log_time - values[0] - values[1] * u) / np.exp(values[2])
        seen = log_pdf(z[event]) - values[2]
        return -float(seen.sum() + log_survival(z[~event]).sum()) / len(time)

    start = np.array([log_time.mean(), 0.5 * spread, np.log(log_time.std() + 0.1)])
    bounds = [(-50.0, 50.0), (0.0, 2.0 * spread), (-5.0, 4.0)]
    found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    if not found.success and not np.isfinite(found.fun):
        warnings.warn(
            f"the distribution of times was not found: {found.message}",
            ConvergenceWarning,
            stacklevel=4,
        )
    intercept, slope, log_scale = found.x
    slope = slope / spread
    return Accelerated(
        kind, float(intercept - slope * middle), float(slope), float(np.exp(log_scale))
    )
