"""Compare networks, or losses, at the same CPU time on simulated cisterns.

    python benchmarks/science/segmentation_networks.py                  # networks, 4 minutes each
    python benchmarks/science/segmentation_networks.py --losses         # losses, with the best one
    python benchmarks/science/segmentation_networks.py --minutes 10

Dice on phantoms that no training saw, at 0.5 mm and SNR 30 with mild artefacts; of the network
alone, whose borders no intensity has settled. The number of steps is what fits into the CPU time
of one thread, measured on the first steps. All of it is synthetic.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import torch

from precisionpain.trigeminal import (
    SimulatedCisterns,
    TrigeminalSegmenter,
    evaluate_segmentation,
    simulate_cistern,
)

NETWORKS = (("unet", 24), ("dynunet", 8), ("deep_dynunet", 8), ("segresnet", 8), ("basic_unet", 12))
LOSSES = (
    "cross_entropy", "dice", "dice_ce", "dice_ce_thin", "dice_ce_cldice", "dice_ce_boundary"
)  # fmt: skip
MILD = {"ghost": 0.05, "banding": 0.1, "motion": (0.3, 0.5)}


def steps_in(minutes: float, scans: SimulatedCisterns, **options: object) -> int:
    """Return how many steps the CPU time is good for."""
    times = []
    for n in (2, 10):
        model = TrigeminalSegmenter(n_steps=n, validation=0, progress=False, **options)
        start = time.process_time()
        model.fit(scans)
        times.append(time.process_time() - start)
    return max(int(minutes * 60 / ((times[1] - times[0]) / 8)), 20)


def compare(name: str, minutes: float, scans: SimulatedCisterns, tests: list, **options) -> dict:
    n_steps = steps_in(minutes, scans, **options)
    model = TrigeminalSegmenter(n_steps=n_steps, validation=0, progress=False, **options)
    start = time.process_time()
    model.fit(scans)
    trained = time.process_time() - start
    start = time.process_time()
    tables = [evaluate_segmentation(model.segment(c.image).labels, c.labels) for c in tests]
    table = pd.concat(tables)
    dice = table.groupby(level="class")["dice"].mean()
    return {
        "name": name, "parameters": model.n_parameters_, "steps": n_steps,
        "train_cpu_s": trained, "predict_cpu_s": (time.process_time() - start) / len(tests),
        **dice.round(3).to_dict(),
    }  # fmt: skip


def main() -> None:
    """Train, and print a row for each as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--losses", action="store_true")
    parser.add_argument("--anatomies", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scans = SimulatedCisterns(arguments.anatomies, 1)
    tests = [simulate_cistern(30_000 + i, snr=30, appearance=MILD) for i in range(6)]
    tried = (
        [(loss, {"loss": loss}) for loss in LOSSES]
        if arguments.losses
        else [(f"{n} {w}", {"network": n, "width": w}) for n, w in NETWORKS]
    )
    rows = []
    for name, options in tried:
        rows.append(compare(name, arguments.minutes, scans, tests, **options))
        print(pd.DataFrame(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
