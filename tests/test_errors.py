"""Errors say what, where and what to do; they survive processes and match their built-ins."""

from __future__ import annotations

import copy
import pickle

import pytest

from precisionpain import errors

KINDS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type)
    and issubclass(kind, errors.PrecisionPainError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_wording(kind):
    error = kind("expected a, found b.", where="t.csv, line 3", remedy="write a")
    assert str(error) == "t.csv, line 3: expected a, found b. To fix: write a."
    assert str(kind("expected a")) == "expected a"
    assert str(kind("expected a", remedy="write a.")) == "expected a. To fix: write a."
    assert (error.what, error.where, error.remedy) == (
        "expected a, found b.",
        "t.csv, line 3",
        "write a",
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_travels_between_processes(kind, clone):
    error = kind("what", where="where", remedy="remedy")
    other = clone(error)
    assert type(other) is kind
    assert str(other) == str(error)
    assert (other.what, other.where, other.remedy) == ("what", "where", "remedy")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.AlignmentError, ValueError),
        (errors.LeakageError, ValueError),
        (errors.ComparisonError, ValueError),
        (errors.MissingModalityError, KeyError),
        (errors.GeometryError, ValueError),
        (errors.FormatError, ValueError),
        (errors.StorageError, OSError),
        (errors.TrainingError, RuntimeError),
    ],
)
def test_each_kind_is_the_builtin_that_a_caller_would_guess(kind, builtin):
    with pytest.raises(builtin, match="it says this"):
        raise kind("it says this")
    assert issubclass(kind, errors.PrecisionPainError)


def test_warnings_are_user_warnings():
    for kind in (errors.DataWarning, errors.SampleSizeWarning, errors.ConvergenceWarning):
        assert issubclass(kind, errors.PrecisionPainWarning)
        assert issubclass(kind, UserWarning)


@pytest.mark.parametrize(
    ("items", "most", "text"),
    [
        ([], 5, ""),
        (["a"], 5, "'a'"),
        ([1, "b"], 2, "1, 'b'"),
        (["a", "b", "c"], 2, "'a', 'b' and 1 more"),
        (range(9), 3, "0, 1, 2 and 6 more"),
    ],
)
def test_list_some(items, most, text):
    assert errors.list_some(items, most) == text
