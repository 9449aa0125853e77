"""Whether a model travels: each site in turn as the test, and the sites told apart."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ..cohort import Cohort
from ..errors import ConvergenceWarning, FormatError, MissingModalityError, list_some
from ..stats import RandomEffects, calibration, delong, random_effects
from .crossval import cross_validate
from .result import CVResult
from .splits import LeaveSiteOut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SiteResult", "leave_site_out", "sites_with_both"]

_FEWEST = 5  # in the rarer class, for a slope and an intercept


@dataclasses.dataclass(frozen=True, repr=False)
class SiteResult:
    """How a model does at each site, trained at the others.

    Parameters
    ----------
    cv : CVResult
        The cross-validation with one fold for each site.
    table : pandas.DataFrame
        Index: the site. ``n``, ``events``, ``n_train``; ``auc``, ``se``, ``ci_low``, ``ci_high``
        (DeLong on the logit scale); ``slope``, ``intercept`` and ``observed_expected`` of the
        calibration with their limits (``slope_low``…); ``pooled``, whether the AUC is in the
        summary; and ``flag``: why there is no AUC, calibration or weight, or empty.
    summary : precisionpain.stats.RandomEffects or None
        Of the logit of the AUC; None where fewer than two sites have one.
    site : str
        Column that names the site.
    """

    cv: CVResult
    table: pd.DataFrame
    summary: RandomEffects | None
    site: str

    @property
    def auc(self) -> dict[str, float]:
        """Mean AUC over sites, with its interval and the range expected at a further site.

        Keys: ``auc``, ``ci_low``, ``ci_high``, ``prediction_low``, ``prediction_high``.
        """
        if self.summary is None:
            raise MissingModalityError(
                f"fewer than two sites have an AUC with a standard error: "
                f"{list_some([f'{k}: {v}' for k, v in self.table['flag'].items() if v], 9)}"
            )
        s = self.summary
        names = ("ci_low", "ci_high", "prediction_low", "prediction_high")
        return {
            "auc": float(expit(s.estimate)),
            **{name: float(expit(getattr(s, name))) for name in names},
        }

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the AUC of each site, and the summary.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .. import plots

        rows: list[dict[str, Any]] = []
        for site, row in self.table.iterrows():
            if np.isfinite(row["auc"]):
                name = f"{site} (n = {row['n']}, {row['events']} events)"
                kind = "model" if row["pooled"] else "other people"
                rows.append({"name": name, "kind": kind, **row[["auc", "ci_low", "ci_high"]]})
        if self.summary is not None:
            auc, s = self.auc, self.summary
            rows.append(
                {"name": f"all sites (random effects, I² {s.i2:.0%})", "kind": "summary", **auc}
            )
            if np.isfinite(auc["prediction_low"]):
                rows.append(
                    {"name": "a further site (prediction)", "kind": "canary", "auc": auc["auc"],
                     "ci_low": auc["prediction_low"], "ci_high": auc["prediction_high"]}
                )  # fmt: skip
        if not rows:
            raise MissingModalityError("no site has both classes, so there is nothing to draw")
        ax = plots.auc_forest(pd.DataFrame(rows), ax=ax)
        ax.set_title(
            f"{self.cv.name}: each {self.site} from the others", loc="left", fontsize=10,
            fontweight="bold",
        )  # fmt: skip
        return plots.mark_synthetic(ax) if self.cv.cohort.synthetic else ax

    def __repr__(self) -> str:
        lines = [
            f"SiteResult: {self.cv.name} predicts {self.cv.outcome}, each {self.site} in turn"
            + (" – SYNTHETIC DATA" if self.cv.cohort.synthetic else "")
        ]
        for site, row in self.table.iterrows():
            told = row["flag"] if not np.isfinite(row["auc"]) else (
                f"AUC {row['auc']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
                + (f"; {row['flag']}" if row["flag"] else "")
            )  # fmt: skip
            lines.append(f"  {site!s:<10} n = {row['n']}, {row['events']} events: {told}")
        if self.summary is None:
            lines.append("  no summary: fewer than two sites have an AUC")
        else:
            a, s = self.auc, self.summary
            lines.append(
                f"  all sites  AUC {a['auc']:.2f} ({a['ci_low']:.2f} to {a['ci_high']:.2f}), "
                f"I² {s.i2:.0%} ({s.i2_low:.0%} to {s.i2_high:.0%})"
            )
        return "\n".join(lines)


def leave_site_out(
    model: Any,
    cohort: Cohort,
    outcome: Any,
    site: str = "site",
    *,
    min_people: int = 1,
    method: Literal["reml", "dl"] = "reml",
    interval: Literal["hartung_knapp", "wald"] = "hartung_knapp",
    confidence: float = 0.95,
    **options: Any,
) -> SiteResult:
    """Test a model at each site after training at the others, and pool the AUCs.

    A pooled AUC over all people mixes how well a site's people are ranked with how well sites
    are; the mean over sites asks the first alone, and how much the sites differ. People
    without a site leave, with a line in the flow.

    Parameters
    ----------
    model : estimator
        As `cross_validate` takes it.
    cohort : Cohort
        The people, from at least two sites.
    outcome : str, Outcome, pandas.Series or array-like
        As `cross_validate` takes it.
    site : str, default "site"
        Column of ``subjects``.
    min_people : int, default 1
        Smaller sites are never tested; they stay in training.
    method, interval : str
        Of the summary, see `precisionpain.stats.random_effects`.
    confidence : float, default 0.95
        Level of all intervals.
    **options
        Of `cross_validate`, for example ``baseline=None``.

    Returns
    -------
    SiteResult

    Raises
    ------
    FormatError
        When the cohort isn't one of subjects, there are fewer than two sites, the training
        people of a site have one class, or no tested site has both.
    MissingModalityError
        When the cohort has no such column.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=300)
    >>> model = pp.evaluation.clinical_model("logistic")
    >>> found = pp.evaluation.leave_site_out(model, cohort, "mvd_response", baseline=None)
    >>> found.table.index.tolist(), found.summary.k
    (['A', 'B', 'C'], 3)
    """
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if cohort.unit != "subject":
        raise FormatError(
            f"sites are compared by person, found a cohort of {cohort.unit}s",
            remedy="give the cohort before per_nerve() or per_visit()",
        )
    if site not in cohort.subjects:
        raise MissingModalityError(
            f"the subjects table has no column {site!r}",
            remedy="name the column of the site: site=...",
        )
    if isinstance(outcome, pd.Series):
        has = cohort.has(site)
        outcome = outcome[outcome.index.isin(has.index[has])]
    elif not isinstance(outcome, str) and np.ndim(outcome) == 1:
        outcome = np.asarray(outcome)[cohort.has(site).to_numpy()]
    known = cohort if cohort.has(site).all() else cohort.require(site)
    splitter = LeaveSiteOut(site, min_subjects=min_people)
    cv = cross_validate(model, known, outcome, splitter, confidence=confidence, **options)
    rows = {}
    for name, (train, test), fold in zip(
        splitter.sites(cv.cohort), cv.splits, range(len(cv.splits)), strict=True
    ):
        p = cv.predictions.loc[(cv.predictions["fold"] == fold).to_numpy(), "p"].to_numpy()
        rows[name] = {"n_train": len(train), **_at_site(cv.y[test], p, confidence)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(site)
    if not np.isfinite(table["auc"]).any():
        why = [f"{name}: {flag}" for name, flag in table["flag"].items()]
        raise FormatError(
            f"no {site} has both classes: {list_some(why)}",
            remedy="pool small sites, or cross-validate over people: SubjectKFold",
        )
    pooled = table[table["pooled"]]
    summary = None
    if len(pooled) > 1:
        a = pooled["auc"].to_numpy()
        summary = random_effects(
            logit(a), pooled["se"].to_numpy() / (a * (1 - a)), method=method, interval=interval,
            confidence=confidence,
        )  # fmt: skip
    return SiteResult(cv, table, summary, site)


def _at_site(y: np.ndarray, p: np.ndarray, confidence: float) -> dict[str, Any]:
    events = int(y.sum())
    row: dict[str, Any] = {"n": len(y), "events": events}
    row |= dict.fromkeys(("auc", "se", "ci_low", "ci_high"), np.nan)
    limits = [f"{name}{end}" for name in ("slope", "intercept") for end in ("", "_low", "_high")]
    row |= dict.fromkeys([*limits, "observed_expected"], np.nan)
    row |= {"pooled": False, "flag": ""}
    if p.sum() > 0:
        row["observed_expected"] = events / float(p.sum())
    rarer = min(events, len(y) - events)
    if rarer == 0:
        return row | {"flag": f"one class only ({events} of {len(y)} with the event)"}
    a = delong(y, p, confidence=confidence, method="logit")
    row |= {"auc": a.auc, "se": a.se, "ci_low": a.ci_low, "ci_high": a.ci_high}
    row["pooled"] = not a.degenerate
    flags = [] if row["pooled"] else ["no standard error, not in the summary"]
    if rarer < _FEWEST:
        flags.append(f"{rarer} of the rarer class: no calibration")
    else:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            c = calibration(y, p, confidence=confidence)
        if any(issubclass(one.category, ConvergenceWarning) for one in caught):
            flags.append("calibration didn't converge")
        row |= {name: getattr(c, name) for name in limits}
    return row | {"flag": "; ".join(flags)}


def sites_with_both(y: pd.Series, sites: pd.Series) -> int:
    """Count the sites that have both classes, two of which a test on other sites needs.

    Parameters
    ----------
    y : pandas.Series
        Outcome by person.
    sites : pandas.Series
        Site by person.

    Returns
    -------
    int
    """
    return int((y.groupby(sites.reindex(y.index)).nunique() == 2).sum())
