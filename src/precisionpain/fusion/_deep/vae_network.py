"""A variational auto-encoder of several blocks, with a head for the outcome."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .training import Batch, drop_blocks

__all__ = ["VAENetwork", "product_of_experts", "vae_loss"]

_LOG_VARIANCE = (-6.0, 6.0)


def product_of_experts(
    means: Sequence[Tensor], log_variances: Sequence[Tensor], has: Tensor
) -> tuple[Tensor, Tensor]:
    """Multiply normal densities of those blocks that are there, and the prior N(0, 1).

    Parameters
    ----------
    means, log_variances : sequence of torch.Tensor, shape (n, d)
        One for each block.
    has : torch.Tensor of bool, shape (n, n_blocks)

    Returns
    -------
    mean, log_variance : torch.Tensor, shape (n, d)
        Of the product, which is normal: precisions add up, and means are weighed by them.
    """
    precision = torch.ones_like(means[0])  # of the prior
    weighed = torch.zeros_like(means[0])
    for k, (mean, log_variance) in enumerate(zip(means, log_variances, strict=True)):
        own = (-log_variance).exp().masked_fill(~has[:, k, None], 0.0)
        precision = precision + own
        weighed = weighed + own * mean.masked_fill(~has[:, k, None], 0.0)
    return weighed / precision, -precision.log()


class VAENetwork(nn.Module):
    """One encoder and one decoder for each block, and a linear head on the latent mean.

    Parameters
    ----------
    sizes : sequence of int
        Columns of each block.
    base : float
        Log odds to begin with.
    n_latent : int
        Numbers of the latent.
    width : int
        Of the hidden layers.
    dropout : float
        On what the encoders see.

    Notes
    -----
    Values are as `FeatureBlock` scales them; inside, a column has an SD of 1.
    """

    base: Tensor

    def __init__(
        self, sizes: Sequence[int], base: float, *, n_latent: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.encoders = nn.ModuleList(_encoder(p, width, n_latent) for p in sizes)
        self.decoders = nn.ModuleList(_decoder(p, width, n_latent) for p in sizes)
        self.log_variances = nn.ParameterList(nn.Parameter(torch.zeros(p)) for p in sizes)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(n_latent, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("base", torch.tensor(base))

    def encode(
        self, values: Sequence[Tensor], has: Tensor, known: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latent, (n, n_latent) each."""
        means, logs = [], []
        for x, mask, encoder in zip(values, known, self.encoders, strict=True):
            mean, log = encoder(self.drop(x.masked_fill(~mask, 0.0))).chunk(2, dim=1)
            means.append(mean)
            logs.append(log.clamp(*_LOG_VARIANCE))
        return product_of_experts(means, logs, has)

    def decode(self, latent: Tensor) -> list[Tensor]:
        """Return the mean of every column, in SD."""
        return [decoder(latent) for decoder in self.decoders]

    def forward(
        self, values: Sequence[Tensor], has: Tensor, known: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Return logits (n,), the latent mean (n, n_latent), and every block as decoded."""
        latent, _ = self.encode(values, has, known)
        decoded = [
            x / x.shape[1] ** 0.5 for x in self.decode(latent)  # as FeatureBlock scales them
        ]  # fmt: skip
        return self.head(latent)[:, 0] + self.base, latent, *decoded


def _encoder(p: int, width: int, n_latent: int) -> nn.Sequential:
    first = nn.Linear(p, width)
    nn.init.normal_(first.weight)  # the columns of a block have a sum of squares of about 1
    return nn.Sequential(first, nn.Tanh(), nn.Linear(width, 2 * n_latent))


def _decoder(p: int, width: int, n_latent: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_latent, width), nn.Tanh(), nn.Linear(width, p))


def vae_loss(
    network: VAENetwork, batch: Batch, *, drop_block: float, beta: float, supervision: float
) -> Tensor:
    """Return the loss of a batch: of values, latent and outcome.

    Blocks are hidden at random, and what was hidden has to be decoded from the rest. Of each
    block the mean over its known values counts, so that a wide block weighs no more than a
    narrow one.
    """
    values, known = batch["values"], batch["known"]
    has = drop_blocks(batch["has"], drop_block)
    mean, log_variance = network.encode(values, has, known)
    latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    loss = mean.new_zeros(())
    for x, mask, found, log in zip(
        values, known, network.decode(latent), network.log_variances, strict=True
    ):
        log = log.clamp(*_LOG_VARIANCE)
        miss = (x.masked_fill(~mask, 0.0) * x.shape[1] ** 0.5 - found) ** 2
        nll = 0.5 * (miss * (-log).exp() + log).masked_fill(~mask, 0.0)
        loss = loss + nll.sum() / mask.sum().clamp(min=1)
    kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
    logits = network.head(mean)[:, 0] + network.base
    fit = F.binary_cross_entropy_with_logits(logits, batch["y"])
    return loss + beta * kl + supervision * fit
