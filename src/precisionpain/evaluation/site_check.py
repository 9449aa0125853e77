"""Whether features tell the site that a person comes from, before and after harmonisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ..stats import auc as area
from ..stats import bootstrap_interval, permutation_p
from .splits import Split, SubjectKFold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SiteCheck", "site_predictability"]


@dataclasses.dataclass(frozen=True, repr=False)
class SiteCheck:
    """How well the site of people can be told from their features.

    Parameters
    ----------
    table : pandas.DataFrame
        Index ``features``. ``n`` people who have them, ``sites`` and ``columns``; ``auc`` (mean
        over sites of one against the rest, people left out; 0.5: the site can't be told) with
        ``ci_low``, ``ci_high``; ``balanced_accuracy`` and its value by ``chance``; ``p_value`` of
        the AUC.
    by_site : pandas.DataFrame
        AUC of each site against the rest, sites × features.
    null : dict of str to numpy.ndarray
        AUCs with permuted sites.
    site : str
        Column that names the site.
    synthetic : bool
        Whether the people are made up.
    """

    table: pd.DataFrame
    by_site: pd.DataFrame
    null: Mapping[str, np.ndarray]
    site: str
    synthetic: bool = False

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the AUCs, with the middle 95% of those under permuted sites.

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
        for name, row in self.table.iterrows():
            low, high = np.quantile(self.null[str(name)], [0.025, 0.975])
            rows.append({"name": f"{name} (n = {row['n']:.0f})", "kind": "model", "auc": row["auc"],
                         "ci_low": row["ci_low"], "ci_high": row["ci_high"]})  # fmt: skip
            rows.append({"name": f"{name}, permuted sites (95% of runs)", "kind": "canary",
                         "auc": float(np.mean(self.null[str(name)])), "ci_low": low,
                         "ci_high": high})  # fmt: skip
        ax = plots.auc_forest(pd.DataFrame(rows), ax=ax)
        ax.set_title(f"Can the {self.site} be told?", loc="left", fontsize=10, fontweight="bold")
        ax.set_xlabel(f"AUC of one {self.site} against the rest (0.5: it can't be told)")
        return plots.mark_synthetic(ax) if self.synthetic else ax

    def __repr__(self) -> str:
        lines = [f"SiteCheck: {self.site}" + (" – SYNTHETIC DATA" if self.synthetic else "")]
        for name, row in self.table.iterrows():
            lines.append(
                f"  {name!s:<10} AUC {row['auc']:.2f} ({row['ci_low']:.2f} to "
                f"{row['ci_high']:.2f}), balanced accuracy {row['balanced_accuracy']:.2f} "
                f"(chance {row['chance']:.2f}), p = {row['p_value']:.3g}, "
                f"n = {row['n']:.0f}"
            )
        return "\n".join(lines)


def site_predictability(
    features: Any,
    cohort: Cohort,
    site: str = "site",
    *,
    cv: int | SubjectKFold = 5,
    n_permutations: int = 500,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int = 0,
) -> SiteCheck:
    """Predict the site of people from their features, in a cross-validation by subject.

    Features are learned on the training people of each fold, so that of
    `precisionpain.fusion.Harmonized` it is seen what it does to people that it hasn't learned
    from. A ridge discriminant on the standardised columns and on their distances from the
    training mean then tells the sites by location and by scale.

    Parameters
    ----------
    features : transformer or mapping of str to transformer
        Takes a Cohort and returns numbers; several are compared by name, for example
        ``{"before": TableFeatures("mri"), "after": Harmonized("mri")}``.
    cohort : Cohort
        The people. Who lacks all of the features is left out; other gaps are filled with the
        training mean.
    site : str, default "site"
        Column of ``subjects``.
    cv : int or SubjectKFold, default 5
        Folds, stratified by site.
    n_permutations : int, default 500
        Runs with permuted sites, in which the features stay as they are.
    n_bootstrap : int, default 500
        Resamples of people, stratified by site.
    confidence : float, default 0.95
        Level of the intervals.
    random_state : int, default 0
        Seed.

    Returns
    -------
    SiteCheck

    Raises
    ------
    FormatError
        When there are fewer than two sites, or a site has fewer people than there are folds.
    MissingModalityError
        When the cohort has no such column.

    Notes
    -----
    Sites also differ in the people whom they see: what is told may be age, and no scanner.
    That the site can't be told says nothing about the outcome.

    The features never see whom the permutations call whose, so the p value after harmonisation
    is of what is left in the harmonised values. An AUC somewhat below 0.5 is to be expected
    there: the training people of all sites were made alike to the last digit.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=200)
    >>> plain = pp.proteomics.ProteinFeatures("csf_pea", visit="preop")
    >>> found = pp.evaluation.site_predictability(plain, cohort, n_permutations=50)
    >>> bool(found.table["auc"].iloc[0] > 0.8)
    True
    """
    if not isinstance(cohort, Cohort) or cohort.unit != "subject":
        found = f"a cohort of {cohort.unit}s" if isinstance(cohort, Cohort) else type(cohort)
        raise FormatError(f"expected a Cohort of subjects, found {found}")
    if site not in cohort.subjects:
        raise MissingModalityError(f"the subjects table has no column {site!r}")
    if min(n_permutations, n_bootstrap) < 2:
        raise FormatError("n_permutations and n_bootstrap are at least 2")
    given = features if isinstance(features, Mapping) else {"features": features}
    for name, value in given.items():
        if not hasattr(value, "transform"):
            raise FormatError(
                f"features are transformers of a Cohort, found {type(value).__name__}",
                where=f"features[{name!r}]",
                remedy="a block by name is precisionpain.fusion.FeatureBlock(name)",
            )
    known = cohort if cohort.has(site).all() else cohort.require(site)
    rows, by_site, null = {}, {}, {}
    for name, value in given.items():
        row, by_site[str(name)], null[str(name)] = _one(
            value, known, site, cv, n_permutations, n_bootstrap, confidence, random_state
        )
        rows[str(name)] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("features")
    return SiteCheck(table, pd.DataFrame(by_site).rename_axis(site), null, site, cohort.synthetic)


def _one(
    features: Any, cohort: Cohort, site: str, cv: int | SubjectKFold, n_permutations: int,
    n_bootstrap: int, confidence: float, random_state: int,
) -> tuple[dict[str, Any], pd.Series, np.ndarray]:  # fmt: skip
    # Who has the features is asked of all at once: it says nothing of their values.
    has = _known(_numbers(clone(features).fit_transform(cohort.known_at_index()), cohort))
    people = cohort[np.flatnonzero(has)]
    labels = people.subjects[site].to_numpy(dtype=object)
    counts = pd.Series(labels).value_counts()
    folds = SubjectKFold(int(cv), random_state=random_state) if isinstance(cv, int) else cv
    if len(counts) < 2:
        raise FormatError(f"there are no two sites to tell apart, found {list_some(counts.index)}")
    if counts.min() < folds.n_splits:
        few = [f"{name} ({n})" for name, n in counts.items() if n < folds.n_splits]
        raise FormatError(
            f"sites with fewer people than the {folds.n_splits} folds: {list_some(few)}",
            remedy="use fewer folds, or leave these sites out with cohort.where(site=...)",
        )
    sites = sorted(counts.index, key=str)
    codes = pd.Index(sites).get_indexer(labels)
    visible = people.known_at_index()
    splits = list(folds.split(people, codes))
    smoothers, n_columns = [], 0
    for train, test in splits:
        one = clone(features)
        x = _numbers(one.fit_transform(visible[train]), visible[train])
        z = _numbers(one.transform(visible[test]), visible[test])
        n_columns = max(n_columns, x.shape[1])
        smoothers.append(_smoother(x, z))

    def scores(codes: np.ndarray) -> np.ndarray:
        return _scores(codes, len(sites), splits, smoothers)

    def mean_auc(codes: np.ndarray, found: np.ndarray) -> float:
        return float(np.mean(_each_auc(codes, found)))

    found = scores(codes)
    rng = np.random.default_rng(random_state)
    null = np.empty(n_permutations)
    for i in range(n_permutations):
        permuted = rng.permutation(codes)
        null[i] = mean_auc(permuted, scores(permuted))
    interval = bootstrap_interval(
        lambda codes, found: mean_auc(codes.astype(int), found), codes, found, stratify=codes,
        n_boot=n_bootstrap, confidence=confidence, random_state=random_state,
    )  # fmt: skip
    observed = mean_auc(codes, found)
    told = found.argmax(axis=1)
    hits = [float(np.mean(told[codes == k] == k)) for k in range(len(sites))]
    row = {
        "n": len(people), "sites": len(sites), "columns": n_columns, "auc": observed,
        "ci_low": interval.ci_low, "ci_high": interval.ci_high,
        "balanced_accuracy": float(np.mean(hits)), "chance": 1 / len(sites),
        "p_value": float(permutation_p(observed, null)),
    }  # fmt: skip
    return row, pd.Series(_each_auc(codes, found), sites), null


def _numbers(made: Any, cohort: Cohort) -> np.ndarray:
    if isinstance(made, pd.DataFrame) and not made.index.equals(cohort.index):
        raise AlignmentError("the features have other rows than the cohort")
    try:
        values = np.asarray(made, dtype=float)
    except (TypeError, ValueError):
        raise FormatError("the features hold something else than numbers") from None
    if values.ndim != 2 or len(values) != len(cohort):
        raise AlignmentError(f"the features have shape {values.shape} for {len(cohort)} people")
    return values


def _known(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values).any(axis=1)


def _smoother(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the matrix that makes scores of test people from the labels of training people.

    It is that of a ridge regression, so a permutation costs no fit of its own.
    """
    known = np.isfinite(x)
    count = known.sum(axis=0)
    mean = np.where(known, x, 0).sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt((np.where(known, x - mean, 0) ** 2).sum(axis=0) / np.maximum(count, 1))
    varies = spread > 1e-12 * (np.abs(mean) + 1e-300)
    a, b = (np.nan_to_num((v - mean)[:, varies] / spread[varies]) for v in (x, z))
    # Where a site is stretched, its people lie far out; capped, as one outlier isn't a scale.
    far = np.minimum(np.abs(a), 4.0)
    centre = far.mean(axis=0)
    a, b = np.hstack([a, far - centre]), np.hstack([b, np.minimum(np.abs(b), 4.0) - centre])
    gram = a @ a.T
    # A penalty of as many people as there are columns: half of what a column alone would say.
    return np.asarray(b @ a.T @ np.linalg.inv(gram + max(a.shape[1], 1) * np.eye(len(a))))


def _scores(
    codes: np.ndarray, k: int, splits: list[Split], smoothers: list[np.ndarray]
) -> np.ndarray:
    """Return a score for each site of people left out; 0 where the features say nothing."""
    found = np.zeros((len(codes), k))
    for (train, test), smoother in zip(splits, smoothers, strict=True):
        target = np.eye(k)[codes[train]]
        share = target.mean(axis=0)
        # Divided by the share, so that all sites are as likely beforehand.
        found[test] = smoother @ ((target - share) / np.where(share > 0, share, 1.0))
    return found


def _each_auc(codes: np.ndarray, found: np.ndarray) -> list[float]:
    return [area(codes == k, found[:, k]) for k in range(found.shape[1])]
