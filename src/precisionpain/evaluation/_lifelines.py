"""lifelines without its noise, and with its failures as ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import ConvergenceWarning, TrainingError

__all__ = ["baseline_steps", "heard_from_lifelines"]

# Of a fit that went wrong; the others look at the data before an unpenalised fit would.
_FAILED = ("failed to converge", "did not converge", "Convergence halted", "ll_ is too large")


@contextmanager
def heard_from_lifelines() -> Iterator[None]:
    """Turn lifelines' warnings of convergence into ours and its errors into a TrainingError."""
    from lifelines.exceptions import ConvergenceError

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield
        except ConvergenceError as error:
            raise TrainingError(
                f"lifelines: {_first_line(error)}",
                remedy="use a stronger penalty (a smaller variance), or fewer columns",
            ) from error
    failed = [str(w.message) for w in heard if any(word in str(w.message) for word in _FAILED)]
    if failed:
        warnings.warn(f"lifelines: {_first_line(failed[0])}", ConvergenceWarning, stacklevel=5)


def baseline_steps(model: Any, average: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times and cumulative hazard at log hazard 0 of a CoxPHFitter.

    lifelines' own is that of average people, whose log hazard is `average`.
    """
    hazard = model.baseline_cumulative_hazard_.iloc[:, 0]
    return hazard.index.to_numpy(dtype=float), hazard.to_numpy() * np.exp(-average)


def _first_line(text: object) -> str:
    return str(text).strip().splitlines()[0].strip()
