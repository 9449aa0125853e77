"""Cohorts to and from MuData, the container of the scverse."""

from __future__ import annotations

import base64
import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError
from ._files import read_table, write_table
from .storage import as_json, cohort_record, cohort_tables, make_cohort

if TYPE_CHECKING:
    from .core import Cohort

__all__ = ["from_mudata", "to_mudata"]

_PEOPLE = "clinical"
_KEY = "precisionpain"


def to_mudata(cohort: Cohort) -> Any:
    """Return a cohort as MuData: one modality per assay, and ``clinical`` for the people.

    Parameters
    ----------
    cohort : Cohort
        A cohort of subjects.

    Returns
    -------
    mudata.MuData
        The modality ``clinical`` has one observation per person, the subjects table in
        ``obs`` and the numeric predictors in ``X``. All tables stand, exactly, in
        ``uns["precisionpain"]``, so that `from_mudata` gives the same cohort back.

    Raises
    ------
    FormatError
        When the rows aren't subjects, an assay is called ``clinical``, or a table has
        values that Parquet can't hold.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> cohort = pp.Cohort(pd.DataFrame({"age": [61, 48]}, index=["p1", "p2"]))
    >>> pp.cohort.from_mudata(cohort.to_mudata()).subjects.equals(cohort.subjects)
    True
    """
    import anndata
    import mudata

    if cohort.unit != "subject":
        raise FormatError(f"a cohort of subjects becomes MuData, found one of {cohort.unit}s")
    if _PEOPLE in cohort.assays:
        raise FormatError(f"an assay named {_PEOPLE!r} clashes with the people's modality")
    subjects = cohort.subjects
    numeric = [c for c in cohort.predictors if pd.api.types.is_numeric_dtype(subjects[c])]
    people = anndata.AnnData(
        X=subjects[numeric].to_numpy(dtype=float, na_value=np.nan),
        obs=pd.DataFrame({name: _storable(subjects[name]) for name in subjects}, subjects.index),
        var=pd.DataFrame(index=pd.Index(numeric, dtype=object)),
    )
    people.obs_names.name = None
    modalities = {_PEOPLE: people, **cohort.assays}
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        # Proteins measured in several fluids share their names, as they should.
        warnings.filterwarnings("ignore", "var_names are not unique", UserWarning)
        container = mudata.MuData(modalities)
    tables = {}
    for name, table in cohort_tables(cohort).items():
        buffer = io.BytesIO()
        write_table(table, buffer, label=name)
        tables[name] = base64.b64encode(buffer.getvalue()).decode()
    container.uns[_KEY] = as_json({**cohort_record(cohort), "tables": tables})
    return container


def from_mudata(container: Any) -> Cohort:
    """Return the cohort behind a MuData.

    Parameters
    ----------
    container : mudata.MuData
        Made by `to_mudata`, possibly written to h5mu, read again or cut to some people
        (their tables come from ``uns``, not from ``obs``); or any MuData whose
        modalities have ``subject_id`` in ``obs`` (the observation names stand in for it
        where it is absent). The observations of a modality ``clinical`` are the people.

    Returns
    -------
    Cohort

    Raises
    ------
    AlignmentError
        When the keys don't match.
    """
    assays = {name: container.mod[name].copy() for name in container.mod if name != _PEOPLE}
    text = container.uns.get(_KEY)
    if text is None:
        return _from_foreign(container, assays)
    record = json.loads(text)
    tables = {
        name: read_table(io.BytesIO(base64.b64decode(table)))
        for name, table in record["tables"].items()
    }
    cohort = make_cohort(record, {**tables, **{f"assays/{n}": a for n, a in assays.items()}})
    if _PEOPLE not in container.mod:
        return cohort
    people = list(container.mod[_PEOPLE].obs_names)
    return cohort if people == list(cohort.subject_ids) else cohort.select(people, "not in MuData")


def _from_foreign(container: Any, assays: dict[str, Any]) -> Cohort:
    from .core import Cohort

    for adata in assays.values():
        if "subject_id" not in adata.obs:
            adata.obs["subject_id"] = adata.obs_names.astype(str)
    if _PEOPLE in container.mod:
        people = container.mod[_PEOPLE]
        values = people.to_df()
        subjects = people.obs.join(values[[c for c in values if c not in people.obs]])
    else:
        owners = [adata.obs["subject_id"].dropna().astype(str) for adata in assays.values()]
        ids = pd.unique(pd.concat(owners)) if owners else []
        subjects = pd.DataFrame(index=pd.Index(ids, name="subject_id"))
    return Cohort(subjects, assays=assays)


def _storable(values: pd.Series) -> pd.Series:
    """Bring a column to a type that h5mu holds; the exact one stands in ``uns``."""
    found = pd.api.types.infer_dtype(values, skipna=True)
    dtypes: dict[str, Any] = {
        "boolean": "boolean",
        "integer": "Int64",
        "floating": "float64",
        "mixed-integer-float": "float64",
        "empty": "float64",
    }
    if found in dtypes:
        plain = isinstance(values.dtype, np.dtype) and values.dtype != object
        return values if plain else values.astype(dtypes[found])
    if found in ("string", "categorical"):
        return values
    return values.astype(str).where(values.notna(), None)
