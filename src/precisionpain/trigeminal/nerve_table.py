"""Features of the painful nerve from a measurement table of both nerves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from ._nerves import at_level, nerve_rows
from .morphometry import EXTRA_MEASURES, MEASURES

__all__ = ["NerveMeasures"]

Part = Literal["affected", "contralateral", "asymmetry"]
PARTS: tuple[Part, ...] = get_args(Part)

# Sizes and diffusion values: never 0 in a nerve that is there, so a ratio of sides makes sense.
SIZES = (
    "volume_mm3",
    "length_mm",
    "mean_area_mm2",
    "min_area_mm2",
    "flattening",
    "angle_deg",
    "fa",
    "md",
    "ad",
    "rd",
)


_NAMED = {*MEASURES, *EXTRA_MEASURES}


class NerveMeasures(TransformerMixin, BaseEstimator):
    """Measures of the painful nerve of each person, and how it differs from the other.

    Takes a Cohort of subjects and joins by key: one row per person, whatever the order of
    the table. Only measurements from visits up to the landmark are seen, also when the cohort
    holds later ones. Features are named ``affected:volume_mm3``, ``contralateral:volume_mm3``
    and ``asymmetry:volume_mm3``.

    The asymmetry is (U − A) / U of the unaffected and affected nerve: positive where the
    painful nerve is smaller. It is made for sizes and diffusion values only; displacement,
    contact area and the like are 0 in a nerve that nothing touches.

    Any table of two sides will do, also one of spinal roots that has rows for several levels.

    Text, such as ``vessel``, becomes one column per level seen in training: 1, or 0, also where
    a measured nerve has no entry, which for ``vessel`` means that none touches it.

    Parameters
    ----------
    table : str, default "nerve_measures"
        Which of the cohort's measurement tables; it needs a column ``side``.
    measures : sequence of str, optional
        Which of its columns; by default all numbers and texts.
    exclude : sequence of str, default ()
        Columns to leave out.
    parts : sequence of {"affected", "contralateral", "asymmetry"}, default \
