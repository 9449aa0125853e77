"""Cohorts to and from MuData, the container of the scverse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError
from .columns import as_columns
from .outcomes import Outcome

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
        ``obs`` and the numeric predictors in ``X``. Visits, images and measurements stand
        in ``uns["precisionpain"]``, so that `from_mudata` gives the same cohort back.

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
    subjects = cohort.subjects
    numeric = [c for c in cohort.predictors if pd.api.types.is_numeric_dtype(subjects[c])]
    people = anndata.AnnData(
        X=subjects[numeric].to_numpy(dtype=float, na_value=np.nan),
        obs=pd.DataFrame(index=pd.Index(subjects.index, name=None)),
        var=pd.DataFrame(index=pd.Index(numeric, dtype=object)),
    )
    for name in subjects:
        people.obs[name] = subjects[name].to_numpy()
    modalities = {_PEOPLE: people}
    for name in cohort.assays:
        if name == _PEOPLE:
            raise FormatError(f"an assay named {_PEOPLE!r} clashes with the people's modality")
        modalities[name] = cohort.assays[name].copy()
    with mudata.set_options(pull_on_update=False):
        container = mudata.MuData(modalities)
    tables = {"subjects": subjects.reset_index(), "visits": cohort.visits, "images": cohort.images}
    tables |= {f"measurements/{n}": cohort.measurements[n] for n in cohort.measurements}
    store = cohort._store
    container.uns[_KEY] = json.dumps(
        {
            "tables": {name: _to_json(table) for name, table in tables.items()},
            "columns": {name: column.to_dict() for name, column in cohort.columns.items()},
            "outcomes": {name: outcome.to_dict() for name, outcome in cohort.outcomes.items()},
            "schedule": dict(store.schedule),
            "landmark": store.landmark,
            "name": store.name,
            "synthetic": store.synthetic,
            "meta": dict(store.meta),
            "provenance": [dict(entry) for entry in store.provenance],
        }
    )
    return container


def from_mudata(container: Any) -> Cohort:
    """Return the cohort behind a MuData.

    Parameters
    ----------
    container : mudata.MuData
        Made by `to_mudata`, possibly written to h5mu and read again; or any MuData whose
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
    from .core import Cohort

    assays = {name: container.mod[name].copy() for name in container.mod if name != _PEOPLE}
    record = container.uns.get(_KEY)
    if record is None:
        return _from_foreign(container, assays)
    record = json.loads(record)
    tables = {name: _from_json(table) for name, table in record["tables"].items()}
    return Cohort(
        tables.pop("subjects"),
        visits=tables.pop("visits"),
        images=tables.pop("images"),
        assays=assays,
        measurements={name[13:]: table for name, table in tables.items()},
        columns=as_columns(record["columns"]),
        outcomes={name: Outcome(**value) for name, value in record["outcomes"].items()},
        schedule=record["schedule"],
        landmark=record["landmark"],
        name=record["name"],
        synthetic=record["synthetic"],
        meta=record["meta"],
        provenance=record["provenance"],
    )


def _from_foreign(container: Any, assays: dict[str, Any]) -> Cohort:
    from .core import Cohort

    for adata in assays.values():
        if "subject_id" not in adata.obs:
            adata.obs["subject_id"] = adata.obs_names.astype(str)
    if _PEOPLE in container.mod:
        subjects = container.mod[_PEOPLE].obs.copy()
    else:
        owners = [adata.obs["subject_id"].dropna().astype(str) for adata in assays.values()]
        ids = pd.unique(pd.concat(owners)) if owners else []
        subjects = pd.DataFrame(index=pd.Index(ids, name="subject_id"))
    return Cohort(subjects, assays=assays)


def _to_json(table: pd.DataFrame) -> dict[str, Any]:
    """Keep a table as columns with their dtypes, so that it comes back as it was."""
    return {
        name: {"dtype": str(values.dtype), "values": [_plain(v) for v in values]}
        for name, values in table.items()
    }


def _from_json(table: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.Series(column["values"], dtype=object).astype(column["dtype"])
            for name, column in table.items()
        }
    )


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value
