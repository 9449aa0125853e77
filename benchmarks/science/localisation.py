"""Does the localiser find the cistern in a whole head? On synthetic heads, and how sure it is.

    python benchmarks/science/localisation.py                 # 40 heads and slabs with a cistern
    python benchmarks/science/localisation.py --heads 100

Prints how far the centre of both nerves is from where it was looked for, in how many scans the
box holds both nerves whole, and the confidence with and without a cistern in the field of view.
All of it is synthetic: heads of ellipsoids and random fields round a phantom, at 2 mm.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch

from precisionpain.trigeminal import TrigeminalSegmenter
from precisionpain.trigeminal._segmentation.head import draw_head
from precisionpain.trigeminal._segmentation.labelling import _BOX_MM
from precisionpain.trigeminal._segmentation.localise import crop_box, find_cistern


def one(seed: int, inside: bool, localiser: torch.nn.Module) -> dict[str, float]:
    """Look for the cistern in one synthetic head."""
    head = draw_head(np.random.default_rng([31, seed]), inside=inside)
    found, confidence = find_cistern(localiser, head.image, head.grid)
    row = {"confidence": confidence, "size_mm3": float(np.prod(head.grid.shape)) * 8}
    if inside:
        start, shape = crop_box(head.grid, found, _BOX_MM)
        points = np.concatenate(head.courses_mm)
        voxels = (points - head.grid.affine[:3, 3]) @ np.linalg.inv(head.grid.affine[:3, :3]).T
        low, high = np.array(start) - 0.5, np.array(start) + shape - 0.5
        kept = ((voxels >= low) & (voxels <= high)).all(axis=1)
        # A nerve that the field of view itself cuts isn't the localiser's fault.
        there = ((voxels >= -0.5) & (voxels <= np.array(head.grid.shape) - 0.5)).all(axis=1)
        row |= {
            "error_mm": float(np.linalg.norm(found - head.centre_mm)),
            "kept": float(kept[there].mean()) if there.any() else np.nan,
        }
    return row


def main() -> None:
    """Look, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    localiser = TrigeminalSegmenter.load_default().localiser_
    seeds = range(arguments.first, arguments.first + arguments.heads)
    with_it = pd.DataFrame([one(seed, True, localiser) for seed in seeds])
    without = pd.DataFrame([one(seed, False, localiser) for seed in seeds])
    error = with_it["error_mm"]
    print(f"synthetic, {len(with_it)} scans with a cistern")
    print(f"error of the centre: median {error.median():.1f} mm, 90% within "
          f"{error.quantile(0.9):.1f} mm, largest {error.max():.1f} mm")  # fmt: skip
    print(f"box holds both nerves whole: {(with_it['kept'] == 1).mean():.0%}; "
          f"at least 95% of their course: {(with_it['kept'] >= 0.95).mean():.0%}")  # fmt: skip
    print(f"confidence at least 0.5 with a cistern: {(with_it['confidence'] >= 0.5).mean():.0%}; "
          f"without one: {(without['confidence'] >= 0.5).mean():.0%}")  # fmt: skip
    sure = with_it.loc[with_it["confidence"] >= 0.5, "error_mm"]
    print(f"of the {len(sure)} that aren't flagged: median error {sure.median():.1f} mm, "
          f"largest {sure.max():.1f} mm")  # fmt: skip


if __name__ == "__main__":
    main()
