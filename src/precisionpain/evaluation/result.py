"""What a cross-validation found, with intervals, comparisons and checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import ComparisonError, MissingModalityError
from ..stats import (
    AUCInterval,
    Calibration,
    CorrectedT,
    SampleSizeVerdict,
    auc,
    average_precision,
    bootstrap_interval,
    calibration,
    classification_metrics,
    delong,
    delong_test,
    net_benefit,
    sample_size_verdict,
)
from ._pooling import (
    PooledAUC,
    Rerun,
    as_table,
    at_threshold,
    brier,
    corrected_over_folds,
    hash_folds,
    mean_over_repeats,
    observed_expected,
    scaled_brier,
)
from .comparison import Comparison
from .permutation import PermutationTest, permutation_test
from .splits import LeaveSiteOut, Split

if TYPE_CHECKING:
    from .fairness import FairnessTable

__all__ = ["CVResult"]

_THRESHOLD_METRICS = ("accuracy", "sensitivity", "specificity", "precision", "npv", "f1")


class CVResult:
    """The result of `cross_validate`: predictions of people that the model hadn't seen.

    Attributes
    ----------
    name, outcome : str
        Model and outcome.
    cohort : Cohort
        The people analysed, in the order of `y`.
    y : numpy.ndarray of shape (n_rows,)
        Outcome, 0 or 1.
    splits : list of (train, test)
        Positions of rows; the folds that every comparison must share.
    splitter : object or None
        What drew the folds, and draws them anew for permuted labels.
    models : list
        Fitted models, where they were kept.
    allow : tuple of str
        What the model saw although it comes after the index event.
    baseline : CVResult or None
        The clinical baseline in the same folds.
    """

    def __init__(
        self,
        *,
        name: str,
        outcome: str,
        cohort: Cohort,
        y: np.ndarray,
        splits: list[Split],
        splitter: Any,
        predicted: list[np.ndarray],
        models: list[Any],
        baseline: CVResult | None,
        n_features: int | None,
        rerun: Rerun,
        allow: Sequence[str],
        threshold: float,
        confidence: float,
        n_bootstrap: int,
        n_permutations: int,
        n_jobs: int | None,
        random_state: int,
    ) -> None:
        self.name = name
        self.outcome = outcome
        self.cohort = cohort
        self.y = y
        self.splits = splits
        self.splitter = splitter
        self.models = models
        self.baseline = baseline
        self.n_features = n_features
        self.threshold = threshold
        self.confidence = confidence
        self._predicted = predicted
        self._rerun = rerun
        self.allow = tuple(allow)
        self._n_bootstrap = n_bootstrap
        self._n_permutations = n_permutations
        self._n_jobs = n_jobs
        self._random_state = random_state

    # --- predictions -----------------------------------------------------------------

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per prediction: the row's key, ``fold``, ``repeat``, ``y`` and ``p``."""
        test = np.concatenate([test for _, test in self.splits])
        return pd.DataFrame(
            {
                "fold": np.repeat(np.arange(len(self.splits)), [len(t) for _, t in self.splits]),
                "repeat": pd.Series(test).groupby(test).cumcount().to_numpy(),
                "y": self.y[test],
                "p": np.concatenate(self._predicted),
            },
            index=self.cohort.index[test],
        )

    @cached_property
    def _table(self) -> np.ndarray:
        """Predictions, rows × repeats, NaN where a row wasn't tested."""
        return as_table(len(self.y), self.splits, self._predicted)

    @property
    def _single(self) -> bool:
        """Whether each person has one row and one prediction."""
        return self.cohort.unit == "subject" and self._table.shape[1] == 1

    def _over_repeats(self, metric: Callable[[np.ndarray, np.ndarray], float]) -> float:
        return mean_over_repeats(metric, self.y, self._table)

    # --- figures ---------------------------------------------------------------------

    @cached_property
    def auc(self) -> AUCInterval:
        """Pooled out-of-fold AUC with DeLong's interval.

        With several repeats the mean over them, with the mean variance; where people have
        several rows the interval is too narrow, so look at the bootstrap in `summary`.
        """
        each = []
        for column in self._table.T:
            known = ~np.isnan(column)
            each.append(delong(self.y[known], column[known], confidence=self.confidence))
        if len(each) == 1:
            return each[0]
        return dataclasses.replace(
            each[0],
            auc=float(np.mean([e.auc for e in each])),
            se=float(np.sqrt(np.mean([e.se**2 for e in each]))),
            ci_low=float(np.mean([e.ci_low for e in each])),
            ci_high=float(np.mean([e.ci_high for e in each])),
            degenerate=any(e.degenerate for e in each),
        )

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration of the pooled predictions (mean over repeats where there are several)."""
        p = np.nanmean(self._table, axis=1)
        known = ~np.isnan(p)
        return calibration(self.y[known], p[known], confidence=self.confidence)

    @cached_property
    def decision_curve(self) -> pd.DataFrame:
        """Net benefit over thresholds, beside "treat all" and "treat none"."""
        p = np.nanmean(self._table, axis=1)
        known = ~np.isnan(p)
        return net_benefit(self.y[known], p[known])

    def frame(self) -> pd.DataFrame:
        """Return the figures per fold.

        Returns
        -------
        pandas.DataFrame
            One row per fold: people, events, AUC (NaN where the test people have one
            class), Brier score and the figures at the threshold.
        """
        return self._frame.copy()

    @cached_property
    def _frame(self) -> pd.DataFrame:
        rows = []
        for (train, test), p in zip(self.splits, self._predicted, strict=True):
            y = self.y[test]
            both = 0 < y.sum() < len(y)
            at = classification_metrics(y, p, threshold=self.threshold)
            rows.append(
                {
                    "n_train": len(train),
                    "n_test": len(test),
                    "events": int(y.sum()),
                    "auc": auc(y, p) if both else np.nan,
                    "brier": float(np.mean((p - y) ** 2)),
                    **{name: getattr(at, name) for name in _THRESHOLD_METRICS},
                }
            )
        frame = pd.DataFrame(rows)
        frame.index.name = "fold"
        if isinstance(self.splitter, LeaveSiteOut):
            frame.insert(0, self.splitter.column, self.splitter.sites(self.cohort))
        return frame

    def summary(self) -> pd.DataFrame:
        """Return the pooled figures with their intervals.

        Returns
        -------
        pandas.DataFrame
            Index ``metric``; columns ``estimate``, ``ci_low``, ``ci_high``, ``method``.
        """
        return self._summary.copy()

    @cached_property
    def _summary(self) -> pd.DataFrame:
        a = self.auc
        c = self.calibration
        fold = self.fold_auc
        rows: dict[str, tuple[float, float, float, str]] = {
            "auc": (a.auc, a.ci_low, a.ci_high, "pooled, DeLong"),
            "auc_bootstrap": self._bootstrap(auc),
            "auc_mean_of_folds": (fold.mean, fold.ci_low, fold.ci_high, "folds, corrected t"),
            "average_precision": self._bootstrap(average_precision),
            "brier": self._bootstrap(brier),
            "scaled_brier": self._bootstrap(scaled_brier),
            "calibration_intercept": (
                c.intercept, c.intercept_low, c.intercept_high, "pooled, Wald"
            ),
            "calibration_slope": (c.slope, c.slope_low, c.slope_high, "pooled, Wald"),
            "observed_expected": self._bootstrap(observed_expected),
            "ici": (c.ici, np.nan, np.nan, "pooled"),
        }  # fmt: skip
        wilson = self._wilson
        for name in _THRESHOLD_METRICS:
            if name in wilson:
                rows[name] = wilson[name]
            else:
                rows[name] = self._bootstrap(at_threshold(name, self.threshold))
        frame = pd.DataFrame.from_dict(
            rows, orient="index", columns=["estimate", "ci_low", "ci_high", "method"]
        )
        frame.index.name = "metric"
        return frame

    def _bootstrap(
        self, metric: Callable[[np.ndarray, np.ndarray], float]
    ) -> tuple[float, float, float, str]:
        estimate = self._over_repeats(metric)
        label = "pooled, bootstrap of subjects"
        if not np.isfinite(estimate):
            return estimate, np.nan, np.nan, label
        interval = bootstrap_interval(
            lambda y, table: mean_over_repeats(metric, y, table),
            self.y,
            self._table,
            groups=self.cohort.groups,
            stratify=self._strata,
            n_boot=self._n_bootstrap,
            confidence=self.confidence,
            random_state=self._random_state,
        )
        return interval.estimate, interval.ci_low, interval.ci_high, label

    @property
    def _wilson(self) -> dict[str, tuple[float, float, float, str]]:
        """Wilson's intervals of the proportions; they hold where people count once.

        A bootstrap of 10 in 10 would give an interval without width.
        """
        if not self._single:
            return {}
        p = self._table[:, 0]
        known = ~np.isnan(p)
        table = classification_metrics(
            self.y[known], p[known], threshold=self.threshold, confidence=self.confidence
        ).to_frame()
        return {
            str(name): (row["value"], row["ci_low"], row["ci_high"], "pooled, Wilson")
            for name, row in table.iterrows()
            if np.isfinite(row["ci_low"])
        }

    @property
    def _strata(self) -> np.ndarray | None:
        """The outcome, where it is one per person and so can keep its counts."""
        per_person = pd.Series(self.y).groupby(self.cohort.groups).nunique()
        return self.y if (per_person == 1).all() else None

    @cached_property
    def fold_auc(self) -> CorrectedT:
        """Mean AUC over the folds with Nadeau and Bengio's interval, tested against 0.5."""
        above = corrected_over_folds(self._frame, self._frame["auc"] - 0.5, self.confidence)
        return dataclasses.replace(
            above, mean=above.mean + 0.5, ci_low=above.ci_low + 0.5, ci_high=above.ci_high + 0.5
        )

    @cached_property
    def permutation(self) -> PermutationTest:
        """The whole cross-validation again with permuted labels: canary and p-value."""
        return permutation_test(
            self._over_repeats(auc),
            self.y,
            self.cohort.groups,
            PooledAUC(self._rerun),
            n_permutations=self._n_permutations,
            n_jobs=self._n_jobs,
            random_state=self._random_state,
        )

    @cached_property
    def sample_size(self) -> SampleSizeVerdict | None:
        """Whether there are enough people for a model of that many features (Riley).

        None where the number of features isn't known.
        """
        if self.n_features is None:
            return None
        people = self.cohort.n_subjects
        events = int(pd.Series(self.y).groupby(self.cohort.groups).max().sum())
        return sample_size_verdict(people, events, self.n_features)

    # --- comparison ------------------------------------------------------------------

    @cached_property
    def fold_key(self) -> str:
        """A hash of the people, their outcomes and the folds: equal only for equal folds."""
        return hash_folds(self.cohort.index, self.y.astype(np.int8).tobytes(), self.splits)

    def compare(self, other: CVResult) -> Comparison:
        """Compare with another model on the same people and folds.

        Parameters
        ----------
        other : CVResult
            For example ``result.baseline``.

        Returns
        -------
        Comparison

        Raises
        ------
        ComparisonError
            When people, outcomes or folds differ.
        """
        if self.fold_key != other.fold_key:
            same = self.cohort.index.equals(other.cohort.index)
            raise ComparisonError(
                f"{self.name!r} and {other.name!r} were evaluated on different "
                + ("folds" if same else "people"),
                remedy="pass the first result as cv= to cross_validate for the second",
            )
        difference = self._frame["auc"] - other._frame["auc"]
        pooled = None
        if self._single and not np.isnan(self._table).any():
            pooled = delong_test(
                self.y, self._table[:, 0], other._table[:, 0], confidence=self.confidence
            )
        return Comparison(
            self.name,
            other.name,
            difference,
            corrected_over_folds(self._frame, difference, self.confidence),
            pooled,
        )

    @property
    def increment(self) -> Comparison:
        """What the model adds to its baseline.

        Raises
        ------
        MissingModalityError
            When there is no baseline.
        """
        if self.baseline is None:
            raise MissingModalityError("this result has no baseline to compare with")
        return self.compare(self.baseline)

    def subgroups(self, by: Sequence[str] | None = None, **options: Any) -> FairnessTable:
        """Tell for whom the model holds; see `precisionpain.evaluation.subgroups`.

        Parameters
        ----------
        by : sequence of str, optional
            Columns of `subjects` to make groups of.
        **options
            Of that function.

        Returns
        -------
        FairnessTable
        """
        from .fairness import subgroups

        return subgroups(self, by, **options)

    # --- verdicts --------------------------------------------------------------------

    @cached_property
    def checks(self) -> pd.DataFrame:
        """What a careful reader would ask: index ``check``; columns ``ok`` and ``finding``."""
        a = self.auc
        rows: list[tuple[str, bool | None, str]] = [
            ("no subject straddles a split", True, f"{len(self.splits)} splits checked"),
            _canary(self.permutation),
            (
                "the interval excludes chance",
                a.ci_low > 0.5,
                f"AUC {a.auc:.2f} ({a.ci_low:.2f} to {a.ci_high:.2f})",
            ),
        ]
        if self.sample_size is not None:
            rows.append(("enough people", self.sample_size.ok, self.sample_size.sentence))
        if self.baseline is not None:
            c = self.increment.corrected
            rows.append(
                (
                    "better than the clinical baseline",
                    c.ci_low > 0,
                    f"AUC {c.mean:+.3f} per fold ({c.ci_low:+.3f} to {c.ci_high:+.3f})",
                )
            )
        slope = self.calibration
        rows.append(
            (
                "calibrated",
                slope.slope_low <= 1 <= slope.slope_high,
                f"slope {slope.slope:.2f} ({slope.slope_low:.2f} to {slope.slope_high:.2f}); "
                "ideal 1",
            )
        )
        rows.append(self._too_good())
        few = self.cohort.n_subjects < 100
        rows.append(
            (
                "plausible for so few people",
                not (few and a.auc >= 0.9),
                f"AUC {a.auc:.2f} in {self.cohort.n_subjects} people"
                + ("; ask where the features came from" if few and a.auc >= 0.9 else ""),
            )
        )
        one_class = int(self._frame["auc"].isna().sum())
        if one_class:
            rows.append(("every fold has both outcomes", False, f"{one_class} folds have one"))
        return pd.DataFrame(rows, columns=["check", "ok", "finding"]).set_index("check")

    def _too_good(self) -> tuple[str, bool, str]:
        """Look for a single column that nearly gives the outcome away."""
        late = [name for name in self.allow if name in self.cohort.columns]
        names = dict.fromkeys([*self.cohort.predictors, *late])
        frame = self.cohort.predictor_frame(list(names), allow=late)
        suspects = []
        for name in frame:
            values = frame[name]
            if not pd.api.types.is_numeric_dtype(values):
                values = values.map(pd.Series(self.y, frame.index).groupby(values).mean())
            numbers = values.to_numpy(dtype=float, na_value=np.nan)
            known = ~np.isnan(numbers)
            y = self.y[known]
            if known.sum() >= 20 and 0 < y.sum() < len(y):
                area = auc(y, numbers[known])
                if max(area, 1 - area) >= 0.98:
                    suspects.append(name)
        found = ", ".join(map(str, suspects))
        return (
            "no single column gives the outcome away",
            not suspects,
            f"AUC of 0.98 or more: {found}" if suspects else "none reaches an AUC of 0.98",
        )

    def plot(self, kind: str = "roc", ax: Any = None) -> Any:
        """Draw the result.

        Parameters
        ----------
        kind : {"roc", "calibration", "decision", "permutation"}, default "roc"
            Which picture.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .. import plots

        p = np.nanmean(self._table, axis=1)
        known = ~np.isnan(p)
        y, p = self.y[known], p[known]
        if kind == "roc":
            curves = {self.name: (y, p)}
            if self.baseline is not None:
                other = np.nanmean(self.baseline._table, axis=1)
                curves[self.baseline.name] = (self.y[known], other[known])
            axes = plots.roc(curves, ax=ax)
        elif kind == "calibration":
            axes = plots.calibration(y, p, name=self.name, ax=ax)
        elif kind == "decision":
            axes = plots.decision_curve({self.name: self.decision_curve}, ax=ax)
        elif kind == "permutation":
            axes = plots.permutation(self.permutation.observed, self.permutation.null, ax=ax)
        else:
            known_kinds = "roc, calibration, decision, permutation"
            raise MissingModalityError(f"no picture {kind!r}", remedy=f"one of {known_kinds}")
        return plots.mark_synthetic(axes) if self.cohort.synthetic else axes

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is machine-readable, without predictions of people.

        Returns
        -------
        dict
            Plain JSON values; NaN as None.
        """
        permutation = self.permutation
        record: dict[str, Any] = {
            "model": self.name,
            "outcome": self.outcome,
            "cohort": self.cohort.name,
            "synthetic": self.cohort.synthetic,
            "unit": self.cohort.unit,
            "n_rows": len(self.y),
            "n_subjects": self.cohort.n_subjects,
            "n_events": int(self.y.sum()),
            "n_features": self.n_features,
            "fold_key": self.fold_key,
            "summary": self._summary.reset_index().to_dict("records"),
            "folds": self._frame.reset_index().to_dict("records"),
            "permutation": {
                "mean": permutation.mean,
                "se": permutation.se,
                "n": len(permutation.null),
                "p_value": permutation.p_value,
                "canary_passed": permutation.passed,
            },
            "checks": self.checks.reset_index().to_dict("records"),
        }
        if self.sample_size is not None:
            record["sample_size"] = dataclasses.asdict(self.sample_size)
        if self.baseline is not None:
            c = self.increment.corrected
            record["increment"] = {"baseline": self.baseline.name, **dataclasses.asdict(c)}
        return _plain(record)

    def __repr__(self) -> str:
        a = self.auc
        lines = [
            f"CVResult: {self.name} predicts {self.outcome}"
            + (" – SYNTHETIC DATA" if self.cohort.synthetic else ""),
            f"  people     {self.cohort.n_subjects} ({int(self.y.sum())} of {len(self.y)} rows "
            f"with the event), {len(self.splits)} folds",
            f"  AUC        {a.auc:.3f} ({a.ci_low:.3f} to {a.ci_high:.3f}) pooled",
        ]
        if self.baseline is not None:
            b = self.baseline.auc
            lines.append(f"  baseline   {b.auc:.3f} ({b.ci_low:.3f} to {b.ci_high:.3f})")
        lines.append("  see        .summary() .frame() .checks .plot() .permutation")
        return "\n".join(lines)


def _canary(test: PermutationTest) -> tuple[str, bool, str]:
    return (
        "permuted labels give an AUC of 0.5",
        test.passed,
        f"{test.mean:.2f} ± {test.se:.2f} (SE) over {len(test.null)} permutations",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
