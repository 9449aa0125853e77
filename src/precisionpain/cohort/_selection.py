"""Choosing people, visits and nerves, with the flow of participants kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ._base import CohortBase, leak
from ._store import SIDES
from .flow import Flow
from .keys import check_ids


class Selection(CohortBase):
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
        return frame.iloc[self._people]

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
            known = values.notna()
            return known if known.ndim == 1 else known.all(axis=1)
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

        Examples
        --------
        >>> import precisionpain as pp
        >>> cohort = pp.datasets.sample_tn()
        >>> adults = cohort.where(diagnosis="TN", age=lambda age: age >= 18)
        """
        cohort = self
        for name, condition in conditions.items():
            if name not in self._store.subjects:
                raise MissingModalityError(f"no column {name!r} in `subjects`")
            column = cohort.subjects[name]
            if callable(condition):
                keep = np.asarray(condition(column), dtype=bool)
                text = f"{name} outside the criterion"
            elif isinstance(condition, list | tuple | set):
                keep = column.isin(list(condition)).to_numpy()
                text = f"{name} is not {' or '.join(map(str, condition))}"
            else:
                keep = (column == condition).fillna(False).to_numpy(dtype=bool)
                text = f"{name} is not {condition}"
            cohort = cohort._keep(keep & column.notna().to_numpy(), reason or text)
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
        chosen = self[rows]
        return chosen._with_flow(self._flow.then(reason, chosen.n_subjects))

    def _keep(self, people: np.ndarray, reason: str) -> Self:
        chosen = self._people[people]
        rows = people if self._unit == "subject" else np.isin(self._position, chosen)
        kept = self[rows]
        return kept._with_flow(self._flow.then(reason, kept.n_subjects))

    def _with_flow(self, flow: Flow) -> Self:
        return self._build(self._store, self._position, self._unit, self._within, flow)

    @property
    def flow(self) -> Flow:
        """Recruited → excluded, why → analysed."""
        return self._flow

    # --- other views -----------------------------------------------------------------

    def at_visit(self, *visits: str) -> Self:
        """Keep the data of these visits; people without any stay, and what was always known.

        Outcome columns stay too: they are what is predicted, never a predictor.

        Parameters
        ----------
        *visits : str
            Visit names.

        Returns
        -------
        Cohort

        Raises
        ------
        MissingModalityError
            When no table knows a visit.
        """
        store = self._store
        known = {str(visit) for visit in self._visit_names()}
        unknown = [visit for visit in visits if visit not in known]
        if unknown:
            raise MissingModalityError(
                f"no visit {list_some(unknown)}", remedy=f"visits are {list_some(sorted(known))}"
            )
        chosen = set(visits)
        columns = [
            name
            for name in store.subjects
            if store.columns[name].visit in {None, *chosen}
            or store.columns[name].role in ("outcome", "truth")
        ]
        gone = {
            name: "it belongs to another visit" for name in store.subjects if name not in columns
        }
        return self._restricted(columns, lambda visit: visit.isin(chosen), gone, keep_undated=True)

    def known_at_index(self, *, allow: Sequence[str] = ()) -> Self:
        """Return what a model may see: data up to the landmark, no outcome.

        This is the view that `precisionpain.evaluation.cross_validate` hands to a model, so
        that an outcome, its derivatives and later data can't reach it by accident.

        Parameters
        ----------
        allow : sequence of str, optional
            Columns, visits, assays or measurement tables to keep all the same.

        Returns
        -------
        Cohort
            Asking it for something hidden is a `LeakageError`.
        """
        store = self._store
        hidden = {
            name: reason
            for name in store.subjects
            if (reason := store.obstacle(name)) is not None and name not in allow
        }
        hidden.update({name: "it is an outcome" for name in store.outcomes if name not in hidden})
        columns = [name for name in store.subjects if name not in hidden]
        allowed = set(allow)

        def keep(visit: pd.Series) -> pd.Series:
            names = pd.Series(visit.unique())
            fine = [v for v in names if v in allowed or store.phase(v) != "after"]
            return visit.isin(fine)

        return self._restricted(columns, keep, hidden, keep_undated=True, whole=allowed)

    def without_predictors(self, names: Sequence[str], reason: str) -> Self:
        """Bar columns from predicting, for example because the outcome derives from them.

        Parameters
        ----------
        names : sequence of str
            Columns of `subjects`.
        reason : str
            Why; shown when somebody asks for them as predictors.

        Returns
        -------
        Cohort
        """
        columns = dict(self._store.columns)
        for name in names:
            columns[name] = dataclasses.replace(columns[name], role="outcome", reason=reason)
        store = dataclasses.replace(self._store, columns=columns)
        return self._build(store, self._position, self._unit, self._within, self._flow)

    def _visit_names(self) -> list[str]:
        store = self._store
        names: dict[str, None] = dict.fromkeys(map(str, store.schedule))
        tables = [store.visits, store.images, *store.measurements.values()]
        tables += [adata.obs for adata in store.assays.values()]
        for table in tables:
            if "visit" in table:
                names.update(dict.fromkeys(map(str, table["visit"].dropna().unique())))
        names.update(dict.fromkeys(c.visit for c in store.columns.values() if c.visit))
        return list(names)

    def _restricted(
        self,
        columns: list[str],
        keep: Callable[[pd.Series], pd.Series],
        hidden: Mapping[str, str],
        *,
        keep_undated: bool,
        whole: set[str] | None = None,
    ) -> Self:
        """Build the cohort over fewer columns and visits; the tables are filtered once."""
        store = self._store
        whole = whole or set()
        codes = dict(store.codes)

        def rows(table: pd.DataFrame, name: str) -> np.ndarray:
            if "visit" not in table or name in whole:
                return np.ones(len(table), dtype=bool)
            return keep(table["visit"]).to_numpy() | (
                keep_undated & table["visit"].isna().to_numpy()
            )

        def cut(table: pd.DataFrame, key: str, name: str) -> pd.DataFrame:
            chosen = rows(table, name)
            codes[key] = codes[key][chosen]
            return table[chosen].reset_index(drop=True)

        measurements = {
            name: cut(table, f"measurements/{name}", name)
            for name, table in store.measurements.items()
        }
        assays = {}
        for name, adata in store.assays.items():
            chosen = rows(adata.obs, name)
            codes[f"assays/{name}"] = codes[f"assays/{name}"][chosen]
            assays[name] = adata if chosen.all() else adata[chosen]
        later = {
            name: "it has no data up to the index event"
            for kind in (measurements, assays)
            for name, table in kind.items()
            if len(getattr(table, "obs", table)) == 0 and name not in hidden
        }
        outcomes = {n: o for n, o in store.outcomes.items() if n not in hidden}
        small = dataclasses.replace(
            store,
            subjects=store.subjects[columns],
            visits=cut(store.visits, "visits", "visits"),
            images=cut(store.images, "images", "images"),
            assays={n: a for n, a in assays.items() if n not in later},
            measurements={n: t for n, t in measurements.items() if n not in later},
            columns={n: c for n, c in store.columns.items() if n in columns or c.role == "unused"},
            outcomes=outcomes,
            codes=codes,
            hidden={**store.hidden, **hidden, **later},
        )
        return self._build(small, self._position, self._unit, self._within, self._flow)

    def per_nerve(self) -> Self:
        """Return the cohort with one row per trigeminal nerve: left and right of each person.

        Returns
        -------
        Cohort
            ``unit`` is "nerve"; `rows` says which nerve is affected.
        """
        if self._unit != "subject":
            raise FormatError(f"per_nerve() starts from a cohort of subjects, found {self._unit}s")
        within = np.tile(np.array(SIDES, dtype=object), len(self))
        return self._build(self._store, np.repeat(self._position, 2), "nerve", within, self._flow)

    def per_visit(self) -> Self:
        """Return the cohort with one row per person and visit of the `visits` table.

        Returns
        -------
        Cohort
            ``unit`` is "visit".
        """
        if self._unit != "subject":
            raise FormatError(f"per_visit() starts from a cohort of subjects, found {self._unit}s")
        codes = self._store.codes["visits"]
        rank = np.full(len(self._store.subjects), -1)
        rank[self._position] = np.arange(len(self))
        rows = np.flatnonzero(rank[codes] >= 0)
        rows = rows[np.argsort(rank[codes[rows]], kind="stable")]
        within = self._store.visits["visit"].to_numpy(dtype=object)[rows]
        return self._build(self._store, codes[rows], "visit", within, self._flow)
