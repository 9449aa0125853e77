"""A memory of people knows them again, and never shows who they are."""

from __future__ import annotations

import copy
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain._learning.memory import SubjectMemory
from precisionpain.errors import FormatError

IDS = ["sub-anna", "sub-bert", "sub-carla"]


@given(st.sets(st.text()), st.sets(st.text()))
def test_it_knows_whom_it_saw_and_nobody_else(seen, others):
    memory = SubjectMemory.of(seen)
    asked = [*seen, *(others - seen)]
    assert memory.saw(asked).tolist() == [one in seen for one in asked]
    assert len(memory) == len(seen)


def test_the_hash_is_sha256_of_salt_and_id():
    expected = hashlib.sha256(b"saltsub-anna").hexdigest()
    assert SubjectMemory.of(["sub-anna"], salt="salt").parts == (("salt", (expected,)),)


def test_no_id_leaks():
    memory = SubjectMemory.of(IDS) | SubjectMemory.of(["sub-dora"])
    shown = f"{memory!r} {memory} {json.dumps(memory.to_json())} {memory.parts}"
    assert not any(one.removeprefix("sub-") in shown for one in [*IDS, "sub-dora"])
    assert repr(memory) == "SubjectMemory(4 subjects)"


def test_order_and_repetition_tell_nothing():
    forward = SubjectMemory.of(IDS, salt="s")
    assert forward == SubjectMemory.of(IDS[::-1] + IDS, salt="s")
    assert list(forward.parts[0][1]) == sorted(forward.parts[0][1])


def test_two_memories_can_not_be_linked():
    first, second = SubjectMemory.of(IDS), SubjectMemory.of(IDS)
    assert not set(first.parts[0][1]) & set(second.parts[0][1])


def test_union_keeps_everybody():
    union = SubjectMemory.of(IDS[:2]) | SubjectMemory.of(IDS[2:]) | SubjectMemory()
    assert union.saw([*IDS, "sub-zoe"]).tolist() == [True, True, True, False]
    same_salt = SubjectMemory.of(IDS[:2], "s") | SubjectMemory.of(IDS[1:], "s")
    assert same_salt == SubjectMemory.of(IDS, "s")


def test_round_trip_through_json():
    memory = SubjectMemory.of(IDS) | SubjectMemory.of(["sub-dora"])
    assert SubjectMemory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_nobody():
    assert len(SubjectMemory.of([])) == 0
    answer = SubjectMemory().saw(np.array(IDS))
    assert answer.dtype == bool
    assert answer.tolist() == [False] * 3
    assert SubjectMemory.of(IDS).saw([]).shape == (0,)


@pytest.mark.parametrize("ids", [[7], ["7", 7.0], "sub-anna", [None], [("sub-anna",)]])
def test_what_is_no_id_is_refused_without_being_shown(ids):
    with pytest.raises(FormatError, match="expected a list of subject ids as text") as caught:
        SubjectMemory.of(ids)
    assert "anna" not in str(caught.value)
    with pytest.raises(FormatError):
        SubjectMemory.of(IDS).saw(ids)


@pytest.mark.parametrize("change", ["key", "salt", "digest", "digests", "all"])
def test_what_is_no_memory_is_refused(change):
    content = copy.deepcopy(SubjectMemory.of(IDS).to_json())
    part = content["parts"][0]
    if change == "key":
        del part["sha256"]
    elif change == "salt":
        part["salt"] = 7
    elif change == "digest":
        part["sha256"][0] = "sub-anna"
    elif change == "digests":
        part["sha256"] = "ab" * 32
    else:
        content = ["parts"]
    with pytest.raises(FormatError, match="expected the memory of subjects"):
        SubjectMemory.from_json(content)
