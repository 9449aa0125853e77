"""The Cohort: everything known of the same people, in one frozen, relational object."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ._named import leak
from ._selection import Selection
from ._store import bar_sources, build_store
from .columns import Column, as_columns
from .flow import Flow
from .keys import check_ids
from .outcomes import Outcome

if TYPE_CHECKING:
    from ..stats import TableOne
    from .mapping import MapResult
    from .subject import Subject

__all__ = ["Cohort"]


class Cohort(Selection):
    """Clinical tables, images, assays and measurements of the same people, joined by key.

    A cohort is frozen: every method returns a new one, and subsets share the tables. It is
    also a scikit-learn ``X``: it has a length, and positional indexing takes people, so
    that `GridSearchCV`, `StackingClassifier` and their like split people, not numbers.

    Parameters
    ----------
    subjects : pandas.DataFrame
        One row per person; index (or column) ``subject_id``, text. Columns by convention:
        ``diagnosis``, ``affected_side`` (anatomical: "left", "right", "bilateral" or
        missing), ``site``, ``age`` in years, ``sex``.
    visits : pandas.DataFrame, optional
        Columns ``subject_id``, ``visit``, ``day`` (days from the index event, that is
        surgery or injury; negative before it).
    images : pandas.DataFrame, optional
        Columns ``subject_id``, ``visit``, ``contrast``, ``path`` and optionally ``run``,
        ``present``, ``reason``, ``sha256``, ``bval``, ``bvec``. No pixel is read.
    assays : mapping of str to anndata.AnnData, optional
        Observations are samples, with ``subject_id`` (missing only for control samples)
        and optionally ``visit``, ``specimen``, ``plate``, ``sample_type`` in ``obs``.
        They are held, not copied: don't change them afterwards.
    measurements : mapping of str to pandas.DataFrame, optional
        Derived tables with ``subject_id`` and optionally ``visit``, ``side``, ``run``.
    columns : mapping, optional
        What is known of the columns of `subjects`, see `Column`; inferred where absent.
    outcomes : mapping of str to Outcome, optional
        Outcomes by name.
    schedule : mapping of str to float, optional
        Nominal day of each visit.
    landmark : float, default 0.0
        Data up to this day may predict. 0 for surgery; 3 for "within 72 hours of injury".
    name : str, default "cohort"
        Shown in the repr and in reports.
    synthetic : bool, default False
        Whether the people are made up; shown wherever the cohort is shown.
    meta : mapping, optional
        Source, licence, citation and the like, as plain JSON values.
    provenance : sequence of mapping, optional
        What reading and cleaning did: entries ``step, table, column, n, detail``.
    flow : Flow, optional
        How these people came to be here; by default they were recruited.

    Raises
    ------
    AlignmentError
        For duplicate, unknown or malformed keys.
    FormatError
        For a side, day or column that makes no sense.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> people = pd.DataFrame({"age": [61, 48], "affected_side": ["left", "right"]},
    ...                       index=["p1", "p2"])
    >>> cohort = pp.Cohort(people)
    >>> len(cohort), cohort[[1]].subjects.index.tolist()
    (2, ['p2'])
    """

    __slots__ = ()

    def __init__(
        self,
        subjects: pd.DataFrame,
        *,
        visits: pd.DataFrame | None = None,
        images: pd.DataFrame | None = None,
        assays: Mapping[str, Any] | None = None,
        measurements: Mapping[str, pd.DataFrame] | None = None,
        columns: Mapping[str, Column | Mapping[str, Any] | str | None] | str | Path | None = None,
        outcomes: Mapping[str, Outcome | Mapping[str, Any]] | None = None,
        schedule: Mapping[str, float] | None = None,
        landmark: float = 0.0,
        name: str = "cohort",
        synthetic: bool = False,
        meta: Mapping[str, Any] | None = None,
        provenance: Sequence[Mapping[str, Any]] | None = None,
        flow: Flow | None = None,
    ) -> None:
        attrs = getattr(subjects, "attrs", {})
        store = build_store(
            subjects,
            visits=visits,
            images=images,
            assays=assays,
            measurements=measurements,
            columns=as_columns(attrs.get("columns") if columns is None else columns),
            outcomes={
                str(key): value if isinstance(value, Outcome) else Outcome(**value)
                for key, value in (outcomes or {}).items()
            },
            schedule=schedule or {},
            landmark=landmark,
            name=name,
            synthetic=synthetic,
            meta=meta or {},
            provenance=attrs.get("provenance", ()) if provenance is None else provenance,
            hidden={},
        )
        n = len(store.subjects)
        self._fill(store, np.arange(n), "subject", None, Flow(n) if flow is None else flow)

    def __iter__(self) -> Iterator[Subject]:
        """Iterate over the people, as `Subject`."""
        return (self.subject(identifier) for identifier in self.subject_ids)

    def subject(self, identifier: str) -> Subject:
        """Return one person, read-only; images load when asked for.

        Parameters
        ----------
        identifier : str
            Subject id.

        Returns
        -------
        Subject

        Raises
        ------
        AlignmentError
            When the id is unknown.
        """
        from .subject import Subject

        return Subject(self, identifier)

    def table_one(
        self,
        by: str | pd.Series | None = None,
        columns: Sequence[str] | None = None,
        **options: Any,
    ) -> TableOne:
        """Return the participants' characteristics, as papers show them in Table 1.

        Parameters
        ----------
        by : str or pandas.Series, optional
            A column of `subjects`, a named binary outcome, or groups by ``subject_id``.
        columns : sequence of str, optional
            Which columns; by default `predictors`.
        **options
            Passed to `precisionpain.stats.table_one`.

        Returns
        -------
        TableOne
        """
        from ..stats import table_one

        subjects = self.subjects
        label: str | None = None
        if isinstance(by, pd.Series):
            label = str(by.name or "group")
            check_ids(by.index, self.subject_ids, table="by")
            subjects = subjects.assign(**{label: by.reindex(subjects.index)})
        elif by is not None and by in self._store.outcomes:
            label = by
            values = self._store.outcomes[by].values(subjects)
            if isinstance(values, pd.DataFrame):
                raise FormatError(f"{by!r} is a survival outcome and has no groups")
            subjects = subjects.assign(**{by: values.map({1.0: "yes", 0.0: "no"})})
        elif by is not None:
            if by not in subjects:
                raise MissingModalityError(f"no column or outcome {by!r} to group by")
            label = by
        names = [n for n in (columns or self.predictors) if n != label]
        known = self._store.columns
        options.setdefault("kinds", {n: known[n].kind for n in names if n in known})
        options.setdefault("units", {n: u for n in names if n in known and (u := known[n].unit)})
        return table_one(subjects, by=label, columns=names, **options)

    def map(self, function: Callable[..., Any], **options: Any) -> MapResult:
        """Run a function on every person, in parallel; see `map_subjects` for the options.

        Parameters
        ----------
        function : callable
            Takes a `Subject`.
        **options
            ``n_jobs``, ``checkpoint``, ``progress``, ``on_error``, ``kwargs``.

        Returns
        -------
        MapResult
            Results by subject, and the failures with their reasons.
        """
        from .mapping import map_subjects

        return map_subjects(self, function, **options)

    # --- new cohorts -----------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        """Everything that the constructor takes, for these people only."""
        return {
            "subjects": self.subjects,
            "visits": self.visits,
            "images": self.images,
            "assays": {key: self._assay(key) for key in self.assays},
            "measurements": {key: self.measurements[key] for key in self.measurements},
            "columns": self._store.columns,
            "outcomes": self._store.outcomes,
            "schedule": self._store.schedule,
            "landmark": self._store.landmark,
            "name": self._store.name,
            "synthetic": self._store.synthetic,
            "meta": self._store.meta,
            "provenance": self._store.provenance,
            "flow": self._flow,
        }

    def _changed(self, **changes: Any) -> Cohort:
        if self._unit != "subject":
            raise FormatError(
                f"tables are added to a cohort of subjects, found one of {self._unit}s",
                remedy="add the table first, then call per_nerve() or per_visit()",
            )
        changed = Cohort(**{**self._parts(), **changes})
        if not self._store.hidden:
            return changed
        store = dataclasses.replace(changed._store, hidden=self._store.hidden)
        return changed._build(store, changed._position, "subject", None, changed._flow)

    def with_measurements(self, name: str, table: pd.DataFrame) -> Cohort:
        """Return the cohort with a derived table added or replaced.

        Parameters
        ----------
        name : str
            Its name.
        table : pandas.DataFrame
            Keyed by ``subject_id`` and optionally ``visit``, ``side``, ``run``.

        Returns
        -------
        Cohort
        """
        return self._changed(measurements={**self.measurements, name: table})

    def with_assay(self, name: str, adata: Any) -> Cohort:
        """Return the cohort with an assay added or replaced.

        Parameters
        ----------
        name : str
            Its name, for example ``"csf_pea"``.
        adata : anndata.AnnData
            Samples with ``subject_id`` in ``obs``.

        Returns
        -------
        Cohort
        """
        others = {key: self._assay(key) for key in self.assays}
        return self._changed(assays={**others, name: adata})

    def with_images(self, images: pd.DataFrame) -> Cohort:
        """Return the cohort with further images.

        Parameters
        ----------
        images : pandas.DataFrame
            As in the constructor.

        Returns
        -------
        Cohort
        """
        if len(self._store.images):
            images = pd.concat([self.images, images], ignore_index=True)
        return self._changed(images=images)

    def with_columns(
        self,
        table: pd.DataFrame,
        columns: Mapping[str, Column | Mapping[str, Any] | str | None] | None = None,
    ) -> Cohort:
        """Return the cohort with clinical columns added or replaced, joined by ``subject_id``.

        A replaced column keeps what is known of it, its role above all, unless `columns`
        says otherwise.

        Parameters
        ----------
        table : pandas.DataFrame
            Index (or column) ``subject_id``; people that it lacks get missing values.
        columns : mapping, optional
            What is known of the new columns.

        Returns
        -------
        Cohort

        Raises
        ------
        AlignmentError
            For unknown or duplicate ids.
        """
        if "subject_id" in table:
            table = table.set_index("subject_id")
        check_ids(table.index, self.subject_ids, table="new columns")
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()].unique()
            raise AlignmentError(f"ids stand twice: {list_some(twice)}", where="new columns")
        known = as_columns(table.attrs.get("columns") if columns is None else columns)
        old = self.subjects
        names = [*old.columns, *(name for name in table if name not in old)]
        others = old.drop(columns=[name for name in table if name in old])
        subjects = pd.concat([others, table.reindex(old.index)], axis=1)[names]
        # A replaced column keeps its role: an outcome doesn't become a predictor by it.
        kept = {
            name: column
            for name, column in self._store.columns.items()
            if name not in table or column.role != "unused"
        }
        return self._changed(subjects=subjects, columns={**kept, **known})

    def with_outcome(self, name: str, outcome: Outcome | None = None, **definition: Any) -> Cohort:
        """Return the cohort with a named outcome; its source columns stop being predictors.

        Parameters
        ----------
        name : str
            Its name.
        outcome : Outcome, optional
            The definition, or its parts as keywords.
        **definition
            Parts of an `Outcome`.

        Returns
        -------
        Cohort

        Examples
        --------
        >>> import pandas as pd
        >>> import precisionpain as pp
        >>> people = pd.DataFrame({"age": [61, 48], "bni": [1, 4]}, index=["p1", "p2"])
        >>> cohort = pp.Cohort(people).with_outcome("response", column="bni", at_most=2)
        >>> cohort.outcome("response").tolist(), cohort.predictors
        ([1.0, 0.0], ['age'])
        """
        outcome = Outcome(**definition) if outcome is None else outcome
        for source in outcome.sources:
            if source in self._store.hidden and source not in self._store.subjects:
                raise leak(source, self._store.hidden[source])
        outcome.values(self.subjects)
        store = dataclasses.replace(
            self._store,
            columns=bar_sources(self._store.columns, {name: outcome}),
            outcomes={**self._store.outcomes, name: outcome},
        )
        return self._build(store, self._position, self._unit, self._within, self._flow)

    # --- storage and exchange --------------------------------------------------------

    def save(self, path: str | Path, *, checksum: bool = True) -> Path:
        """Write the cohort to a directory; see `precisionpain.cohort.save_cohort`.

        Parameters
        ----------
        path : str or Path
            The directory; an older cohort there is replaced as a whole or not at all.
        checksum : bool, default True
            Whether to hash the images that have no checksum yet.

        Returns
        -------
        Path
            The directory.
        """
        from .storage import save_cohort

        return save_cohort(self, path, checksum=checksum)

    def to_mudata(self) -> Any:
        """Return the cohort as `mudata.MuData`; see `precisionpain.cohort.to_mudata`.

        Returns
        -------
        mudata.MuData
        """
        from .exchange import to_mudata

        return to_mudata(self)

    def __repr__(self) -> str:
        from .display import describe

        return describe(self)

    def _repr_html_(self) -> str:
        from .display import describe_html

        return describe_html(self)
