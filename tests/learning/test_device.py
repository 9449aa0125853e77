"""Devices that are there, and threads that are put back."""

from __future__ import annotations

import pytest
import torch

from precisionpain._learning.device import deterministic_threads, pick_device
from precisionpain.errors import FormatError


def test_the_device_that_was_asked_for():
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_cuda_where_there_is_one(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("auto").type == ("cuda" if there else "cpu")


def test_one_of_several(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(FormatError, match=r"'cuda:2' was asked for, and torch .* finds 2"):
        pick_device("cuda:2")


@pytest.mark.parametrize("device", ["cuda", "mps", torch.device("cuda", 0), "meta"])
def test_a_device_that_is_not_there(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(FormatError, match=r"finds 0 of this kind here\. To fix: use device='auto'"):
        pick_device(device)


@pytest.mark.parametrize("device", ["gpu", "", None, 1.5])
def test_what_is_no_device(device):
    with pytest.raises(FormatError, match="expected the device"):
        pick_device(device)


def test_threads_are_pinned_and_put_back():
    before = torch.get_num_threads()

    def fails_inside():
        with deterministic_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        fails_inside()
    assert torch.get_num_threads() == before
    with pytest.raises(FormatError, match="n_threads"), deterministic_threads(0):
        pass
