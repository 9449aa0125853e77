"""The study as one call: what is kept, and what a kill can't change."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest

import precisionpain as pp
from precisionpain._learning.checkpoint import Checkpoint
from precisionpain._learning.device import deterministic_threads
from precisionpain.errors import DataWarning
from precisionpain.mtbi import experiments
from precisionpain.mtbi._experiments import study
from precisionpain.mtbi._experiments.store import Store

from .scans import write
from .studies import CHRONIC, TINY, few_trees, made


@pytest.fixture(autouse=True)
def _one_thread():
    with deterministic_threads(1):
        yield


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch):
    monkeypatch.setattr(study, "bedside_model", few_trees)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return made(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def sample():
    return pp.datasets.sample_mtbi()


def test_a_second_run_trains_nothing(cohort, tmp_path, monkeypatch):
    options = {"rows": ["axial", "random_forest"], "out": tmp_path, **TINY}
    first = experiments.run(cohort, **options)

    def refuse(*anything, **more):
        raise AssertionError("trained again")

    monkeypatch.setattr(pp.mtbi.ChronicPainClassifier, "fit", refuse)
    again = experiments.run(cohort, **options)
    pd.testing.assert_frame_equal(again.frame(), first.frame())
    with pytest.raises(AssertionError, match="trained again"):
        experiments.run(cohort, resume=False, **options)


@pytest.mark.parametrize("change", ["scan", "label", "setting", "feature", "people"])
def test_what_changed_is_computed_anew(tmp_path, change):
    """Nothing stale: a kept prediction is of these very data and settings."""
    row = "neck_pain" if change == "feature" else "axial"
    cohort = made(tmp_path, 8)
    options = {"rows": [row], "out": tmp_path / "out", **TINY}
    before = experiments.run(cohort, **options)
    if change == "scan":
        write(tmp_path / "p02_T1w.nii", np.random.default_rng(99).normal(100, 10, (21, 25, 20)))
    elif change == "setting":
        options["learning_rate"] = 0.01
    else:
        subjects = cohort.subjects
        if change == "label":
            flipped = subjects["chronic_pain"].where(
                subjects.index > "p01", ~subjects["chronic_pain"]
            )
            subjects = subjects.assign(chronic_pain=flipped)
        if change == "feature":
            subjects = subjects.assign(neck_baseline=subjects["neck_baseline"] ** 2 + 1)
        cohort = pp.Cohort(
            subjects, images=cohort.images, columns={"chronic_pain": "outcome"},
            outcomes={"chronic_pain": CHRONIC},
        )  # fmt: skip
        if change == "people":
            cohort = cohort[[0, 1, 2, 3, 4, 5]]
    after = experiments.run(cohort, **options)
    fresh = experiments.run(cohort, **(options | {"out": tmp_path / "fresh"}))
    pd.testing.assert_frame_equal(after.predictions, fresh.predictions)
    assert not after.predictions["p"].equals(before.predictions["p"])


def test_damaged_predictions_are_made_anew(cohort, tmp_path):
    options = {"rows": ["neck_pain"], "out": tmp_path, "n_splits": 2, "progress": False}
    first = experiments.run(cohort, [4], **options)
    files = sorted((tmp_path / "predictions").glob("*.json"))
    assert len(files) == 2
    files[0].write_text(files[0].read_text()[:40])
    record = json.loads(files[1].read_text())
    files[1].write_text(json.dumps(record | {"subject_id": record["subject_id"][::-1]}))
    with pytest.warns(DataWarning, match="damaged") as caught:
        again = experiments.run(cohort, [4], **options)
    assert len(caught) == 2
    pd.testing.assert_frame_equal(again.frame(), first.frame())


class Killed(BaseException):
    """A kill; no code of the library catches it."""


ROWS_TO_KILL = ["axial", "seed_53", "neck_pain"]


@pytest.fixture(scope="module")
def whole(cohort):
    """Return what a run finds that nobody kills."""
    with deterministic_threads(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "bedside_model", few_trees)
        return experiments.run(cohort, rows=ROWS_TO_KILL, **TINY)


@pytest.mark.parametrize("last", [0, 1, 3, 6, 9])
def test_a_run_killed_between_folds_goes_on(cohort, whole, tmp_path, monkeypatch, last):
    options = {"rows": ROWS_TO_KILL, **TINY}
    write_one, done = Store.write, []

    def write_some(self, *args):
        if len(done) == last:
            raise Killed
        write_one(self, *args)
        done.append(args[0])

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", write_some)
        with pytest.raises(Killed):
            experiments.run(cohort, out=tmp_path / "out", **options)
    assert len(list((tmp_path / "out").glob("predictions/*.json"))) == last
    assert not (tmp_path / "out" / "results.json").exists()
    again = experiments.run(cohort, out=tmp_path / "out", **options)
    pd.testing.assert_frame_equal(again.frame(), whole.frame(), check_exact=True)
    pd.testing.assert_frame_equal(again.predictions, whole.predictions, check_exact=True)


@pytest.mark.parametrize("last", [1, 3, 5])
def test_a_run_killed_in_a_training_goes_on(cohort, tmp_path, monkeypatch, last):
    """The epochs that were done aren't done again, and the result is the same to the bit."""
    options = {"rows": ["axial"], "tables": [2], **(TINY | {"n_epochs": 3})}
    whole = experiments.run(cohort, out=tmp_path / "whole", **options)
    save, saved = Checkpoint.save, []

    def save_some(self, *args):
        save(self, *args)
        saved.append(args[0])
        if len(saved) == last:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_some)
        with pytest.raises(Killed):
            experiments.run(cohort, out=tmp_path / "out", **options)
        assert list((tmp_path / "out" / "training").iterdir())
        again = experiments.run(cohort, out=tmp_path / "out", **options)
    assert saved == [0, 2, 4, 6] * 2  # steps of two folds, none of them twice
    assert not (tmp_path / "out" / "training").exists()
    pd.testing.assert_frame_equal(again.predictions, whole.predictions, check_exact=True)


