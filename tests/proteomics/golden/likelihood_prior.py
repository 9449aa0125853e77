"""Make likelihood_prior.csv: the prior that limma takes from 3.62 on when the df differ.

Run in this folder with pylimma 0.2.0, an independent port of R's limma 3.66 (not one of the
project's tools): python likelihood_prior.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    import pylimma  # only here: the tests need the values, not the port

    rng = np.random.default_rng(20250311)
    parts = []
    for case, (n, d0) in enumerate([(200, 4.0), (300, 10.0), (60, 5.0), (300, 30.0)]):
        df = rng.choice([2.0, 3.0, 5.0, 9.0, 14.0], n)
        variance = 0.3 * rng.f(df, d0)
        found = pylimma.fit_f_dist_unequal_df1(variance, df)
        parts.append(
            pd.DataFrame(
                {"case": case, "variance": variance, "df": df,
                 "prior": float(found["scale"]), "prior_df": float(found["df2"])}
            )
        )  # fmt: skip
    path = Path(__file__).with_suffix(".csv")
    pd.concat(parts).to_csv(path, index=False, float_format="%.17g")


if __name__ == "__main__":
    main()
