"""Train the trigeminal segmenter that comes with the package, from nothing but simulation.

    python examples/training/trigeminal_segmenter.py --size small      # two CPU cores, an hour
    python examples/training/trigeminal_segmenter.py                   # two CPU cores, 4 hours
    python examples/training/trigeminal_segmenter.py --size full       # a data-centre GPU
    python examples/training/trigeminal_segmenter.py --size touching --init default

Writes the model to --out. Killed, the same command goes on from its last checkpoint. The weights of
the package were made in the stages of "default", one after the other.

On Linux it may help not to give large arrays back to the system after each step:

    export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=4294967296
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from precisionpain.trigeminal import SimulatedCisterns, TrigeminalSegmenter
from precisionpain.trigeminal._segmentation.localise import train_localiser

# "wide" sees wide simulations alone; "good" half of them good scans; "thin" other anatomies, with a
# loss that heeds thin vessels; "touching" others still, half of which have thin vessels at the
# nerves.
STAGES = {
    "small": {"n_anatomies": 160, "n_steps": 2600, "loss": "dice_ce_thin"},
    "wide": {"n_anatomies": 160, "good": 0.0, "n_steps": 2600, "as_one": ()},
    "good": {"n_anatomies": 160, "n_steps": 3600, "as_one": (), "learning_rate": 2e-3},
    "thin": {"n_anatomies": 320, "seed": 1, "n_steps": 5200, "learning_rate": 2e-3,
             "loss": "dice_ce_thin"},
    "touching": {"n_anatomies": 320, "seed": 2, "thin": 0.5, "n_steps": 4200,
                 "learning_rate": 1.5e-3, "loss": "dice_ce_thin"},
    "full": {"n_anatomies": 1000, "seed": 1, "width": 48, "n_steps": 20_000, "batch_size": 8,
             "per_scan": 8, "loss": "dice_ce_thin"},
}  # fmt: skip
COMMON = {"network": "unet", "width": 24, "batch_size": 4, "per_scan": 16, "validation": 0.15,
          "validate_every": 500}  # fmt: skip
SIZES = {
    "small": ["small"],
    "thin": ["thin"],
    "touching": ["touching"],
    "full": ["full"],
    "default": ["wide", "good", "thin", "touching"],
}


def main() -> None:
    """Train, calibrate, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="default")
    parser.add_argument("--out", type=Path, default=Path("trigeminal_segmenter"))
    parser.add_argument("--init", help="a saved model to go on from, or 'default'")
    parser.add_argument("--steps", type=int, help="of each stage, instead of its own")
    parser.add_argument("--jobs", type=int, default=2, help="processes that draw anatomies")
    arguments = parser.parse_args()
    start, model = time.perf_counter(), arguments.init
    for stage in SIZES[arguments.size]:
        settings = COMMON | STAGES[stage]
        if arguments.steps:
            settings["n_steps"] = arguments.steps
        drawn = {
            "good": settings.pop("good", 0.5),
            "thin": settings.pop("thin", 0.0),
            "random_state": settings.pop("seed", 0),
        }
        scans = SimulatedCisterns(settings.pop("n_anatomies"), **drawn, n_jobs=arguments.jobs)
        print(f"{stage}: {len(scans)} anatomies after {time.perf_counter() - start:.0f} s",
              flush=True)  # fmt: skip
        segmenter = TrigeminalSegmenter(
            **settings,
            init=model,
            checkpoint=arguments.out / stage / "checkpoint",
            log=arguments.out / stage / "log.csv",
        )
        model = segmenter.fit(scans)
        print(model.history_.dropna().tail(3).T.to_string())
    if model.localiser_ is None:
        # What finds the cistern in a whole head, a small network of its own.
        model.localiser_ = train_localiser(progress=False)
    model.save(arguments.out / "model", half=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"temperature {model.temperature_:.3f}, {model.n_parameters_:,} weights, "
          f"{minutes:.1f} minutes")  # fmt: skip


if __name__ == "__main__":
    main()
