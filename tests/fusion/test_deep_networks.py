"""The networks by themselves: masks, hidden blocks, neighbours and products of densities."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from precisionpain.fusion._deep.attention_network import AttentionNetwork, attention_loss
from precisionpain.fusion._deep.graph_network import GraphNetwork, graph_loss, neighbours
from precisionpain.fusion._deep.image_network import NerveNetwork
from precisionpain.fusion._deep.training import drop_blocks, seeded
from precisionpain.fusion._deep.vae_network import VAENetwork, product_of_experts, vae_loss

SIZES = (3, 5, 1)


def batch(n: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    has = torch.from_numpy(rng.random((n, len(SIZES))) < 0.6)
    has[:, 0] |= ~has.any(1)
    values = [torch.from_numpy(rng.normal(size=(n, p))) for p in SIZES]
    known = [has[:, k, None].expand(n, p).clone() for k, p in enumerate(SIZES)]
    known[1][2:4, 0] = False
    y = torch.from_numpy(rng.integers(0, 2, n).astype(float))
    return {"values": values, "known": known, "has": has, "y": y, "rows": torch.arange(n)}


def filled(given: dict, value: float, *, single: bool) -> dict:
    """The same people with something else where nothing was measured."""
    masks = given["known"] if single else [
        given["has"][:, k, None].expand_as(v) for k, v in enumerate(given["values"])
    ]  # fmt: skip
    values = [v.masked_fill(~mask, value) for v, mask in zip(given["values"], masks, strict=True)]
    return given | {"values": values}


def attention():
    make = partial(AttentionNetwork, SIZES, 0.3, width=4, n_layers=2, n_heads=2, dropout=0.1)
    return seeded(make, 1)


def vae():
    return seeded(partial(VAENetwork, SIZES, 0.3, n_latent=2, width=4, dropout=0.1), 1)


def graph(given: dict | None = None):
    given = batch(15, 5) if given is None else given
    make = partial(GraphNetwork, given["values"], given["has"], 0.3, width=4, n_layers=2,
                   n_neighbors=3, dropout=0.1)  # fmt: skip
    return seeded(make, 1)


def loss_of(network, given):
    if isinstance(network, AttentionNetwork):
        return attention_loss(network, given, drop_block=0.3)
    return vae_loss(network, given, drop_block=0.3, beta=0.1, supervision=1.0)


@pytest.mark.parametrize("value", [1e6, -3.0, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [attention, vae, graph])
def test_what_stands_where_nothing_was_measured_is_ignored(make, value):
    network = make().eval()
    with torch.no_grad():
        network.head.weight.normal_()  # else the logit says nothing of the input
    given = batch()
    other = filled(given, value, single=make is vae)
    for one, two in zip(
        network(given["values"], given["has"], given["known"]),
        network(other["values"], other["has"], other["known"]),
        strict=True,
    ):
        assert torch.equal(one, two)
        assert torch.isfinite(one).all()


@pytest.mark.parametrize("value", [1e6, float("nan")])
@pytest.mark.parametrize("make", [attention, vae])
def test_nor_does_it_teach_anything(make, value):
    gradients = []
    for given in (batch(), filled(batch(), value, single=make is vae)):
        network = make().train()
        torch.manual_seed(3)
        loss_of(network, given).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_nor_does_it_in_a_graph(value):
    gradients = []
    for given in (batch(), filled(batch(), value, single=False)):
        network = graph(given).train()
        torch.manual_seed(3)
        graph_loss(network, given).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("make", [attention, vae, graph])
def test_an_untrained_network_says_the_prevalence(make):
    given = batch()
    logits = make().eval()(given["values"], given["has"], given["known"])[0]
    assert torch.allclose(logits, torch.full_like(logits, 0.3))


# --- hidden blocks ------------------------------------------------------------------------


def test_never_all_blocks_are_hidden():
    torch.manual_seed(0)
    has = torch.from_numpy(np.random.default_rng(0).random((4000, 4)) < 0.5)
    kept = drop_blocks(has, 0.9)
    assert not (kept & ~has).any()
    assert torch.equal(kept.any(1), has.any(1))
    two = has.sum(1) == 2
    assert kept[two].sum(1).double().mean() == pytest.approx(1.01, abs=0.02)  # 1 + 0.1²


def test_blocks_are_hidden_as_often_as_asked():
    torch.manual_seed(0)
    has = torch.ones(20_000, 5, dtype=torch.bool)
    kept = drop_blocks(has, 0.3).double().mean(0)
    assert torch.allclose(kept, torch.full((5,), 0.7, dtype=torch.double), atol=0.015)
    assert torch.equal(drop_blocks(has, 0.0), has)


# --- neighbours ---------------------------------------------------------------------------


def test_neighbours_are_the_nearest_of_those_who_have_the_block():
    rng = np.random.default_rng(4)
    new, graph_people = rng.normal(size=(7, 3)), rng.normal(size=(20, 3))
    has = np.ones((20, 1), dtype=bool)
    has[::3] = False
    rows = neighbours(
        [torch.from_numpy(new)], torch.ones(7, 1, dtype=torch.bool),
        [torch.from_numpy(graph_people)], torch.from_numpy(has), 4,
    ).numpy()  # fmt: skip
    who = np.flatnonzero(has[:, 0])
    oracle = NearestNeighbors(n_neighbors=4).fit(graph_people[who])
    for row, nearest in zip(rows, oracle.kneighbors(new, return_distance=False), strict=True):
        assert set(np.flatnonzero(row)) == set(who[nearest])
        np.testing.assert_allclose(row[row > 0], 0.25)


def test_the_mean_is_over_the_blocks_of_the_person():
    given = batch(30, 2)
    rows = neighbours(given["values"], given["has"], given["values"], given["has"], 3, same=True)
    assert torch.equal(torch.diagonal(rows), torch.zeros(30, dtype=torch.double))
    assert torch.allclose(rows.sum(1), torch.ones(30, dtype=torch.double))
    for k in range(3):  # who has one block alone has its neighbours in that block
        alone = given["has"][:, k] & (given["has"].sum(1) == 1)
        assert not (rows[alone][:, ~given["has"][:, k]] > 0).any()
    none = neighbours(
        [v[:1] for v in given["values"]], torch.zeros(1, 3, dtype=torch.bool), given["values"],
        given["has"], 3,
    )  # fmt: skip
    assert not none.any()


def test_fewer_people_than_neighbours():
    given = batch(4, 6)
    rows = neighbours(given["values"], given["has"], given["values"], given["has"], 50, same=True)
    assert torch.isfinite(rows).all()
    assert (rows.sum(1) < 1 + 1e-12).all()


# --- products of densities ----------------------------------------------------------------


def test_product_of_experts_against_the_densities():
    means, logs = torch.tensor([[1.2]]), torch.tensor([[-0.7]])
    more, more_logs = torch.tensor([[-2.0]]), torch.tensor([[0.4]])
    has = torch.tensor([[True, True]])
    mean, log = product_of_experts([means, more], [logs, more_logs], has)
    x = np.linspace(-8, 8, 20_001)
    density = stats.norm.pdf(x) * stats.norm.pdf(x, 1.2, np.exp(-0.35))
    density *= stats.norm.pdf(x, -2.0, np.exp(0.2))
    density /= density.sum()
    centre = (x * density).sum()
    assert mean.item() == pytest.approx(centre, abs=1e-5)
    assert log.exp().item() == pytest.approx(((x - centre) ** 2 * density).sum(), abs=1e-5)


def test_without_experts_the_prior_is_left():
    given = torch.full((2, 3), 5.0)
    mean, log = product_of_experts([given], [given], torch.zeros(2, 1, dtype=torch.bool))
    assert not mean.any()
    assert not log.any()


# --- scans --------------------------------------------------------------------------------


def test_shapes_of_the_network_on_scans():
    network = NerveNetwork(0.4, width=4, dropout=0.0).eval()
    boxes = torch.randn(3, 2, 8, 12, 9)
    assert torch.allclose(network(boxes), torch.full((3,), 0.4))
    with torch.no_grad():
        network.head.weight.normal_()
    whole = network(boxes)
    assert torch.allclose(whole[1:2], network(boxes[1:2]), atol=1e-6)
