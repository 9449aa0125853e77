"""Recomputed batch-norm statistics against those of one large batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from precisionpain.errors import FormatError, TrainingError
from precisionpain.mtbi import precise_bn, resnet3d


def volumes(n=7, seed=0, shift=3.0):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 2, n).reshape(-1, 1, 1, 1, 1)
    return shift + scale * torch.randn(n, 1, 10, 9, 8, generator=generator)


def small(seed=0):
    return resnet3d(18, stem="medicalnet", width=4, random_state=seed).double().eval()


def running(network):
    return {
        name: tensor.clone()
        for name, tensor in network.state_dict().items()
        if name.endswith(("running_mean", "running_var"))
    }


def of_one_batch(network, data):
    """What torch itself stores after one batch of everybody, with momentum 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(data)
    return running(network)


@pytest.mark.parametrize("sizes", [[7], [2, 5], [3, 3, 1]])
def test_exact_is_one_batch_of_everybody(sizes):
    data = volumes().double()
    network = small()
    assert precise_bn(network, list(data.split(sizes)), exact=True) == 17
    expected = of_one_batch(small(), data)
    found = running(network)
    for name, tensor in expected.items():
        # within a batch the moments are in single precision
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_one_pass_is_exact_for_one_batch():
    data = volumes().double()
    network = small()
    precise_bn(network, [data])
    expected, found = of_one_batch(small(), data), running(network)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_one_pass_pools_batches_of_unequal_size():
    data = torch.randn(11, 3, 4, generator=torch.Generator().manual_seed(0)) * 5 + 100
    network = nn.Sequential(nn.BatchNorm1d(3))
    precise_bn(network, data.split([1, 4, 6]))
    flat = data.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(network[0].running_mean.double(), flat.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(network[0].running_var.double(), flat.var(1), rtol=1e-5, atol=0)


def test_a_network_in_evaluation_then_does_what_it_did_in_training():
    data = volumes(6).double()
    network = small()
    with torch.no_grad():
        lagging = network(data)
        precise_bn(network, list(data.split(2)), exact=True)
        evaluated = network(data)
        trained = network.train()(data)
    # n - 1 below the variance makes the small difference
    assert (evaluated - trained).abs().max() < 0.1 * (lagging - trained).abs().max()


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_else_changes(exact):
    network = small()
    network.layer1.train()
    network.layer2.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    precise_bn(network, list(volumes().double().split(3)), exact=exact)
    assert [module.training for module in network.modules()] == modes
    assert all(m.momentum == 0.1 for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    after = network.state_dict()
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) is not name.endswith(("mean", "var")), name
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("exact", [False, True])
def test_when_it_fails_the_old_statistics_stay(exact):
    network = small()
    before = running(network)
    bad = volumes().double()
    bad[3, 0, 0, 0, 0] = float("nan")
    with pytest.raises(FormatError, match="not finite"):
        precise_bn(network, list(bad.split(3)), exact=exact)
    with pytest.raises(FormatError, match="at least one batch"):
        precise_bn(network, [], exact=exact)
    with pytest.raises(FormatError, match="expected volumes"):
        precise_bn(network, [volumes().double(), torch.zeros(1)], exact=exact)
    for name, tensor in running(network).items():
        assert torch.equal(tensor, before[name])
    assert not network.training


def test_what_cannot_be_done_is_said():
    with pytest.raises(TrainingError, match="leave precise_bn out"):
        precise_bn(resnet3d(10, norm="group", width=4), [volumes()])
    with pytest.raises(FormatError, match="give a list"):
        precise_bn(small(), iter(volumes().double().split(3)), exact=True)


def test_a_generator_serves_for_one_pass():
    data = volumes().double()
    one, two = small(), small()
    precise_bn(one, (batch for batch in data.split(3)))
    precise_bn(two, list(data.split(3)))
    assert all(
        torch.equal(a, b) for a, b in zip(running(one).values(), running(two).values(), strict=True)
    )
