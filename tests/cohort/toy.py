"""A small cohort with everything in it, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from precisionpain.cohort import Cohort, Column, Outcome


def toy_parts(n: int = 40) -> dict[str, Any]:
    """Constructor arguments: n people, a quarter of them controls, two visits, two sites."""
    import anndata

    rng = np.random.default_rng(7)
    ids = [f"p{i:03d}" for i in range(n)]
    control = np.arange(n) % 4 == 0
    subjects = pd.DataFrame(
        {
            "diagnosis": np.where(control, "control", "TN"),
            "affected_side": np.where(
                control, None, np.where(rng.random(n) < 0.6, "right", "left")
            ),
            "site": np.where(np.arange(n) % 2 == 0, "A", "B"),
            "age": rng.normal(58, 11, n).round(),
            "sex": rng.choice(["female", "male"], n),
            "sindou_grade": np.where(control, np.nan, rng.integers(0, 4, n)),
            "bni": np.where(control, np.nan, rng.integers(1, 7, n)),
            "complication": rng.random(n) < 0.2,
            "recurrence_days": rng.integers(30, 900, n).astype(float),
            "recurred": (rng.random(n) < 0.3).astype(float),
            "remark": "text of its own",
        },
        index=pd.Index(ids, name="subject_id"),
    )
    columns = {
        "sindou_grade": Column(kind="ordinal"),
        "bni": Column(kind="ordinal", role="outcome", visit="followup"),
        "complication": Column(kind="flag", role="outcome", visit="discharge"),
        "recurrence_days": Column(kind="duration", role="outcome", unit="days"),
        "recurred": Column(kind="number", role="outcome"),
        "remark": Column(kind="text", role="note"),
        "empty": Column(role="unused", reason="no values"),
    }
    visits = pd.DataFrame(
        [(i, v, d) for i in ids for v, d in (("preop", -9), ("followup", 365))],
        columns=["subject_id", "visit", "day"],
    )
    nerve = pd.DataFrame(
        [
            (i, v, s, rng.normal(70, 10))
            for i in ids[: 3 * n // 4]
            for v in ("preop", "followup")
            for s in ("left", "right")
        ],
        columns=["subject_id", "visit", "side", "volume_mm3"],
    )
    scores = pd.DataFrame(
        {"subject_id": ids[::2], "visit": "followup", "pain": rng.integers(0, 10, len(ids[::2]))}
    )
    owners = [*ids[: n // 2], *ids[: n // 4], None]
    obs = pd.DataFrame(
        {
            "subject_id": owners,
            "visit": ["preop"] * (n // 2) + ["followup"] * (n // 4) + [None],
            "sample_type": ["SAMPLE"] * (len(owners) - 1) + ["NEGATIVE_CONTROL"],
        },
        index=[f"s{i:03d}" for i in range(len(owners))],
    )
    csf = anndata.AnnData(
        rng.normal(size=(len(owners), 6)), obs=obs, var=pd.DataFrame(index=list("ABCDEF"))
    )
    return {
        "subjects": subjects,
        "columns": columns,
        "visits": visits,
        "measurements": {"nerve": nerve, "scores": scores},
        "assays": {"csf_pea": csf},
        "outcomes": {
            "response": Outcome(column="bni", at_most=2, where={"diagnosis": "TN"}),
            "recurrence": Outcome(kind="survival", time="recurrence_days", event="recurred"),
        },
        "name": "toy",
        "synthetic": True,
        "meta": {"source": "made by hand"},
        "provenance": [{"step": "make", "table": "subjects", "n": n, "detail": "by hand"}],
    }


def toy_cohort(n: int = 40, **changes: Any) -> Cohort:
    """A cohort of n people; keywords replace constructor arguments."""
    return Cohort(**{**toy_parts(n), **changes})
