"""What the networks of the mTBI classifier cost: forward, and one step of training.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_mtbi_networks.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from precisionpain.mtbi import precise_bn, resnet3d

AXIAL = (30, 95, 79)
VARIANTS = ("dilated", "strided")


def seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """Wall time of each run but the first; on a GPU when the work is done."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[1:]


def gflop(variant: Any, stem: Any) -> float:
    """Arithmetic of one forward pass of one person."""
    with torch.device("meta"):
        network = resnet3d(18, variant, stem=stem).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, *AXIAL))
    return counter.get_total_flops() / 1e9


def cost(
    variant: Any, stem: Any = "medicalnet", batch: int = 6, repeats: int = 3
) -> dict[str, Any]:
    """Seconds of a forward pass, a training step and a pass of `precise_bn`, depth 18."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = resnet3d(18, variant, stem=stem, random_state=0).to(device)
    network = network.to(memory_format=torch.channels_last_3d)
    volumes = torch.randn(batch, 1, *AXIAL, device=device)

    def forward() -> None:
        with torch.no_grad():
            network(volumes)

    def step() -> None:
        network.zero_grad()
        network(volumes).sum().backward()

    network.eval()
    found = {"forward_s": statistics.median(seconds(forward, repeats))}
    network.train()
    found["step_s"] = statistics.median(seconds(step, repeats))
    found["precise_bn_s"] = statistics.median(
        seconds(lambda: precise_bn(network, [volumes]), repeats)
    )
    found["gflop_per_s"] = batch * gflop(variant, stem) / found["forward_s"]
    return {"device": device, "batch": batch, "stem": stem, "variant": variant, **found}


@pytest.mark.parametrize("variant", VARIANTS)
def test_cost_of_a_network(benchmark: Any, variant: str) -> None:
    figures = benchmark.pedantic(cost, (variant,), rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)


if __name__ == "__main__":
    for name in VARIANTS:
        print(cost(name))
    if torch.cuda.is_available():
        for name in VARIANTS:
            print(cost(name, stem="paper"))
