"""A small transformer whose tokens are the blocks of a person."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .training import Batch, drop_blocks

__all__ = ["AttentionNetwork", "attention_loss"]


class AttentionNetwork(nn.Module):
    """One token for each block and one that gathers them; the missing are masked.

    Parameters
    ----------
    sizes : sequence of int
        Columns of each block.
    base : float
        Log odds to begin with; weight decay draws towards them.
    width : int
        Numbers of a token.
    n_layers, n_heads : int
        Of attention.
    dropout : float
        On tokens and in the layers.

    Notes
    -----
    Takes a list of (n, p_k) and a mask (n, n_blocks). Gives logits (n,) and the weights
    (n, n_blocks) with which the class token reads the blocks in the last layer, mean over the
    heads; they and its weight on itself add up to 1.
    """

    base: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        base: float,
        *,
        width: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(p, width) for p in sizes)
        for layer in self.embed:
            # A block has a sum of squares of about 1, so a token begins with as much.
            nn.init.normal_(layer.weight, std=width**-0.5)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.kind = nn.Parameter(torch.randn(len(sizes), width) * width**-0.5)
        self.summary = nn.Parameter(torch.randn(width) * width**-0.5)
        self.layers = nn.ModuleList(_Layer(width, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("base", torch.tensor(base))

    def forward(
        self, values: Sequence[Tensor], has: Tensor, known: object = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits, and what the class token attends to."""
        tokens = [self.summary.expand(len(has), -1)]
        for k, (x, embed) in enumerate(zip(values, self.embed, strict=True)):
            mine = has[:, k, None]
            token = embed(x.masked_fill(~mine, 0.0)) + self.kind[k]
            tokens.append(self.drop(token).masked_fill(~mine, 0.0))
        state = torch.stack(tokens, dim=1)
        absent = F.pad(~has, (1, 0), value=False)
        weights = state.new_zeros(has.shape)
        for layer in self.layers:
            state, weights = layer(state, absent)
        logits = self.head(self.norm(state[:, 0]))[:, 0] + self.base
        return logits, weights


class _Layer(nn.Module):
    """Attention and a feed-forward part, each added to what it was given (pre-norm)."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, n_heads, dropout=dropout, batch_first=True)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, state: Tensor, absent: Tensor) -> tuple[Tensor, Tensor]:
        read = self.before(state)
        found, weights = self.attend(read, read, read, key_padding_mask=absent)
        state = state + found
        return state + self.feed(state), weights[:, 0, 1:]


def attention_loss(network: nn.Module, batch: Batch, *, drop_block: float) -> Tensor:
    """Return the binary cross-entropy, with blocks hidden at random."""
    logits, _ = network(batch["values"], drop_blocks(batch["has"], drop_block))
    return F.binary_cross_entropy_with_logits(logits, batch["y"])
