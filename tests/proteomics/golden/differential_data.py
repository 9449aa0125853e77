"""Make the synthetic inputs of differential.R (run once: python differential_data.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent / "differential"


def main() -> None:
    rng = np.random.default_rng(20240901)
    n, p = 40, 120
    group = np.tile(np.repeat(["control", "TN", "MS"], [2, 2, 1]), 8)
    person = np.arange(n) // 2
    visit = np.where(np.arange(n) % 2 == 0, "preop", "followup")
    age = rng.normal(55, 12, n).round(1)
    plate = rng.choice(["P1", "P2", "P3"], n)
    level = rng.uniform(0, 8, p)
    spread = np.exp(0.4 - 0.08 * level) * np.sqrt(5 / rng.chisquare(5, p))
    values = level + spread * (rng.normal(size=(n, p)) + 0.7 * rng.normal(size=(n // 2, p))[person])
    values[:, :10] += 0.8 * (group == "TN")[:, None]
    values[:, 5:15] += 0.5 * (visit == "followup")[:, None]
    spreads = np.linspace(0.5, 2, n)[rng.permutation(n)]
    values = values.mean(0) + (values - values.mean(0)) * spreads[:, None]
    # A few proteins vary far more than the others.
    middle = values[:, -4:].mean(0)
    values[:, -4:] = middle + (values[:, -4:] - middle) * np.array([3, 4, 5, 6])
    missing = values.copy()
    missing[rng.random(values.shape) < 0.12] = np.nan
    missing[:, 3][group == "MS"] = np.nan
    balanced = np.tile(np.arange(12), 3)
    names = [f"a{i:03d}" for i in range(p)]
    obs = pd.DataFrame(
        {"group": group, "person": person, "visit": visit, "age": age, "plate": plate}
    )
    three = pd.DataFrame({"person": balanced, "time": np.repeat(["t0", "t1", "t2"], 12)})
    repeated = rng.normal(size=(36, 30)) + rng.normal(size=(12, 30))[balanced]
    repeated[12:24, :5] += 1
    for name, table in {
        "obs": obs,
        "complete": pd.DataFrame(values, columns=names),
        "missing": pd.DataFrame(missing, columns=names),
        "repeated_obs": three,
        "repeated": pd.DataFrame(repeated, columns=names[:30]),
    }.items():
        table.to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.17g")


if __name__ == "__main__":
    main()
