from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.cohort.keys import check_ids, check_unique
from precisionpain.errors import AlignmentError

KNOWN = ["sub-001", "sub-002", "sub-010", "Sub-tbi01"]


def message(given, known=KNOWN, table="proteins"):
    with pytest.raises(AlignmentError) as caught:
        check_ids(given, known, table=table)
    return str(caught.value)


def test_known_ids_pass_in_any_order_and_repeated():
    check_ids(["sub-010", "sub-001", "sub-010"], KNOWN, table="proteins")
    check_ids(pd.Index(["sub-001"]), pd.Index(KNOWN), table="proteins")
    check_ids([], KNOWN, table="proteins")


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        ("sub-1", "sub-001", "zero padding"),
        ("sub-10", "sub-010", "zero padding"),
        ("001", "sub-001", "the prefix 'sub-'"),
        ("2", "sub-002", "the prefix 'sub-' and zero padding"),
        (" sub-001 ", "sub-001", "surrounding spaces"),
        ("SUB-001", "sub-001", "case"),
        ("sub-tbi1", "Sub-tbi01", "case and zero padding"),
    ],
)
def test_near_ids_are_named_with_their_difference_and_the_remedy(one, other, reasons):
    text = message([one])
    assert text.startswith(f"proteins: 1 id is unknown: {one!r}. ")
    assert f"{one!r} equals {other!r} up to {reasons}. To fix" in text
    assert f"rename the ids first with a mapping, for example {{{one!r}: {other!r}}}" in text


def test_numbers_as_ids_say_their_type():
    text = message([7, np.int64(8)], ["007", "8"])
    assert "7 equals '007' up to its type (int, not text) and zero padding" in text
    assert "np.int64(8) equals '8' up to its type (int64, not text)" in text


def test_people_whose_ids_differ_by_a_final_zero_are_never_near():
    text = message(["sub-01"], ["sub-010", "sub-100"])
    assert "equals" not in text
    assert "known are 'sub-010', 'sub-100'" in text


def test_several_candidates_are_all_shown_and_none_is_proposed():
    text = message(["1"], ["01", "001"])
    assert "'1' equals '01' and '001' up to zero padding" in text
    assert "for example" not in text


def test_missing_ids_are_unknown():
    assert "2 ids are unknown: None, nan" in message([None, np.nan])


def test_long_lists_are_cut_and_counted():
    text = message([f"sub-{i}" for i in range(1, 10)], [f"sub-00{i}" for i in range(1, 10)])
    assert "9 ids are unknown: 'sub-1', 'sub-2', 'sub-3', 'sub-4', 'sub-5' and 4 more" in text
    assert "'sub-5' equals 'sub-005' up to zero padding; and 4 more" in text
    assert "'sub-6'" not in text


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_raises_exactly_when_an_id_is_unknown(given, known):
    if set(given) <= set(known):
        check_ids(given, known, table="t")
    else:
        with pytest.raises(AlignmentError):
            check_ids(given, known, table="t")


def test_unique_ids_pass():
    check_unique(["a", "b"], table="t")
    check_unique([("a", "pre"), ("a", "post")], table="t")
    check_unique([], table="t")


def test_repeated_ids_name_their_lines():
    with pytest.raises(AlignmentError) as caught:
        check_unique(["a", "b", "a", "a"], table="t.csv", lines=[2, 4, 6, 9], remedy="look")
    assert str(caught.value) == (
        "t.csv: 1 id occurs more than once: 'a' (lines 2, 6 and 9). To fix: look."
    )


def test_repeated_keys_name_their_positions():
    with pytest.raises(AlignmentError, match=r"1 key occurs .* \('a', 'pre'\) \(positions 0 and 1"):
        check_unique([("a", "pre"), ("a", "pre")], table="t")


def test_many_repeated_ids_are_cut_and_counted():
    with pytest.raises(AlignmentError) as caught:
        check_unique([*range(8), *range(8)], table="t")
    assert "8 ids occur more than once: 0 (positions 0 and 8)" in str(caught.value)
    assert "4 (positions 4 and 12); and 3 more" in str(caught.value)
    with pytest.raises(AlignmentError, match=r"positions 0, 1, 2, 3, 4 and 15 more"):
        check_unique(["a"] * 20, table="t")


def test_a_hundred_thousand_ids_take_no_noticeable_time():
    known = [f"sub-{i:06d}" for i in range(100_000)]
    start = time.process_time()
    check_unique(known, table="t")
    check_ids(known[::-1], known, table="t")
    with pytest.raises(AlignmentError, match="100000 ids are unknown"):
        check_ids([f"{i}" for i in range(100_000)], known, table="t")
    # Quadratic time would be minutes.
    assert time.process_time() - start < 10
