"""Two models on the same people and folds."""

from __future__ import annotations

import dataclasses

import pandas as pd

from ..stats import CorrectedT, DeLongTest

__all__ = ["Comparison"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same people and folds.

    Parameters
    ----------
    name, other : str
        The models.
    folds : pandas.Series
        Difference of the measure per fold, ``name - other``.
    corrected : CorrectedT
        Nadeau and Bengio's corrected resampled t test of that difference.
    pooled : DeLongTest or None
        DeLong's paired test of the pooled predictions; None where people have several
        rows or predictions, for which it doesn't hold.
    measure : str, default "AUC"
        What was compared.
    """

    name: str
    other: str
    folds: pd.Series
    corrected: CorrectedT
    pooled: DeLongTest | None
    measure: str = "AUC"

    def __repr__(self) -> str:
        c = self.corrected
        return (
            f"Comparison({self.name} - {self.other}: {self.measure} {c.mean:+.3f} per fold, "
            f"{c.ci_low:+.3f} to {c.ci_high:+.3f}, corrected p = {c.p_value:.3g})"
        )
