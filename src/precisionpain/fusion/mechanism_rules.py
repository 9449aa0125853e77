"""Rules that name the leading mechanism of each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import special
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError
from ._subtypes.adjustment import USUAL, Adjustment
from ._subtypes.evidence import Reader
from ._targets import check_cohort
from .mechanisms import MECHANISMS, MechanismEvidence, MechanismTable
from .subtype_classifier import UNASSIGNED, UNDETERMINED, SubtypeClassifier

__all__ = ["MechanismRules"]

_FARTHEST = 6.0  # SD


class MechanismRules(SubtypeClassifier):
    """Names the leading mechanism of each person by rules that can be read.

    Each piece of evidence is put in SD of the reference people, with the sign that was published.
    A mechanism's score is the mean of what is known of it, again in SD of the reference people.
    The leading mechanism is named where its score is high enough, and far enough from the next;
    else the answer is "undetermined". No outcome and no label is used.

    Parameters
    ----------
    mechanisms : MechanismTable, optional
        By default `MECHANISMS`.
    controls : mapping, optional
        Who of the training people is the reference, such as ``{"diagnosis": "control"}``, as
        `Cohort.where` takes it; by default all of them. Where controls are fewer than 10, as
        in a fold of patients alone, all people are.
    adjust_for : sequence of str, default ("site", "plate")
        Columns of ``subjects``, or of an assay's ``obs``, whose shifts are taken out first.
        "site" and "plate" needn't be there.
    threshold : float, default 1.0
        Least score, in SD, of a mechanism that is named.
    margin : float, default 0.5
        Least distance to the next score, in SD.
    visit : str, optional
        Which visit, needed where several lie before the landmark.

    Attributes
    ----------
    subtypes_ : tuple of str
        Mechanisms with any evidence in the training people.
    evidence_ : pandas.DataFrame
        One row per indicator: ``mechanism``, ``block``, ``columns``, ``sentence``, ``source``,
        and ``n`` (people of the reference who have it).
    reference_ : str
        Whom the scores are relative to.

    Notes
    -----
    Probabilities are those of equally frequent mechanisms of which the leading one is shifted by
    2 SD; they order people, and nobody has calibrated them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120)
    >>> rules = pp.fusion.MechanismRules(controls={"diagnosis": "control"}).fit(cohort)
    >>> rules.reference_
    '30 controls'
    >>> scores = rules.transform(cohort)
    >>> list(scores)
    ['compression', 'axonal', 'inflammatory', 'autoimmune_like', 'stress']
    """

    def __init__(
        self,
        mechanisms: MechanismTable | None = None,
        *,
        controls: Mapping[str, Any] | None = None,
        adjust_for: Sequence[str] = USUAL,
        threshold: float = 1.0,
        margin: float = 0.5,
        visit: str | None = None,
    ) -> None:
        self.mechanisms = mechanisms
        self.controls = controls
        self.adjust_for = adjust_for
        self.threshold = threshold
        self.margin = margin
        self.visit = visit

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn the level and spread of the reference people.

        Parameters
        ----------
        X : Cohort
            Training people.
        y : object
            Ignored.

        Returns
        -------
        MechanismRules

        Raises
        ------
        MissingModalityError
            When none of the evidence is there.
        FormatError
            When `X` is no cohort of people, or has fewer than 10.
        """
        check_cohort(X, 10)
        table = MECHANISMS if self.mechanisms is None else self.mechanisms
        if not isinstance(table, MechanismTable):
            raise FormatError(f"mechanisms is a MechanismTable, found {type(table).__name__}")
        self.table_ = table
        names = [name for item in table for one in item.evidence for name in one.columns]
        self.reader_ = Reader(names, self.visit).fit(X)
        raw = self.reader_.transform(X)
        self.adjustment_ = Adjustment(self.adjust_for).fit(X, raw)
        adjusted = self.adjustment_.transform(X, raw)
        rows = np.ones(len(X), dtype=bool)
        self.reference_ = f"{len(X)} training people"
        if self.controls is not None:
            chosen = X.where(**self.controls)
            if len(chosen) >= 10:
                rows = X.index.isin(chosen.index)
                self.reference_ = f"{len(chosen)} controls"
        spread = adjusted[rows].std(ddof=0)
        kept = spread.index[(spread > 0) & (adjusted[rows].notna().sum() >= 5)]
        self.means_, self.spreads_ = adjusted.loc[rows, kept].mean(), spread[kept]
        made, about = self._indicators(adjusted)
        if made.empty:
            raise MissingModalityError(
                "the cohort has none of the evidence for any mechanism",
                remedy="see MECHANISMS.to_frame(), and give a table of your own: mechanisms=",
            )
        self.centres_, self.scales_ = made[rows].mean(), made[rows].std(ddof=0)
        about["n"] = made[rows].notna().sum().to_numpy()
        self.evidence_ = about
        found = set(about["mechanism"])
        self.subtypes_ = tuple(item.name for item in table if item.name in found)
        raw_scores = self._scores(self._standardised(made))
        self.score_means_ = raw_scores[rows].mean()
        self.score_spreads_ = raw_scores[rows].std(ddof=0).replace(0, 1.0).fillna(1.0)
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the scores.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_mechanisms)
            In SD of the reference people; missing where nothing is known.
        """
        return self._scored(self.indicators(X))

    def indicators(self, X: Cohort) -> pd.DataFrame:
        """Return each piece of evidence, signed, in SD of the reference people.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame
            Index ``X.index``; columns as the rows of `evidence_`.
        """
        check_is_fitted(self, "evidence_")
        check_cohort(X)
        adjusted = self.adjustment_.transform(X, self.reader_.transform(X))
        return self._standardised(self._indicators(adjusted)[0])

    def predict(self, X: Cohort) -> np.ndarray:
        """Name the leading mechanism.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of str, shape (n,)
            "undetermined" where no score is high, or two are; "unassigned" for people of whom
            fewer than two mechanisms are known.
        """
        return self._leading(self.transform(X))

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Return how the mechanisms share each person, see Notes.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray, shape (n, n_mechanisms)
            Columns as `subtypes_`; equal for people of whom nothing is known.
        """
        return np.asarray(special.softmax(2.0 * self.transform(X).fillna(0.0).to_numpy(), axis=1))

    def explain(self, X: Cohort) -> pd.Series:
        """Say why.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series of str
            A sentence for each person.
        """
        made = self.indicators(X)
        scores = self._scored(made)
        named = self._leading(scores)
        return pd.Series(
            [self._why(named[i], scores.iloc[i], made.iloc[i]) for i in range(len(X))],
            X.index, dtype=object, name="reasons",
        )  # fmt: skip

    # --- parts ------------------------------------------------------------------------

    def _why(self, name: str, scores: pd.Series, made: pd.Series) -> str:
        known = scores.dropna().sort_values(ascending=False)
        if name == UNASSIGNED:
            return "too little is known of this person"
        lead = known.index[0]
        if name == UNDETERMINED:
            said = ", ".join(f"{m} {v:+.1f} SD" for m, v in known.iloc[:2].items())
            why = (
                f"no mechanism reaches {self.threshold:g} SD"
                if known.iloc[0] < self.threshold
                else f"the first two lie closer than {self.margin:g} SD"
            )
            return f"{why}: {said}"
        parts = made[(self.evidence_["mechanism"] == lead).to_numpy()].dropna()
        strongest = parts.sort_values(ascending=False).iloc[:3]
        return f"{lead} ({known.iloc[0]:+.1f} SD): {self.sentences(strongest)}"

    def sentences(self, values: pd.Series) -> str:
        """Say in words how far pieces of evidence lie from the reference.

        Parameters
        ----------
        values : pandas.Series
            Signed values in SD, index as columns of `indicators`.

        Returns
        -------
        str
        """
        said = []
        names = ["mechanism", "block", "columns"]
        about = self.evidence_.set_index(names)[["sign", "sentence"]].T.to_dict("list")
        for key, value in zip(values.index, values, strict=True):
            sign, sentence = about[key]
            amount = float(value) * int(sign)
            more = "higher" if amount >= 0 else "lower"
            said.append(f"{sentence or key[2]} {abs(amount):.1f} SD {more} [{key[1]}]")
        return "; ".join(said)

    def _indicators(self, adjusted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        places = adjusted.columns.get_indexer(self.means_.index)
        z = adjusted.to_numpy()[:, places] - self.means_.to_numpy()
        z = np.clip(z / self.spreads_.to_numpy(), -_FARTHEST, _FARTHEST)
        there = [(str(key[0]), str(key[1])) for key in self.means_.index]
        keys: list[tuple[str, str, str]] = []
        parts, rows = [np.zeros((len(adjusted), 0))], []
        for item in self.table_:
            for one in item.evidence:
                for block, label, columns in _places(one, there):
                    keys.append((item.name, block, label))
                    chosen = z[:, [there.index(column) for column in columns]]
                    parts.append(one.sign * _mean_of_known(chosen)[:, None])
                    rows.append({
                        "mechanism": item.name, "block": block, "columns": label,
                        "sign": one.sign, "sentence": one.sentence, "source": one.source,
                    })  # fmt: skip
        names = ["mechanism", "block", "columns"]
        columns_ = pd.MultiIndex.from_tuples(keys, names=names) if keys else None
        return pd.DataFrame(np.hstack(parts), adjusted.index, columns_), pd.DataFrame(rows)

    def _standardised(self, made: pd.DataFrame) -> pd.DataFrame:
        return (made - self.centres_) / self.scales_.replace(0, 1.0).fillna(1.0)

    def _scores(self, made: pd.DataFrame) -> pd.DataFrame:
        of, values = made.columns.get_level_values(0), made.to_numpy()
        means = [_mean_of_known(values[:, np.asarray(of == name)]) for name in self.subtypes_]
        return pd.DataFrame(np.column_stack(means), made.index, list(self.subtypes_))

    def _scored(self, made: pd.DataFrame) -> pd.DataFrame:
        return (self._scores(made) - self.score_means_) / self.score_spreads_

    def _leading(self, scores: pd.DataFrame) -> np.ndarray:
        values = scores.fillna(-np.inf).to_numpy()
        best = np.array(self.subtypes_, dtype=object)[values.argmax(axis=1)]
        ranked = -np.sort(-values, axis=1)
        top = ranked[:, 0]
        with np.errstate(invalid="ignore"):
            lead = top - ranked[:, 1] if ranked.shape[1] > 1 else np.full(len(top), np.inf)
            clear = (top >= self.threshold) & (lead >= self.margin)
        named = np.where(clear, best, UNDETERMINED).astype(object)
        named[scores.notna().sum(axis=1).to_numpy() < min(2, scores.shape[1])] = UNASSIGNED
        return named


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _places(
    evidence: MechanismEvidence, columns: list[tuple[str, str]]
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return (block, label, columns) of each indicator that a piece of evidence makes."""
    proteins = [name for name in evidence.columns if name.startswith("protein:")]
    found = []
    for name in proteins:
        gene = name.partition(":")[2]
        found += [(b, c, [(b, c)]) for b, c in columns if c == gene and b != "clinical"]
    rest = [name.split(":", 1) for name in evidence.columns if name not in proteins]
    there = [(b, c) for b, c in rest if (b, c) in columns]
    if there:
        label = there[0][1] if len(there) == 1 else " + ".join(dict.fromkeys(c for _, c in there))
        found.append((there[0][0], label, there))
    return found
