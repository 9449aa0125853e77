"""FA of the nerve from simulated diffusion scans: corrected, naive, the truth, and the noise limit.

The phantom's nerves are 2 to 4 mm thick and lie in voxels of 1.5 and 2 mm. The scan is made
from a grid of 0.3 mm in another pose than that of the labels (0.5 mm), so that neither knows
the other's voxels. Prints, by voxel size and kind of labels, the mean error and the mean absolute
error of FA and MD, and beside them the mean absolute error of FA that the noise alone would leave
to the best unbiased estimate. About 10 s per phantom and draw:

    python benchmarks/science/nerve_fa.py --phantoms 12
    python benchmarks/science/nerve_fa.py --phantoms 16 --first 700 --draws 4

One draw of 24 nerves tells a mean absolute error to about ±0.004 only; each draw gives the same
phantom another pose, other tensors and other noise.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from precisionpain.trigeminal._phantom.dti import DiffusionScan, simulate_dwi
from precisionpain.trigeminal._phantom.raster import class_fractions, grid_of, nerve_direction
from precisionpain.trigeminal._phantom.tissue import Tissue
from precisionpain.trigeminal.anatomy import SIDES
from precisionpain.trigeminal.diffusion import measure_diffusion
from precisionpain.trigeminal.phantom import Cistern, simulate_cistern

Scanner = Callable[..., DiffusionScan]


def scanner_of(cistern: Cistern, seed: int, fine: float = 0.3) -> Scanner:
    """Put the phantom in a pose; the same tensors and noise come at each call."""
    rng = np.random.default_rng(seed)
    scene, how = cistern._scene, cistern._how
    assert scene is not None
    assert how is not None
    a, b, c = (float(angle) for angle in rng.uniform(-8, 8, 3))
    shape, affine = grid_of(scene, (fine,) * 3, how.fov_mm, (a, b, c), rng.uniform(-1, 1, 3))
    fractions = class_fractions(scene, affine, shape, 2)
    direction = nerve_direction(scene, affine, shape)

    def scan(**options: Any) -> DiffusionScan:
        return simulate_dwi(
            fractions, affine, direction, rng=np.random.default_rng(seed), **options
        )

    return scan


def noise_limit(scanner: Scanner, truth: pd.DataFrame, sd: float, **options: Any) -> pd.Series:
    """Return the Cramér–Rao bound of the standard error of FA, by side.

    All is known but the nerve's FA and MD and, in each volume, the signals of CSF and pons:
    exact volumes, exact S₀, the exact course. The noise is taken as Gaussian, which tells more
    than Rician noise does, so the bound is a low one.
    """

    def clean(fa: float, md: float) -> DiffusionScan:
        shifted = {
            "fa": (truth["fa"] + fa).to_dict(),
            "md": (truth["md"] + md).to_dict(),
        }
        return scanner(snr=None, **shifted, **options)

    step = 1e-3
    middle = clean(0, 0)
    base = np.asarray(middle.image.dataobj, dtype=float)
    slopes = [
        (np.asarray(clean(*change).image.dataobj, dtype=float) - base) / step
        for change in ((step, 0), (0, step))
    ]
    shares = np.asarray(middle.fractions.dataobj, dtype=float)
    found = {}
    for side in SIDES:
        nerve = shares[..., Tissue.NERVE_LEFT if side == "left" else Tissue.NERVE_RIGHT]
        near = binary_dilation(nerve > 0, structure=np.ones((3, 3, 3)))
        basis, _ = np.linalg.qr(shares[near][:, [Tissue.CSF, Tissue.PONS]])
        # The other nerve's slopes are not this one's.
        slope = np.stack([s[near] * (nerve[near] > 0)[:, None] for s in slopes])
        left = slope - basis @ (basis.T @ slope)
        information = np.einsum("ivk,jvk->ij", left, left) / sd**2
        found[side] = float(np.sqrt(np.linalg.inv(information)[0, 0]))
    return pd.Series(found, name="limit")


def errors_of(
    n_phantoms: int,
    shift_mm: float,
    n_directions: int,
    snr: float,
    first: int = 0,
    draws: int = 1,
) -> pd.DataFrame:
    rows = []
    for seed in range(first, first + n_phantoms):
        cistern = simulate_cistern(seed)
        for draw in range(draws):
            scanner = scanner_of(cistern, 1000 + seed + 100_000 * draw)
            for spacing in (1.5, 2.0):
                options = {"spacing": spacing, "n_directions": n_directions}
                scan = scanner(epi_shift_mm=shift_mm, snr=snr, **options)
                limit = noise_limit(scanner, scan.truth, scan.drawn["noise_sd"], **options)
                for kind in ("fractions", "labels"):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = measure_diffusion(
                            scan.image, scan.gradients, getattr(cistern, kind), bins=None,
                            shift_mm="estimate" if shift_mm else 0.0,
                        )  # fmt: skip
                    row = found.join(scan.truth, rsuffix="_true").join(limit).reset_index()
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
    by = [table["spacing"], table["labels"]]
    means = [error.groupby(by).mean(), error.abs().groupby(by).mean()]
    return pd.concat(means, axis=1, keys=["mean error", "mean absolute error"]).round(3)


def against_noise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean |FA error| with its standard error, beside what noise alone would leave."""
    size = (table["fa"] - table["fa_true"]).abs()
    # The mean size of a normal error is √(2/π) of its standard deviation.
    parts = pd.DataFrame({"found": size, "noise limit": np.sqrt(2 / np.pi) * table["limit"]})
    groups = parts.groupby([table["spacing"], table["labels"]])
    result = groups.mean()
    # Both nerves of a phantom, and its draws, are not independent of each other.
    whole = parts["found"].groupby([table["spacing"], table["labels"], table["phantom"]]).mean()
    result.insert(1, "± (1 SE)", whole.groupby(["spacing", "labels"]).sem())
    return result.round(4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="seed of the first phantom")
    parser.add_argument("--draws", type=int, default=1, help="scans of each phantom")
    parser.add_argument("--shift", type=float, default=0.0, help="EPI shift, mm; is estimated")
    parser.add_argument("--directions", type=int, default=32)
    parser.add_argument("--snr", type=float, default=25.0)
    given = parser.parse_args()
    found = errors_of(
        given.phantoms, given.shift, given.directions, given.snr, given.first, given.draws
    )
    print(
        f"{2 * given.phantoms} nerves from seed {given.first}, {given.draws} scans each, "
        f"{given.directions} directions, SNR {given.snr:g}"
    )
    print(summary(found, given.shift).T.to_string())
    print("\nmean absolute error of FA")
    print(against_noise(found).to_string())
