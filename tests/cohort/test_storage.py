"""Cohorts on disk: whole or not at all, exactly as they were, or a reason why not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from precisionpain.cohort import (
    Cohort,
    Column,
    Flow,
    Outcome,
    load_cohort,
    read_cohort,
    save_cohort,
    storage,
)
from precisionpain.errors import FormatError, StorageError

from .toy import toy_cohort, toy_parts

ROOT = Path(__file__).resolve().parents[2]


def assert_same(one: Cohort, two: Cohort) -> None:
    """Everything that a cohort holds, to the last dtype."""
    pd.testing.assert_frame_equal(one.subjects, two.subjects)
    pd.testing.assert_frame_equal(one.visits, two.visits)
    pd.testing.assert_frame_equal(one.images, two.images)
    assert list(one.measurements) == list(two.measurements)
    for name, table in one.measurements.items():
        pd.testing.assert_frame_equal(table, two.measurements[name])
    assert list(one.assays) == list(two.assays)
    for name, adata in one.assays.items():
        other = two.assays[name]
        for axis in ("obs", "var"):
            mine, theirs = getattr(adata, axis), getattr(other, axis)
            assert mine.dtypes.to_dict() == theirs.dtypes.to_dict()
            mine, theirs = (t.astype(object).where(t.notna(), None) for t in (mine, theirs))
            pd.testing.assert_frame_equal(mine, theirs)
        pd.testing.assert_frame_equal(adata.to_df(), other.to_df())
        assert list(adata.layers) == list(other.layers)
        for layer in adata.layers:
            np.testing.assert_array_equal(adata.layers[layer], other.layers[layer])
        assert {**adata.uns} == {**other.uns}
    for what in ("name", "synthetic", "landmark", "meta", "columns", "outcomes", "flow"):
        assert getattr(one, what) == getattr(two, what), what
    pd.testing.assert_frame_equal(one.provenance, two.provenance)
    pd.testing.assert_frame_equal(one.schedule, two.schedule)
    assert one.predictors == two.predictors
    pd.testing.assert_frame_equal(one.availability, two.availability)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def full_cohort(tmp_path: Path) -> Cohort:
    """A cohort with every dtype and every field in use."""
    parts = toy_parts(8)
    subjects = parts["subjects"].assign(
        level=pd.Categorical([*"xyxyxyx", None], categories=list("zyx"), ordered=True),
        count=pd.Categorical([1, 2, 1, 2, 1, 2, 1, None], categories=[3, 2, 1]),
        whole=pd.array([1, None] * 4, dtype="Int64"),
        small=np.arange(8, dtype="int8"),
        single=np.linspace(0, 1, 8, dtype="float32"),
        real=pd.array([0.5, None] * 4, dtype="Float64"),
        flag=pd.array([True, None] * 4, dtype="boolean"),
        yes=np.array([True, None] * 4, dtype=object),
        number=np.array([1, None] * 4, dtype=object),
        text=pd.array(["a, Ä", None] * 4, dtype="string"),
        when=pd.to_datetime(["2020-02-29", None] * 4).astype("datetime64[s]"),
        zoned=pd.to_datetime(["2020-02-29T12:00", None] * 4).tz_localize("Europe/Zurich"),
        span=pd.to_timedelta([1, None] * 4, unit="h"),
        month=pd.period_range("2020-01", periods=8, freq="M"),
        nothing=None,
        infinite=np.inf,
    )
    file = tmp_path / "image.nii.gz"
    file.write_bytes(b"voxels")
    parts["images"] = pd.DataFrame(
        {
            "subject_id": ["p000", "p001"],
            "visit": "preop",
            "contrast": "T1w",
            "run": pd.array([1, None], dtype="Int64"),
            "path": [str(file), str(tmp_path / "absent.nii.gz")],
            "present": [True, False],
            "reason": [None, "not downloaded"],
            "acq": ["high", None],
        }
    )
    csf = parts["assays"]["csf_pea"]
    csf.layers["raw"] = csf.X * 2
    csf.var["gene"] = [*"abcde", None]
    csf.obs["plate"] = pd.Categorical(["P1"] * (csf.n_obs - 1) + [None])
    csf.obs["volume"] = 1.5
    csf.uns["steps"] = {"normalised": "plate"}
    every = Column(
        source="Level (x)",
        kind="ordinal",
        role="predictor",
        visit="preop",
        unit="points",
        factor=0.5,
        levels={"none": "z", "some": "y", "Ä": "x"},
        missing=("n.d.", "?"),
        minimum=-1.0,
        maximum=2.5,
        description="a level",
        reason="because",
    )
    return Cohort(
        **parts
        | {
            "subjects": subjects,
            "columns": parts["columns"] | {"level": every, "span": Column(role="truth")},
            "outcomes": parts["outcomes"]
            | {
                "grade": Outcome(kind="number", column="bni", description="0 to 5"),
                "worse": Outcome(column="bni", positive=(4.0, 5.0), where={"site": ["A", "B"]}),
                "late": Outcome(column="recurrence_days", at_least=100.0),
            },
            "schedule": {"preop": -9, "followup": 365, "exam": 400.5},
            "meta": {"source": "Ä", "deep": {"list": [1, 2.5, None, True]}},
            "provenance": [
                {"step": "a", "table": "t", "column": "c", "n": np.int64(2), "detail": "d"},
                {"step": "b", "n": 3, "file": Path("t.csv")},
            ],
            "flow": Flow(20).then("declined", 10).then("no consent", 8),
        }
    )


# --- round trip --------------------------------------------------------------------------


def test_everything_comes_back(tmp_path):
    cohort = full_cohort(tmp_path)
    folder = tmp_path / "deep" / "folder"
    assert cohort.save(folder, checksum=False) == folder
    again = read_cohort(str(folder))
    assert again.provenance["file"].fillna("").tolist() == ["", "t.csv"]
    entries = [{**entry, "n": int(entry["n"])} for entry in cohort._store.provenance]
    entries[1]["file"] = "t.csv"
    plain = Cohort(**cohort._parts() | {"provenance": entries})
    assert_same(again, plain)
    assert_same(read_cohort(again.save(tmp_path / "second", checksum=False)), plain)


@pytest.mark.filterwarnings("error")
def test_saving_and_reading_warn_of_nothing(tmp_path):
    cohort = full_cohort(tmp_path)
    assert len(read_cohort(cohort.save(tmp_path / "c"))) == len(cohort)


def test_saving_leaves_the_cohort_as_it_is(tmp_path):
    parts = toy_parts(8)
    obs = parts["assays"]["csf_pea"].obs.copy()
    cohort = Cohort(**parts)
    cohort.save(tmp_path / "c")
    pd.testing.assert_frame_equal(cohort.assays["csf_pea"].obs, obs)
    pd.testing.assert_frame_equal(parts["assays"]["csf_pea"].obs, obs)


def test_a_part_of_a_cohort(tmp_path):
    part = toy_cohort(12)[[7, 2, 5]].where(diagnosis="TN")
    again = read_cohort(part.save(tmp_path / "c"))
    assert_same(again, part)
    assert again.subject_ids.tolist() == ["p007", "p002", "p005"]
    assert again.flow.recruited == 12
    written = b"".join(contents(tmp_path / "c").values())
    for other in ("p000", "p001", "p003"):  # nobody else's data leave with it
        assert other.encode() not in written


def test_the_view_of_a_model(tmp_path):
    view = toy_cohort(8).known_at_index()
    assert_same(read_cohort(view.save(tmp_path / "c")), view)


def test_what_a_table_reader_attached_is_no_hindrance(tmp_path):
    frame = pd.DataFrame({"age": [61.0]}, index=["p1"])
    frame.attrs = {"columns": {"age": Column(unit="years")}, "provenance": []}
    table = pd.DataFrame({"subject_id": ["p1"], "v": [1]})
    table.attrs = {"columns": {"v": Column()}}
    cohort = Cohort(frame, measurements={"m": table})
    assert read_cohort(cohort.save(tmp_path / "c")).columns["age"].unit == "years"


def test_tables_of_samples_by_panel_come_back(tmp_path):
    """A plate for each panel, and a sample that one panel lacks."""
    obs = pd.DataFrame({"subject_id": ["a", "b"]}, index=["s1", "s2"])
    assay = anndata.AnnData(np.ones((2, 1)), obs=obs)
    plates = pd.DataFrame({"P1": ["x", None], "P2": ["x", "y"], "n": [1.0, 2.0]}, index=obs.index)
    assay.obsm["plate"] = plates
    cohort = Cohort(pd.DataFrame(index=["a", "b"]), assays={"x": assay})
    again = read_cohort(cohort.save(tmp_path / "c")).assays["x"].obsm["plate"]
    assert again.dtypes.tolist() == plates.dtypes.tolist()
    assert again["P1"].tolist()[0] == "x"
    assert again["P1"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(again[["P2", "n"]], plates[["P2", "n"]], check_names=False)
    assert plates["P1"].dtype == object  # what was handed in stays


def test_samples_without_any_text(tmp_path):
    obs = pd.DataFrame({"subject_id": ["a"], "visit": [None]}, index=["s"])
    cohort = Cohort(
        pd.DataFrame(index=["a"]), assays={"x": anndata.AnnData(np.ones((1, 1)), obs=obs)}
    )
    again = read_cohort(cohort.save(tmp_path / "c"))
    assert again.assays["x"].obs["visit"].isna().all()
    assert again.assays["x"].obs["visit"].dtype == object


def test_a_folder_that_looks_like_a_partition(tmp_path):
    """A path with site=A in it must not become a column."""
    cohort = toy_cohort(4)
    assert_same(read_cohort(cohort.save(tmp_path / "site=Z" / "age=1")), cohort)


def test_only_subjects_are_saved(tmp_path):
    for view in (toy_cohort(4).per_nerve(), toy_cohort(4).per_visit()):
        with pytest.raises(FormatError, match="save the cohort before"):
            view.save(tmp_path / "c")
    assert not (tmp_path / "c").exists()


# --- what can't be stored --------------------------------------------------------------------


def bad_meta(parts):
    parts["meta"] = {"f": print}


def bad_outcome(parts):
    parts["outcomes"] = {"o": Outcome(column="age", positive=(object(),))}


def mixed_column(parts):
    parts["subjects"]["odd"] = [1, "a"] * 4


def nested_cell(parts):
    parts["subjects"]["odd"] = [[1]] * 8


def mixed_measurement(parts):
    parts["measurements"]["scores"]["odd"] = [1, "a"] * 2


def mixed_samples(parts):
    parts["assays"]["csf_pea"].obs["odd"] = ([1, "a"] * 9)[: len(parts["assays"]["csf_pea"])]


def dated_samples(parts):
    parts["assays"]["csf_pea"].obs["when"] = pd.Timestamp("2020-01-01")


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (bad_meta, "description"),
        (bad_outcome, "description"),
        (mixed_column, "subjects"),
        (nested_cell, "subjects"),
        (mixed_measurement, "measurements/scores"),
        (mixed_samples, "assays/csf_pea"),
        (dated_samples, "assays/csf_pea"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_old_one_kept(spoil, where, tmp_path):
    folder = tmp_path / "c"
    old = toy_cohort(8)
    old.save(folder)
    before = contents(folder)
    parts = toy_parts(8)
    spoil(parts)
    with pytest.raises(FormatError, match=r"can't be stored|holds no dates") as caught:
        Cohort(**parts).save(folder)
    assert where in str(caught.value)
    assert "To fix: " in str(caught.value)
    assert contents(folder) == before
    assert {item.name for item in folder.iterdir()} == {"cohort.json", json_of(folder)["data"]}


def json_of(folder: Path) -> dict:
    return json.loads((folder / "cohort.json").read_text(encoding="utf-8"))


# --- damage ------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path) -> Path:
    return toy_cohort(4).save(tmp_path / "c")


def rewrite(folder: Path, **changes) -> None:
    index = {k: v for k, v in (json_of(folder) | changes).items() if v is not ...}
    (folder / "cohort.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("version", [2, 99, "1", None])
def test_a_newer_format(stored, version):
    rewrite(stored, format_version=version)
    with pytest.raises(FormatError, match=f"format version {version}") as caught:
        read_cohort(stored)
    assert "upgrade precisionpain (it was written by precisionpain 0" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"format": "precisionpain cohort"', "\x00", "ÿ"])
def test_a_damaged_index(stored, text):
    (stored / "cohort.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match="damaged"):
        read_cohort(stored)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"format": "other"}'])
def test_an_index_of_something_else(stored, text):
    (stored / "cohort.json").write_text(text)
    with pytest.raises(FormatError, match="expected a precisionpain cohort"):
        read_cohort(stored)


@pytest.mark.parametrize("entry", ["data", "files", "flow", "columns", "landmark"])
def test_an_index_that_lacks_something(stored, entry):
    rewrite(stored, **{entry: ...})
    with pytest.raises(FormatError, match=f"lacks '{entry}'"):
        read_cohort(stored)


@pytest.mark.parametrize("kind", ["parquet", "h5ad"])
def test_a_missing_file(stored, kind):
    victim = sorted(stored.rglob(f"*.{kind}"))[0]
    victim.unlink()
    with pytest.raises(FormatError, match="a file of the cohort is missing") as caught:
        read_cohort(stored)
    assert str(victim) in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "h5ad"])
def test_a_changed_file(stored, kind):
    victim = sorted(stored.rglob(f"*.{kind}"))[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(FormatError, match="its checksum differs") as caught:
        read_cohort(stored)
    assert str(victim) in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "h5ad"])
@pytest.mark.parametrize("keep", [0, 4, 0.5])
def test_a_cut_file_without_verification(stored, kind, keep):
    victim = sorted(stored.rglob(f"*.{kind}"))[0]
    data = victim.read_bytes()
    victim.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(FormatError, match="damaged"):
        load_cohort(stored, verify=False)


def test_reading_what_is_no_cohort(tmp_path):
    with pytest.raises(FormatError, match="no such directory"):
        read_cohort(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="no stored cohort here"):
        load_cohort(tmp_path)
    file = tmp_path / "table.csv"
    file.write_text("a,b")
    with pytest.raises(FormatError, match="read_clinical_table"):
        read_cohort(file)


# --- never anybody else's files --------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["notes.txt", "data-raw/scan.nii.gz", "data/x.csv", ".git/config", "data-0123/x"]
)
def test_a_directory_with_other_things_is_refused_and_left_alone(name, tmp_path):
    folder = tmp_path / "study"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("years of work")
    for _ in range(2):
        before = contents(folder)
        with pytest.raises(StorageError, match="no stored cohort") as caught:
            toy_cohort(4).save(folder)
        assert repr(name.split("/")[0]) in str(caught.value)
        assert "choose a new or empty directory" in str(caught.value)
        assert contents(folder) == before
        # Nor is it overwritten when it comes to lie beside a stored cohort.
        shutil.copytree(toy_cohort(4).save(tmp_path / "c"), folder, dirs_exist_ok=True)


@pytest.mark.parametrize("text", ['{"format": "other"}', "[]", "{", ""])
def test_somebody_elses_cohort_json_is_left_alone(text, tmp_path):
    (tmp_path / "cohort.json").write_text(text)
    with pytest.raises(StorageError, match=r"'cohort\.json'"):
        toy_cohort(4).save(tmp_path)
    assert (tmp_path / "cohort.json").read_text() == text


def test_a_file_in_the_way(tmp_path):
    file = tmp_path / "c"
    file.write_text("mine")
    for path in (file, file / "inside"):
        with pytest.raises(StorageError, match="can't be written"):
            toy_cohort(4).save(path)
    assert file.read_text() == "mine"


# --- replaced as a whole ------------------------------------------------------------------------


def test_saving_over_itself_and_over_another(tmp_path):
    folder = tmp_path / "c"
    first = toy_cohort(8, name="first")
    first.save(folder)
    again = read_cohort(folder)
    again.save(folder)
    assert_same(read_cohort(folder), first)
    part = read_cohort(folder)[[3, 1]]
    part.save(folder)
    assert_same(read_cohort(folder), part)
    assert len(list(folder.iterdir())) == 2


def test_reading_while_another_process_saves(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    old, new = toy_cohort(4, name="old"), toy_cohort(6, name="new")
    old.save(folder)
    read = storage._read_file
    seen = []

    def replaced_meanwhile(file, record, verify):
        seen.append(file)
        if len(seen) == 3:
            new.save(folder)
        return read(file, record, verify)

    monkeypatch.setattr(storage, "_read_file", replaced_meanwhile)
    assert_same(read_cohort(folder), new)


def no_space(*_args, **_options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (pq, "write_table"),
        (anndata.AnnData, "write_h5ad"),
        (Path, "write_text"),
        (os, "fsync"),
        (os, "replace"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_the_old_one(owner, name, there, tmp_path, monkeypatch):
    folder = tmp_path / "c"
    old = toy_cohort(4, name="old")
    if there:
        old.save(folder)
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, no_space)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            toy_cohort(6).save(folder)
    assert str(folder) in str(caught.value)
    assert contents(folder) == before
    assert [p for p in folder.iterdir() if p.name != "cohort.json"] == [
        folder / json_of(folder)["data"] for _ in range(there)
    ]
    toy_cohort(6, name="new").save(folder)
    assert read_cohort(folder).name == "new"


KILL = """
    import itertools, os, shutil, signal, sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    import anndata, h5py, pyarrow.parquet as pq
    from tests.cohort.toy import toy_cohort
    from precisionpain.cohort import storage

    new = toy_cohort(6, name="new")
    write_table, write_h5ad = pq.write_table, anndata.AnnData.write_h5ad

    def half_written(write):
        def wrapped(table, sink, **options):
            sys.audit("half", str(sink))
            Path(sink).write_bytes(b"PAR1 half a file")
            sys.audit("half", str(sink))
            write(table, sink, **options)
            sys.audit("half", str(sink))
        return wrapped

    def save(folder, fatal):
        '''Save, and die before the given file operation.'''
        count = 0
        def watch(event, args):
            nonlocal count
            if not any(isinstance(a, (str, os.PathLike)) and folder in str(a) for a in args):
                return
            if event.startswith(("open", "os.", "shutil.", "pathlib.", "half")):
                count += 1
                if count == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
        pq.write_table = half_written(write_table)
        anndata.AnnData.write_h5ad = half_written(write_h5ad)
        sys.addaudithook(watch)
        new.save(folder)

    base = Path({base!r})
    for kind in ("over", "first"):
        for k in itertools.count(1, 1 if kind == "over" else 3):
            folder = base / f"{{kind}}-{{k}}"
            if kind == "over":
                shutil.copytree(base / "pattern", folder)
            child = os.fork()
            if not child:
                save(str(folder), k)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            print(folder.name, os.waitstatus_to_exitcode(status), flush=True)
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_every_file_operation_of_a_save(tmp_path):
    """Over another cohort, and the first time; the last run of each was killed no more."""
    old, new, third = (toy_cohort(n, name=w) for n, w in ((4, "old"), (6, "new"), (2, "third")))
    old.save(tmp_path / "pattern")
    code = textwrap.dedent(KILL).format(root=str(ROOT), base=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    ended = [line.split() for line in run.stdout.splitlines()]
    assert [name for name, code in ended if code == "0"] == [
        [name for name, _ in ended if name.startswith(kind)][-1] for kind in ("over", "first")
    ]
    assert {code for _, code in ended} == {"-9", "0"}
    found = []
    for k, (name, _) in enumerate(ended):
        folder, kind = tmp_path / name, name.split("-")[0]
        if kind == "first" and not (folder / "cohort.json").exists():
            found.append("first none")
        else:
            cohort = load_cohort(folder)
            assert_same(cohort, {"old": old, "new": new}[cohort.name])
            found.append(f"{kind} {cohort.name}")
        if k % 6 == 0:
            third.save(folder)
            assert_same(load_cohort(folder), third)
            assert len(list(folder.iterdir())) == 2  # what the killed one left is gone
    assert found == sorted(found, key=["over old", "over new", "first none", "first new"].index)
    counts = {what: found.count(what) for what in set(found)}
    assert counts["over old"] > 25  # the hook does see the work
    assert counts["over new"] > 3
    assert counts["first none"] > 8
    assert counts["first new"] > 0


# --- permissions -----------------------------------------------------------------------------


NOBODY = """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.cohort.toy import toy_cohort
    from precisionpain.cohort import load_cohort, read_cohort
    from precisionpain.errors import PrecisionPainError
    base = Path({base!r})
    cohort = read_cohort(base / "free")
    cohort.save(base / "warm")  # all is imported by now
    os.setgid(65534), os.setuid(65534)
    for name in sys.argv[1:]:
        kind, _, where = name.partition(":")
        try:
            if kind == "save":
                cohort.save(base / where)
            else:
                {{"read": read_cohort, "load": load_cohort}}[kind](base / where)
            print(name, "worked")
        except PrecisionPainError as error:
            print(name, type(error).__name__, error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_no_permission(tmp_path):
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels")
    images = pd.DataFrame(
        {"subject_id": ["p000"], "visit": "preop", "contrast": "T1w", "path": [str(image)]}
    )
    cohort = toy_cohort(2, images=images)
    for name in ("free", "folder", "index", "data", "table", "assay"):
        cohort.save(tmp_path / name, checksum=False)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    image.chmod(0o600)
    (tmp_path / "folder").chmod(0o700)
    (tmp_path / "index" / "cohort.json").chmod(0o600)
    next((tmp_path / "data").glob("data-*")).chmod(0o700)
    next((tmp_path / "table").rglob("*.parquet")).chmod(0o600)
    next((tmp_path / "assay").rglob("*.h5ad")).chmod(0o600)
    (tmp_path / "locked").mkdir(mode=0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    before = contents(tmp_path)
    names = [f"{how}:{what}" for how in ("read", "load") for what in ("folder", "index", "data")]
    names += ["read:table", "read:assay", "save:locked", "save:locked/new", "save:free"]
    names += ["save:folder", "read:free", "save:open/new"]
    code = textwrap.dedent(NOBODY).format(root=str(ROOT), base=str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    said = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in run.stdout.splitlines()}
    assert list(said) == names
    for name, text in said.items():
        if name == "read:free":
            assert text == "worked"
        else:
            assert text.startswith(f"StorageError {tmp_path}"), name
    for name in names[:8]:
        assert "permission" in said[name].lower()
    assert "choose a directory that you may write to" in said["save:locked"]
    assert "choose a directory that you may write to" in said["save:free"]
    assert str(image) in said["save:open/new"]  # an image that can't be hashed is named
    assert "checksum=False" in said["save:open/new"]
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


# --- images ------------------------------------------------------------------------------------


def with_images(tmp_path: Path, **columns) -> Cohort:
    rows = []
    for i in range(3):
        file = tmp_path / f"{i}.nii.gz"
        file.write_bytes(f"voxels {i}".encode())
        rows.append((f"p00{i}", "preop", "T1w", str(file), i < 2))
    names = ["subject_id", "visit", "contrast", "path", "present"]
    return toy_cohort(4, images=pd.DataFrame(rows, columns=names).assign(**columns))


def test_checksums_of_images(tmp_path):
    cohort = with_images(tmp_path)
    again = read_cohort(cohort.save(tmp_path / "c"))
    expected = [hashlib.sha256(f"voxels {i}".encode()).hexdigest() for i in range(2)]
    assert again.images["sha256"].tolist() == [*expected, None]  # the third is only listed
    assert "sha256" not in cohort.images
    assert "sha256" not in read_cohort(cohort.save(tmp_path / "d", checksum=False)).images
    known = with_images(tmp_path, sha256=["known", None, "listed"])
    images = read_cohort(known.save(tmp_path / "e")).images
    assert images["sha256"].tolist() == ["known", expected[1], "listed"]


def test_images_that_are_gone(tmp_path):
    cohort = with_images(tmp_path)
    cohort.save(tmp_path / "c")
    (tmp_path / "0.nii.gz").unlink()
    again = read_cohort(tmp_path / "c")
    assert again.images["present"].tolist() == [False, True, False]
    assert again.images["reason"].fillna("").tolist() == ["the file is gone", "", ""]
    assert again.has("T1w").tolist() == [False, True, False, False]
    noted = with_images(tmp_path, reason=["r0", "r1", "r2"])
    (tmp_path / "0.nii.gz").unlink()
    with pytest.raises(StorageError, match=r"0\.nii\.gz.*put the file back"):
        noted.save(tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []
    images = read_cohort(noted.save(tmp_path / "d", checksum=False)).images
    assert images["reason"].tolist() == ["the file is gone", "r1", "r2"]


def test_save_cohort_is_the_method(tmp_path):
    cohort = toy_cohort(2)
    assert_same(load_cohort(save_cohort(cohort, tmp_path / "c")), cohort)
