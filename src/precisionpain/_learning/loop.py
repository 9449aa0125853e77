"""A training loop whose every step is a function of its number, so that a killed run goes on.

The batch of a step is ``batch_of(step)``, and torch's generator is seeded from the seed and
the step before each one. Nothing else is random. A run that was killed and taken up again is
therefore, on a CPU and the same number of threads, the uninterrupted run bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..errors import FormatError, TrainingError
from .checkpoint import Checkpoint
from .device import pick_device
from .history import History, open_log
from .recipe import Recipe
from .state import Batch, Loss, TrainingState

__all__ = ["History", "Recipe", "train"]


def train(
    network: nn.Module,
    batch_of: Callable[[int], Batch],
    loss_of: Loss,
    recipe: Recipe,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    monitor: str = "loss",
    mode: Literal["min", "max"] = "min",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    fingerprint: str = "",
    log: str | Path | None = None,
    log_every: int = 10,
    prefetch: Literal[0, 1] = 0,
    progress: bool = True,
    on_step: Callable[[int, float], object] | None = None,
) -> History:
    """Train a network, in place.

    Parameters
    ----------
    network : torch.nn.Module
        Is left on `device`, in evaluation mode, with the weights that count: the best
        validated ones with `patience`, else the moving average with ``recipe.ema``, else
        the last.
    batch_of : callable
        Gives the batch of a step, from 0 to ``n_steps - 1``: a tensor, or a tuple, list or
        mapping of them. It must depend on the step alone, so its randomness comes from a
        generator of its own, such as ``np.random.default_rng([seed, step])``.
    loss_of : callable
        Called as ``loss_of(network, batch)``; gives the scalar loss, or the loss and its
        parts by name, for the history. It may draw from torch's generator, and put frozen
        parts of the network into evaluation mode.
    recipe : Recipe
        Optimiser, schedule and precision.
    seed : int
        0 or more.
    device : str or torch.device, default "cpu"
        As `pick_device` takes it.
    validate : callable, optional
        Called with the network in evaluation mode and without gradients, with the moving
        average where there is one; gives values by name.
    validate_every : int, default 100
        Steps from one validation to the next; one more comes after the last step.
    patience : int, optional
        Stop after so many validations in a row without a better `monitor`, and keep the
        best weights. None trains to the end and keeps the last.
    monitor : str, default "loss"
        Which value of `validate` decides.
    mode : {"min", "max"}, default "min"
        Whether a smaller or a larger value is better.
    checkpoint : str or Path, optional
        A folder of this training alone. The same call then goes on where it was killed,
        and returns at once when it had finished.
    checkpoint_every : int, default 100
        Steps from one checkpoint to the next.
    fingerprint : str, default ""
        What else the result depends on, such as a hash of the data; a checkpoint with
        another one is refused.
    log : str or Path, optional
        A ``.csv`` file, or a folder for TensorBoard.
    log_every : int, default 10
        Steps from one row of the history to the next; validations have one too.
    prefetch : {0, 1}, default 0
        1 makes the next batch in a thread while the network computes. The result is the same.
    progress : bool, default True
        Show a bar on a terminal.
    on_step : callable, optional
        Called as ``on_step(step, loss)`` after each update, before validation and checkpoint.

    Returns
    -------
    History

    Raises
    ------
    TrainingError
        When the loss or gradient isn't finite, memory runs out, `batch_of` draws from a
        global generator, or the checkpoint is of another training.
    FormatError
        When an argument makes no sense.
    StorageError
        When checkpoint or log can't be written.

    Examples
    --------
    >>> network = nn.Linear(1, 1)
    >>> def batch_of(step):
    ...     x = np.random.default_rng([7, step]).normal(size=(8, 1)).astype("float32")
    ...     return torch.from_numpy(x), torch.from_numpy(2 * x)
    >>> def loss_of(network, batch):
    ...     return ((network(batch[0]) - batch[1]) ** 2).mean()
    >>> history = train(network, batch_of, loss_of, Recipe(learning_rate=0.1, n_steps=200), seed=7)
    >>> round(network.weight.item(), 1)
    2.0
    """
    _check_arguments(
        seed,
        mode,
        prefetch,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        patience=patience,
    )
    if patience is not None and validate is None:
        raise FormatError("early stopping was asked for by `patience`, without a `validate`")
    chosen = pick_device(device)
    settings = {
        "format": 1,
        **{f"recipe.{name}": value for name, value in dataclasses.asdict(recipe).items()},
        "seed": seed,
        "fingerprint": fingerprint,
        "validation": [validate_every, patience, monitor, mode] if validate else None,
        **{f"{n}.shape": [str(t.dtype), *t.shape] for n, t in network.state_dict().items()},
    }
    kept = None if checkpoint is None else Checkpoint(Path(checkpoint), settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_memory_explained(recipe, checkpoint))
        state = TrainingState(network, recipe, chosen, seed)
        if kept is not None:
            found = kept.load()
            if found is not None:
                state.unpack(*found)
            else:
                # The first weights too are what a killed run begins with again.
                kept.save(0, *state.pack())
        history, n_steps = state.history, recipe.n_steps
        rows = open_log(log, history)
        steps = range(0) if state.finished else range(state.done, n_steps)
        batches = stack.enter_context(contextlib.closing(_batches(batch_of, steps, prefetch)))
        # The caller's generator is left as it was.
        cuda = [chosen] if chosen.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        hidden = None if progress else True  # None shows it on a terminal only
        bar = stack.enter_context(
            tqdm(total=n_steps, initial=state.done, disable=hidden, unit="step")
        )
        start = time.perf_counter() - state.seconds
        network.train()
        for step, batch in zip(steps, batches, strict=True):
            row = state.update(batch, loss_of)
            if on_step is not None:
                on_step(step, row["loss"])
            last = state.done == n_steps
            validated = validate is not None and (last or state.done % validate_every == 0)
            if validate is not None and validated:
                values = state.validate(validate)
                row |= {f"val_{name}": value for name, value in values.items()}
                bar.set_postfix(values, refresh=False)
                if patience is not None:
                    state.judge(values, monitor, mode, patience)
                    last = last or history.stopped_early
            state.seconds = row["seconds"] = time.perf_counter() - start
            if last or validated or state.done % log_every == 0:
                history.rows.append(row)
                rows.add(row)
            bar.set_description(f"loss {state.mean_loss:.4f}", refresh=False)
            bar.update()
            if last:
                state.finish()
            if kept is not None and (last or state.done % checkpoint_every == 0):
                kept.save(state.done, *state.pack())
            if last:
                break
    network.eval()
    return history


def _check_arguments(seed: int, mode: str, prefetch: int, **counts: int | None) -> None:
    for name, lowest, value in [("seed", 0, seed), *((name, 1, n) for name, n in counts.items())]:
        if value is not None and value < lowest:
            raise FormatError(f"expected {name} of at least {lowest}, found {value}")
    if mode not in ("min", "max"):
        raise FormatError(f"expected mode 'min' or 'max', found {mode!r}")
    if prefetch not in (0, 1):
        raise FormatError(f"expected prefetch 0 or 1, found {prefetch!r}")


def _batches(
    batch_of: Callable[[int], Batch], steps: range, prefetch: int
) -> Generator[Batch, None, None]:
    if not steps:
        return
    before = _generators()  # in this thread and once: a look at the most common mistake
    batch = batch_of(steps[0])
    if _generators() != before:
        raise TrainingError(
            "batch_of draws from the global generator of torch, NumPy or random, so a training "
            "that is taken up again would see other batches",
            where=f"batch_of({steps[0]})",
            remedy="draw from a generator made from the step, such as "
            "np.random.default_rng([seed, step])",
        )
    if not prefetch:
        yield batch
        yield from map(batch_of, steps[1:])
        return
    with ThreadPoolExecutor(1, "batch") as pool:
        for following in steps[1:]:
            ahead = pool.submit(batch_of, following)
            yield batch
            batch = ahead.result()
        yield batch


def _generators() -> tuple[object, ...]:
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    numbers = numpy_state["key"].tobytes(), numpy_state["pos"]
    return torch.get_rng_state().numpy().tobytes(), numbers, random.getstate()


@contextlib.contextmanager
def _memory_explained(recipe: Recipe, checkpoint: str | Path | None) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        wordings = ("out of memory", "not enough memory", "can't allocate memory")
        if not (
            isinstance(error, torch.OutOfMemoryError | MemoryError)
            or any(wording in text for wording in wordings)
        ):
            raise
        raise TrainingError(
            f"memory ran out ({str(error).splitlines()[0] if text else type(error).__name__}); "
            + (
                "there is no checkpoint"
                if checkpoint is None
                else f"the last checkpoint in {str(checkpoint)!r} is whole"
            ),
            remedy="lower the batch size or the patch size"
            + ("" if recipe.amp else ", or use mixed precision, Recipe(amp=True)"),
        ) from error
