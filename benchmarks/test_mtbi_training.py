"""What a step of training costs, beside a plain loop with MONAI's network and loader.

The same slabs, weights to begin with, batches and rates for all; each loop in a process of
its own, so that memory is its own too. Slabs are coarse (8 mm) so that a CPU can do it::

    python benchmarks/test_mtbi_training.py            # or --steps 10 --width 64
    python -m pytest benchmarks/test_mtbi_training.py --benchmark-only
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

import precisionpain as pp
from precisionpain.mtbi import ChronicPainClassifier, resnet3d
from precisionpain.mtbi._classifier.training import Batches

TARGET = 1.8
TOLERANCE = 1e-3  # of the losses, in 32 bits
LOOPS = ("monai", "ours", "ours, bfloat16")
SHAPE = (21, 25, 20)
N_PEOPLE, BATCH, SLICES, SEED = 24, 6, 20, 0


def cohort_in(folder: Path) -> tuple[pp.Cohort, pd.Series]:
    """Write scans of noise on the grid of SPM12, half of them with a bright block."""
    affine = np.diag([-8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = 78, -112, -70
    y = pd.Series({f"p{i:02}": i % 2 for i in range(N_PEOPLE)})
    paths = []
    for i, (name, label) in enumerate(y.items()):
        data = np.random.default_rng(i).normal(100, 10, SHAPE).astype(np.float32)
        if label:
            data[8:13, 8:16, 6:13] += 20
        paths.append(folder / f"{name}.nii")
        nibabel.Nifti1Image(data, affine).to_filename(paths[-1])
    images = pd.DataFrame(
        {"subject_id": y.index, "visit": "baseline", "contrast": "T1w", "path": paths}
    )
    return pp.Cohort(pd.DataFrame(index=y.index), images=images), y


def settings(width: int, steps: int) -> dict[str, Any]:
    return {
        "variant": "strided", "width": width, "n_slices": SLICES, "batch_size": BATCH,
        "n_epochs": steps * BATCH // N_PEOPLE, "random_state": SEED, "progress": False,
    }  # fmt: skip


class Clock:
    """When steps ended: by the clock on the wall, and in seconds of all cores."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def tick(self) -> None:
        """Note that a step ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def medians(self) -> dict[str, float]:
        """Seconds of a step but the first; those of cores don't mind a busy machine."""
        return {
            "step_s": float(np.median(np.diff(self.wall))),
            "cpu_s": float(np.median(np.diff(self.cpu))),
        }


def ours(
    cohort: pp.Cohort, y: pd.Series, width: int, steps: int, amp: bool
) -> tuple[list[float], Clock]:
    """Train the classifier; returns losses, and when its steps ended."""
    from precisionpain._learning import state

    losses, clock = [], Clock()
    original = state.TrainingState.update

    def update(self: Any, *rest: Any) -> dict[str, float]:
        row = original(self, *rest)
        losses.append(row["loss"])
        clock.tick()
        return row

    state.TrainingState.update = update  # type: ignore[method-assign, assignment]
    try:
        ChronicPainClassifier(**settings(width, steps), amp=amp).fit(cohort, y)
    finally:
        state.TrainingState.update = original  # type: ignore[method-assign]
    return losses, clock


def monai(cohort: pp.Cohort, y: pd.Series, width: int, steps: int) -> tuple[list[float], Clock]:
    """Train as a tutorial does: CacheDataset, DataLoader, 32 bits, default layout."""
    from monai.data import CacheDataset, DataLoader
    from monai.networks.nets import resnet

    one = ChronicPainClassifier(**(settings(1, steps) | {"n_epochs": 1, "depth": 10}))
    inputs = one.fit(cohort, y).inputs(cohort)
    data = [{"image": image, "label": float(label)} for image, label in zip(inputs, y, strict=True)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = resnet.ResNet(
        "basic", [2, 2, 2, 2], [width * 2**k for k in range(4)], spatial_dims=3,
        n_input_channels=1, num_classes=1, conv1_t_stride=1, no_max_pool=True,
        shortcut_type="A", bias_downsample=True,
    )  # fmt: skip
    start = resnet3d(18, "strided", width=width, random_state=SEED)
    network.load_state_dict(start.state_dict())
    network.to(device)
    batches = Batches(torch.from_numpy(inputs), y.to_numpy(), BATCH, SEED, device)
    sampler = [batches.rows(step).tolist() for step in range(steps)]
    loader = DataLoader(CacheDataset(data, None, progress=False), batch_sampler=sampler)
    assert network.fc is not None
    head = list(network.fc.parameters())
    trunk = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    optimizer = torch.optim.AdamW(
        [{"params": trunk, "lr": 1e-4}, {"params": head, "lr": 1e-3}], weight_decay=0.01
    )
    loss_of = torch.nn.BCEWithLogitsLoss()
    losses, clock = [], Clock()
    network.train()
    for batch in loader:
        optimizer.zero_grad()
        found = network(batch["image"].to(device))[:, 0]
        loss = loss_of(found, batch["label"].float().to(device))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        clock.tick()
    return losses, clock


def child(loop: str, width: int, steps: int) -> None:
    """Run one loop and print what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        cohort, y = cohort_in(Path(folder))
        if loop == "monai":
            losses, clock = monai(cohort, y, width, steps)
        else:
            losses, clock = ours(cohort, y, width, steps, amp=loop != "ours")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"losses": losses, "peak_mib": peak, **clock.medians()}))


def measure(width: int, steps: int) -> dict[str, Any]:
    """Run all loops one after the other, and compare them."""
    found = {}
    for loop in LOOPS:
        done = subprocess.run(
            [sys.executable, __file__, "--loop", loop, "--width", str(width), "--steps",
             str(steps)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[loop] = json.loads(done.stdout.splitlines()[-1])
    plain = dict(found["monai"])
    for one in found.values():
        for name in ("step_s", "cpu_s"):
            one[f"{name}_ratio"] = plain[name] / one[name]
        differences = np.abs(np.subtract(one["losses"], plain["losses"]))
        one["largest_difference"] = float(differences.max())
        one["first_difference"] = float(differences[0])
        one["last_loss"] = one.pop("losses")[-1]
    return found


@pytest.mark.benchmark
def test_a_training_beside_monais(benchmark: Any) -> None:
    """Ratios stand in `extra_info`; losses in 32 bits must agree."""
    found = benchmark.pedantic(measure, (8, 20), rounds=1, iterations=1)
    benchmark.extra_info.update(found)
    assert found["ours"]["largest_difference"] < TOLERANCE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=52)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--loop", choices=LOOPS)
    options = parser.parse_args()
    if options.loop:
        child(options.loop, options.width, options.steps)
        return
    where = "GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    print(f"ResNet-18 strided, width {options.width}, {options.steps} steps of {BATCH} slabs of "
          f"{SLICES}×25×21, {where}")  # fmt: skip
    for name, one in measure(options.width, options.steps).items():
        print(f"{name:15} {one['step_s']:.3f} s a step, {one['step_s_ratio']:.2f}× MONAI's speed "
              f"({one['cpu_s']:.3f} s of the cores, {one['cpu_s_ratio']:.2f}×), "
              f"{one['peak_mib']:.0f} MiB; loss differs by {one['first_difference']:.1e} in the "
              f"first step, by {one['largest_difference']:.1e} at most, last "
              f"{one['last_loss']:.4f}")  # fmt: skip
    print(f"target: {TARGET}× with or without bfloat16, differences below {TOLERANCE:g} in 32 bits")


if __name__ == "__main__":
    main()
