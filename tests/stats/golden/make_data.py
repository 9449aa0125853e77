"""Write the data that golden.R reads. Run once: python make_data.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

here = Path(__file__).parent
rng = np.random.default_rng(20240611)

# Three scores of the same 120 people: two correlated, and a third with many ties.
n = 120
y = (rng.random(n) < 0.4).astype(int)
shared = rng.normal(size=n)
a = 1.1 * y + 0.7 * shared + 0.7 * rng.normal(size=n)
b = 0.8 * y + 0.7 * shared + 0.7 * rng.normal(size=n)
c = np.round(0.9 * y + rng.normal(size=n))
pd.DataFrame({"y": y, "a": a, "b": b, "c": c}).to_csv(
    here / "roc.csv", index=False, float_format="%.17g"
)

# Predictions that are too extreme, and too high on average.
n = 200
linear = rng.normal(-0.6, 1.2, size=n)
y = (rng.random(n) < expit(linear)).astype(int)
p = expit(0.3 + 1.5 * linear)
pd.DataFrame({"y": y, "p": p, "coarse": np.clip(np.round(p, 1), 0.05, 0.95)}).to_csv(
    here / "calibration.csv", index=False, float_format="%.17g"
)

# Groups: small without ties (exact), small with ties, large without ties, and a third group.
frames = []
for case, sizes, decimals in (("exact", (23, 31, 17), 12), ("ties", (23, 31, 17), 0),
                              ("large", (60, 73, 50), 12), ("tiny", (3, 4, 5), 12)):  # fmt: skip
    for group, size, mean in zip("xyz", sizes, (5.0, 3.5, 4.0), strict=True):
        values = np.round(rng.normal(mean, 2.5, size=size), decimals)
        frames.append(pd.DataFrame({"case": case, "group": group, "value": values}))
pd.concat(frames).to_csv(here / "groups.csv", index=False, float_format="%.17g")

# Differences between two models over 5 x 10 folds.
pd.DataFrame({"difference": rng.normal(0.02, 0.05, size=50)}).to_csv(
    here / "folds.csv", index=False, float_format="%.17g"
)
