"""What a cross-validation of a time to an event found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import ComparisonError, FormatError, MissingModalityError
from ..stats import (
    SurvivalCalibration,
    calibration_at,
)
from ._pooling import corrected_over_folds, hash_folds
from ._risk_groups import RiskGroups
from ._survival_metrics import Predicted, fold_figures, named, pooled_figures
from .comparison import Comparison
from .result import _plain
from .splits import LeaveSiteOut, Split

__all__ = ["SurvivalResult"]


class SurvivalResult(RiskGroups):
    """The result of `cross_validate_survival`: predictions of people the model hadn't seen.

    Attributes
    ----------
    name, outcome : str
        Model and outcome.
    cohort : Cohort
        The people analysed, in the order of `y`.
    y : pandas.DataFrame
        ``time`` and ``event``, index as ``cohort.index``.
    splits : list of (train, test)
        Positions of people; the folds that every comparison must share.
    splitter : object or None
        What drew the folds.
    horizons : pandas.DataFrame
        Index ``asked``; ``time`` (the one used), ``clipped`` (whether it was moved back to the
        end of the follow-up) and ``n_at_risk`` (people followed that far).
    notes : list of str
        What a reader must know, such as horizons that were moved.
    models : list
        Fitted models, where they were kept.
    baseline : SurvivalResult or None
        The clinical baseline in the same folds.
    allow : tuple of str
        What the model saw although it comes after the index event.
    """

    def __init__(
        self,
        *,
        name: str,
        outcome: str,
        cohort: Cohort,
        y: pd.DataFrame,
        splits: list[Split],
        splitter: Any,
        predicted: list[Predicted],
        moments: np.ndarray,
        horizons: pd.DataFrame,
        notes: list[str],
        models: list[Any],
        baseline: SurvivalResult | None,
        allow: Sequence[str],
        confidence: float,
        n_bootstrap: int,
        random_state: int,
    ) -> None:
        self.name = name
        self.outcome = outcome
        self.cohort = cohort
        self.y = y
        self.splits = splits
        self.splitter = splitter
        self.horizons = horizons
        self.notes = notes
        self.models = models
        self.baseline = baseline
        self.allow = tuple(allow)
        self.confidence = confidence
        self._predicted = predicted
        self._moments = moments
        self._is_horizon = np.isin(moments, horizons["time"])
        self._n_bootstrap = n_bootstrap
        self._random_state = random_state
        self._time = y["time"].to_numpy()
        self._event = y["event"].to_numpy() == 1

    # --- predictions -----------------------------------------------------------------

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per prediction.

        The person's key; ``fold``, ``repeat``, ``time``, ``event``, ``risk``, and
        ``survival@<horizon>`` for each of the horizons.
        """
        test = np.concatenate([test for _, test in self.splits])
        frame = pd.DataFrame(
            {
                "fold": np.concatenate([p.fold for p in self._predicted]),
                "repeat": pd.Series(test).groupby(test).cumcount().to_numpy(),
                "time": self._time[test],
                "event": self._event[test].astype(int),
                "risk": np.concatenate([p.risk for p in self._predicted]),
            },
            index=self.cohort.index[test],
        )
        survival = np.concatenate([p.survival for p in self._predicted])
        for k in np.flatnonzero(self._is_horizon):
            frame[named("survival", self._moments[k])] = survival[:, k]
        return frame

    @cached_property
    def _repeats(self) -> list[tuple[np.ndarray, Predicted]]:
        """Of each repeat the people that were tested, and what was said of them."""
        test = np.concatenate([test for _, test in self.splits])
        repeat = pd.Series(test).groupby(test).cumcount().to_numpy()
        joined = [np.concatenate(parts) for parts in zip(*self._predicted, strict=True)]
        found = []
        for number in range(int(repeat.max()) + 1):
            rows = np.flatnonzero(repeat == number)
            rows = rows[np.argsort(test[rows])]
            found.append((test[rows], Predicted(*(part[rows] for part in joined))))
        return found

    def predicted_risk(self, horizon: float | None = None) -> pd.Series:
        """Return the predicted chance of the event by a horizon, the mean over repeats.

        Parameters
        ----------
        horizon : float, optional
            One of those that were asked for; by default the last.

        Returns
        -------
        pandas.Series
            By person; people who were never tested aren't in it.
        """
        column = named("survival", self._horizon(horizon))
        risk = 1 - self.predictions[column].groupby(level=0, sort=False).mean()
        return risk.reindex([i for i in self.cohort.index if i in risk.index]).rename("risk")

    # --- figures ---------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """Return the figures per fold.

        Returns
        -------
        pandas.DataFrame
            One row per fold: people and events, ``harrell_c``, ``uno_c`` (events up to the last
            horizon), ``ibs`` (integrated Brier score), ``ibs_scaled`` (1 − ibs / that of
            Kaplan–Meier's curve of the training people), and ``auc@<horizon>`` and
            ``brier@<horizon>``. Weights are from the censoring of the training people. NaN where
            a fold has no pair to compare or its people weren't followed that far.
        """
        return self._frame.copy()

    @cached_property
    def _frame(self) -> pd.DataFrame:
        rows = []
        for (train, test), predicted in zip(self.splits, self._predicted, strict=True):
            figures = fold_figures(
                self._time[test],
                self._event[test],
                self._time[train],
                self._event[train],
                predicted,
                self._moments,
                self._is_horizon,
            )
            events = int(self._event[test].sum())
            rows.append({"n_train": len(train), "n_test": len(test), "events": events, **figures})
        frame = pd.DataFrame(rows).rename_axis("fold")
        if isinstance(self.splitter, LeaveSiteOut):
            frame.insert(0, self.splitter.column, self.splitter.sites(self.cohort))
        return frame

    def summary(self) -> pd.DataFrame:
        """Return the pooled figures with their intervals.

        Returns
        -------
        pandas.DataFrame
            Index ``metric``; columns ``estimate``, ``ci_low``, ``ci_high``, ``method``. Pairs
            of people are compared within a fold, because scores of different models share no
            scale; all else is pooled. Weights are from the censoring of all people.
        """
        return self._summary.copy()

    @cached_property
    def _summary(self) -> pd.DataFrame:
        people = np.arange(len(self.y))
        estimate = self._pooled(people)
        rng = np.random.default_rng(self._random_state)
        drawn = pd.DataFrame(
            [
                self._pooled(np.sort(rng.choice(people, len(people))))
                for _ in range(self._n_bootstrap)
            ]
        )
        levels = [(1 - self.confidence) / 2, (1 + self.confidence) / 2]
        rows = {}
        for name, value in estimate.items():
            known = drawn[name].dropna() if name in drawn else pd.Series(dtype=float)
            enough = len(known) >= max(2, self._n_bootstrap / 2)
            low, high = known.quantile(levels) if enough else (np.nan, np.nan)
            rows[name] = (value, low, high, "pooled, bootstrap of people")
        for horizon in self._moments[self._is_horizon]:
            c = self.calibration(horizon)
            rows[named("calibration_slope", horizon)] = (
                c.slope, c.slope_low, c.slope_high, "pooled, robust"
            )  # fmt: skip
            rows[named("observed_expected", horizon)] = (
                c.observed_expected, c.observed_low / c.predicted, c.observed_high / c.predicted,
                "pooled, Kaplan–Meier",
            )  # fmt: skip
        columns = ["estimate", "ci_low", "ci_high", "method"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return frame.rename_axis("metric")

    def _pooled(self, drawn: np.ndarray) -> dict[str, float]:
        """Return the figures of people who were drawn, the mean over repeats."""
        each = []
        for people, predicted in self._repeats:
            place = np.full(len(self.y), -1)
            place[people] = np.arange(len(people))
            rows = place[drawn]
            rows = rows[rows >= 0]
            own = people[rows]
            each.append(
                pooled_figures(
                    self._time[own],
                    self._event[own],
                    Predicted(*(part[rows] for part in predicted)),
                    self._moments,
                    self._is_horizon,
                )
            )
        if len(each) == 1:
            return each[0]
        return {str(name): value for name, value in pd.DataFrame(each).mean().items()}

    def calibration(self, horizon: float | None = None, **options: Any) -> SurvivalCalibration:
        """Compare the predicted risks with what happened by a horizon.

        Parameters
        ----------
        horizon : float, optional
            One of those that were asked for; by default the last.
        **options
            Of `precisionpain.stats.calibration_at`.

        Returns
        -------
        SurvivalCalibration
        """
        risk = self.predicted_risk(horizon)
        y = self.y.loc[risk.index]
        options = {"confidence": self.confidence, **options}
        return calibration_at(y["time"], y["event"], risk, self._horizon(horizon), **options)

    def time_auc(self) -> pd.DataFrame:
        """Return the pooled AUC at the horizons with its interval.

        Returns
        -------
        pandas.DataFrame
            Index ``time``; columns ``auc``, ``ci_low``, ``ci_high``.
        """
        horizons = self._moments[self._is_horizon]
        rows = self._summary.loc[[named("auc", t) for t in horizons]]
        frame = rows[["estimate", "ci_low", "ci_high"]].rename(columns={"estimate": "auc"})
        return frame.set_axis(pd.Index(horizons, name="time"))

    # --- comparison ------------------------------------------------------------------

    @cached_property
    def fold_key(self) -> str:
        """A hash of the people, their outcomes and the folds: equal only for equal folds."""
        return hash_folds(
            self.cohort.index, self._time.tobytes() + self._event.tobytes(), self.splits
        )

    def compare(self, other: SurvivalResult, metric: str = "uno_c") -> Comparison:
        """Compare with another model on the same people and folds.

        Parameters
        ----------
        other : SurvivalResult
            For example ``result.baseline``.
        metric : str, default "uno_c"
            A column of `frame`. Of "ibs" and "brier@…" less is better.

        Returns
        -------
        Comparison
            With Nadeau and Bengio's corrected test over the folds.

        Raises
        ------
        ComparisonError
            When people, outcomes, folds or horizons differ.
        FormatError
            For an unknown metric.
        """
        if self.fold_key != other.fold_key:
            same = self.cohort.index.equals(other.cohort.index)
            raise ComparisonError(
                f"{self.name!r} and {other.name!r} were evaluated on different "
                + ("folds" if same else "people"),
                remedy="pass the first result as cv= to cross_validate_survival for the second",
            )
        if not np.array_equal(self._moments, other._moments):
            raise ComparisonError(f"{self.name!r} and {other.name!r} have different horizons")
        if metric not in self._frame or metric in ("n_train", "n_test", "events"):
            known = ", ".join(str(c) for c in self._frame.columns if c not in ("n_train", "n_test"))
            raise FormatError(f"no metric {metric!r}", remedy=f"one of {known}")
        difference = self._frame[metric] - other._frame[metric]
        corrected = corrected_over_folds(self._frame, difference, self.confidence)
        return Comparison(self.name, other.name, difference, corrected, None, metric)

    @property
    def increment(self) -> Comparison:
        """What the model adds to its baseline, by Uno's C.

        Raises
        ------
        MissingModalityError
            When there is no baseline.
        """
        if self.baseline is None:
            raise MissingModalityError("this result has no baseline to compare with")
        return self.compare(self.baseline)

    def plot(self, kind: str = "risk_groups", ax: Any = None, **options: Any) -> Any:
        """Draw the result.

        Parameters
        ----------
        kind : {"risk_groups", "calibration", "time_auc", "incidence"}, default "risk_groups"
            Kaplan–Meier's curves by predicted risk; calibration at a ``horizon``; the AUC at
            the horizons, beside the baseline; the incidence of a ``competing`` event.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.
        **options
            ``n`` groups ("risk_groups", "incidence"), ``horizon`` ("calibration"), ``competing``
            and ``names`` of both events ("incidence"), ``unit`` (a pair of its name and its length
            in the unit of the outcome; by default ("years", 365.25)).

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .. import plots

        unit = options.pop("unit", ("years", 365.25))
        if kind == "risk_groups":
            n = options.pop("n", 3)
            named_ = {f"{group} risk": curve for group, curve in self.curves(n).items()}
            title = f"{self.outcome.capitalize()} by predicted risk (test people)"
            p = self.log_rank(n).p_value
            axes = plots.kaplan_meier(named_, unit=unit, p_value=p, title=title, ax=ax, **options)
        elif kind == "calibration":
            found = self.calibration(options.pop("horizon", None))
            axes = plots.survival_calibration(found, name=self.name, unit=unit, ax=ax, **options)
        elif kind == "time_auc":
            tables = {self.name: self.time_auc()}
            if self.baseline is not None:
                tables[self.baseline.name] = self.baseline.time_auc()
            axes = plots.time_auc(tables, unit=unit, ax=ax, **options)
        elif kind == "incidence":
            n = options.pop("n", 3)
            names = options.pop("names", (self.outcome, "competing event"))
            found_ = self.cumulative_incidence(options.pop("competing"), n)
            groups = {f"{group} risk": curve for group, curve in found_.items()}
            axes = plots.cumulative_incidence(groups, names=names, unit=unit, ax=ax, **options)
        else:
            kinds = "risk_groups, calibration, time_auc, incidence"
            raise MissingModalityError(f"no picture {kind!r}", remedy=f"one of {kinds}")
        return plots.mark_synthetic(axes) if self.cohort.synthetic else axes

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is machine-readable, without predictions of people.

        Returns
        -------
        dict
            Plain JSON values; NaN as None.
        """
        record: dict[str, Any] = {
            "model": self.name,
            "outcome": self.outcome,
            "cohort": self.cohort.name,
            "synthetic": self.cohort.synthetic,
            "n_subjects": len(self.y),
            "n_events": int(self._event.sum()),
            "fold_key": self.fold_key,
            "horizons": self.horizons.reset_index().to_dict("records"),
            "notes": list(self.notes),
            "summary": self._summary.reset_index().to_dict("records"),
            "folds": self._frame.reset_index().to_dict("records"),
        }
        if self.baseline is not None:
            c = self.increment.corrected
            record["increment"] = {"baseline": self.baseline.name, **dataclasses.asdict(c)}
        plain: dict[str, Any] = _plain(record)
        return plain

    def __repr__(self) -> str:
        c = self._pooled(np.arange(len(self.y)))
        lines = [
            f"SurvivalResult: {self.name} predicts {self.outcome}"
            + (" – SYNTHETIC DATA" if self.cohort.synthetic else ""),
            f"  people     {len(self.y)} ({int(self._event.sum())} with the event), "
            f"{len(self.splits)} folds",
            f"  Uno's C    {c['uno_c']:.3f}",
        ]
        if self.baseline is not None:
            b = self.baseline._pooled(np.arange(len(self.y)))
            lines.append(f"  baseline   {b['uno_c']:.3f}")
        lines += [f"  note       {note}" for note in self.notes]
        lines.append("  see        .summary() .frame() .calibration() .risk_groups() .plot()")
        return "\n".join(lines)

    def _horizon(self, horizon: float | None) -> float:
        """Return the horizon that was used for one that was asked for."""
        if horizon is None:
            return float(self.horizons["time"].iloc[-1])
        asked = self.horizons.index.to_numpy(dtype=float)
        used = self.horizons["time"].to_numpy(dtype=float)
        for known in (asked, used):
            near = np.flatnonzero(np.isclose(known, horizon, rtol=1e-9))
            if len(near):
                return float(used[near[0]])
        raise FormatError(
            f"no prediction at {horizon:g}",
            remedy=f"one of {', '.join(f'{t:g}' for t in asked)}; or give times= when validating",
        )
