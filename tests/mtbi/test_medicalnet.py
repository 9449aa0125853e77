"""Loading weights: all that fit is counted, nothing runs, and a refused file changes nothing."""

from __future__ import annotations

import os
import pickle
import random

import pytest
import safetensors.torch
import torch

from precisionpain.errors import FormatError, StorageError
from precisionpain.mtbi import load_medicalnet, resnet3d

WIDTH = 4


def network(depth=18, seed=9, **options):
    return resnet3d(depth, width=WIDTH, random_state=seed, **options)


def official(depth=18, seed=1, prefix="module.", **options):
    """A checkpoint as MedicalNet writes it: a prefix, a segmentation head, no ``fc``."""
    donor = network(depth, seed, **options)
    for module in donor.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(seed))
    state = {k: v for k, v in donor.state_dict().items() if not k.startswith("fc.")}
    head = {"conv_seg.0.weight": torch.ones(2, 2), "conv_seg.1.running_mean": torch.ones(2)}
    weights = {prefix + name: tensor for name, tensor in (state | head).items()}
    return {"epoch": 3, "state_dict": weights, "optimizer": {"state": {}, "param_groups": []}}


@pytest.fixture
def saved(tmp_path):
    def save(content, name="resnet_18_23dataset.pth", **options):
        path = tmp_path / name
        torch.save(content, path, **options)
        return path

    return save


