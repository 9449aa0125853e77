"""Search for mechanistic subtypes, which says so when one cluster is enough."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, MissingModalityError, list_some
from ._subtypes.adjustment import USUAL, marks
from ._subtypes.factors import Known
from ._subtypes.marks import association
from ._subtypes.mixture import Mixture, fit_mixture
from ._subtypes.naming import name_clusters, profile_of
from ._subtypes.one_cluster import compare_with_one_cluster
from ._subtypes.search import METHODS, Clustering, try_clusters
from ._targets import check_cohort
from .mechanisms import MechanismTable
from .subtype_classifier import UNASSIGNED, SubtypeClassifier
from .subtype_factors import SubtypeFactors
from .subtype_result import SubtypeResult

__all__ = ["SubtypeModel", "find_subtypes"]

Method = Literal["factors", "consensus", "snf"]
_ONE = "one cluster"
_TRIED = range(2, 7)
_MIN_PEOPLE = 40
_STABLE, _AS_CLEAR, _FOLLOWS = 0.6, 0.05, 0.3


def find_subtypes(
    cohort: Cohort, blocks: Mapping[str, Any] | None = None, **options: Any
) -> SubtypeResult:
    """Look for subtypes among people, and say so when one cluster is enough.

    Parameters
    ----------
    cohort : Cohort
        The people to divide, usually patients alone: ``cohort.where(diagnosis="TN")``.
    blocks : mapping of str to object, optional
        As `SubtypeModel` takes them; by default the evidence of `MECHANISMS`.
    **options
        Of `SubtypeModel`.

    Returns
    -------
    SubtypeResult
        Its `model` assigns new people.

    Raises
    ------
    FormatError
        When there are fewer than 40 people, or an option makes no sense.
    MissingModalityError
        When the cohort has none of the evidence.

    Warns
    -----
    DataWarning
        When clusters are there and follow a site, a plate or the like.

    Examples
    --------
    >>> import precisionpain as pp
    >>> people = pp.datasets.sample_tn(n_subjects=120, subtypes=False).where(diagnosis="TN")
    >>> pp.fusion.find_subtypes(people, n_null=19, n_resamples=10).found
    False
    """
    return SubtypeModel(blocks, **options).fit(cohort).result_


class SubtypeModel(SubtypeClassifier):
    """Subtypes from factors of several blocks, tested against one cluster and against the sites.

    1. Columns. By default one indicator for each piece of evidence of `MECHANISMS`; with
       `blocks`, the columns of those. The marks of sites and plates are taken out.
    2. Factors, by a factor analysis in which a person who lacks a block counts with the others:
       one factor for each mechanism, which only its evidence may load on; or, with `blocks`,
       free factors whose weight in each block the data choose.
    3. A mixture of Gaussians of the factors, for 2 to 6 clusters, that knows how much of each
       person's factors is known.
    4. One cluster or several? The same steps on cohorts without clusters that have the gaps, the
       values of each column and the correlations of these people give the p-value.
    5. How firm? Clusterings of random parts of the people give the consensus, the proportion of
       ambiguous pairs (PAC) and the stability.
    6. Do the clusters follow site or plate? Then they aren't called subtypes.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        By name, what each block is made of, as `early_fusion` takes them. Numbers of categories
        and flags take part like all others; leave out what shouldn't make clusters.
    method : {"factors", "consensus", "snf"}, default "factors"
        How people are grouped: by the mixture; by average linkage of the consensus over it; or
        by spectral clustering of the fused similarity networks of the blocks. New people are
        assigned in the space of the factors whatever the method, and the test against one
        cluster is that of the mixture.
    n_clusters : int, optional
        How many, if more than one; by default 2 to 6 are tried.
    mechanisms : MechanismTable, optional
        By default `MECHANISMS`; they also name the clusters.
    adjust_for : sequence of str, default ("site", "plate")
        Columns of ``subjects`` (add "age", "sex"…) or of an assay's ``obs`` whose shifts are
        taken out. "site" and "plate" needn't be there.
    n_factors : int, default 5
        Free factors, with `blocks`.
    min_information : float, default 0.3
        People of whose factors a smaller share of the variance is known are unassigned.
    n_null : int, default 99
        Cohorts without clusters for the test.
    n_resamples : int, default 200
        Random parts of 80% of the people.
    alpha : float, default 0.05
        Level of the test against one cluster.
    visit : str, optional
        Which visit, needed where several lie before the landmark.
    random_state : int, default 0
        Seed.

    Attributes
    ----------
    subtypes_ : tuple of str
        Names of the clusters, the largest first; ("one cluster",) where that is enough.
    n_clusters_ : int
    result_ : SubtypeResult
        All that was found.
    rules_ : MechanismRules or None
        What named them.

    References
    ----------
    .. [1] Argelaguet R, et al. Multi-Omics Factor Analysis. Mol Syst Biol 2018;14:e8124 (factors
       over blocks with missing people).
    .. [2] Wang B, et al. Similarity network fusion. Nat Methods 2014;11:333.
    .. [3] Liu Y, et al. Statistical significance of clustering for high-dimension, low-sample size
       data. J Am Stat Assoc 2008;103:1281 (a test against one Gaussian).

    Examples
    --------
    >>> import precisionpain as pp
    >>> people = pp.datasets.sample_tn(n_subjects=120, subtypes=False).where(diagnosis="TN")
    >>> model = pp.fusion.SubtypeModel(n_null=19, n_resamples=10).fit(people)
    >>> model.subtypes_
    ('one cluster',)
    >>> model.transform(people).shape
    (90, 5)
    """

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        method: Method = "factors",
        n_clusters: int | None = None,
        mechanisms: MechanismTable | None = None,
        adjust_for: Sequence[str] = USUAL,
        n_factors: int = 5,
        min_information: float = 0.3,
        n_null: int = 99,
        n_resamples: int = 200,
        alpha: float = 0.05,
        visit: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.method = method
        self.n_clusters = n_clusters
        self.mechanisms = mechanisms
        self.adjust_for = adjust_for
        self.n_factors = n_factors
        self.min_information = min_information
        self.n_null = n_null
        self.n_resamples = n_resamples
        self.alpha = alpha
        self.visit = visit
        self.random_state = random_state

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Look for subtypes.

        Parameters
        ----------
        X : Cohort
            Training people, n of them; at least 40.
        y : object
            Ignored.

        Returns
        -------
        SubtypeModel

        Raises
        ------
        FormatError
            When `X` is no cohort of 40 people, or an option makes no sense.
        MissingModalityError
            When the cohort has none of the evidence, or a block isn't there.

        Warns
        -----
        DataWarning
            When clusters follow a site, a plate or the like.
        """
        check_cohort(X, _MIN_PEOPLE)
        self._check_options()
        self.factors_ = SubtypeFactors(
            self.blocks, mechanisms=self.mechanisms, adjust_for=self.adjust_for,
            n_factors=self.n_factors, visit=self.visit, random_state=self.random_state,
        ).fit(X)  # fmt: skip
        self.rules_ = self.factors_.rules_
        x, known = self.factors_.columns(X), self.factors_.known(X)
        mask, block = self.factors_.mask_, self.factors_.block_
        enough = known.information() >= self.min_information
        if enough.sum() < _MIN_PEOPLE:
            raise MissingModalityError(
                f"enough is known of {int(enough.sum())} of {len(X)} people, expected "
                f"{_MIN_PEOPLE}",
                remedy="gather more blocks, or lower min_information",
            )
        rng = np.random.default_rng([self.random_state, 1])
        inside, x_in = known.take(enough), x[enough]
        ks = [k for k in self._numbers() if len(inside) >= 8 * k]
        if not ks:
            raise FormatError(f"{len(inside)} people are too few for {self.n_clusters} clusters")
        test = compare_with_one_cluster(
            x_in, mask, block, ks,
            n_null=self.n_null, rng=rng,
        )  # fmt: skip
        choices = pd.DataFrame(
            {"gain": test.gain, "excess": test.excess}, pd.Index(ks, name="n_clusters")
        )
        reasons, several = [], test.p_value <= self.alpha
        chosen: Clustering | None = None
        site_test = association(np.zeros(0, int), {}, (), n_permutations=0, rng=rng)
        if not several:
            reasons.append(
                "one cluster is enough: cohorts without clusters gain as much from several "
                f"(p = {test.p_value:.2f})"
            )
        else:
            tried = try_clusters(
                self.method, inside, x_in, block, ks,
                n_resamples=self.n_resamples, random_state=self.random_state,
            )  # fmt: skip
            choices["pac"] = [tried[k].consensus.pac for k in ks]
            choices["stability"] = [tried[k].consensus.stability for k in ks]
            choices["smallest"] = [tried[k].smallest for k in ks]
            k, why = _choose(choices, tried)
            reasons += why
            if k is not None:
                chosen = tried[k]
                groups = np.full(len(X), -1)
                groups[enough] = chosen.groups
                site_test = association(
                    groups, self._nuisances(X), self.adjust_for, n_permutations=999, rng=rng
                )
                reasons += self._explained(site_test)
        self._settle(X, x, known, enough, chosen, found=chosen is not None and not reasons)
        self.result_ = SubtypeResult(
            found=chosen is not None and not reasons,
            reasons=tuple(reasons),
            labels=pd.Series(self._said, X.index, name="subtype", dtype=object),
            probabilities=pd.DataFrame(self._p, X.index, list(self.subtypes_)),
            choices=choices,
            one_cluster_p=test.p_value,
            site_test=site_test,
            profile=self._profile,
            mechanism_profile=self._mechanism_profile,
            name_reasons=self._name_reasons,
            factors=self.factors_.transform(X),
            consensus=None if chosen is None else self._consensus_frame(X, enough, chosen),
            model=self,
            synthetic=X.synthetic,
        )
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the factors.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_factors)
            Expectation given all that is known of the person: 0 is average, and who lacks much
            lies near it.
        """
        check_is_fitted(self, "factors_")
        return self.factors_.transform(X)

    def information(self, X: Cohort) -> pd.Series:
        """Return how much is known of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series
            Share of the variance of the factors, from 0 to 1.
        """
        check_is_fitted(self, "factors_")
        return self.factors_.information(X)

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Return the probability of each subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them; who lacks blocks is assigned by the others.

        Returns
        -------
        numpy.ndarray, shape (n, n_subtypes)
            Columns as `subtypes_`; the shares of the subtypes for who lacks everything.
        """
        check_is_fitted(self, "mixture_")
        return self.mixture_.probabilities(self.factors_.known(X))

    def predict(self, X: Cohort) -> np.ndarray:
        """Name the most probable subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of str, shape (n,)
            "unassigned" for people of whom less than `min_information` is known.
        """
        check_is_fitted(self, "mixture_")
        known = self.factors_.known(X)
        return self._named(self.mixture_.probabilities(known), known)

    def explain(self, X: Cohort) -> pd.Series:
        """Say why each person was assigned so.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series of str
        """
        check_is_fitted(self, "mixture_")
        known = self.factors_.known(X)
        p, share = self.mixture_.probabilities(known), known.information()
        said = self._named(p, known)
        rules = self.rules_
        made = None if rules is None else rules.indicators(X)
        texts = []
        for i, name in enumerate(said):
            text = f"{name}: {p[i].max():.0%} probable" if name != UNASSIGNED else UNASSIGNED
            text += f", {share[i]:.0%} of the factors' variance known"
            if made is not None and rules is not None:
                row = made.iloc[i].dropna()
                row = row[row.abs().sort_values(ascending=False).index][:3]
                text += f"; {rules.sentences(row)}" if len(row) else ""
            texts.append(text)
        return pd.Series(texts, X.index, dtype=object, name="reasons")

    # --- parts ------------------------------------------------------------------------

    def _check_options(self) -> None:
        if self.method not in METHODS:
            raise FormatError(f"method is one of {list_some(METHODS)}, found {self.method!r}")
        for name, least in (("n_null", 19), ("n_resamples", 2)):
            if getattr(self, name) < least:
                raise FormatError(f"expected {name} of at least {least}")
        if self.n_clusters is not None and not 2 <= self.n_clusters <= 20:
            raise FormatError(f"n_clusters is from 2 to 20, found {self.n_clusters!r}")

    def _numbers(self) -> list[int]:
        return list(_TRIED) if self.n_clusters is None else [self.n_clusters]

    def _nuisances(self, X: Cohort) -> dict[str, pd.Series]:
        seen, found = X.known_at_index(), {}
        for name in USUAL:
            for block in [None, *dict.fromkeys(self.factors_.block_)]:
                values = marks(seen, name, block)
                if values is not None:
                    found[name if name in list(seen.subjects) else f"{name} of {block}"] = values
        return found

    def _explained(self, table: pd.DataFrame) -> list[str]:
        follows = (table["p_adjusted"] <= 0.05) & (table["cramers_v"] >= _FOLLOWS)
        reasons = [
            f"the clusters follow {name} (Cramér's V {row['cramers_v']:.2f}, p = "
            f"{row['p_adjusted']:.3f}), which isn't adjusted for"
            for name, row in table[follows & ~table["adjusted_for"].astype(bool)].iterrows()
        ]
        for name in table.index[follows]:
            warnings.warn(
                f"the clusters follow {name}: Cramér's V {table.loc[name, 'cramers_v']:.2f}",
                DataWarning,
                stacklevel=4,
            )
        return reasons

    def _settle(
        self,
        X: Cohort,
        x: np.ndarray,
        known: Known,
        enough: np.ndarray,
        chosen: Clustering | None,
        found: bool,
    ) -> None:
        """Keep the clusters, name them and describe them."""
        rng = np.random.default_rng([self.random_state, 2])
        scores = None if self.rules_ is None else self.rules_.transform(X)
        columns = pd.DataFrame(x, X.index, self.factors_.columns_)
        if not found or chosen is None:
            mix = fit_mixture(known.take(enough), 1, rng)
            groups = np.where(enough, 0, -1)
        else:
            groups = np.full(len(X), -1)
            groups[enough] = chosen.groups
            order = np.argsort(-np.bincount(chosen.groups, minlength=len(chosen.mixture)))
            groups = np.where(groups >= 0, np.argsort(order)[groups], -1)
            old = chosen.mixture
            mix = Mixture(old.shares[order], old.centres[order], old.covariance)
        self.mixture_, self.n_clusters_ = mix, len(mix)
        if len(mix) == 1:
            self.subtypes_ = (_ONE,)
            self._name_reasons: dict[str, str] = {}
            self._profile, self._mechanism_profile = pd.DataFrame(), pd.DataFrame()
        else:
            effects = None if scores is None else profile_of(scores, groups, len(mix))
            self.subtypes_, self._name_reasons = name_clusters(effects, self.rules_, X, groups)
            names = list(self.subtypes_)
            self._profile = profile_of(columns, groups, len(mix)).set_axis(names).T
            self._mechanism_profile = (
                pd.DataFrame(index=names) if effects is None else effects.set_axis(names)
            )
        self._p = mix.probabilities(known)
        labels = np.array([*self.subtypes_, UNASSIGNED], dtype=object)
        self._said = labels[groups]

    def _named(self, p: np.ndarray, known: Known) -> np.ndarray:
        said = np.array(self.subtypes_, dtype=object)[p.argmax(axis=1)]
        said[known.information() < self.min_information] = UNASSIGNED
        return said

    def _consensus_frame(self, X: Cohort, enough: np.ndarray, chosen: Clustering) -> pd.DataFrame:
        who = X.index[enough]
        return pd.DataFrame(chosen.consensus.matrix, who, who)


def _choose(choices: pd.DataFrame, tried: Mapping[int, Clustering]) -> tuple[int | None, list[str]]:
    """Choose the number of clusters, or say why none will do."""
    firm = [
        k for k in choices.index if tried[k].large_enough and choices.loc[k, "stability"] >= _STABLE
    ]
    if not firm:
        best = choices["stability"].max()
        return None, [
            f"no number of clusters holds up in random parts of the people (stability "
            f"{best:.2f} at best, expected {_STABLE:g})"
        ]
    pac = choices.loc[firm, "pac"]
    # PAC alone leans towards many clusters; the fewest of those that are as clear will do.
    return int(pac.index[pac <= pac.min() + _AS_CLEAR][0]), []
