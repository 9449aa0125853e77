"""Add what scikit-survival and torchsurv find to survival.json; see survival_data.py.

Written with scikit-survival 0.28.0, torchsurv 0.2.0 and torch 2.13.0 (double precision).
scikit-survival takes the chance of being followed after, not before, an event at that time.
Where an event and a censoring are tied that differs; here who is censored stays a moment longer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "survival.json"


def outcome(time: Any, event: Any) -> np.ndarray:
    from sksurv.util import Surv  # only here: the tests need the values, not the package

    flags = np.asarray(event, dtype=bool)
    return Surv.from_arrays(flags, np.asarray(time) + np.where(flags, 0, 1e-6))


def within_tau(d: dict[str, Any]) -> np.ndarray:
    """Weights are refused beyond the training people's times; nothing looks beyond tau."""
    test = outcome(d["time"], d["event"])
    late = test["time"] > d["tau"]
    test["time"][late], test["event"][late] = d["tau"] + 0.25, False
    return test


def by_scikit_survival(d: dict[str, Any]) -> dict[str, Any]:
    from sksurv import metrics, nonparametric

    full, test = outcome(d["time"], d["event"]), within_tau(d)
    train = outcome(d["train_time"], d["train_event"])
    risk, times, survival = (np.asarray(d[key]) for key in ("risk", "times", "survival"))
    c = metrics.concordance_index_censored(full["event"], full["time"], risk)
    _, brier = metrics.brier_score(train, test, survival, times)
    auc, _ = metrics.cumulative_dynamic_auc(train, test, risk, times)
    flags = np.asarray(d["event"], dtype=bool)
    x, s = nonparametric.kaplan_meier_estimator(flags, np.asarray(d["time"]))
    found = {
        "c": list(map(float, c[:4])),
        "uno": float(metrics.concordance_index_ipcw(train, test, risk, tau=d["tau"])[0]),
        "brier": brier.tolist(),
        "integrated": float(metrics.integrated_brier_score(train, test, survival, times)),
        "auc": auc.tolist(),
        "km": {"time": x.tolist(), "survival": s.tolist()},
    }
    if max(d["cause"]) > 1:
        cause = np.asarray(d["cause"])
        x, f = nonparametric.cumulative_incidence_competing_risks(cause, np.asarray(d["time"]))
        found["aj"] = {"time": x.tolist(), "incidence": f[1:].T.tolist()}
    return found


def by_torchsurv(d: dict[str, Any]) -> dict[str, Any]:
    """Weights come from scikit-survival: torchsurv wants them given."""
    import torch
    from sksurv import nonparametric
    from torchsurv.metrics.auc import Auc
    from torchsurv.metrics.brier_score import BrierScore
    from torchsurv.metrics.cindex import ConcordanceIndex

    def tensor(values: Any, dtype: Any = torch.float64) -> Any:
        return torch.as_tensor(np.asarray(values).tolist(), dtype=dtype)

    full, test = outcome(d["time"], d["event"]), within_tau(d)
    train = outcome(d["train_time"], d["train_event"])
    censoring = nonparametric.CensoringDistributionEstimator().fit(train)
    weights = {
        "weight": tensor(1 / censoring.predict_proba(test["time"])),
        "weight_new_time": tensor(1 / censoring.predict_proba(np.asarray(d["times"]))),
        "new_time": tensor(d["times"]),
    }
    score, event, time = tensor(d["risk"]), tensor(test["event"], torch.bool), tensor(test["time"])
    harrell = ConcordanceIndex()(score, tensor(full["event"], torch.bool), tensor(full["time"]))
    uno = ConcordanceIndex()(score, event, time, weight=weights["weight"], tmax=tensor(d["tau"]))
    auc = Auc()(score, event, time, **weights)
    brier = BrierScore()(tensor(d["survival"]), event, time, **weights)
    return {"c": float(harrell), "uno": float(uno), "auc": auc.tolist(), "brier": brier.tolist()}


def main() -> None:
    record = json.loads(FILE.read_text(encoding="utf-8"))
    data = record["data"]
    record["scikit-survival"] = {name: by_scikit_survival(d) for name, d in data.items()}
    # torchsurv has no ties of times.
    record["torchsurv"] = {name: by_torchsurv(d) for name, d in data.items() if name != "ties"}
    FILE.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
