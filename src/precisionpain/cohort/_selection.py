"""Choosing people and outcomes, with the flow of participants kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ._named import leak
from ._views import Views
from .keys import check_ids
from .outcomes import Outcome


class Selection(Views):
    """Selections and views; see `Cohort` for the whole."""

    __slots__ = ()

    # --- who has what ----------------------------------------------------------------

    @property
    def availability(self) -> pd.DataFrame:
        """Who has what: boolean, one row per person, one column per contrast, assay and table.

        An image counts when its file is present on disk.
        """
        store = self._store
        n = len(store.subjects)
        columns: dict[str, np.ndarray] = {}
        present = store.images["present"].to_numpy(dtype=bool) if len(store.images) else None
        for contrast in store.images["contrast"].dropna().unique():
            has = np.zeros(n, dtype=bool)
            chosen = (store.images["contrast"] == contrast).to_numpy() & present
            has[store.codes["images"][chosen]] = True
            columns[str(contrast)] = has
        for kind in ("assays", "measurements"):
            for name in getattr(store, kind):
                has = np.zeros(n, dtype=bool)
                codes = store.codes[f"{kind}/{name}"]
                has[codes[codes >= 0]] = True
                columns[str(name)] = has
        frame = pd.DataFrame(columns, index=store.subjects.index, dtype=bool)
        return frame.take(self._people)

    def has(self, name: str) -> pd.Series:
        """Tell who has something.

        Parameters
        ----------
        name : str
            A contrast, assay, measurement table, outcome, visit or column of `subjects`.

        Returns
        -------
        pandas.Series
            Boolean, index ``subject_id``.

        Raises
        ------
        MissingModalityError
            When the cohort knows nothing of that name.
        LeakageError
            When it is hidden from models.
        """
        store = self._store
        availability = self.availability
        if name in availability:
            return availability[name]
        if name in store.outcomes:
            values = store.outcomes[name].values(self.subjects)
            if isinstance(values, pd.DataFrame):
                return values.notna().all(axis="columns")
            return values.notna()
        if name in store.subjects:
            return self.subjects[name].notna()
        if (self._store.visits["visit"] == name).any():
            seen = self.visits.loc[lambda table: table["visit"] == name, "subject_id"]
            return pd.Series(self.subject_ids.isin(seen), index=self.subject_ids)
        if name in store.hidden:
            raise leak(name, store.hidden[name])
        known_names = [*availability, *store.outcomes, *store.visits["visit"].unique()]
        raise MissingModalityError(
            f"this cohort has no {name!r}",
            remedy=f"ask for one of {list_some(known_names, 20)}, or a column of `subjects`",
        )

    def require(self, *names: str, reason: str | None = None) -> Self:
        """Keep the people who have all of these, and record who left in the flow.

        Parameters
        ----------
        *names : str
            Contrasts, assays, measurement tables, outcomes, visits or columns.
        reason : str, optional
            Wording of the flow's line; by default ``"no <name>"``.

        Returns
        -------
        Cohort

        Raises
        ------
        MissingModalityError
            When the cohort knows nothing of that name.
        """
        cohort = self
        for name in names:
            keep = cohort.has(name)
            cohort = cohort._keep(keep.to_numpy(), reason or f"no {name}")
        return cohort

    def where(self, reason: str | None = None, **conditions: Any) -> Self:
        """Keep the people who meet conditions on columns, and record who left.

        Parameters
        ----------
        reason : str, optional
            Wording of the flow's lines; by default the condition itself.
        **conditions
            Column = a value, a list of values, or a function of the column (Series →
            boolean Series). A missing value meets no condition.

        Returns
        -------
        Cohort

        Raises
        ------
        MissingModalityError
            When there is no such column.
        FormatError
            When a function doesn't give one truth value per person.
        LeakageError
            When the column is hidden from models.

        Examples
        --------
        >>> import pandas as pd
        >>> import precisionpain as pp
        >>> people = pd.DataFrame({"sex": ["female", "male", "male"], "age": [61, 48, 17]},
        ...                       index=["p1", "p2", "p3"])
        >>> men = pp.Cohort(people).where(sex="male")
        >>> print(men.flow)
        3 recruited → 1 excluded: sex is not male → 2 analysed
        >>> men.where(age=lambda age: age >= 18).n_subjects
        1
        """
        cohort = self
        for name, condition in conditions.items():
            if name in self._store.hidden and name not in self._store.subjects:
                raise leak(name, self._store.hidden[name])
            if name not in self._store.subjects:
                raise MissingModalityError(
                    f"no column {name!r} in `subjects`",
                    remedy="see cohort.dictionary for the columns",
                )
            keep, text = _meets(cohort.subjects[name], condition)
            cohort = cohort._keep(keep, reason or text)
        return cohort

    def select(self, ids: Sequence[str], reason: str = "not selected") -> Self:
        """Keep these people, in this order, and record who left in the flow.

        Parameters
        ----------
        ids : sequence of str
            Subject ids.
        reason : str, default "not selected"
            Wording of the flow's line.

        Returns
        -------
        Cohort

        Raises
        ------
        AlignmentError
            For an unknown or repeated id.
        """
        wanted = pd.Index(list(ids), dtype=object)
        check_ids(wanted, self.subject_ids, table="ids to select")
        if not wanted.is_unique:
            raise AlignmentError(
                f"ids stand twice: {list_some(wanted[wanted.duplicated()].unique())}"
            )
        people = self._store.subjects.index.get_indexer(wanted)
        if self._unit == "subject":
            rows = pd.Index(self._position).get_indexer(people)
        else:
            order = {person: i for i, person in enumerate(people)}
            rank = np.array([order.get(p, -1) for p in self._position])
            rows = np.flatnonzero(rank >= 0)
            rows = rows[np.argsort(rank[rows], kind="stable")]
        return self._recorded(reason, self[rows])

    def _keep(self, people: np.ndarray, reason: str) -> Self:
        chosen = self._people[people]
        rows = people if self._unit == "subject" else np.isin(self._position, chosen)
        return self._recorded(reason, self[rows])

    # --- outcomes --------------------------------------------------------------------

    def outcome(
        self,
        name: str,
        *,
        positive: Any = None,
        at_least: float | None = None,
        at_most: float | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Return an outcome, one value per row.

        Parameters
        ----------
        name : str
            A named outcome, or a column of `subjects` together with one of the rules below
            (without a rule, a numeric column is returned as it is).
        positive : value or sequence, optional
            Values that count as the event.
        at_least, at_most : float, optional
            The event is a value of at least, or at most, this.
        where : mapping, optional
            Column → value or values: the people for whom it is defined.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            1.0, 0.0 or NaN (binary), numbers, or the columns ``time`` and ``event``
            (survival); index as `index`.

        Raises
        ------
        MissingModalityError
            When the cohort has no such outcome or column.
        LeakageError
            When this is the view that a model gets (`known_at_index`).
        """
        definition = self.outcome_definition(
            name, positive=positive, at_least=at_least, at_most=at_most, where=where
        )
        values = definition.values(self._store.subjects.take(self._position))
        values.index = self.index
        return values.rename(name) if isinstance(values, pd.Series) else values

    def outcome_definition(
        self,
        name: str,
        *,
        positive: Any = None,
        at_least: float | None = None,
        at_most: float | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Return the definition behind `outcome`, with the same parameters.

        Returns
        -------
        Outcome
        """
        store = self._store
        if name in store.hidden and name not in store.outcomes and name not in store.subjects:
            raise leak(name, store.hidden[name])
        rule: dict[str, Any] = {"positive": positive, "at_least": at_least, "at_most": at_most}
        given = {key: value for key, value in rule.items() if value is not None}
        if name in store.outcomes:
            if not given and where is None:
                return store.outcomes[name]
            base = store.outcomes[name].to_dict()
            if given:
                if base.get("kind") == "survival":
                    raise FormatError(
                        f"{name!r} is a survival outcome, which takes no {list_some(given)}",
                        remedy="name its column instead",
                    )
                base = {k: v for k, v in base.items() if k not in (*rule, "kind")}
            return Outcome(**{**base, **given, **({} if where is None else {"where": where})})
        if name not in store.subjects:
            raise MissingModalityError(
                f"this cohort has no outcome {name!r}",
                remedy=f"outcomes are {list_some(store.outcomes, 12) or 'not defined yet'}; "
                "a column of `subjects` with a rule (positive=, at_least=, at_most=) works too",
            )
        kind: Literal["binary", "number"] = "binary" if given else "number"
        if kind == "number":
            values = store.subjects[name].dropna()
            if not pd.api.types.is_numeric_dtype(values):
                raise FormatError(
                    f"column {name!r} is not numeric, so it needs a rule",
                    remedy=f"say positive=..., one of {list_some(values.unique())}",
                )
        return Outcome(column=name, kind=kind, where=where or {}, **given)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcomes by name."""
        return dict(self._store.outcomes)

    @property
    def truth(self) -> pd.DataFrame:
        """The hidden truth of a synthetic cohort (columns of role "truth")."""
        names = [n for n, c in self._store.columns.items() if c.role == "truth"]
        return self.subjects[names]


def _meets(column: pd.Series, condition: Any) -> tuple[np.ndarray, str]:
    """Tell whose value meets a condition, and how the flow words it when it doesn't."""
    if callable(condition):
        answer = condition(column)
        if isinstance(answer, pd.Series):
            answer = answer.reindex(column.index)  # by key, however the function sorted it
        if np.shape(answer) != column.shape or not _is_truth(answer):
            raise FormatError(
                f"the condition on {column.name!r} doesn't give one truth value per person",
                remedy="return a boolean Series, for example with lambda age: age >= 18",
            )
        keep = pd.Series(answer, column.index).astype("boolean")
        text = f"{column.name} outside the criterion"
    elif pd.api.types.is_list_like(condition):
        values = sorted(condition, key=str) if isinstance(condition, set) else list(condition)
        keep = column.isin(values).astype("boolean")
        text = f"{column.name} is not {' or '.join(map(str, values))}"
    else:
        keep = (column == condition).astype("boolean")
        text = f"{column.name} is not {condition}"
    return (keep.fillna(False) & column.notna()).to_numpy(dtype=bool), text


def _is_truth(answer: Any) -> bool:
    return pd.api.types.infer_dtype(answer, skipna=True) in ("boolean", "empty")
