"""Work over people: order, failures, checkpoints that survive a kill, workers."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, MapResult
from precisionpain.errors import FormatError, StorageError

from .toy import toy_cohort

ROOT = Path(__file__).resolve().parents[2]


def age_of(subject):
    return float(subject.clinical["age"])


def age_unless_fourth(subject, add=0.0):
    if subject.id.endswith("3"):
        raise ValueError(f"no luck with {subject.id}")
    return float(subject.clinical["age"]) + add


def counted(subject, folder):
    """Leave a trace of each call in a file."""
    with open(Path(folder) / subject.id, "a", encoding="utf-8") as file:
        file.write("x")
    return float(subject.clinical["age"])


def calls(folder: Path) -> dict[str, int]:
    return {file.name: len(file.read_text()) for file in sorted(folder.iterdir())}


@pytest.fixture
def cohort() -> Cohort:
    return toy_cohort(8)


# --- results -----------------------------------------------------------------------------


def test_results_in_the_order_of_the_cohort(cohort):
    moved = cohort[[5, 1, 7, 0]]
    result = moved.map(age_of, progress=False)
    assert list(result.results) == ["p005", "p001", "p007", "p000"]
    assert result.results == {i: moved.subjects.at[i, "age"] for i in moved.subject_ids}
    assert result.failures.empty
    assert list(result.failures.columns) == ["error", "message", "traceback"]
    assert repr(result) == "4 done, 0 failed"
    nerves = moved.per_nerve().map(age_of, progress=False)
    assert nerves.results == result.results


def test_order_does_not_hang_on_who_is_done_first(cohort):
    import time

    def slow_at_first(subject):
        time.sleep(0.05 if subject.id == "p000" else 0)
        return subject.id

    with joblib.parallel_config("threading", n_jobs=2):
        result = cohort.map(slow_at_first, progress=False)
    assert list(result.results.items()) == [(i, i) for i in cohort.subject_ids]


def test_failures_are_collected(cohort):
    result = cohort.map(age_unless_fourth, kwargs={"add": 100.0}, progress=False)
    assert list(result.results) == [i for i in cohort.subject_ids if i != "p003"]
    assert result.results["p000"] == cohort.subjects.at["p000", "age"] + 100
    assert result.failures.index.tolist() == ["p003"]
    assert result.failures.index.name == "subject_id"
    row = result.failures.loc["p003"]
    assert (row["error"], row["message"]) == ("ValueError", "no luck with p003")
    assert "age_unless_fourth" in row["traceback"]
    assert repr(result) == "7 done, 1 failed"


def test_failures_can_be_raised(cohort):
    with pytest.raises(ValueError, match="no luck with p003"):
        cohort.map(age_unless_fourth, on_error="raise", progress=False)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_two_workers(cohort, backend, tmp_path):
    with joblib.parallel_config(backend, n_jobs=2):
        result = cohort.map(age_unless_fourth, progress=False, checkpoint=tmp_path)
    alone = cohort.map(age_unless_fourth, progress=False, n_jobs=1)
    assert list(result.results.items()) == list(alone.results.items())
    assert result.failures["message"].tolist() == alone.failures["message"].tolist()
    again = cohort.map(age_unless_fourth, progress=False, checkpoint=tmp_path)
    assert again.resumed == 7
    assert again.results == alone.results


# --- stacking ------------------------------------------------------------------------------


def stacked(**results) -> pd.DataFrame:
    return MapResult(results, pd.DataFrame()).frame()


@pytest.mark.filterwarnings("error")
def test_frames_of_every_kind():
    table = stacked(a=1, b=None, c=np.float64(2))
    assert table["subject_id"].tolist() == ["a", "b", "c"]
    assert table["value"].fillna(-1).tolist() == [1, -1, 2]
    table = stacked(a={"x": 1, "y": "u"}, b=pd.Series({"x": 2, "y": "v"}))
    assert table.values.tolist() == [["a", 1, "u"], ["b", 2, "v"]]
    rows = pd.DataFrame({"subject_id": "own", "x": [1, 2]})
    assert stacked(a=rows, b=rows).values.tolist() == [["a", 1], ["a", 2], ["b", 1], ["b", 2]]
    named = pd.DataFrame({"x": [1]}, index=pd.Index(["V1"], name="branch"))
    assert stacked(a=named).to_dict("list") == {"subject_id": ["a"], "branch": ["V1"], "x": [1]}
    regions = pd.DataFrame({"x": [1, 2]}, index=["V1", "V2"])
    assert stacked(a=regions)["index"].tolist() == ["V1", "V2"]
    assert stacked().columns.tolist() == ["subject_id"]
    assert stacked(a=pd.Timestamp("2020-01-01"))["value"].tolist() == [pd.Timestamp("2020-01-01")]


@pytest.mark.parametrize("value", [[1, 2], np.zeros(2), object(), {1}])
def test_frames_of_what_does_not_stack(value):
    with pytest.raises(FormatError, match=r"or use \.results"):
        stacked(a=value)


# --- checkpoints ---------------------------------------------------------------------------


TABLE = pd.DataFrame(
    {
        "i": pd.array([1, None], dtype="Int64"),
        "c": pd.Categorical([1, None], categories=[2, 1]),
        "t": pd.to_datetime(["2020-01-01", None]),
    },
    index=pd.Index(["x", "y"], name="region"),
)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        float("nan"),
        "text, Ä",
        [1, [2.0, "x"], None],
        {"a": 1, "b": {"c": [1.5, None]}},
        np.float32(1.5),
        np.int64(7),
        np.arange(6.0).reshape(2, 3),
        np.array(3),
        np.array(["a", "b"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        pd.Series([1.0, 2.0], index=["u", "v"], name="mean"),
        pd.Series([1, 2]),
        pd.Series([1, 2], name="value"),
        pd.Series(["a", None], name=3),
        TABLE,
        pd.DataFrame({0: [1], 1: [2]}),
        pd.DataFrame(),
    ],
)
def test_what_a_checkpoint_holds(value, tmp_path):
    cohort = toy_cohort(1)
    runs = [
        cohort.map(lambda _, v: v, kwargs={"v": value}, checkpoint=tmp_path, progress=False)
        for _ in range(2)
    ]
    assert [run.resumed for run in runs] == [0, 1]
    for run in runs:
        found = run.results["p000"]
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(found, value)
        elif isinstance(value, pd.Series):
            pd.testing.assert_series_equal(found, value)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found, value, strict=True)
        else:
            np.testing.assert_equal(found, value)


def test_first_run_and_next_give_the_same(tmp_path):
    """JSON knows no tuples and no numbers as keys; that shows at once, not on the next run."""
    first, second = (
        toy_cohort(1).map(lambda _: {1: (2, 3)}, checkpoint=tmp_path, progress=False).results
        for _ in range(2)
    )
    assert first == second == {"p000": {"1": [2, 3]}}


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        b"bytes",
        Path("file"),
        np.array([object()]),
        {"table": TABLE},
        {(1, 2): 3},
        pd.DataFrame({"x": [1, "a"]}),
        pd.DataFrame({"x": [[1], {"a": 1}]}),
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        pd.Series([1, "a"]),
    ],
)
def test_what_a_checkpoint_does_not_hold(value, tmp_path):
    with pytest.raises(FormatError, match=r"To fix: (return|give)"):
        toy_cohort(1).map(lambda _: value, checkpoint=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    assert toy_cohort(1).map(lambda _: value, progress=False).results["p000"] is value


def test_resumes_what_is_missing(cohort, tmp_path):
    traces, store = tmp_path / "traces", tmp_path / "store"
    traces.mkdir()
    options = {"kwargs": {"folder": str(traces)}, "checkpoint": store, "progress": False}
    first = cohort[:3].map(counted, **options)
    second = cohort.map(counted, **options)
    assert (first.resumed, second.resumed) == (0, 3)
    assert calls(traces) == dict.fromkeys(cohort.subject_ids, 1)
    assert second.results == {i: cohort.subjects.at[i, "age"] for i in cohort.subject_ids}
    assert "3 taken from the checkpoint" in repr(second)


def test_failures_are_tried_again(cohort, tmp_path):
    for _ in range(2):
        result = cohort.map(age_unless_fourth, checkpoint=tmp_path, progress=False)
        assert result.failures.index.tolist() == ["p003"]
    assert result.resumed == 7


SCRIPT = """
    import os, signal
    from pathlib import Path
    import pandas as pd
    from precisionpain.cohort import Cohort

    cohort = Cohort(pd.DataFrame({{"age": range(8)}}, index=[f"p{{i:03d}}" for i in range(8)]))

    def counted(subject, folder, fatal):
        trace = Path(folder) / subject.id
        with open(trace, "a") as file:
            file.write("x")
        if subject.id == fatal and trace.stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return subject.clinical["age"]

    result = cohort.map(
        counted, kwargs=dict(folder={traces!r}, fatal="p005"), checkpoint={store!r}, progress=False
    )
    print(result.resumed, *result.results)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    traces, store = tmp_path / "traces", tmp_path / "store"
    traces.mkdir()
    script = tmp_path / "work.py"  # a file, so that the function has a source
    text = textwrap.dedent(SCRIPT).format(traces=str(traces), store=str(store))
    script.write_text(text, encoding="utf-8")
    runs = [
        subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    ids = [f"p{i:03d}" for i in range(8)]
    assert runs[0].returncode == -signal.SIGKILL
    assert runs[1].stdout.split() == ["5", *ids], runs[1].stderr
    assert calls(traces) == {i: 2 if i == "p005" else 1 for i in ids}
    # Another function of that name, another result.
    script.write_text(text.replace('clinical["age"]', 'clinical["age"] + 0'), encoding="utf-8")
    changed = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert changed.stdout.split()[0] == "0", changed.stderr


def resumed(function, store: Path, cohort: Cohort | None = None, **kwargs) -> int:
    result = (cohort or toy_cohort(4)).map(
        function, kwargs=kwargs, checkpoint=store, progress=False
    )
    assert result.failures.empty, result.failures.iloc[0]["traceback"]
    return result.resumed


def scaled(by):
    def work(subject):
        return subject.clinical["age"] * by

    return work


class Scale:
    def __init__(self, by):
        self.by = by

    def __call__(self, subject):
        return subject.clinical["age"] * self.by

    def method(self, subject):
        return subject.clinical["age"] * self.by


def two(subject, a=1, b=2):
    return a + b


def test_arguments_invalidate(tmp_path):
    assert resumed(two, tmp_path, a=1) == 0
    assert resumed(two, tmp_path, a=1) == 4
    assert resumed(two, tmp_path, a=2) == 0
    assert resumed(two, tmp_path, b=2) == 0
    table = pd.DataFrame({"x": [1.0]})
    assert resumed(lambda s, t: 1, tmp_path, t=table) == 0
    assert resumed(two, tmp_path, a=1) == 4


@pytest.mark.parametrize(
    "make",
    [
        scaled,
        Scale,
        lambda by: Scale(by).method,
        lambda by: functools.partial(two, a=by),
        lambda by: functools.partial(scaled(by)),
        lambda by: lambda subject, by=by: by,
    ],
)
def test_values_inside_the_function_invalidate(make, tmp_path):
    """The source alone is the same for scaled(2) and scaled(3)."""
    assert resumed(make(2), tmp_path) == 0
    assert resumed(make(2), tmp_path) == 4
    assert resumed(make(3), tmp_path) == 0


def test_functions_without_a_source_are_told_apart(tmp_path):
    spaces = [{}, {}]
    exec("def f(subject): return 1", spaces[0])
    exec("def f(subject): return 2", spaces[1])
    assert resumed(spaces[0]["f"], tmp_path) == 0
    assert resumed(spaces[1]["f"], tmp_path) == 0
    assert resumed(repr, tmp_path) == 0
    assert resumed(str, tmp_path) == 0
    assert resumed(repr, tmp_path) == 4


def test_data_of_the_person_invalidate(tmp_path):
    assert resumed(two, tmp_path) == 0
    changed = toy_cohort(4)
    subjects = changed.subjects
    subjects.loc["p002", "age"] += 1e-9
    assert resumed(two, tmp_path, Cohort(subjects)) == 0  # without the other tables
    assert resumed(two, tmp_path, toy_cohort(4, subjects=subjects)) == 3
    table = pd.DataFrame({"subject_id": ["p001"], "v": [1.0]})
    assert resumed(two, tmp_path, toy_cohort(4).with_measurements("new", table)) == 0
    assert resumed(two, tmp_path, toy_cohort(4)[[2, 0]]) == 2


def test_a_damaged_result_names_its_file(tmp_path):
    resumed(two, tmp_path)
    victim = sorted(tmp_path.iterdir())[0]
    victim.write_bytes(b"{")
    with pytest.raises(FormatError, match="delete the file") as caught:
        resumed(two, tmp_path)
    assert str(victim) in str(caught.value)
    victim.unlink()
    assert resumed(two, tmp_path) == 3


def test_a_checkpoint_that_is_a_file(cohort, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(StorageError, match="can't be written") as caught:
        cohort.map(age_of, checkpoint=file, progress=False)
    assert str(file) in str(caught.value)
    assert file.read_text() == "mine"


def test_a_full_disk(cohort, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        cohort.map(age_of, checkpoint=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


NOBODY = """
    import os
    import pandas as pd
    from precisionpain.cohort import Cohort
    from precisionpain.errors import StorageError
    cohort = Cohort(pd.DataFrame({{"age": [1, 2]}}, index=["a", "b"]))
    cohort.map(str, checkpoint={locked!r}, progress=False)  # all is imported by now
    os.setgid(65534), os.setuid(65534)
    calls = []
    for folder in ({locked!r}, {locked!r} + "/inside"):
        try:
            cohort.map(lambda s: calls.append(1), checkpoint=folder, progress=False)
        except StorageError as error:
            print(error)
    print("calls", len(calls))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_no_permission_shows_before_the_work(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    code = textwrap.dedent(NOBODY).format(root=str(ROOT), locked=str(locked))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{locked}: the checkpoint directory can't be written")
    assert lines[1].startswith(f"{locked}/inside: the checkpoint directory can't be written")
    assert "choose a directory that you may write to" in lines[0]
    assert lines[2] == "calls 0"


def test_one_file_for_each_person(cohort, tmp_path):
    cohort.map(age_of, checkpoint=tmp_path, progress=False)
    files = list(tmp_path.iterdir())
    assert len(files) == 8
    assert {file.suffix for file in files} == {".json"}
    found = sorted(json.loads(file.read_text()) for file in files)
    assert found == sorted(cohort.subjects["age"])
