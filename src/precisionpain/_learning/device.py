"""Where a network runs, and on how many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from ..errors import FormatError

__all__ = ["deterministic_threads", "fast_half", "pick_device", "sound_half"]


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Choose the device to compute on.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"} or torch.device, default "auto"
        "auto" takes a CUDA device where there is one, and the CPU otherwise; never "mps",
        which lacks some of the 3-D layers. "cuda:1" names one of several.

    Returns
    -------
    torch.device

    Raises
    ------
    FormatError
        When it is no device, or this machine has none of the kind.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise FormatError(
            f"expected the device 'auto', 'cpu', 'cuda' or 'mps', found {device!r}"
        ) from error
    found = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (chosen.index or 0) >= found.get(chosen.type, 0):
        raise FormatError(
            f"the device {str(chosen)!r} was asked for, and torch {torch.__version__} finds "
            f"{found.get(chosen.type, 0)} of this kind here",
            remedy="use device='auto' or 'cpu', or install the torch build and driver for it",
        )
    return chosen


@contextlib.contextmanager
def deterministic_threads(n_threads: int = 1) -> Iterator[None]:
    """Pin the number of threads of torch, and put it back afterwards.

    Sums are rounded in another order on another number of threads, so two runs are the
    same bit for bit only on the same number.

    Parameters
    ----------
    n_threads : int, default 1
        Threads inside one operation.

    Yields
    ------
    None

    Raises
    ------
    FormatError
        When it is below 1.

    Examples
    --------
    >>> with deterministic_threads(1):
    ...     torch.get_num_threads()
    1
    """
    if n_threads < 1:
        raise FormatError(f"expected n_threads of at least 1, found {n_threads!r}")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fast_half(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than 32 bits on a device.

    Parameters
    ----------
    device : torch.device
        Where to compute.

    Returns
    -------
    bool
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(device.type == "cpu" and known is not None and known())


def sound_half(device: torch.device, coarsest: Sequence[int]) -> bool:
    """Tell whether gradients in bfloat16 can be trusted.

    Parameters
    ----------
    device : torch.device
        Where the network is trained.
    coarsest : sequence of three ints
        Size of what the network computes on at its coarsest scale.

    Returns
    -------
    bool
        False on a CPU for fewer than 3 voxels along the first axis: the kernel of torch
        (2.13, oneDNN) leaves parts of the gradient of such a convolution unwritten, so that
        they hold anything.
    """
    return device.type != "cpu" or coarsest[0] > 2
