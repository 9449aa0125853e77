"""What a cohort is made of: rows by position, tables by key."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from ..errors import AlignmentError, MissingModalityError, list_some
from ._named import Tables, as_names, leak
from ._store import Store
from .columns import Column
from .flow import Flow

Unit = Literal["subject", "nerve", "visit"]


class CohortBase:
    """Rows by position and tables by key; see `Cohort` for the whole."""

    __slots__ = ("__weakref__", "_cache", "_flow", "_position", "_store", "_unit", "_within")

    _store: Store
    _position: np.ndarray  # per row, the position of its subject in the store
    _unit: Unit
    _within: np.ndarray | None  # per row, its side or visit where the unit is smaller
    _flow: Flow
    _cache: dict[str, Any]

    def _fill(
        self,
        store: Store,
        position: np.ndarray,
        unit: Unit,
        within: np.ndarray | None,
        flow: Flow,
    ) -> None:
        for name, value in (
            ("_store", store),
            ("_position", position),
            ("_unit", unit),
            ("_within", within),
            ("_flow", flow),
            ("_cache", {}),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def _build(
        cls,
        store: Store,
        position: np.ndarray,
        unit: Unit,
        within: np.ndarray | None,
        flow: Flow,
    ) -> Self:
        cohort = object.__new__(cls)
        cohort._fill(store, position, unit, within, flow)
        return cohort

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Cohort is frozen; its with_... methods return a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self._store, self._position, self._unit, self._within, self._flow)
        return type(self)._build, state

    # --- a scikit-learn X ------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._position)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that may predict, as scikit-learn asks of an ``X``."""
        return len(self), len(self.predictors)

    def __array__(self, *args: object, **kwargs: object) -> np.ndarray:
        raise TypeError(
            "a Cohort is not a matrix: begin the model with a transformer that takes features "
            "from it, for example precisionpain.evaluation.ClinicalFeatures()"
        )

    def __getitem__(self, key: Any) -> Self:
        """Take rows by position: an integer, a slice, an integer or a boolean array."""
        if isinstance(key, tuple):
            if len(key) != 2 or not (key[1] is Ellipsis or _is_full(key[1])):
                raise IndexError("a Cohort is indexed by people only; columns stand in `subjects`")
            key = key[0]
        chosen = np.arange(len(self))[key] if isinstance(key, slice) else self._positions(key)
        if chosen.size and (chosen.min() < -len(self) or chosen.max() >= len(self)):
            raise IndexError(f"position out of range for a cohort of {len(self)} rows")
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        if len(chosen) > 1 and np.bincount(chosen).max(initial=0) > 1:
            raise AlignmentError(
                "a row was asked for twice; a cohort holds each person once",
                remedy="give repeated people a weight (sample_weight) instead",
            )
        within = None if self._within is None else self._within[chosen]
        return self._build(self._store, self._position[chosen], self._unit, within, self._flow)

    def _positions(self, key: Any) -> np.ndarray:
        if isinstance(key, pd.Series) and pd.api.types.is_bool_dtype(key.dtype):
            if not key.index.equals(self.index):
                raise AlignmentError(
                    "the mask is of other rows than the cohort, or in another order",
                    remedy="align it by key, mask.reindex(cohort.index), or use cohort.where(...)",
                )
            if not key.isna().any():
                key = key.to_numpy(dtype=bool)
        chosen = np.atleast_1d(np.asarray(key))
        if chosen.ndim > 1:
            raise IndexError(f"a Cohort has one axis of people, found an index of {chosen.ndim}")
        if chosen.dtype == bool:
            if len(chosen) != len(self):
                raise IndexError(f"the mask has {len(chosen)} entries for {len(self)} rows")
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return chosen.astype(np.intp)
        if not np.issubdtype(chosen.dtype, np.integer):
            raise TypeError(
                "a Cohort is indexed by position (integers or a mask without gaps), found "
                f"{key!r}; use cohort.subject(id) for one person, cohort.select(ids) for some"
            )
        return chosen

    @property
    def unit(self) -> Unit:
        """What a row is: a "subject", a "nerve" (`per_nerve`) or a "visit" (`per_visit`)."""
        return self._unit

    @property
    def index(self) -> pd.Index:
        """Key of each row: ``subject_id``, or (``subject_id``, ``side`` or ``visit``)."""
        owners = self._store.subjects.index[self._position]
        if self._within is None:
            return owners
        level = "side" if self._unit == "nerve" else "visit"
        return pd.MultiIndex.from_arrays([owners, self._within], names=["subject_id", level])

    @property
    def groups(self) -> np.ndarray:
        """Subject id of each row, shape (n_rows,): what must never straddle a split."""
        return self._store.subjects.index.to_numpy()[self._position]

    # --- the tables ------------------------------------------------------------------

    @property
    def _people(self) -> np.ndarray:
        """Positions of the distinct subjects, in order of their first row."""
        if self._unit == "subject":
            return self._position
        if "people" not in self._cache:
            self._cache["people"] = pd.unique(self._position)
        return self._cache["people"]

    @property
    def subject_ids(self) -> pd.Index:
        """Keys of the people, in order."""
        return self._store.subjects.index[self._people]

    @property
    def n_subjects(self) -> int:
        """Number of people."""
        return len(self._people)

    @property
    def subjects(self) -> pd.DataFrame:
        """One row per person (a copy), index ``subject_id``."""
        return self._store.subjects.take(self._people)

    @property
    def visits(self) -> pd.DataFrame:
        """Columns ``subject_id``, ``visit``, ``day`` (a copy)."""
        return self._rows_of("visits", self._store.visits)

    @property
    def images(self) -> pd.DataFrame:
        """One row per image file, on disk or only listed (a copy)."""
        return self._rows_of("images", self._store.images)

    @property
    def measurements(self) -> Mapping[str, pd.DataFrame]:
        """Derived tables by name (copies, made when asked for)."""
        tables = self._store.measurements
        return Tables(
            tables,
            lambda key: self._rows_of(f"measurements/{key}", tables[key]),
            "measurement",
            self._store.hidden,
        )

    @property
    def assays(self) -> Mapping[str, Any]:
        """AnnData by name (copies, made when asked for); control samples stay in."""
        assays = self._store.assays
        return Tables(assays, lambda key: self._assay(key).copy(), "assay", self._store.hidden)

    def _assay(self, key: str) -> Any:
        """Return the stored assay, or a view of it; not to be handed out."""
        codes = self._store.codes[f"assays/{key}"]
        chosen = np.append(self._membership(), True)[codes]  # code -1, a control sample, is kept
        return self._store.assays[key] if chosen.all() else self._store.assays[key][chosen]

    def _membership(self) -> np.ndarray:
        if "member" not in self._cache:
            member = np.zeros(len(self._store.subjects), dtype=bool)
            member[self._people] = True
            self._cache["member"] = member
        return self._cache["member"]

    def _rows_of(self, key: str, table: pd.DataFrame) -> pd.DataFrame:
        return table[self._membership()[self._store.codes[key]]].reset_index(drop=True)

    @property
    def columns(self) -> dict[str, Column]:
        """What is known of each column of `subjects`, and of those left out."""
        return dict(self._store.columns)

    @property
    def dictionary(self) -> pd.DataFrame:
        """The data dictionary: one row per column, used or not, with its role and why."""
        subjects = self.subjects
        rows = []
        for name, record in self._store.columns.items():
            why = record.reason
            if not why and record.role != "unused":
                why = self._store.obstacle(name) or ""
            rows.append(
                {
                    "column": name,
                    "source": record.source or name,
                    "role": record.role,
                    "kind": record.kind,
                    "visit": record.visit,
                    "unit": record.unit,
                    "known": int(subjects[name].notna().sum()) if name in subjects else 0,
                    "reason": why,
                    "description": record.description,
                }
            )
        names = ["column", "source", "role", "kind", "visit", "unit", "known", "reason"]
        return pd.DataFrame(rows, columns=[*names, "description"]).set_index("column")

    @property
    def predictors(self) -> list[str]:
        """Columns of `subjects` that may predict: known by the landmark, no outcome, no note."""
        if "predictors" not in self._cache:
            store = self._store
            self._cache["predictors"] = [
                name
                for name, record in store.columns.items()
                if record.role == "predictor"
                and record.kind not in ("text", "date")
                and store.obstacle(name) is None
            ]
        return list(self._cache["predictors"])

    def predictor_frame(
        self, columns: Sequence[str] | None = None, *, allow: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Return columns that may predict, one line per row of the cohort.

        Parameters
        ----------
        columns : sequence of str, optional
            Which; by default all of `predictors`.
        allow : sequence of str, optional
            Columns allowed by name although they were recorded after the index event or
            derive from an outcome.

        Returns
        -------
        pandas.DataFrame
            Index as `index`.

        Raises
        ------
        LeakageError
            When a column is an outcome, derives from one, or was recorded after the index
            event, and isn't allowed by name.
        MissingModalityError
            When a column doesn't exist.
        """
        store = self._store
        allowed = as_names(allow)
        names = self.predictors if columns is None else list(as_names(columns))
        for name in names:
            if name in store.hidden and name not in store.subjects:
                raise leak(name, store.hidden[name])
            if name not in store.subjects:
                raise MissingModalityError(
                    f"no column {name!r}", remedy="see cohort.dictionary for the columns"
                )
            obstacle = store.obstacle(name)
            if obstacle is not None and name not in allowed:
                raise leak(name, obstacle)
        subjects = store.subjects
        table = subjects if names == list(subjects.columns) else subjects[names]
        frame = table.take(self._position)
        if self._within is not None:
            frame.index = self.index
        return frame

    def measurement(self, name: str, *, visit: str | None = None) -> pd.DataFrame:
        """Return a derived table joined to the rows of the cohort by key.

        Parameters
        ----------
        name : str
            Which of `measurements`.
        visit : str, optional
            Which visit; needed where the table has several and a row is no visit.

        Returns
        -------
        pandas.DataFrame
            Index as `index`, the value columns of the table; rows without a measurement
            are missing.

        Raises
        ------
        AlignmentError
            When a row of the cohort matches more than one row of the table, or the visits
            of different people would be mixed.
        MissingModalityError
            When there is no such table or visit.
        LeakageError
            When the table or the visit is hidden from models.
        """
        table = self.measurements[name]
        # By the whole table, so that the answer doesn't hang on who is in a fold.
        visits = self._store.measurements[name].get("visit", pd.Series(dtype=object)).dropna()
        if visit is not None:
            if not (visits == visit).any():
                if visit in self._store.hidden:
                    raise leak(visit, self._store.hidden[visit])
                raise MissingModalityError(
                    f"measurements[{name!r}] has no visit {visit!r}",
                    remedy=f"visits are {list_some(visits.unique(), 12) or 'not told apart'}",
                )
            table = table[table["visit"] == visit]
        elif self._unit != "visit" and visits.nunique() > 1:
            raise AlignmentError(
                f"measurements[{name!r}] has several visits",
                remedy=f"say which: visit= one of {list_some(visits.unique(), 12)}",
            )
        level = {"nerve": "side", "visit": "visit", "subject": None}[self._unit]
        key = ["subject_id"] if level is None or level not in table else ["subject_id", level]
        if table.duplicated(key).any():
            extra = [c for c in ("visit", "side", "run") if c in table and c not in key]
            raise AlignmentError(
                f"measurements[{name!r}] has several rows for one {self._unit}",
                remedy=f"say which ({', '.join(extra)}), average them first, or use per_nerve()",
            )
        values = table.drop(
            columns=[c for c in ("visit", "side", "run") if c in table.columns and c not in key]
        )
        if len(key) == 2:
            return values.set_index(key).reindex(self.index)
        joined = values.set_index("subject_id").reindex(self.groups)
        joined.index = self.index
        return joined

    @property
    def rows(self) -> pd.DataFrame:
        """Key and role of each row, index as `index`.

        For nerves the column ``nerve`` is "affected", "contralateral" or missing (controls;
        both nerves are "affected" in bilateral disease); for visits the column ``day``.
        """
        frame = pd.DataFrame(index=self.index)
        if self._unit == "nerve":
            frame["nerve"] = self._nerve_roles()
        if self._unit == "visit":
            days = self._store.visits.set_index(["subject_id", "visit"])["day"]
            frame["day"] = days.reindex(self.index).to_numpy()
        return frame

    def _nerve_roles(self) -> np.ndarray:
        subjects = self._store.subjects
        if "affected_side" not in subjects:
            return np.full(len(self), None, dtype=object)
        affected = subjects["affected_side"].astype(object)
        side = affected.where(affected.notna(), None).to_numpy()[self._position]
        roles = np.full(len(self), None, dtype=object)
        roles[pd.notna(side)] = "contralateral"
        roles[(side == self._within) | (side == "bilateral")] = "affected"
        return roles

    # --- description -----------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the cohort."""
        return self._store.name

    @property
    def synthetic(self) -> bool:
        """Whether the people are made up."""
        return self._store.synthetic

    @property
    def meta(self) -> dict[str, Any]:
        """Source, licence, citation and the like (a copy)."""
        return copy.deepcopy(dict(self._store.meta))

    @property
    def landmark(self) -> float:
        """Day up to which data may predict."""
        return self._store.landmark

    @property
    def schedule(self) -> pd.DataFrame:
        """Each visit: nominal day, phase ("before", "after", "unknown") and how many people."""
        days = self.visits.groupby("visit")["day"]
        median, seen = days.median(), days.size()
        store = self._store
        rows = [
            {
                "visit": visit,
                "day": store.schedule.get(visit, median.get(visit, np.nan)),
                "phase": store.phase(visit),
                "subjects": int(seen.get(visit, 0)),
            }
            for visit in self._store.visit_names()
        ]
        frame = pd.DataFrame(rows, columns=["visit", "day", "phase", "subjects"])
        return frame.set_index("visit")

    @property
    def provenance(self) -> pd.DataFrame:
        """What reading and cleaning did: ``step, table, column, n, detail``."""
        names = ["step", "table", "column", "n", "detail"]
        frame = pd.DataFrame(list(self._store.provenance))
        return frame.reindex(columns=[*names, *(c for c in frame if c not in names)])


def _is_full(key: object) -> bool:
    return isinstance(key, slice) and key == slice(None)
