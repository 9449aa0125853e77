"""The command, from end to end on small made-up tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import precisionpain
from precisionpain.cli import main
from precisionpain.cohort import Cohort, Outcome, load_cohort
from precisionpain.errors import FormatError

YAML = """
columns:
  age: {source: Age (years), kind: number, unit: years}
  sex: {source: Sex, levels: {f: female, m: male}}
  centre: {source: Centre, kind: category}
  bni: {source: BNI, kind: ordinal, role: outcome}
outcomes:
  response: {column: bni, at_most: 2, description: little pain}
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "id": [f"w-{i:03d}q" for i in range(70)],
            "Age (years)": rng.integers(30, 80, 70),
            "Sex": rng.choice(["f", "m"], 70),
            "Centre": rng.choice(["one", "two"], 70),
            "BNI": rng.choice([1, 2, 3, 4], 70),
        }
    )
    path = tmp_path / "clinic.csv"
    frame.to_csv(path, index=False)
    (tmp_path / "map.yaml").write_text(YAML)
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    people = pd.DataFrame(
        {"age": rng.normal(60, 9, 50), "pain": rng.choice([0.0, 5.0], 50)},
        index=[f"v-{i:03d}z" for i in range(50)],
    )
    outcomes = {"mvd_response": Outcome(column="pain", at_most=2)}
    return Cohort(people, outcomes=outcomes, name="stored").save(tmp_path / "cohort")


def test_run_on_a_table_writes_a_report(table, tmp_path, capsys):
    out = tmp_path / "report"
    code = main([
        "run", str(table), "--columns", str(table.parent / "map.yaml"), "--outcome", "response",
        "--out", str(out), "--models", "logistic", "--folds", "3", "--repeats", "2",
        "--permutations", "4", "--seed", "7", "--site-column", "centre", "--jobs", "1",
    ])  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    record = json.loads((out / "results.json").read_text("utf-8"))
    assert record["headline"][0] in said.out
    assert str(out / "report.html") in said.out
    settings = record["settings"]
    assert (settings["n_splits"], settings["random_state"], settings["site"]) == (6, 7, "centre")
    assert settings["n_permutations"] == {"logistic": 4}
    assert record["outcome"]["at_most"] == 2
    assert list(record["sites_left_out"]) == ["logistic"]
    assert "w-0" not in (out / "report.html").read_text("utf-8")
    assert "w-0" not in said.out + said.err


def test_run_on_a_stored_cohort_and_show(stored, tmp_path, capsys):
    out = tmp_path / "report"
    code = main(["run", str(stored), "--out", str(out), "--models", "logistic",
                 "--permutations", "2"])  # fmt: skip
    assert code == 0
    assert (out / "report.html").exists()
    capsys.readouterr()
    assert main(["show", str(stored)]) == 0
    assert "50 subjects" in capsys.readouterr().out


def test_outcomes_can_be_added_to_a_stored_cohort(stored, tmp_path, capsys):
    path = tmp_path / "more.yaml"
    path.write_text("outcomes: {worse: {column: pain, at_least: 4}}")
    assert main(["show", str(stored), "--columns", str(path)]) == 0
    assert "worse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1\n", "expected a mapping"),
        ("columns: {age: {sort: number}}", "unknown entries 'sort'"),
        ("columns: {}\nnames: {}", "put columns below"),
        ("columns: [age]", "expected a mapping of names below `columns:`"),
        ("outcomes: {worse: {colum: bni}}", "expected column, positive"),
        ("columns: {", "can't be read"),
    ],
)
def test_a_wrong_map_is_one_clean_message(table, tmp_path, capsys, text, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    assert main(["show", str(table), "--columns", str(path)]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.err.startswith("precisionpain: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "no/such/place"], "there is no such directory"),
        (["run", "COHORT", "--out", "OUT", "--outcome", "nothing"], "binary outcomes are"),
        (["run", "COHORT", "--out", "OUT", "--folds", "40"], "use n_splits="),
        (["run", "COHORT", "--out", "FILE/report"], "choose a folder that you may write to"),
        (["show", "COHORT", "--columns", "MAP"], "keep only `outcomes:`"),
        (["show", "FILE"], "expected a folder or a table"),
    ],
)
def test_errors_guide_and_exit_with_2(stored, tmp_path, capsys, arguments, words):
    (tmp_path / "file.docx").write_text("x")
    (tmp_path / "map.yaml").write_text(YAML)
    places = {"COHORT": stored, "OUT": tmp_path / "out", "MAP": tmp_path / "map.yaml",
              "FILE": tmp_path / "file.docx",
              "FILE/report": tmp_path / "file.docx" / "report"}  # fmt: skip
    assert main([str(places.get(a, a)) for a in arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err


def test_debug_shows_where_an_error_comes_from(stored):
    with pytest.raises(FormatError):
        main(["show", "no/such/place", "--debug"])


def test_notes_are_one_line_without_code(monkeypatch, capsys):
    import warnings

    from precisionpain import cli
    from precisionpain.errors import DataWarning

    def noisy(arguments: object) -> None:
        warnings.warn(DataWarning("two scans share a name"), stacklevel=1)

    monkeypatch.setattr(cli, "_show", noisy)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["show", "anything"]) == 0
    assert capsys.readouterr().err == "precisionpain: note: two scans share a name\n"


def test_help_and_version_are_quick_and_import_nothing_heavy():
    code = (
        "import sys\nfrom precisionpain.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ("fetch" if option == "--help" else precisionpain.__version__) in done.stdout


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "x"], ["sample", "tb", "x"], ["fly"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: precisionpain" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tn", "mtbi", "sciatica", "neuropathy", "crps"])
def test_samples_are_stored_and_say_that_they_are_synthetic(kind, tmp_path, capsys):
    assert main(["sample", kind, str(tmp_path / "c"), "--n", "40", "--seed", "3"]) == 0
    assert "SYNTHETIC DATA" in capsys.readouterr().out
    cohort = load_cohort(tmp_path / "c")
    assert cohort.synthetic
    assert len(cohort) == 40


def test_fetch_from_a_mirror_and_save(shared_data, tmp_path, capsys):
    mirror = shared_data / "tn_ds005713"
    code = main(["fetch", "ds005713", str(tmp_path / "root"), "--mirror", str(mirror),
                 "--save", str(tmp_path / "cohort")])  # fmt: skip
    assert code == 0
    assert "173 subjects" in capsys.readouterr().out
    assert len(load_cohort(tmp_path / "cohort")) == 173


def test_a_copy_of_ds005713_is_recognised(shared_data, tmp_path, capsys):
    mirror = shared_data / "tn_ds005713"
    assert main(["show", str(mirror)]) == 0
    assert "mvd_response 60 of 75" in capsys.readouterr().out
    root = tmp_path / "root"
    main(["fetch", "ds005713", str(root), "--mirror", str(mirror)])
    (root / "dataset_description.json").unlink(missing_ok=True)
    copied = tmp_path / "tables only"
    copied.mkdir()
    for path in mirror.glob("participants*"):
        (copied / path.name).write_bytes(path.read_bytes())
    capsys.readouterr()
    # Recognised by the checksum of its table, and told that files are missing.
    assert main(["show", str(copied)]) == 2
    assert "the mirror lacks" in capsys.readouterr().err
