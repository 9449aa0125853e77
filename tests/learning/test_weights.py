"""Models on disk: whole or refused, and never run."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from precisionpain._learning.weights import load_into, load_weights, save_weights
from precisionpain.errors import FormatError, StorageError

KIND = {"kind": "nerve-net", "version": 2}
DESCRIPTION = {"spacing": [0.5, 0.5, 0.5], "labels": {"1": "left"}, "sites": ("A", "B"), "n": None}


@pytest.fixture
def tensors():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 2))
    return net.state_dict()


@pytest.fixture
def folder(tmp_path, tensors):
    save_weights(tmp_path / "model", tensors, DESCRIPTION, **KIND)
    return tmp_path / "model"


def same(left, right):
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype and torch.equal(left[n], right[n]) for n in left
    )


def rewrite(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(folder, tensors):
    found, description = load_weights(str(folder), **KIND)
    assert same(found, dict(tensors))
    assert description == DESCRIPTION | {"sites": ["A", "B"]}
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]


def test_the_description_is_plain_json_with_all_that_was_promised(folder):
    model = json.loads((folder / "model.json").read_text())
    content = (folder / "weights.safetensors").read_bytes()
    assert model["sha256"] == hashlib.sha256(content).hexdigest()
    assert (model["kind"], model["version"]) == ("nerve-net", 2)
    assert model["library"][0].isdigit()


def test_shared_and_strided_memory(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    odd = {"whole": base, "again": base, "turned": base.T, "part": base[1:, ::2], "none": base[:0]}
    save_weights(tmp_path, odd, {}, **KIND)
    assert same(load_weights(tmp_path, **KIND)[0], odd)


def test_half_is_half_as_large_and_comes_back_as_float32(tmp_path):
    torch.manual_seed(0)
    tensors = {"w": torch.randn(100, 100), "d": torch.randn(5).double(), "n": torch.arange(4)}
    for name, half in (("full", False), ("half", True)):
        save_weights(tmp_path / name, tensors, {}, half=half, **KIND)
    full, small = (
        (tmp_path / name / "weights.safetensors").stat().st_size for name in ("full", "half")
    )
    assert small < 0.51 * full + 200
    found, _ = load_weights(tmp_path / "half", **KIND)
    assert (found["w"].dtype, found["d"].dtype, found["n"].dtype) == (
        torch.float32,
        torch.float32,
        torch.int64,
    )
    # 11 bits of mantissa: rounding changes a value by at most 2^-11 of it.
    torch.testing.assert_close(found["w"], tensors["w"], rtol=2**-11, atol=1e-7)
    assert torch.equal(found["n"], tensors["n"])


def test_a_weight_too_large_for_half_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"bias: values up to 1e\+05 .* half=False"):
        save_weights(tmp_path, {"bias": torch.tensor([1e5])}, {}, half=True, **KIND)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, float("nan")]}, r"description\['a'\]\[1\]: .* found nan"),
        ({"a": float("inf")}, "found inf"),
        ({"labels": {1: "left"}}, r"description\['labels'\]: expected text as key, found 1"),
        ({"a": {1, 2}}, "set"),
        ({"a": Path("x")}, "Path"),
        ({"a": torch.ones(1)}, "Tensor"),
    ],
)
def test_a_description_that_is_no_json_is_refused_before_anything_is_written(
    folder, tensors, value, where
):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(FormatError, match=where):
        save_weights(folder, tensors, value, **KIND)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("second", range(5))
@pytest.mark.parametrize("moment", range(5))
def test_killed_saves_leave_one_whole_model(tmp_path, tensors, monkeypatch, moment, second):
    """Two killed saves in a row; at every moment what loads is one model, never a mixture."""
    models = [({n: t + k for n, t in tensors.items()}, {"model": k}) for k in range(3)]
    save_weights(tmp_path, *models[0], **KIND)
    newest = 0
    for attempt, kill_at in ((1, moment), (2, second)):
        calls = iter(range(100))

        def killed(real, calls=calls, kill_at=kill_at):
            def call(*args, **kwargs):
                if next(calls) == kill_at:
                    raise Killed
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed(os.replace))
            patch.setattr(os, "fsync", killed(os.fsync))
            with contextlib.suppress(Killed):
                save_weights(tmp_path, *models[attempt], **KIND)
        found, description = load_weights(tmp_path, **KIND)
        assert description["model"] in (newest, attempt)
        newest = description["model"]
        assert same(found, models[newest][0])
    save_weights(tmp_path, *models[1], **KIND)
    assert same(load_weights(tmp_path, **KIND)[0], models[1][0])
    assert not list(tmp_path.glob("weights.?*.safetensors"))


def test_a_full_disk_leaves_the_old_model_and_no_half_files(folder, tensors, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"can't be written \(No space left on device\)"):
        save_weights(folder, {n: t + 1 for n, t in tensors.items()}, {}, **KIND)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_no_model_there(tmp_path, folder):
    with pytest.raises(FormatError, match=r"the folder .*nowhere' is not there"):
        load_weights(tmp_path / "nowhere", **KIND)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(FormatError, match=r"weights.safetensors: the file is not there"):
        load_weights(folder, **KIND)
    (folder / "model.json").unlink()
    with pytest.raises(FormatError, match=r"model.json: the file is not there"):
        load_weights(folder, **KIND)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "{}", "", "\x80"])
def test_a_description_that_is_not_one(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(FormatError, match="describes no model"):
        load_weights(folder, **KIND)


def test_fields_of_another_type(folder):
    for change in ({"version": "2"}, {"sha256": 7}, {"description": []}):
        before = (folder / "model.json").read_text()
        rewrite(folder, **change)
        with pytest.raises(FormatError, match="describes no model"):
            load_weights(folder, **KIND)
        (folder / "model.json").write_text(before)


def test_another_kind(folder):
    with pytest.raises(FormatError, match="expected a model of kind 'mtbi', found 'nerve-net'"):
        load_weights(folder, kind="mtbi", version=2)


def test_another_version_says_which_is_older_and_what_to_do(folder):
    rewrite(folder, library="0.0.9")
    with pytest.raises(FormatError, match=r"format 2, older than .* precisionpain 0\.0\.9.*again"):
        load_weights(folder, kind="nerve-net", version=3)
    with pytest.raises(FormatError, match=r"format 2, newer than .*: update precisionpain\."):
        load_weights(folder, kind="nerve-net", version=1)


@pytest.mark.parametrize("change", ["flip", "cut", "grow", "empty"])
def test_changed_or_cut_off_weights(folder, change):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[-1] ^= 1
    elif change == "cut":
        content = content[:-100]
    elif change == "grow":
        content += b"\0"
    else:
        content = bytearray()
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"SHA-256 differs.*changed or cut off"):
        load_weights(folder, **KIND)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("agreed", [False, True], ids=["alone", "with-its-hash"])
def test_a_pickle_is_named_and_not_run(folder, tmp_path, monkeypatch, protocol, agreed):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    content = pickle.dumps(Bomb(), protocol)
    (folder / "weights.safetensors").write_bytes(content)
    if agreed:
        rewrite(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(FormatError, match=r"found a Python pickle, .* isn't read"):
        load_weights(folder, **KIND)
    (folder / "model.json").write_bytes(content)
    with pytest.raises(FormatError, match="found a Python pickle"):
        load_weights(folder, **KIND)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(content)  # the bomb was live
    assert (tmp_path / "exploded").is_dir()


def test_a_file_of_torch_is_named(folder, tmp_path, tensors):
    for name, zipped in (("zip archive", True), ("pickle", False)):
        torch.save(tensors, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(FormatError, match=name):
            load_weights(tmp_path / "net.pt", **KIND)
        (folder / "weights.safetensors").write_bytes((tmp_path / "net.pt").read_bytes())
        with pytest.raises(FormatError, match=name):
            load_weights(folder, **KIND)


def test_a_file_with_a_true_hash_that_is_no_safetensors(folder):
    content = b"\x10" + b"\0" * 7 + b"{'a': no json}  "
    (folder / "weights.safetensors").write_bytes(content)
    rewrite(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(FormatError, match="no safetensors file"):
        load_weights(folder, **KIND)


def test_a_header_that_begins_like_a_pickle_is_read(tmp_path):
    """A header of 0x0280 bytes gives the first bytes of a pickle of protocol 2."""
    weights = ({"n" * length: torch.ones(1)} for length in range(500, 640))
    tensors = next(t for t in weights if safetensors.torch.save(t)[:2] == b"\x80\x02")
    save_weights(tmp_path, tensors, {}, **KIND)
    assert same(load_weights(tmp_path, **KIND)[0], tensors)


def test_a_folder_that_can_not_be_written(tmp_path, tensors):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        save_weights(tmp_path / "file" / "model", tensors, {}, **KIND)


def test_load_into_takes_all_or_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    good = {name: torch.full_like(tensor, 7.0) for name, tensor in before.items()}
    wrong = {name: tensor for name, tensor in good.items() if name != "0.bias"}
    wrong |= {"1.weight": torch.ones(1, 4), "2.weight": torch.ones(1)}
    with pytest.raises(FormatError) as caught:
        load_into(net, wrong)
    text = str(caught.value)
    assert "2 of 4 tensors match" in text
    assert "1 missing: '0.bias'" in text
    assert "1 not in the network: '2.weight'" in text
    assert "1 of another shape: '1.weight (1, 4) for (1, 3)'" in text
    assert same(net.state_dict(), before)
    load_into(net, good)
    assert same(net.state_dict(), good)
