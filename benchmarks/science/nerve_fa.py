"""FA of the nerve from simulated diffusion scans: corrected, naive, and the truth.

The phantom's nerves are 2 to 4 mm thick and lie in voxels of 1.5 and 2 mm. The scan is made
from a grid of 0.3 mm in another pose than that of the labels (0.5 mm), so that neither knows
the other's voxels. Prints, by voxel size and kind of labels, the mean error and the mean absolute
error of FA and MD. About 10 s per phantom:

    python benchmarks/science/nerve_fa.py --phantoms 12
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd

from precisionpain.trigeminal._phantom.dti import DiffusionScan, simulate_dwi
from precisionpain.trigeminal._phantom.raster import class_fractions, grid_of, nerve_direction
from precisionpain.trigeminal.diffusion import measure_diffusion
from precisionpain.trigeminal.phantom import Cistern, simulate_cistern


def scan_of(cistern: Cistern, seed: int, fine: float = 0.3, **options: Any) -> DiffusionScan:
    rng = np.random.default_rng(seed)
    scene, how = cistern._scene, cistern._how
    assert scene is not None
    assert how is not None
    a, b, c = (float(angle) for angle in rng.uniform(-8, 8, 3))
    shape, affine = grid_of(scene, (fine,) * 3, how.fov_mm, (a, b, c), rng.uniform(-1, 1, 3))
    fractions = class_fractions(scene, affine, shape, 2)
    direction = nerve_direction(scene, affine, shape)
    return simulate_dwi(fractions, affine, direction, rng=rng, **options)


def errors_of(n_phantoms: int, shift_mm: float, n_directions: int, snr: float) -> pd.DataFrame:
    rows = []
    for seed in range(n_phantoms):
        cistern = simulate_cistern(seed)
        for spacing in (1.5, 2.0):
            scan = scan_of(
                cistern, 1000 + seed, spacing=spacing, epi_shift_mm=shift_mm,
                n_directions=n_directions, snr=snr,
            )  # fmt: skip
            for kind in ("fractions", "labels"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = measure_diffusion(
                        scan.image, scan.gradients, getattr(cistern, kind), bins=None,
                        shift_mm="estimate" if shift_mm else 0.0,
                    )  # fmt: skip
                row = found.join(scan.truth, rsuffix="_true").reset_index()
                rows.append(row.assign(spacing=spacing, labels=kind, phantom=seed))
    return pd.concat(rows, ignore_index=True)


def summary(table: pd.DataFrame, shift_mm: float) -> pd.DataFrame:
    error = pd.DataFrame(
        {
            "fa": table["fa"] - table["fa_true"],
            "fa_naive": table["fa_naive"] - table["fa_true"],
            "md": table["md"] - table["md_true"],
            "md_naive": table["md_naive"] - table["md_true"],
        }
    )
    error["z"] = error["fa"] / table["fa_se"]
    if shift_mm:
        error["shift"] = table["shift_mm"] - shift_mm
    groups = error.groupby([table["spacing"], table["labels"]])
    return pd.concat(
        {"mean error": groups.mean(), "mean absolute error": groups.agg(lambda e: e.abs().mean())},
        axis=1,
    ).round(3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--shift", type=float, default=0.0, help="EPI shift, mm; is estimated")
    parser.add_argument("--directions", type=int, default=32)
    parser.add_argument("--snr", type=float, default=25.0)
    given = parser.parse_args()
    found = errors_of(given.phantoms, given.shift, given.directions, given.snr)
    print(f"{2 * given.phantoms} nerves, {given.directions} directions, SNR {given.snr:g}")
    print(summary(found, given.shift).T.to_string())
