"""Classifiers that other packages bring, and checks that catch those that break their promises."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precisionpain.datasets import sample_tn
from precisionpain.errors import FormatError, LeakageError, MissingModalityError
from precisionpain.fusion import (
    SubtypeClassifier,
    available_subtype_classifiers,
    check_subtype_classifier,
    load_subtype_classifier,
)


class Fine(SubtypeClassifier):
    """By the severity of pain, against the mean of training."""

    def fit(self, X, y=None):
        self.mean_ = X.subjects["pain_severity"].astype(float).mean()
        self.subtypes_ = ("mild", "severe")
        return self

    def predict_proba(self, X):
        severe = (X.subjects["pain_severity"].astype(float) > self.mean_).to_numpy()
        p = 0.2 + 0.6 * severe
        return np.column_stack([1 - p, p])

    def explain(self, X):
        return pd.Series("pain", X.index)


class Transductive(Fine):
    def predict_proba(self, X):
        self.mean_ = X.subjects["pain_severity"].astype(float).mean()
        return super().predict_proba(X)


class Peeks(Fine):
    def fit(self, X, y=None):
        super().fit(X)
        good = X.subjects["bni_12mo"].astype(float) <= 2
        p = X.subjects["pain_severity"].astype(float)
        self.mean_ = np.nanmean(np.where(good, p, np.nan)) + 100 * good.to_numpy()[:7].mean()
        return self

    def predict_proba(self, X):
        p = np.full(len(X), 1 / (1 + np.exp(-self.mean_ / 100)))
        return np.column_stack([1 - p, p])


class Remembers(Fine):
    def fit(self, X, y=None):
        before = getattr(self, "mean_", 0.0)
        super().fit(X)
        self.mean_ += before
        return self


class Positional(Fine):
    def predict_proba(self, X):
        p = np.linspace(0, 1, len(X))
        return np.column_stack([1 - p, p])


class NoSum(Fine):
    def predict_proba(self, X):
        return super().predict_proba(X) * 2


class Chance(Fine):
    def fit(self, X, y=None):
        super().fit(X)
        self.mean_ += np.random.default_rng().normal(0, 5)
        return self


class NeedsBlood(Fine):
    def predict_proba(self, X):
        if not len(X.assays["plasma_pea"].obs.dropna(subset="subject_id")):
            raise ValueError("no blood")
        return super().predict_proba(X)


class ByIds(Fine):
    def predict_proba(self, X):
        p = np.array([0.9 if name.startswith("S") else 0.1 for name in X.index])
        return np.column_stack([1 - p, p])


class Ready(Fine):
    def __init__(self):
        self.mean_ = 3.0


@pytest.fixture(scope="module")
def cohort():
    return sample_tn(60, 3).where(diagnosis="TN")


def test_a_good_one_passes(cohort):
    assert len(check_subtype_classifier(Fine, cohort)) == 13
    assert len(check_subtype_classifier(Fine(), cohort)) == 13


@pytest.mark.parametrize(
    ("broken", "kind", "text"),
    [
        (Transductive, FormatError, "depends on who else"),
        (Peeks, LeakageError, "outcomes"),
        (Remembers, LeakageError, "remembers the first"),
        (Positional, FormatError, "another order"),
        (NoSum, FormatError, "sum to 1"),
        (Chance, FormatError, "two fits"),
        (NeedsBlood, FormatError, "no blood"),
        (ByIds, FormatError, "id of a person"),
        (Ready, LeakageError, "already has"),
    ],
)
def test_broken_ones_are_caught(cohort, broken, kind, text):
    with pytest.raises((FormatError, LeakageError), match=text) as caught:
        check_subtype_classifier(broken, cohort)
    if kind is LeakageError:
        assert caught.type is LeakageError


def test_what_is_no_classifier_is_refused(cohort):
    with pytest.raises(FormatError, match="expected a SubtypeClassifier"):
        check_subtype_classifier(dict, cohort)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="at least 40"):
        check_subtype_classifier(Fine, cohort[:20])


def install(folder: Path, package: str, entries: dict[str, str], code: str) -> None:
    """Lay out a package as an installer would."""
    (folder / f"{package}.py").write_text(code, encoding="utf-8")
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[precisionpain.subtype_classifiers]\n{lines}\n")


GOOD = """
from precisionpain.fusion import MechanismRules


class Mine(MechanismRules):
    pass


class NoClassifier:
    pass
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    install(tmp_path, "tn_good", {"good": "tn_good:Mine", "odd": "tn_good:NoClassifier"}, GOOD)
    install(tmp_path, "tn_broken", {"broken": "tn_broken:Mine"}, "raise RuntimeError('no licence')")
    install(tmp_path, "tn_gone", {"gone": "tn_gone.nowhere:Mine"}, "")
    install(tmp_path, "tn_twin", {"subtype_model": "tn_twin:Mine"}, GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("tn_good", "tn_broken", "tn_gone", "tn_twin"):
        sys.modules.pop(name, None)


def test_ours_are_there():
    table = available_subtype_classifiers()
    own = table[table["package"] == "precisionpain"]
    assert own.index.tolist() == ["mechanism_rules", "subtype_model", "subtype_namer"]
    assert (own["problem"] == "").all()
    for name in own.index:
        assert issubclass(load_subtype_classifier(name), SubtypeClassifier)


def test_ours_are_entry_points():
    import tomllib

    root = Path(__file__).resolve().parents[2]
    points = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    table = available_subtype_classifiers()
    own = table.loc[table["package"] == "precisionpain", "value"].to_dict()
    assert points["precisionpain.subtype_classifiers"] == own


@pytest.mark.usefixtures("packages")
def test_others_are_found_and_broken_ones_are_reported():
    table = available_subtype_classifiers()
    assert table.loc["good", ["package", "version", "problem"]].tolist() == ["tn_good", "1.2", ""]
    assert "no licence" in table.loc["broken", "problem"]
    assert "ModuleNotFoundError" in table.loc["gone", "problem"]
    assert "no SubtypeClassifier" in table.loc["odd", "problem"]
    assert load_subtype_classifier("good").__name__ == "Mine"
    with pytest.raises(FormatError, match="no licence"):
        load_subtype_classifier("broken")


@pytest.mark.usefixtures("packages")
def test_two_of_one_name_are_refused():
    table = available_subtype_classifiers().loc["subtype_model"]
    assert len(table) == 2
    assert table["problem"].str.contains("same name").all()
    with pytest.raises(FormatError, match="same name"):
        load_subtype_classifier("subtype_model")


def test_an_unknown_name_is_refused():
    with pytest.raises(MissingModalityError, match="mechanism_rules"):
        load_subtype_classifier("nobody")