def test_a_process_that_is_killed_leaves_what_it_found(tmp_path):
    """The real thing: SIGKILL in the middle, then the same call."""
    code = (
        "import sys, precisionpain as pp\n"
        "pp.mtbi.experiments.run(pp.datasets.sample_mtbi(), [4],\n"
        "    rows=['neck_pain', 'xgboost', 'neck_pain_stratified'], out=sys.argv[1],\n"
        "    n_splits=8, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")])
    kept = tmp_path / "out" / "predictions"
    deadline = time.monotonic() + 120
    while len(list(kept.glob("*.json"))) < 10 and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    n = len(list(kept.glob("*.json")))
    assert n >= 10
    before = {path: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    options = {"rows": ["neck_pain", "xgboost", "neck_pain_stratified"], "progress": False}
    sample = pp.datasets.sample_mtbi()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "bedside_model", pp.mtbi.bedside_model)
        again = experiments.run(sample, [4], out=tmp_path / "out", **options)
        whole = experiments.run(sample, [4], out=tmp_path / "whole", **options)
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items())
    pd.testing.assert_frame_equal(again.frame(), whole.frame(), check_exact=True)


def test_folds_in_parallel_are_the_same(sample):
    options = {"rows": ["neck_pain"], "n_splits": 3, "progress": False}
    one = experiments.run(sample, [4], **options)
    with joblib.parallel_config(backend="threading"):
        two = experiments.run(sample, [4], n_jobs=2, **options)
    pd.testing.assert_frame_equal(one.frame(), two.frame(), check_exact=True)
    model = one.results["neck_pain"]._rerun.model
    there = pickle.loads(pickle.dumps(model))  # as processes get it
    train, test = one.results["neck_pain"].splits[0]
    y = sample.outcome("chronic_pain").to_numpy(dtype=int)
    known = there.fit(sample.known_at_index()[train], y[train])
    p = known.predict_proba(sample.known_at_index()[test])[:, 1]
    assert p.tolist() == one.predictions.query("fold == 0")["p"].tolist()
