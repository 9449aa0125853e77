"""The networks against published counts, against MONAI, and against a plain forward pass."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import precisionpain as pp
from precisionpain.errors import FormatError
from precisionpain.mtbi import ResNet3D, resnet3d

# depth: parameters, and GFLOP (2 x MAC) of one axial or sagittal slab, and of a coronal one.
PUBLISHED = {
    10: (14_356_033, {"dilated": (922, 768), "strided": (179, 149)}),
    18: (32_986_689, {"dilated": (2082, 1735), "strided": (370, 308)}),
    34: (63_296_321, {"dilated": (3914, 3261), "strided": (693, 577)}),
    50: (46_157_121, {"dilated": (2847, 2373), "strided": (503, 419)}),
}
VARIANTS = ("dilated", "strided")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lively(network, seed=1):
    """Give the normalisation weights and statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "bn" in name or "downsample.1" in name:
                if name.endswith(("running_var", "weight")):
                    tensor.uniform_(0.5, 1.5, generator=generator)
                elif name.endswith(("running_mean", "bias")):
                    tensor.normal_(0, 0.2, generator=generator)
    return network.double()


# --- what was published ---------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", PUBLISHED)
def test_parameters_and_arithmetic_are_the_published_ones(depth, variant):
    expected, gflop = PUBLISHED[depth]
    with torch.device("meta"):
        network = resnet3d(depth, variant).eval()
        assert sum(weights.numel() for weights in network.parameters()) == expected
        for shape, target in zip([(30, 95, 79), (30, 79, 79)], gflop[variant], strict=True):
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 1, *shape))
            assert counter.get_total_flops() / 1e9 == pytest.approx(target, rel=0.01)


def test_the_small_stem_needs_the_published_arithmetic():
    for variant, target in (("dilated", 36), ("strided", 7.3)):
        with torch.device("meta"):
            network = resnet3d(18, variant, stem="medicalnet").eval()
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 1, 30, 95, 79))
        assert counter.get_total_flops() / 1e9 == pytest.approx(target, rel=0.01)


def test_the_weights_have_the_names_of_medicalnet():
    blocks, shapes = {1: 3, 2: 4, 3: 6, 4: 3}, {}
    shapes["conv1.weight"] = (64, 1, 7, 7, 7)
    norms = {"bn1": 64}
    n_in = 64
    for layer, count in blocks.items():
        planes = 64 * 2 ** (layer - 1)
        for block in range(count):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (planes, n_in, 1, 1, 1)
            shapes[f"{name}.conv2.weight"] = (planes, planes, 3, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * planes, planes, 1, 1, 1)
            norms |= {f"{name}.bn1": planes, f"{name}.bn2": planes, f"{name}.bn3": 4 * planes}
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * planes, n_in, 1, 1, 1)
                norms[f"{name}.downsample.1"] = 4 * planes
            n_in = 4 * planes
    for name, channels in norms.items():
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"{name}.{part}": (channels,) for part in parts}
        shapes[f"{name}.num_batches_tracked"] = ()
    shapes |= {"fc.weight": (1, 2048), "fc.bias": (1,)}
    with torch.device("meta"):
        found = {k: tuple(v.shape) for k, v in resnet3d(50).state_dict().items()}
    assert found == shapes


@pytest.mark.parametrize(("depth", "has"), [(10, True), (18, False), (34, False), (50, True)])
def test_the_shortcut_is_medicalnets_for_each_depth(depth, has):
    with torch.device("meta"):
        names = resnet3d(depth).state_dict()
        other = resnet3d(depth, shortcut="A" if has else "B").state_dict()
    assert any("downsample" in name for name in names) is has
    assert any("downsample" in name for name in other) is not has


# --- the same function as independent implementations -----------------------------------------


@pytest.mark.parametrize("stem", ["paper", "medicalnet"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("depth", [18, 50])
def test_strided_is_monais_network(depth, shortcut, stem):
    from monai.networks.nets import resnet

    ours = lively(resnet3d(depth, "strided", stem=stem, shortcut=shortcut, width=8, random_state=3))
    theirs = resnet.ResNet(
        "bottleneck" if depth == 50 else "basic", [3, 4, 6, 3] if depth == 50 else [2, 2, 2, 2],
        [8, 16, 32, 64], spatial_dims=3, n_input_channels=1, num_classes=1,
        conv1_t_stride=1 if stem == "paper" else 2, no_max_pool=stem == "paper",
        shortcut_type=shortcut, bias_downsample=False,
    ).double()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())  # strict: the same names too
    for training in (False, True):
        ours.train(training), theirs.train(training)
        mine, other = (noise(2, 1, 9, 13, 11).requires_grad_() for _ in range(2))
        a, b = ours(mine), theirs(other)
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        a.sum().backward()
        b.sum().backward()
        # Theirs cuts the gradient of shortcut A too.
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-7, atol=1e-9)