("affected", "asymmetry")
        What to make of each measure.
    visit : str, optional
        Which visit, needed where several lie before the landmark.
    without_side : {"missing", "mean"}, default "missing"
        People without one painful side: controls and people whose side is unknown. With
        "mean" the affected and contralateral values are the mean of both nerves (of the known
        one where the other is missing); asymmetry stays missing. In bilateral disease both
        nerves are affected: always their mean, and neither contralateral nor asymmetry.
    allow : sequence of str, default ()
        Visits, or the table, allowed by name although they lie after the landmark.
    as_frame : bool, default True
        Return a DataFrame; an array spares a pipeline the conversion.
    sizes : sequence of str, optional
        Measures that get an asymmetry. By default the sizes and diffusion values of this
        library, and, of measures that it doesn't know by name, the numbers that are above 0 in
        every training nerve and aren't shares (``..._percent``).
    level : str, optional
        Column of ``subjects`` that names the painful level, such as "L5", where the table has a
        column ``level``; the rows of that level are taken.

    Attributes
    ----------
    measures_ : list of str
        Columns taken.
    sizes_ : list of str
        Those with an asymmetry.
    levels_ : dict of str to list of str
        Levels of each text column.
    feature_names_in_, n_features_in_
        As scikit-learn has them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> from precisionpain.trigeminal import NerveMeasures
    >>> cohort = pp.datasets.sample_tn(n_subjects=40)
    >>> nerve = NerveMeasures(measures=["volume_mm3", "gap_mm"]).fit(cohort)
    >>> nerve.get_feature_names_out().tolist()
    ['affected:volume_mm3', 'affected:gap_mm', 'asymmetry:volume_mm3']
    >>> nerve.transform(cohort).shape
    (40, 3)
    """

    def __init__(
        self,
        table: str = "nerve_measures",
        *,
        measures: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        parts: Sequence[Part] = ("affected", "asymmetry"),
        visit: str | None = None,
        without_side: Literal["missing", "mean"] = "missing",
        allow: Sequence[str] = (),
        as_frame: bool = True,
        sizes: Sequence[str] | None = None,
        level: str | None = None,
    ) -> None:
        self.table = table
        self.measures = measures
        self.exclude = exclude
        self.parts = parts
        self.visit = visit
        self.without_side = without_side
        self.allow = allow
        self.as_frame = as_frame
        self.sizes = sizes
        self.level = level

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn which measures and levels there are.

        Parameters
        ----------
        X : Cohort
            Training people.
        y : object
            Ignored.

        Returns
        -------
        NerveMeasures

        Raises
        ------
        MissingModalityError
            When the table, a measure or the side is missing.
        LeakageError
            When the visit, or the whole table, lies after the landmark.
        FormatError
            When `X` isn't a cohort of subjects, or a setting is unknown.
        """
        self._learn(self._both_nerves(X))
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame | np.ndarray:
        """Learn the measures and levels, and return the features of the same people.

        Parameters
        ----------
        X : Cohort
            Training people, n rows.
        y : object
            Ignored.
        **options
            Ignored.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            As `transform` gives it.
        """
        nerves = self._both_nerves(X)
        self._learn(nerves)
        return self._features(X, nerves)

    def transform(self, X: Cohort) -> pd.DataFrame | np.ndarray:
        """Return the features.

        Parameters
        ----------
        X : Cohort
            People, n rows.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            Float, index as ``X.index``; missing where the nerve wasn't measured.
        """
        check_is_fitted(self, "measures_")
        return self._features(X, self._both_nerves(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features: ``part:measure`` or ``part:text=level``.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "measures_")
        columns = self._columns()
        sizes = [name for name in columns if name in self.sizes_]
        return np.array(
            [
                f"{part}:{name}"
                for part in self.parts
                for name in (sizes if part == "asymmetry" else columns)
            ],
            dtype=object,
        )

    def _both_nerves(self, X: Any) -> Cohort:
        if not isinstance(X, Cohort) or X.unit != "subject":
            found = f"a cohort of {X.unit}s" if isinstance(X, Cohort) else type(X).__name__
            raise FormatError(f"X is a Cohort of subjects, found {found}")
        known = X.known_at_index(allow=self.allow)
        if self.level is not None:
            known = at_level(known, self.table, self.level)
        return known.per_nerve()

    def _table(self, nerves: Cohort) -> pd.DataFrame:
        return nerve_rows(nerves, self.table, self.visit)

    def _learn(self, nerves: Cohort) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not len(self.parts):
            raise FormatError(f"parts are {list_some(PARTS)}, found {list_some(self.parts)}")
        if self.without_side not in ("missing", "mean"):
            raise FormatError(f"without_side is 'missing' or 'mean', found {self.without_side!r}")
        table = self._table(nerves)
        columns = [str(name) for name in table]
        asked = columns if self.measures is None else list(self.measures)
        absent = [name for name in asked if name not in table]
        if absent:
            raise MissingModalityError(
                f"measurements[{self.table!r}] has no column {list_some(absent)}",
                remedy=f"columns are {list_some(table, 30)}",
            )
        self.measures_ = [name for name in asked if name not in set(self.exclude)]
        # The type is that of the stored table, so that it doesn't hang on who is in a fold.
        stored = nerves.measurements[self.table]
        self.levels_: dict[str, list[str]] = {
            name: sorted(table[name].dropna().astype(str).unique())
            for name in self.measures_
            if not _numeric(stored[name])
        }
        self.sizes_ = self._with_asymmetry(table)
        self.feature_names_in_ = np.array(self.measures_, dtype=object)
        self.n_features_in_ = len(self.measures_)
        if not len(self.get_feature_names_out()):
            raise MissingModalityError(
                f"no feature is left of measurements[{self.table!r}]",
                remedy="name measures=, exclude fewer, or ask for more parts",
            )

    def _with_asymmetry(self, table: pd.DataFrame) -> list[str]:
        numbers = [name for name in self.measures_ if name not in self.levels_]
        if self.sizes is not None:
            odd = [name for name in self.sizes if name not in numbers]
            if odd:
                raise FormatError(
                    f"sizes are numbers among the measures, found {list_some(odd)}",
                    remedy=f"measures are {list_some(numbers, 30)}",
                )
            return list(self.sizes)
        return [
            name
            for name in numbers
            if name in SIZES
            or (not (name in _NAMED or name.endswith("_percent")) and bool(table[name].min() > 0))
        ]

    def _columns(self) -> list[str]:
        return [
            column
            for name in self.measures_
            for column in (
                [f"{name}={level}" for level in self.levels_[name]]
                if name in self.levels_
                else [name]
            )
        ]

    def _features(self, X: Cohort, nerves: Cohort) -> pd.DataFrame | np.ndarray:
        table = self._table(nerves)
        absent = [name for name in self.measures_ if name not in table]
        if absent:
            raise MissingModalityError(
                f"measurements[{self.table!r}] lacks the column {list_some(absent)}, which the "
                "training people had"
            )
        columns = self._columns()
        # People, sides, columns.
        both = _encoded(table, self.measures_, self.levels_).reshape(len(X), 2, len(columns))
        role = nerves.rows["nerve"].to_numpy().reshape(len(X), 2)
        painful = role == "affected"
        one = painful.sum(axis=1) == 1
        bilateral = painful.all(axis=1)

        which = np.argmax(painful, axis=1)
        person = np.arange(len(X))
        values = {
            "affected": np.where(one[:, None], both[person, which], np.nan),
            "contralateral": np.where(one[:, None], both[person, 1 - which], np.nan),
        }
        mean = _mean_of_known(both)
        values["affected"][bilateral] = mean[bilateral]
        if self.without_side == "mean":
            neither = ~one & ~bilateral
            for value in values.values():
                value[neither] = mean[neither]
        sized = np.array([name in self.sizes_ for name in columns], dtype=bool)
        affected, other = (values[part][:, sized] for part in ("affected", "contralateral"))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (other - affected) / other
        # A size of 0 is a nerve that wasn't found; for people without a side nothing differs.
        values["asymmetry"] = np.where(one[:, None] & (other > 0), ratio, np.nan)
        block = np.hstack([values[part] for part in self.parts])
        if not self.as_frame:
            return block
        return pd.DataFrame(block, X.index, self.get_feature_names_out())


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)


def _encoded(table: pd.DataFrame, names: list[str], levels: dict[str, list[str]]) -> np.ndarray:
    """Return numbers, and one column per level of a text."""
    measured = table.notna().any(axis=1).to_numpy()
    blocks = []
    for name in names:
        if name not in levels:
            blocks.append(table[[name]].to_numpy(dtype=float, na_value=np.nan))
            continue
        codes = pd.Categorical(table[name].astype("string"), categories=levels[name]).codes
        block = np.equal.outer(codes, np.arange(len(levels[name]))).astype(float)
        block[~measured] = np.nan
        blocks.append(block)
    return np.hstack(blocks) if blocks else np.empty((len(table), 0))


def _mean_of_known(both: np.ndarray) -> np.ndarray:
    known = np.isfinite(both).sum(axis=1)
    total = np.nansum(both, axis=1)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)
