"""Train the segmenter on a real task: anterior and posterior hippocampus in T1 scans.

    python benchmarks/science/segmentation_hippocampus.py            # two CPU cores, < 1 hour
    python benchmarks/science/segmentation_hippocampus.py --size full  # a GPU

Task 04 of the Medical Segmentation Decathlon (Antonelli et al., Nature Communications 13, 4128,
2022; CC BY-SA 4.0): 260 scans with labels, 200 to learn from and 60 to judge, by a fixed seed.
nnU-Net's published Dice over five folds of the same data is 0.89 to 0.91 (Isensee et al., Nature
Methods 18, 203, 2021). Real scans, read from --data or the folder PRECISIONPAIN_DATA.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from precisionpain.trigeminal import (
    TrigeminalSegmenter,
    evaluate_segmentation,
    summarize_segmentation,
)

LABELS = {"anterior": 1, "posterior": 2}
SIZES = {
    "small": {"network": "dynunet", "width": 8, "n_steps": 1000, "batch_size": 4},
    "full": {"network": "dynunet", "width": 24, "n_steps": 12_000, "batch_size": 8},
}


def pairs_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return image and label image of every scan that has both."""
    images = {p.name.split(".")[0]: p for p in sorted((folder / "images").iterdir())}
    labels = {p.name.split(".")[0]: p for p in sorted((folder / "labels").iterdir())}
    return {key: (images[key], labels[key]) for key in images if key in labels}


def main() -> None:
    """Train on 200, judge on 60, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("PRECISIONPAIN_DATA"))
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, help="instead of those of the size")
    parser.add_argument("--out", type=Path, help="where to keep checkpoints and losses")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder with the data: --data, or PRECISIONPAIN_DATA")
    pairs = pairs_in(Path(arguments.data) / "mri" / "hippocampus_seg")
    keys = np.random.default_rng(4).permutation(sorted(pairs))
    teaching, judging = keys[:200], keys[200:]
    settings = dict(SIZES[arguments.size])
    if arguments.steps:
        settings["n_steps"] = arguments.steps
    segmenter = TrigeminalSegmenter(
        LABELS, spacing_mm=1.0, max_spacing_mm=1.5, patch=(48, 64, 48), per_scan=1, flips=(),
        validation=0.1, progress=False, **settings,
        checkpoint=arguments.out and arguments.out / "checkpoint",
        log=arguments.out and arguments.out / "log.csv",
    )  # fmt: skip
    start = time.perf_counter()
    segmenter.fit([tuple(map(str, pairs[key])) for key in teaching])
    minutes = (time.perf_counter() - start) / 60
    tables = {
        key: evaluate_segmentation(
            segmenter.segment(str(pairs[key][0])).labels, str(pairs[key][1]), labels=LABELS
        )
        for key in judging
    }
    table = pd.concat(tables, names=["scan"])
    print(f"{len(teaching)} scans to learn from, {len(judging)} to judge; {minutes:.1f} minutes, "
          f"{segmenter.n_parameters_:,} weights")  # fmt: skip
    print(summarize_segmentation(table).to_string(float_format="{:.3f}".format))
    print(f"mean Dice of both parts: {table['dice'].groupby(level='class').mean().mean():.3f}")


if __name__ == "__main__":
    main()
