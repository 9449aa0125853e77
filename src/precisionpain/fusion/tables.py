"""Numbers of a measurement table that has one row for each person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some

__all__ = ["TableFeatures"]


class TableFeatures(TransformerMixin, BaseEstimator):
    """Numbers of a measurement table of a Cohort, by person.

    Joins by key: one row per person, in the order of the cohort. Only measurements from visits
    up to the landmark are seen. For tables of both nerves there is
    `precisionpain.trigeminal.NerveMeasures`.

    Parameters
    ----------
    table : str
        Which of the cohort's measurement tables.
    columns : sequence of str, optional
        Which of its columns; by default all numbers.
    exclude : sequence of str, default ()
        Columns to leave out.
    visit : str, optional
        Which visit, needed where several lie before the landmark.
    allow : sequence of str, default ()
        Visits, or the table, allowed by name although they lie after the landmark.
    repeats : {"error", "mean"}, default "error"
        What to do with several rows of a person at one visit (runs of a scan): refuse them, or
        average them.

    Attributes
    ----------
    columns_ : list of str
        Columns taken.
    feature_names_in_, n_features_in_
        As scikit-learn has them.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> people = pd.DataFrame({"age": [61, 48]}, index=["p1", "p2"])
    >>> nerves = pd.DataFrame({"subject_id": ["p2"], "velocity_m_s": [41.0]})
    >>> cohort = pp.Cohort(people, measurements={"conduction": nerves})
    >>> pp.fusion.TableFeatures("conduction").fit_transform(cohort)["velocity_m_s"].tolist()
    [nan, 41.0]
    """

    def __init__(
        self,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        visit: str | None = None,
        allow: Sequence[str] = (),
        repeats: Literal["error", "mean"] = "error",
    ) -> None:
        self.table = table
        self.columns = columns
        self.exclude = exclude
        self.visit = visit
        self.allow = allow
        self.repeats = repeats

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn which columns there are.

        Parameters
        ----------
        X : Cohort
            Training people.
        y : object
            Ignored.

        Returns
        -------
        TableFeatures

        Raises
        ------
        MissingModalityError
            When the table or a column is missing.
        FormatError
            When `X` isn't a cohort of subjects, or a column holds no numbers.
        """
        table = self._table(X)
        # The type is that of the stored table: a flag of which somebody has none isn't one.
        stored = X.measurements[self.table]
        numeric = [str(name) for name in table if is_numeric(stored[name])]
        asked = numeric if self.columns is None else list(self.columns)
        absent = [name for name in asked if name not in table]
        if absent:
            raise MissingModalityError(
                f"measurements[{self.table!r}] has no column {list_some(absent)}",
                remedy=f"columns are {list_some(table, 30)}",
            )
        text = [name for name in asked if name not in numeric]
        if text:
            raise FormatError(f"columns {list_some(text)} of {self.table!r} hold no numbers")
        self.columns_ = [name for name in asked if name not in set(self.exclude)]
        if not self.columns_:
            raise MissingModalityError(f"no column is left of measurements[{self.table!r}]")
        self.feature_names_in_ = np.array(self.columns_, dtype=object)
        self.n_features_in_ = len(self.columns_)
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the numbers.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_columns)
            Float, index as ``X.index``; missing for people without a row.
        """
        check_is_fitted(self, "columns_")
        table = self._table(X)
        absent = [name for name in self.columns_ if name not in table]
        if absent:
            raise MissingModalityError(
                f"measurements[{self.table!r}] lacks the column {list_some(absent)}, which the "
                "training people had"
            )
        values = table[self.columns_].to_numpy(dtype=float, na_value=np.nan)
        return pd.DataFrame(values, X.index, self.columns_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "columns_")
        return np.array(self.columns_, dtype=object)

    def _table(self, X: Any) -> pd.DataFrame:
        if not isinstance(X, Cohort) or X.unit != "subject":
            found = f"a cohort of {X.unit}s" if isinstance(X, Cohort) else type(X).__name__
            raise FormatError(f"X is a Cohort of subjects, found {found}")
        if self.repeats not in ("error", "mean"):
            raise FormatError(f"repeats is 'error' or 'mean', found {self.repeats!r}")
        known = X.known_at_index(allow=self.allow)
        if self.repeats == "mean":
            table = known.measurements[self.table]
            keys = [name for name in ("subject_id", "visit", "side") if name in table]
            means = table.groupby(keys, dropna=False).mean(numeric_only=True).reset_index()
            known = known.with_measurements(self.table, means.drop(columns="run", errors="ignore"))
        return known.measurement(self.table, visit=self.visit)


def is_numeric(values: pd.Series) -> bool:
    """Tell whether a column holds numbers or flags."""
    return pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
