"""Print the study's four tables on made-up people, published and honest figures side by side.

The default is small, so that it runs on two processor cores: scans of 4 mm, a narrow ResNet-10
with MedicalNet's first layers, few epochs. The scans carry no sign of the outcome unless one is
planted, so that the networks' AUCs have to be what chance gives.

    python benchmarks/science/mtbi_tables.py                       # 64 people, 4 folds
    python benchmarks/science/mtbi_tables.py --effect 0.5          # a planted right insula
    python benchmarks/science/mtbi_tables.py --paper --out DIR     # the study's settings: a GPU
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd

from precisionpain.datasets import sample_mtbi
from precisionpain.mtbi import experiments

SMALL: dict[str, Any] = {
    "depth": 10, "stem": "medicalnet", "width": 8, "n_slices": 16, "n_epochs": 4, "n_splits": 4,
    "learning_rate": 1e-3, "precise_bn": True,
}  # fmt: skip
SHOWN = ["row", "published_auc", "auc", "auc_low", "auc_high", "pooled_auc", "pooled_auc_low",
         "pooled_auc_high", "minus_reference", "added"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, help="default 64, or 128 with --paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effect", type=float, help="brighter right insula in chronic pain")
    parser.add_argument("--paper", action="store_true", help="ResNet-18, 2 mm, 30 epochs, 8 folds")
    parser.add_argument("--tables", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="keep predictions here, and go on from them")
    given = parser.parse_args()
    start = time.perf_counter()
    effect = None if given.effect is None else {"region": "insula_right", "size": given.effect}
    cohort = sample_mtbi(
        given.people or (128 if given.paper else 64), given.seed,
        images={"spacing_mm": 2.0 if given.paper else 4.0}, effect=effect,
    )  # fmt: skip
    ready = time.perf_counter()
    found = experiments.run(
        cohort, given.tables, rows=given.rows, random_state=given.seed, device=given.device,
        out=given.out, **({} if given.paper else SMALL),
    )  # fmt: skip
    seconds = time.perf_counter() - ready
    print(found.summary())
    frame = found.frame()
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(f"\n{frame[frame['status'] == 'done'][SHOWN].round(2).to_string(index=False)}")
    print(f"\nscans {ready - start:.0f} s, tables {seconds:.0f} s")


if __name__ == "__main__":
    main()