def plain(weights, volumes, stages, stem, training=False):
    """MedicalNet written out: kernels with zeros between their taps, no dilation of torch."""

    def conv(x, name, stride=1, dilation=1):
        kernel = weights[f"{name}.weight"]
        size = (kernel.shape[-1] - 1) * dilation + 1
        spread = kernel.new_zeros(*kernel.shape[:2], size, size, size)
        spread[..., ::dilation, ::dilation, ::dilation] = kernel
        dense = F.conv3d(x, spread, padding=size // 2)
        return dense[:, :, ::stride, ::stride, ::stride]

    def norm(x, name):
        w = {
            part: weights[f"{name}.{part}"].reshape(1, -1, 1, 1, 1)
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        return (x - w["running_mean"]) / (w["running_var"] + 1e-5) ** 0.5 * w["weight"] + w["bias"]

    x = norm(conv(volumes, "conv1", 1 if stem == "paper" else 2), "bn1").clamp(min=0)
    if stem == "medicalnet":
        x = F.pad(x, (1,) * 6, value=float("-inf"))
        for axis in (2, 3, 4):
            x = x.unfold(axis, 3, 2).amax(-1)
    for layer, (stride, dilation) in enumerate(stages, start=1):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in weights:
            name, step = f"layer{layer}.{block}", stride if block == 0 else 1
            if f"{name}.conv3.weight" in weights:
                out = norm(conv(x, f"{name}.conv1"), f"{name}.bn1").clamp(min=0)
                out = norm(conv(out, f"{name}.conv2", step, dilation), f"{name}.bn2").clamp(min=0)
                out = norm(conv(out, f"{name}.conv3"), f"{name}.bn3")
            else:
                out = norm(conv(x, f"{name}.conv1", step, dilation), f"{name}.bn1").clamp(min=0)
                out = norm(conv(out, f"{name}.conv2", 1, dilation), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in weights:
                x = norm(conv(x, f"{name}.downsample.0", step), f"{name}.downsample.1")
            elif out.shape != x.shape:
                x = x[:, :, ::step, ::step, ::step]
                zeros = x.new_zeros(len(x), out.shape[1] - x.shape[1], *x.shape[2:])
                x = torch.cat([x, zeros], dim=1)
            x, block = (out + x).clamp(min=0), block + 1
    pooled = x.flatten(2).sum(-1) / x[0, 0].numel()
    return pooled @ weights["fc.weight"].T + weights["fc.bias"]


@pytest.mark.parametrize("stem", ["paper", "medicalnet"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("depth", [10, 50])
def test_dilated_is_medicalnets_network(depth, shortcut, stem):
    network = resnet3d(
        depth, stem=stem, shortcut=shortcut, shortcut_grad="full", width=4, n_classes=3,
        n_channels=2, random_state=5,
    )  # fmt: skip
    lively(network).eval()
    mine, other = (noise(2, 2, 8, 9, 7).requires_grad_() for _ in range(2))
    a = network(mine)
    b = plain(network.state_dict(), other, [(1, 1), (2, 1), (1, 2), (1, 4)], stem)
    assert a.shape == (2, 3)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    a[:, 0].sum().backward()
    b[:, 0].sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-7, atol=1e-10)


def test_the_variants_share_weights_and_differ_as_functions():
    dilated, strided = (
        resnet3d(18, variant, width=8, random_state=0).eval() for variant in VARIANTS
    )
    strided.load_state_dict(dilated.state_dict())
    volumes = noise(2, 1, 16, 16, 16, dtype=torch.float32)
    cosine = F.cosine_similarity(dilated.features(volumes), strided.features(volumes))
    assert (cosine < 0.999).all()
    assert dilated.feature_map(volumes).shape[2:] == (8, 8, 8)
    assert strided.feature_map(volumes).shape[2:] == (2, 2, 2)


# --- gradients through shortcut A -------------------------------------------------------------


def gradient(network, volumes):
    volumes = volumes.clone().requires_grad_()
    network(volumes).sum().backward()
    return volumes.grad


def test_cut_gradients_change_the_gradient_and_nothing_else():
    network = lively(resnet3d(18, width=8, random_state=0)).eval()
    volumes = noise(1, 1, 12, 12, 12)
    assert network.shortcut_grad == "cut"
    output, cut = network(volumes), gradient(network, volumes)
    network.shortcut_grad = "full"
    assert network.settings["shortcut_grad"] == "full"
    torch.testing.assert_close(network(volumes), output, rtol=0, atol=0)
    full = gradient(network, volumes)
    # The truth: how much the output changes along random directions.
    for seed in (1, 2, 3):
        direction = noise(*volumes.shape, seed=seed) * 1e-5
        with torch.no_grad():
            change = network(volumes + direction) - network(volumes - direction)
        assert (2 * full * direction).sum().item() == pytest.approx(change.item(), rel=1e-3)
    assert F.cosine_similarity(cut.flatten(), full.flatten(), dim=0) < 0.9


def test_cut_gradients_point_elsewhere_at_random_weights():
    """A cosine of 0.28 was measured for depth 18."""
    cosines = []
    for seed in range(3):
        network = resnet3d(18, "strided", width=16, random_state=seed).eval()
        volumes = noise(2, 1, 16, 24, 24, seed=seed, dtype=torch.float32)
        cut = gradient(network, volumes)
        network.shortcut_grad = "full"
        full = gradient(network, volumes)
        cosines.append(F.cosine_similarity(cut.flatten(), full.flatten(), dim=0).item())
    assert np.mean(cosines) == pytest.approx(0.28, abs=0.08)


def test_shortcut_b_has_nothing_to_cut():
    network = resnet3d(10, width=4, random_state=0).eval()
    volumes = noise(1, 1, 8, 8, 8, dtype=torch.float32)
    cut = gradient(network, volumes)
    network.shortcut_grad = "full"
    torch.testing.assert_close(gradient(network, volumes), cut, rtol=0, atol=0)


# --- conduct ------------------------------------------------------------------------------------


def test_random_state_repeats_and_leaves_torch_alone():
    before = torch.get_rng_state()
    first, again, other = (resnet3d(10, width=4, random_state=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c) is (a.ndim == 1 and bool((a == a[0]).all()))


def test_settings_make_the_same_network_again():
    network = resnet3d(34, "strided", stem="medicalnet", shortcut="B", norm="group", n_classes=2,
                       n_channels=3, width=4, shortcut_grad="full", random_state=0)  # fmt: skip
    again = ResNet3D(**network.settings)
    again.load_state_dict(network.state_dict())
    volumes = noise(2, 3, 12, 12, 12, dtype=torch.float32)
    assert torch.equal(network.eval()(volumes), again.eval()(volumes))
    twin = copy.deepcopy(network)
    twin.shortcut_grad = "cut"
    assert network.settings["shortcut_grad"] == "full"


@pytest.mark.parametrize(("norm", "independent"), [("group", True), ("batch", False)])
def test_group_norm_does_not_depend_on_the_batch(norm, independent):
    network = resnet3d(18, norm=norm, width=8, random_state=0).train()
    volumes = noise(3, 1, 8, 8, 8, dtype=torch.float32)
    together, alone = network(volumes)[:1], network(volumes[:1])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6) is independent


def test_group_norm_has_32_groups():
    with torch.device("meta"):
        network = resnet3d(18, norm="group")
    groups = {m.num_groups for m in network.modules() if isinstance(m, torch.nn.GroupNorm)}
    assert groups == {32}
    assert not any("running" in name for name in network.state_dict())


def test_the_head_sees_the_mean_over_the_volume():
    network = resnet3d(10, width=4, n_classes=2, random_state=0).eval()
    volumes = noise(2, 1, 9, 10, 11, dtype=torch.float32)
    features = network.features(volumes)
    assert features.shape == (2, network.n_features) == (2, 32)
    torch.testing.assert_close(
        features, F.adaptive_avg_pool3d(network.feature_map(volumes), 1).flatten(1)
    )
    torch.testing.assert_close(network(volumes), network.fc(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 101}, "10, 18, 34, 50"), ({"variant": "dense"}, "'dilated', 'strided'"),
        ({"stem": "small"}, "stem"), ({"shortcut": "C"}, "'auto', 'A', 'B'"),
        ({"shortcut_grad": "half"}, "'cut', 'full'"), ({"norm": "layer"}, "'batch', 'group'"),
        ({"n_classes": 0}, "n_classes"), ({"n_channels": 1.0}, "n_channels"),
        ({"width": True}, "width"),
    ],
)  # fmt: skip
def test_unknown_options_are_named(options, message):
    with pytest.raises(FormatError, match=message):
        resnet3d(**options)


def test_a_missing_axis_is_explained():
    network = resnet3d(10, width=4)
    with pytest.raises(FormatError, match=r"volumes\[:, None\]"):
        network(torch.zeros(2, 30, 32, 32))
    with pytest.raises(FormatError, match=r"\(n, 1, depth"):
        network(torch.zeros(2, 3, 30, 32, 32))


def test_public_names():
    assert pp.mtbi.resnet3d is resnet3d
