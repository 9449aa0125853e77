"""Batch-norm statistics recomputed on the training data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import FormatError, TrainingError

__all__ = ["precise_bn"]


def precise_bn(network: nn.Module, batches: Iterable[torch.Tensor], *, exact: bool = False) -> int:
    """Replace running means and variances by those of the whole training data.

    Running statistics are averages over the last few batches, while the weights were
    changing. With small batches they lag, and a network that ranks people well calls all
    of them one class. Here the weights stand still.

    Means and variances are over all voxels of all batches, pooled in double precision;
    the variance has n − 1 below, as torch's own.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place: its running statistics alone, and only when all went well.
    batches : iterable of torch.Tensor, each shape (n, n_channels, ...)
        Inputs of the training people, never of those to be predicted.
    exact : bool, default False
        False: one pass; each batch is normalised by its own statistics, as in training.
        True: layer by layer, in one pass each, so that the result is that of one large
        batch of all people and doesn't depend on how they are divided into batches. A
        network with 20 such layers takes 20 passes.

    Returns
    -------
    int
        Number of layers whose statistics were replaced.

    Raises
    ------
    TrainingError
        When the network has no running statistics.
    FormatError
        When there is no batch, or the statistics are not finite; or with ``exact=True``
        when `batches` can be read only once.

    References
    ----------
    .. [1] Wu Y, Johnson J. Rethinking "batch" in BatchNorm. arXiv:2105.07576, 2021,
       section 3.

    Examples
    --------
    >>> import torch
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(10, stem="medicalnet", width=4, random_state=0)
    >>> training = torch.randn(6, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> pp.mtbi.precise_bn(network, training.split(2))
    12
    """
    layers = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    if not layers:
        raise TrainingError(
            "the network has no running statistics to recompute",
            remedy="leave precise_bn out: only batch normalisation needs it",
        )
    if exact and iter(batches) is batches:
        raise FormatError(
            "exact=True reads the batches once per layer, and they can be read only once",
            where="batches",
            remedy="give a list",
        )
    old = [_statistics(layer) for layer in layers]
    with _modes(network, layers), torch.no_grad():
        try:
            pool = _layer_by_layer if exact else _pooled
            pools = pool(network, batches, layers)
            for layer, found in pools.items():
                _write(layer, found.result())
        except BaseException:
            for layer, before in zip(layers, old, strict=True):
                _write(layer, before)
            raise
    return len(pools)


class _Pool:
    """Mean and variance per channel over all that was added."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, values: torch.Tensor) -> None:
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values.float(), axes, correction=0)
        mean, squares = mean.double(), variance.double() * count
        # Chan's update: no difference of two large sums.
        total = self.count + count
        delta = mean - self.mean
        if self.count:
            squares = squares + self.squares + delta**2 * (self.count * count / total)
            mean = self.mean + delta * (count / total)
        self.count, self.mean, self.squares = total, mean, squares

    def result(self, correction: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        variance = self.squares / max(self.count - correction, 1)
        if not (self.mean.isfinite().all() and variance.isfinite().all()):
            raise FormatError(
                f"the statistics of {self.count} values per channel are not finite",
                where="batches",
                remedy="look for NaN and infinity in the inputs and the weights",
            )
        return self.mean, variance


_Pools = dict[_BatchNorm, _Pool]


class _Enough(Exception):
    """The layer that was looked for has been reached."""


def _pooled(
    network: nn.Module,
    batches: Iterable[torch.Tensor],
    layers: list[_BatchNorm],
    stop: bool = False,
) -> _Pools:
    """Run all batches, and pool what goes into the layers; in the order in which they run."""
    pools: _Pools = {}

    def look(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        pools.setdefault(layer, _Pool()).add(inputs[0])
        if stop:
            raise _Enough

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        for batch in batches:
            with contextlib.suppress(_Enough):
                network(batch)
    finally:
        for handle in handles:
            handle.remove()
    if not pools:
        raise FormatError("expected at least one batch, found none", where="batches")
    return pools


def _layer_by_layer(
    network: nn.Module, batches: Iterable[torch.Tensor], layers: list[_BatchNorm]
) -> _Pools:
    first = next(iter(batches), None)
    order = _pooled(network, [] if first is None else [first], layers)
    for layer in layers:
        layer.eval()
    pools: _Pools = {}
    for layer in order:
        pools |= _pooled(network, batches, [layer], stop=True)
        # As one large batch is normalised in training: with n below the variance.
        _write(layer, pools[layer].result(correction=0))
    return pools


def _statistics(layer: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean.clone(), layer.running_var.clone()


def _write(layer: _BatchNorm, new: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.copy_(new[0])
    layer.running_var.copy_(new[1])


@contextlib.contextmanager
def _modes(network: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    """Normalise by the batch, change nothing on the way, and drop nothing out."""
    training = [(module, module.training) for module in network.modules()]
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    network.eval()
    for layer in layers:
        layer.train()
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for module, mode in training:
            module.training = mode
        for layer, momentum, tracked in kept:
            layer.momentum, layer.num_batches_tracked = momentum, tracked
