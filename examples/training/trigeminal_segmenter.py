"""Train the trigeminal segmenter that comes with the package, from nothing but simulation.

    python examples/training/trigeminal_segmenter.py --size small      # a CPU core, < 1 hour
    python examples/training/trigeminal_segmenter.py --size full       # a data-centre GPU
    python examples/training/trigeminal_segmenter.py --size longer \
        --init trigeminal_segmenter/model --out longer                 # a CPU core, 1 hour more

Writes the model to --out. Killed, the same command goes on from its last checkpoint. The weights of
the package are "small" and then "longer".
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from precisionpain.trigeminal import SimulatedCisterns, TrigeminalSegmenter
from precisionpain.trigeminal._segmentation.localise import train_localiser

SIZES = {
    "small": {"n_anatomies": 160, "network": "unet", "width": 24, "n_steps": 2600,
              "batch_size": 4, "per_scan": 16},
    "longer": {"n_anatomies": 160, "network": "unet", "width": 24, "n_steps": 3600,
               "batch_size": 4, "per_scan": 16, "learning_rate": 2e-3},
    "full": {"n_anatomies": 400, "network": "unet", "width": 48, "n_steps": 20_000,
             "batch_size": 8, "per_scan": 8},
}  # fmt: skip


def main() -> None:
    """Train, calibrate, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--out", type=Path, default=Path("trigeminal_segmenter"))
    parser.add_argument("--init", help="a saved model to go on from, or 'default'")
    parser.add_argument("--steps", type=int, help="instead of those of the size")
    parser.add_argument("--jobs", type=int, default=2, help="processes that draw anatomies")
    arguments = parser.parse_args()
    settings = dict(SIZES[arguments.size])
    if arguments.steps:
        settings["n_steps"] = arguments.steps
    start = time.perf_counter()
    scans = SimulatedCisterns(settings.pop("n_anatomies"), 0, n_jobs=arguments.jobs)
    print(f"{len(scans)} anatomies after {time.perf_counter() - start:.0f} s", flush=True)
    segmenter = TrigeminalSegmenter(
        **settings,
        init=arguments.init,
        validation=0.15,
        checkpoint=arguments.out / "checkpoint",
        log=arguments.out / "log.csv",
    )
    segmenter.fit(scans)
    if segmenter.localiser_ is None:
        # What finds the cistern in a whole head, a small network of its own.
        segmenter.localiser_ = train_localiser(progress=False)
    segmenter.save(arguments.out / "model", half=True)
    minutes = (time.perf_counter() - start) / 60
    print(segmenter.history_.dropna().tail(3).T.to_string())
    print(f"temperature {segmenter.temperature_:.3f}, {segmenter.n_parameters_:,} weights, "
          f"{minutes:.1f} minutes")  # fmt: skip


if __name__ == "__main__":
    main()
