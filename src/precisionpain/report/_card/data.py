"""Who the people of a model are, where they come from, and what they lack."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...cohort.subject import table_content
from ...evaluation import CVResult
from ...stats import TableOne


def describe_data(result: CVResult, site: str, table_one: TableOne | None) -> dict[str, Any]:
    """Return counts, sites, flow, characteristics and gaps; no person is named."""
    cohort = result.cohort
    people = table_one if table_one is not None else _table_one(result)
    found = {
        "name": cohort.name,
        "synthetic": cohort.synthetic,
        "unit": cohort.unit,
        "n_people": cohort.n_subjects,
        "n_rows": len(result.y),
        "n_events": int(result.y.sum()),
        "landmark_days": cohort.landmark,
        "meta": {
            key: value
            for key, value in cohort.meta.items()
            if isinstance(value, str | int | float) and len(str(value)) < 400
        },
        "sites": _sites(result, site),
        "flow": cohort.flow.frame().to_dict("records"),
        "has": _has(cohort, result.allow),
        "gaps": _gaps(cohort, result.allow),
        "predictors": _predictors(cohort, result.allow),
        "barred": _barred(cohort),
        "provenance_steps": len(cohort.provenance),
        "n_images": len(cohort.images),
        "table_one": None,
        "table_one_notes": [],
        "fingerprint": fingerprint(cohort),
    }
    if people is not None:
        frame = people.frame[people.frame["level"] != "missing"]
        frame = frame.drop(columns="statistic", errors="ignore")
        found["table_one"] = frame.to_dict("records")
        found["table_one_notes"] = list(people.notes)
    return found


def describe_outcome(result: CVResult) -> dict[str, Any]:
    """Return how the outcome is defined, where the cohort knows it by name."""
    known = result.cohort.outcomes.get(result.outcome)
    record = {} if known is None else known.to_dict()
    return {
        "name": result.outcome,
        "description": record.pop("description", ""),
        "rule": _rule(record),
        "definition": record,
        "share": float(result.y.mean()),
    }


def _rule(record: dict[str, Any]) -> str:
    """Put the definition in words: ``bni_12mo at most 2, of people with index_surgery MVD``."""
    if not record.get("column"):
        return ""
    text = str(record["column"])
    for key, word in (("at_most", "at most"), ("at_least", "at least")):
        if key in record:
            text += f" {word} {record[key]:g}"
    if "positive" in record:
        text += f" is {' or '.join(map(str, record['positive']))}"
    where = [
        f"{name} {' or '.join(map(str, v)) if isinstance(v, list | tuple) else v}"
        for name, v in record.get("where", {}).items()
    ]
    return f"{text}, of people with {' and '.join(where)}" if where else text


def _sites(result: CVResult, site: str) -> list[dict[str, Any]]:
    frame = result.cohort.subjects
    if site not in frame:
        return []
    where = frame[site].astype(object).where(frame[site].notna(), "unknown").astype(str)
    rows = pd.DataFrame(
        {"site": where.reindex(result.cohort.groups).to_numpy(), "event": result.y,
         "person": result.cohort.groups}
    )  # fmt: skip
    counts = rows.groupby("site").agg(people=("person", "nunique"), events=("event", "sum"))
    return [
        {"site": str(name), "people": int(row["people"]), "events": int(row["events"])}
        for name, row in counts.sort_values("people", ascending=False).iterrows()
    ]


def _has(cohort: Cohort, allow: tuple[str, ...]) -> list[dict[str, Any]]:
    """Count who has each kind of data, as far as it was known by the landmark."""
    availability = cohort.known_at_index(allow=allow).availability
    n = len(availability)
    return [
        {"block": str(name), "have": int(has.sum()), "lack": n - int(has.sum()),
         "share_lacking": float(1 - has.mean()) if n else float("nan")}
        for name, has in availability.items()
    ]  # fmt: skip


def _gaps(cohort: Cohort, allow: tuple[str, ...]) -> list[dict[str, Any]]:
    frame = cohort.known_at_index(allow=allow).predictor_frame()
    lack = frame.isna().sum()
    lack = lack[lack > 0].sort_values(ascending=False, kind="stable")
    return [{"column": str(c), "missing": int(k), "of": len(frame)} for c, k in lack.items()]


def _predictors(cohort: Cohort, allow: tuple[str, ...]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys([*cohort.predictors, *(a for a in allow if a in cohort.columns)]))
    records = cohort.columns
    return [
        {"column": name, "kind": records[name].kind, "unit": records[name].unit,
         "visit": records[name].visit, "description": records[name].description}
        for name in names
    ]  # fmt: skip


def _barred(cohort: Cohort) -> list[str]:
    return [str(n) for n, c in cohort.columns.items() if c.role in ("outcome", "truth")]


def _table_one(result: CVResult) -> TableOne | None:
    cohort = result.cohort
    if cohort.unit != "subject" or not cohort.predictors:
        return None
    if result.outcome in cohort.outcomes:
        return cohort.table_one(result.outcome)
    words = np.where(result.y == 1, "yes", "no")
    return cohort.table_one(pd.Series(words, cohort.index, name="outcome"))


def fingerprint(cohort: Cohort) -> str:
    """Return a hash of the tables and assays, so that a card can be told from that of others.

    Images count by their rows in the table, without their paths; no pixel is read.
    """
    digest = hashlib.blake2b(digest_size=16)
    tables: dict[str, pd.DataFrame] = {
        "subjects": cohort.subjects,
        "visits": cohort.visits,
        "images": cohort.images.drop(columns="path", errors="ignore"),
        **{f"measurements/{name}": cohort.measurements[name] for name in cohort.measurements},
    }
    for name in cohort.assays:
        adata = cohort.assays[name]
        values = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
        tables |= {f"obs/{name}": adata.obs, f"var/{name}": adata.var}
        digest.update(f"{name} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    for name, table in sorted(tables.items()):
        digest.update(name.encode())
        digest.update(table_content(table))
    return digest.hexdigest()
