"""Graph convolutions on a graph of similar people, to which new people attach."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .training import Batch

__all__ = ["GraphNetwork", "graph_loss", "neighbours"]


def neighbours(
    values: Sequence[Tensor],
    has: Tensor,
    known_values: Sequence[Tensor],
    known_has: Tensor,
    n_neighbors: int,
    *,
    same: bool = False,
) -> Tensor:
    """Return how much each person listens to each of the known people.

    In every block a person listens equally to the nearest of the known people who have it, by
    the Euclidean distance of the scaled columns; over the blocks of the person the mean is
    taken.

    Parameters
    ----------
    values, has
        Of n people: a list of (n, p_k), and (n, n_blocks).
    known_values, known_has
        Of the m people of the graph.
    n_neighbors : int
        In each block.
    same : bool, default False
        The people are those of the graph; nobody is a neighbour of their own.

    Returns
    -------
    torch.Tensor, shape (n, m)
        Rows add up to 1, or to 0 for who has no block.
    """
    total = known_has.new_zeros((len(has), len(known_has)), dtype=values[0].dtype)
    for k, (x, known) in enumerate(zip(values, known_values, strict=True)):
        # Each pair by itself: a product of matrices would round by who else is there.
        distance = torch.stack([((one - known) ** 2).sum(1) for one in x])
        candidates = known_has[:, k].expand(len(x), -1).clone()
        if same:
            candidates.fill_diagonal_(False)
        n = min(n_neighbors, int(candidates.sum(1).min()) if len(x) else 0)
        if not n:
            continue
        nearest = distance.masked_fill(~candidates, torch.inf).topk(n, largest=False).indices
        share = torch.zeros_like(total).scatter(1, nearest, 1 / n)
        total += share * has[:, k, None]
    return total / has.sum(1, keepdim=True).clamp(min=1)


class GraphNetwork(nn.Module):
    """Layers that mix what a person has with the mean of what similar people have.

    Parameters
    ----------
    values : sequence of torch.Tensor, shape (m, p_k)
        Blocks of the people of the graph.
    has : torch.Tensor of bool, shape (m, n_blocks)
    base : float
        Log odds to begin with.
    width, n_layers, n_neighbors : int
    dropout : float

    Notes
    -----
    Layer l is h ← ReLU(S h + N A h), with A of the person's row and of the graph; so a new
    person needs the people of the graph, and no other new one (GraphSAGE with the mean).
    """

    base: Tensor
    graph_has: Tensor
    graph_rows: Tensor

    def __init__(
        self,
        values: Sequence[Tensor],
        has: Tensor,
        base: float,
        *,
        width: int,
        n_layers: int,
        n_neighbors: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.n_neighbors = n_neighbors
        clean = _clean(values, has)
        for k, x in enumerate(clean):
            self.register_buffer(f"graph_{k}", x)
        self.register_buffer("graph_has", has)
        rows = neighbours(clean, has, clean, has, n_neighbors, same=True)
        self.register_buffer("graph_rows", rows)
        self.register_buffer("base", torch.tensor(base))
        sizes = [sum(x.shape[1] for x in values), *[width] * n_layers]
        pairs = list(itertools.pairwise(sizes))
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.near = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        for layer in (self.own[0], self.near[0]):
            nn.init.normal_(layer.weight, std=0.5)  # type: ignore[arg-type]
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, values: Sequence[Tensor], has: Tensor, known: object = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits (n,), and the rows (n, m) by which people attach to the graph."""
        graph = [self.get_buffer(f"graph_{k}") for k in range(len(values))]
        mine = _clean(values, has)
        rows = neighbours(mine, has, graph, self.graph_has, self.n_neighbors)
        state, around = torch.cat(mine, 1), torch.cat(graph, 1)
        for own, near in zip(self.own, self.near, strict=True):
            state = F.relu(own(state) + near(rows @ around))
            around = F.relu(own(around) + near(self.graph_rows @ around))
        return self.head(state)[:, 0] + self.base, rows

    def on_graph(self) -> Tensor:
        """Return logits of the people of the graph, none of whom listens to themselves."""
        graph = [self.get_buffer(f"graph_{k}") for k in range(self.graph_has.shape[1])]
        state = self.drop(torch.cat(graph, 1))
        for own, near in zip(self.own, self.near, strict=True):
            state = self.drop(F.relu(own(state) + near(self.graph_rows @ state)))
        return self.head(state)[:, 0] + self.base


def _clean(values: Sequence[Tensor], has: Tensor) -> list[Tensor]:
    return [x.masked_fill(~has[:, k, None], 0.0) for k, x in enumerate(values)]


def graph_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Return the binary cross-entropy of the people in a batch."""
    assert isinstance(network, GraphNetwork)
    return F.binary_cross_entropy_with_logits(network.on_graph()[batch["rows"]], batch["y"])
