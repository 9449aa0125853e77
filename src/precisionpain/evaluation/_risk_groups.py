"""People divided by their predicted risk, and what happened to them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError
from ..stats import (
    CumulativeIncidence,
    LogRank,
    SurvivalCurve,
    cumulative_incidence,
    kaplan_meier,
    log_rank,
)

__all__ = ["RiskGroups"]


class RiskGroups:
    """What a result with predicted risks tells by groups of them."""

    cohort: Cohort
    y: pd.DataFrame
    confidence: float
    _event: np.ndarray

    def predicted_risk(self, horizon: float | None = None) -> pd.Series:
        """Return the predicted risk of each person."""
        raise NotImplementedError

    def risk_groups(self, n: int = 3, horizon: float | None = None) -> pd.Series:
        """Divide people by their predicted risk.

        Parameters
        ----------
        n : int, default 3
            Groups of about equal size.
        horizon : float, optional
            Of the risk; by default the last.

        Returns
        -------
        pandas.Series
            Ordered categories: "low", "middle" and "high" risk for three, else "1 (lowest)" to
            "n (highest)"; fewer groups where many have the same risk.

        Raises
        ------
        FormatError
            For fewer than two groups, or risks that are all the same.
        """
        if n < 2:
            raise FormatError(f"expected at least 2 groups, found {n}")
        risk = self.predicted_risk(horizon)
        edges = np.unique(np.quantile(risk, np.linspace(0, 1, n + 1)[1:-1]))
        codes = pd.factorize(np.searchsorted(edges, risk, side="left"), sort=True)[0]
        found = int(codes.max()) + 1
        if found < 2:
            raise FormatError("the predicted risks are all the same")
        names = {2: ["low", "high"], 3: ["low", "middle", "high"]}.get(
            found,
            ["1 (lowest)", *(str(k) for k in range(2, found)), f"{found} (highest)"],
        )
        groups = pd.Categorical.from_codes(codes, pd.Index(names), ordered=True)
        return pd.Series(groups, risk.index, name="risk_group")

    def curves(self, n: int = 3) -> dict[str, SurvivalCurve]:
        """Return Kaplan–Meier's curve of each group of risk.

        Parameters
        ----------
        n : int, default 3
            As in `risk_groups`.

        Returns
        -------
        dict of str to SurvivalCurve
        """
        return {
            group: kaplan_meier(y["time"], y["event"], confidence=self.confidence)
            for group, y in self._by_group(n)
        }

    def log_rank(self, n: int = 3) -> LogRank:
        """Test whether the groups of risk have the same survival.

        Each was predicted by a model of most of the others, so that p is a little too small:
        what a model adds is for `summary` and `compare` to say.

        Parameters
        ----------
        n : int, default 3
            As in `risk_groups`.

        Returns
        -------
        LogRank
        """
        groups = self.risk_groups(n)
        y = self.y.loc[groups.index]
        return log_rank(y["time"], y["event"], groups.astype(str))

    def cumulative_incidence(
        self, competing: str | pd.Series, n: int = 3
    ) -> dict[str, CumulativeIncidence]:
        """Estimate the chance of the event and of a competing one by group of risk.

        Parameters
        ----------
        competing : str or pandas.Series
            Column of ``cohort.subjects`` that flags people whose follow-up was ended by
            something else than the event, or the flags by person.
        n : int, default 3
            As in `risk_groups`.

        Returns
        -------
        dict of str to CumulativeIncidence
            Cause 1 is the event, 2 the competing one.

        Raises
        ------
        MissingModalityError
            When there is no such column.
        FormatError
            When a person has both, or a flag is missing.
        """
        cause = self.causes(competing)
        return {
            group: cumulative_incidence(y["time"], cause[y.index], confidence=self.confidence)
            for group, y in self._by_group(n)
        }

    def causes(self, competing: str | pd.Series) -> pd.Series:
        """Tell what ended the follow-up of each person: 1 the event, 2 something competing, 0.

        Parameters
        ----------
        competing : str or pandas.Series
            As `cumulative_incidence` takes it.

        Returns
        -------
        pandas.Series of int
        """
        if isinstance(competing, str):
            subjects = self.cohort.subjects
            if competing not in subjects:
                raise MissingModalityError(f"the subjects table has no column {competing!r}")
            competing = subjects[competing]
        flags = competing.reindex(self.cohort.index).astype("Float64")
        if flags.isna().any():
            raise FormatError(f"{int(flags.isna().sum())} competing flags are missing")
        other = flags.to_numpy(dtype=float) != 0
        both = int((other & self._event).sum())
        if both:
            raise FormatError(f"{both} people have the event and the competing one first")
        return pd.Series(np.where(self._event, 1, 2 * other), self.cohort.index, name="cause")

    def _by_group(self, n: int) -> list[tuple[str, pd.DataFrame]]:
        groups = self.risk_groups(n)
        y = self.y.loc[groups.index]
        return [(str(g), y[(groups == g).to_numpy()]) for g in groups.cat.categories]
