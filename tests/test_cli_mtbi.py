"""The command ``mtbi``: what it writes, what it says, and how it goes on."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import precisionpain as pp
from precisionpain.cli import main

from .mtbi.studies import made

SMALL = [
    "--folds", "2", "--depth", "10", "--stem", "medicalnet", "--epochs", "1", "--device", "cpu",
    "--set", "width=4", "n_slices=12",
]  # fmt: skip
WRITTEN = {"report.html", "results.json", "folds.csv", "predictions.csv", "predictions"}


def test_tables_of_made_up_people(tmp_path, capsys):
    code = main(["mtbi", "sample_mtbi", "--out", str(tmp_path), "--tables", "1", "4", "--rows",
                 "neck_pain", "--folds", "4", "--seed", "5"])  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN | {"table_1.csv", "table_4.csv"}
    assert said.out.startswith("SYNTHETIC PEOPLE")
    assert "Neck pain alone" in said.out
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Synthetic data." in page
    assert "<script" not in page
    assert "60.5 ± 25.4" in page  # Table 1, printed and met
    record = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert (record["settings"]["n_splits"], record["settings"]["random_state"]) == (4, 5)
    people = pd.read_csv(tmp_path / "predictions.csv")["subject_id"]
    assert len(people) == 128
    assert not any(name in page for name in people.astype(str))


def test_networks_of_a_stored_cohort_and_again(tmp_path, capsys, monkeypatch):
    cohort = made(tmp_path, 8)
    stored = cohort.save(tmp_path / "cohort")
    arguments = ["mtbi", str(stored), "--out", str(tmp_path / "out"), "--tables", "2", "3",
                 "--rows", "axial", "stratified_axial_1mm", "paper_optimistic", *SMALL]  # fmt: skip
    assert main(arguments) == 0, capsys.readouterr().err
    first = capsys.readouterr().out
    assert "no scans at 1 mm" in first
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Not a result." in page
    assert "no scans at 1 mm" in page
    assert "Synthetic data." not in page
    assert not any(f">{name}<" in page or f" {name} " in page for name in cohort.index)
    table = pd.read_csv(tmp_path / "out" / "table_2.csv")
    assert table["status"].tolist() == ["done", "done"]
    assert not table["label"].str.contains("best").any()

    monkeypatch.setattr(pp.mtbi.ChronicPainClassifier, "fit", None)  # nothing is trained again
    assert main(arguments) == 0
    assert capsys.readouterr().out == first


def test_scans_are_made_where_tables_need_them(tmp_path, monkeypatch):
    asked = []

    def stand_in(**options):
        asked.append(options)
        (tmp_path / "scans").mkdir(exist_ok=True)
        return made(tmp_path / "scans", 8)

    monkeypatch.setattr(pp.datasets, "sample_mtbi", stand_in)
    out = tmp_path / "out"
    code = main(["mtbi", "sample_mtbi", "--out", str(out), "--rows", "axial", *SMALL])
    assert code == 0
    assert asked == [{"images": True, "root": out / "scans", "n_jobs": None}]
    assert pd.read_csv(out / "table_2.csv")["status"].tolist() == ["done"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "axiall"], "there is no row 'axiall'"),
        (["--tables", "4", "--rows", "axial"], "is in table 2"),
        (["--tables", "1", "--outcome", "nothing"], "nothing"),
        (["--tables", "2", "--set", "width"], "expected NAME=VALUE"),
        (["--tables", "2", "--set", "width=[4"], "is no value"),
        (["--tables", "2", "--set", "widht=4"], "'widht' is no setting"),
    ],
)
def test_errors_guide_and_exit_with_2(tmp_path, capsys, arguments, words):
    stored = pp.datasets.sample_mtbi(20).save(tmp_path / "cohort")
    assert main(["mtbi", str(stored), "--out", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out" / "results.json").exists()