def state_of(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def refused(net, path, error, message, **options):
    before = state_of(net)
    with pytest.raises(error, match=message) as caught:
        load_medicalnet(net, path, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    return str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_an_official_file_is_loaded_whole(saved, depth, legacy):
    content = official(depth)
    path = saved(content, _use_new_zipfile_serialization=not legacy)
    net = network(depth)
    before = state_of(net)
    report = load_medicalnet(net, path)
    for name, tensor in net.state_dict().items():
        expected = (
            before[name] if name.startswith("fc.") else content["state_dict"]["module." + name]
        )
        assert torch.equal(tensor, expected), name
    norms = sum(isinstance(module, torch.nn.BatchNorm3d) for module in net.modules())
    assert len(report.matched) == 5 * norms  # each convolution has one, of 4 tensors
    assert (report.unmatched, report.unused, report.share) == ((), (), 1.0)
    assert report.head == ("conv_seg.0.weight", "conv_seg.1.running_mean")
    assert report.depth == depth
    assert "head left out (2 tensors)" in str(report)
    assert len(report.sha256) == 64


def test_names_without_prefix_and_bare_weights_are_loaded_too(saved, tmp_path):
    plain = official(prefix="")["state_dict"]
    safetensors.torch.save_file(plain, tmp_path / "weights.bin")  # known by content, not by name
    for path in (saved(plain), tmp_path / "weights.bin"):
        net = network()
        assert load_medicalnet(net, path).share == 1.0
        assert torch.equal(net.conv1.weight, plain["conv1.weight"])


def test_a_safetensors_file_that_was_cut_off_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(official()["state_dict"], path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(network(), path, FormatError, "safetensors")


@pytest.mark.parametrize(("inside", "outside"), [(10, 18), (34, 50), (50, 34), (18, 10)])
def test_another_depth_is_refused_and_named(saved, inside, outside):
    message = refused(network(outside), saved(official(inside)), FormatError, f"ResNet-{inside}")
    assert f"ResNet-{outside}" in message
    assert f"depth={inside}" in message


def test_another_shortcut_is_refused_and_named(saved):
    refused(network(34), saved(official(34, shortcut="B")), FormatError, "shortcut='B'")
    refused(network(18, shortcut="B"), saved(official(18)), FormatError, "shortcut='A'")


def test_too_little_is_refused_and_told(saved):
    content = official()
    names = [
        name for name in content["state_dict"] if name.endswith(("conv1.weight", "bn1.weight"))
    ]
    for name in names:
        del content["state_dict"][name]
    path = saved(content)
    message = refused(network(), path, FormatError, "fewer than min_share=0.9")
    assert "'conv1.weight'" in message
    report = load_medicalnet(network(), path, min_share=0.5)
    assert set(report.unmatched) == {name.removeprefix("module.") for name in names}
    assert report.share == pytest.approx(len(report.matched) / 85)  # 17 convolutions, 17 norms
    assert "as they were" in str(report)


def test_another_width_is_refused(saved):
    wide = resnet3d(18, width=8, random_state=0)
    refused(wide, saved(official()), FormatError, r"^.*: 0 of the 85 tensors.*width")


def test_further_input_channels_are_left_and_said(saved):
    report = load_medicalnet(network(n_channels=2), saved(official()))
    assert report.unmatched == ("conv1.weight",)


def test_names_that_match_nothing_are_an_error(saved):
    content = {
        "state_dict": {f"model.{k}": v for k, v in official(prefix="")["state_dict"].items()}
    }
    refused(network(), saved(content), FormatError, "expected the weights of a ResNet")


def test_group_norm_takes_the_affine_part(saved):
    content = official()
    content["state_dict"]["module.bn1.weight"].fill_(3)
    net = network(norm="group")
    report = load_medicalnet(net, saved(content))
    assert report.share == 1.0
    assert torch.equal(net.bn1.weight, torch.full((WIDTH,), 3.0))
    kinds = {name.rsplit(".", 1)[1] for name in report.unused}
    assert kinds == {"running_mean", "running_var", "num_batches_tracked"}
    assert "no place for" in str(report)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_no_code_of_a_file_runs(saved, tmp_path, kind):
    target = tmp_path / "was_run"
    content = official() | {"extra": Evil(target)}
    if kind == "pickle":
        path = tmp_path / "weights.pth"
        path.write_bytes(pickle.dumps({"state_dict": Evil(target)}))
    else:
        path = saved(content, _use_new_zipfile_serialization=kind == "zip")
    refused(network(), path, FormatError, "nothing of it was run")
    assert not target.exists()


def test_a_damaged_file_is_refused_wherever_it_is_cut(saved, tmp_path):
    content = official(10)
    for legacy in (False, True):
        whole = saved(content, _use_new_zipfile_serialization=not legacy).read_bytes()
        path = tmp_path / "cut.pth"
        for length in (0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 1000):
            path.write_bytes(whole[:length])
            refused(network(10), path, FormatError, "cut.pth: ")


def test_changed_bytes_give_a_typed_error_or_finite_weights(saved, tmp_path):
    rng = random.Random(0)
    for legacy in (False, True):
        whole = saved(official(10), _use_new_zipfile_serialization=not legacy).read_bytes()
        path = tmp_path / "changed.pth"
        for _ in range(30):
            changed = bytearray(whole)
            for _ in range(20):
                changed[rng.randrange(4000)] = rng.randrange(256)
            path.write_bytes(changed)
            net = network(10)
            try:
                load_medicalnet(net, path, min_share=0.01)
            except FormatError:
                continue
            assert all(bool(weights.isfinite().all()) for weights in net.parameters())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "found a list"), ({}, "an empty mapping"),
        ({"state_dict": {}}, "an empty mapping"),
        ({"state_dict": {"a": 1}}, "a mapping of 'a'"), ({"w": torch.ones(2)}, "of a ResNet"),
        ({1: torch.ones(2)}, "named tensors"),
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(saved, content, message):
    refused(network(), saved(content), FormatError, message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("conv1.weight", float("nan"), "not finite"), ("bn1.running_var", -1.0, "negative variances")],
)
def test_impossible_values_are_refused(saved, name, value, message):
    content = official()
    content["state_dict"][f"module.{name}"].view(-1)[0] = value
    refused(network(), saved(content), FormatError, message)


def test_integers_are_no_weights(saved):
    content = official()
    content["state_dict"]["module.conv1.weight"] = torch.ones(WIDTH, 1, 7, 7, 7, dtype=torch.int8)
    refused(network(), saved(content), FormatError, "floating-point")


def test_a_missing_file_and_a_folder_are_different_errors(tmp_path):
    refused(network(), tmp_path / "none.pth", FormatError, "not there")
    refused(network(), tmp_path, StorageError, "can't be read")


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_of_nothing_is_refused(saved, share):
    refused(network(), saved(official()), FormatError, "min_share", min_share=share)
