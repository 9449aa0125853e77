"""Views of a cohort: at a visit, by nerve, and what a model may see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd

from ..errors import FormatError, MissingModalityError, list_some
from ._base import CohortBase
from ._checks import SIDES
from ._named import as_names, leak
from .flow import Flow
from .outcomes import Outcome


class Views(CohortBase):
    """The same people seen otherwise; see `Cohort` for the whole."""

    __slots__ = ()

    def _with_flow(self, flow: Flow) -> Self:
        return self._build(self._store, self._position, self._unit, self._within, flow)

    def _recorded(self, reason: str, kept: Self) -> Self:
        """Return `kept`, a part of this cohort, with a line in the flow."""
        flow = self._flow
        if flow.analysed != self.n_subjects:
            # Positional indexing leaves no line; without one the next would take the blame.
            flow = flow.then("outside this subset", self.n_subjects)
        return kept._with_flow(flow.then(reason, kept.n_subjects))

    @property
    def flow(self) -> Flow:
        """Recruited → excluded, why → analysed."""
        return self._flow

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
        LeakageError
            When the visit is hidden from models.
        """
        store = self._store
        for visit in visits:
            if visit in store.hidden and store.phase(visit) == "after":
                raise leak(visit, store.hidden[visit])
        known = set(self._store.visit_names())
        unknown = [visit for visit in visits if visit not in known]
        if unknown:
            raise MissingModalityError(
                f"no visit {list_some(unknown)}", remedy=f"visits are {list_some(sorted(known))}"
            )
        chosen = set(visits)
        columns = [
            name
            for name in store.subjects.columns
            if store.columns[name].visit in {None, *chosen}
            or store.columns[name].role in ("outcome", "truth")
        ]
        gone = {
            name: "it belongs to another visit"
            for name in store.subjects.columns
            if name not in columns
        }
        return self._restricted(
            columns,
            lambda visit: visit.isin(chosen),
            gone,
            "it has no data of that visit",
            outcomes=store.outcomes,
        )

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
        allowed = set(as_names(allow))
        hidden: dict[str, str] = {}
        for name in store.subjects.columns:
            obstacle = store.obstacle(name)
            if obstacle is not None and name not in allowed:
                hidden[name] = obstacle
        columns = [name for name in store.subjects.columns if name not in hidden]
        late = [v for v in store.visit_names() if store.phase(v) == "after" and v not in allowed]
        hidden = {
            **dict.fromkeys(late, "it lies after the landmark"),
            **dict.fromkeys(store.outcomes, "it is an outcome"),
            **hidden,
        }

        def keep(visit: pd.Series) -> pd.Series:
            names = pd.Series(visit.unique())
            fine = [v for v in names if v in allowed or store.phase(v) != "after"]
            return visit.isin(fine)

        return self._restricted(
            columns,
            keep,
            hidden,
            "it has no data up to the index event",
            outcomes={},
            whole=allowed,
        )

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

        Raises
        ------
        MissingModalityError
            When a column doesn't exist.
        """
        columns = dict(self._store.columns)
        for name in as_names(names):
            if name not in columns:
                raise MissingModalityError(f"no column {name!r} in `subjects`")
            if columns[name].role in ("predictor", "note", "outcome"):
                columns[name] = dataclasses.replace(columns[name], role="outcome", reason=reason)
        store = dataclasses.replace(self._store, columns=columns)
        return self._build(store, self._position, self._unit, self._within, self._flow)

    def _restricted(
        self,
        columns: list[str],
        keep: Callable[[pd.Series], pd.Series],
        hidden: Mapping[str, str],
        nothing: str,
        *,
        outcomes: Mapping[str, Outcome],
        whole: Collection[str] = (),
    ) -> Self:
        """Build the cohort over fewer columns and visits; the tables are filtered once.

        Rows without a visit stay. `nothing` says why a table without rows left is hidden.
        """
        store = self._store
        codes = dict(store.codes)

        def rows(table: pd.DataFrame, name: str) -> np.ndarray:
            if "visit" not in table or name in whole:
                return np.ones(len(table), dtype=bool)
            return (keep(table["visit"]) | table["visit"].isna()).to_numpy()

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
        # Control samples are nobody's: an assay with nothing else left has no data.
        empty = {
            name
            for kind in ("measurements", "assays")
            for name in getattr(store, kind)
            if not (codes[f"{kind}/{name}"] >= 0).any()
            and (store.codes[f"{kind}/{name}"] >= 0).any()
        }
        images = cut(store.images, "images", "images")
        empty |= set(store.images["contrast"].dropna()) - set(images["contrast"])
        small = dataclasses.replace(
            store,
            subjects=store.subjects[columns],
            visits=cut(store.visits, "visits", "visits"),
            images=images,
            assays={n: a for n, a in assays.items() if n not in empty},
            measurements={n: t for n, t in measurements.items() if n not in empty},
            columns={n: c for n, c in store.columns.items() if n in columns or c.role == "unused"},
            outcomes=outcomes,
            codes=codes,
            hidden={**store.hidden, **dict.fromkeys(empty, nothing), **hidden},
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

        People without any visit leave, with a line in the flow.

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
        seen = self._build(self._store, codes[rows], "visit", within, self._flow)
        return seen if seen.n_subjects == self.n_subjects else self._recorded("no visit", seen)
