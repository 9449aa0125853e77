"""The main job: honest by construction, and written down whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from precisionpain.cohort import Cohort
from precisionpain.errors import (
    ComparisonError,
    FormatError,
    LeakageError,
    MissingModalityError,
    StorageError,
)
from precisionpain.evaluation import RepeatedSubjectKFold, SubjectKFold
from precisionpain.report import Study, run_study
from precisionpain.report._files import as_json, write_whole

from .conftest import make_cohort


def quick(cohort: Cohort, **options: object) -> Study:
    settings = {"models": ["logistic"], "n_permutations": 19, "n_bootstrap": 10, "progress": False}
    return run_study(cohort, **{**settings, **options})  # type: ignore[arg-type]


# --- people, folds, leaks ----------------------------------------------------------------


def test_the_flow_says_who_left_and_why(study, cohort):
    operated = (cohort.subjects["surgery"] == "MVD").sum()
    known = ((cohort.subjects["surgery"] == "MVD") & cohort.subjects["pain_after"].notna()).sum()
    steps = study.analysed.flow.frame()
    assert steps["step"].tolist() == ["recruited", "surgery is not MVD", "no mvd_response"]
    assert steps["remaining"].tolist() == [120, operated, known]
    assert len(study.analysed) == known


def test_all_models_share_people_and_folds(study):
    assert list(study.results) == ["logistic", "random_forest", "xgboost", "Sindou grade only"]
    assert len({result.fold_key for result in study.results.values()}) == 1
    assert study.primary is study.results["logistic"]
    assert study.settings["n_splits"] == 5


def test_the_source_of_an_outcome_never_predicts(study):
    assert "pain_after" not in study.analysed.predictors
    assert not any("pain_after" in str(name) for name in study.shap["logistic"].values)
    assert study.primary.auc.auc < 0.75  # with it, the AUC is 1


def test_the_site_never_predicts(study):
    assert not any(str(name).startswith("site") for name in study.shap["random_forest"].values)


def test_pooled_auc_agrees_with_sklearn_on_the_written_predictions(study, folder):
    table = pd.read_csv(folder / "tables" / "predictions.csv")
    assert sorted(table["subject_id"]) == sorted(study.analysed.subject_ids)
    for result in study.results.values():
        p = table[f"p {result.name}"]
        assert p.between(0, 1).all()
        assert roc_auc_score(table["y"], p) == pytest.approx(result.auc.auc)


def test_the_verdict_counts_the_features_before_fitting(study):
    # age, sex, sindou_grade and severity; neither the constant surgery, site nor pain_after
    assert study.verdict.n_parameters == 4
    assert study.verdict.n == len(study.analysed)
    assert study.verdict.n_events == int(study.primary.y.sum())


def test_references_on_other_people_are_shown_beside_and_never_compared(study):
    other = study.other_people["Sindou grade only"]
    grade = study.analysed.subjects["sindou_grade"]
    assert len(other.y) == grade.notna().sum() < len(study.analysed)
    with pytest.raises(ComparisonError, match="different people"):
        other.compare(study.primary)
    assert study.comparisons["model"].tolist() == [
        "random forest", "gradient boosting", "Sindou grade only"
    ]  # fmt: skip


def test_each_site_is_left_out_in_turn(study):
    result = study.other_sites["logistic"]
    sites = study.analysed.subjects["site"]
    held_out = [set(sites.iloc[test]) for _, test in result.splits]
    assert held_out == [{"north"}, {"south"}]


def test_one_site_only_is_a_note():
    cohort = make_cohort(80)
    people = cohort.subjects.assign(site="north")
    study = quick(Cohort(people, outcomes=cohort.outcomes), reference={})
    assert study.other_sites == {}
    assert any("two are needed" in note for note in study.notes)


def test_rare_known_values_are_a_note_not_a_result():
    cohort = make_cohort(160)
    people = cohort.subjects
    poor = people["pain_after"] > 2
    keep = poor | (people.index.isin(people.index[~poor & (people["surgery"] == "MVD")][4:8]))
    people["sindou_grade"] = people["sindou_grade"].where(keep)
    study = quick(Cohort(people, outcomes=cohort.outcomes))
    assert study.other_people == {}
    assert any("not evaluated on the" in note for note in study.notes)
    assert "Sindou grade only" in study.results


def test_a_reference_that_hardly_varies_is_a_note():
    cohort = make_cohort(80)
    people = cohort.subjects.assign(sindou_grade=3.0)
    people.iloc[20:25, people.columns.get_loc("sindou_grade")] = 2.0
    study = quick(Cohort(people, outcomes=cohort.outcomes))
    assert list(study.results) == ["logistic"]
    assert any("differ from the commonest value" in note for note in study.notes)


# --- what is said ------------------------------------------------------------------------


def test_noise_is_said_to_be_no_better_than_chance(study):
    assert 3 <= len(study.headline) <= 6
    assert study.headline[0].startswith("Synthetic people")
    assert "not better than chance" in study.headline[0]
    a = study.primary.auc
    assert f"{a.auc:.2f} (95% CI {a.ci_low:.2f} to {a.ci_high:.2f})" in study.headline[0]
    assert study.verdict.sentence in study.headline


def test_a_strong_effect_is_said_to_be_better_than_chance():
    study = quick(make_cohort(160, effect=2.5), n_permutations=39)
    assert ": better than chance (p = 0.025" in study.headline[0]
    assert study.primary.auc.auc > 0.75
    assert study.primary.permutation.p_value == pytest.approx(1 / 40)


def test_a_dead_canary_is_said_first_of_all(study, monkeypatch):
    from precisionpain.evaluation import PermutationTest
    from precisionpain.report._words import headline

    leak = PermutationTest(0.9, np.array([0.8, 0.82, 0.81]))
    monkeypatch.setattr(study.primary, "permutation", leak)
    assert any(s.startswith("WARNING: with permuted labels") for s in headline(study))


def test_smallest_possible_p_is_recorded(study):
    assert study.settings["smallest_p"]["logistic"] == pytest.approx(1 / 20)
    assert study.settings["n_permutations"]["random_forest"] == 2


def test_usual_permutations_are_a_thousand_and_a_hundred():
    from precisionpain.report._steps import choose_permutations

    names = ["logistic", "xgboost", "random_forest", "grade"]
    assert choose_permutations(None, names) == {
        "logistic": 1000, "xgboost": 20, "random_forest": 20, "grade": 200
    }  # fmt: skip


# --- choices -----------------------------------------------------------------------------


def test_the_baseline_is_always_there_and_the_first_model_is_primary():
    study = quick(make_cohort(80), models=["xgboost"], n_permutations=2, reference={})
    assert list(study.results) == ["xgboost", "logistic"]
    assert study.primary.name == "gradient boosting"
    assert study.primary.baseline is study.results["logistic"]


def test_repeated_folds(cohort):
    folds = RepeatedSubjectKFold(3, n_repeats=2, random_state=1)
    study = quick(cohort, cv=folds, n_permutations=2, reference={})
    assert len(study.primary.predictions) == 2 * len(study.analysed)
    assert study.settings["n_splits"] == 6


def test_rare_outcomes_get_fewer_folds():
    cohort = make_cohort(60)
    people = cohort.subjects
    few = people.index[(people["surgery"] == "MVD") & people["pain_after"].notna()][:3]
    people["pain_after"] = people["pain_after"].where(people["pain_after"].isna(), 4.0)
    people.loc[few, "pain_after"] = 1.0
    study = quick(Cohort(people, outcomes=cohort.outcomes), n_permutations=2, reference={})
    assert study.settings["n_splits"] == 3


@pytest.mark.parametrize(
    ("options", "error", "wording"),
    [
        ({"outcome": "nothing"}, MissingModalityError, "binary outcomes are 'mvd_response'"),
        ({"outcome": "pain"}, FormatError, "not binary"),
        ({"models": ["forest"]}, FormatError, "models are some of"),
        ({"models": []}, FormatError, "found none"),
        ({"reference": {"leak": ["pain_after"]}}, LeakageError, "derives from one"),
        ({"reference": {"logistic": ["age"]}}, FormatError, "a name of its own"),
        ({"n_permutations": {"forest": 3}}, FormatError, "none of the models"),
        ({"n_permutations": 1}, FormatError, "at least 2"),
        ({"cv": SubjectKFold(4, random_state=None)}, FormatError, "give it a random_state"),
    ],
)
def test_refusals_guide(cohort, options, error, wording):
    with pytest.raises(error, match=wording):
        quick(cohort, **options)


def test_a_cohort_of_nerves_is_refused(cohort):
    with pytest.raises(FormatError, match="per_nerve"):
        quick(cohort.per_nerve())


def test_one_class_is_refused(cohort):
    people = cohort.subjects.assign(pain_after=1.0)
    with pytest.raises(FormatError, match="at least two in each"):
        quick(Cohort(people, outcomes=cohort.outcomes))


# --- what is written ---------------------------------------------------------------------


def test_everything_is_written(study, folder):
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    tables = ["flow", "availability", "table_one", "dictionary", "provenance", "checks", "metrics",
              "folds", "comparisons", "model_checks", "predictions", "predictions_beside",
              "importance", "shap_logistic", "shap_random_forest", "shap_xgboost"]  # fmt: skip
    models = ("logistic", "random_forest", "xgboost")
    figures = ["flow", "availability", "auc_forest", "roc", "fold_auc", "permutation",
               "decision_curve", *(f"calibration_{name}" for name in models),
               *(f"shap_{name}" for name in models)]  # fmt: skip
    expected = {f"tables/{n}.csv" for n in tables} | {f"figures/{n}.png" for n in figures}
    assert names == expected | {"report.html", "results.json"}
    for name in expected:
        head = (folder / name).read_bytes()[:8]
        assert head == b"\x89PNG\r\n\x1a\n" if name.endswith("png") else len(head)


def test_results_are_strict_json(study, folder):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads((folder / "results.json").read_text("utf-8"), parse_constant=refuse)
    assert record["results"]["logistic"]["fold_key"] == study.primary.fold_key
    assert record["settings"]["random_state"] == 0
    assert record["cohort"]["meta"]["source"] == "made up in a test"
    assert record["cohort"]["synthetic"] is True
    assert {"python", "numpy", "scikit-learn"} <= set(record["versions"])
    assert record["timings_seconds"]["logistic: folds"] > 0
    assert "pt-0" not in json.dumps(record)
    assert set(record["files"]) == {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()
    }


def test_only_predictions_and_shap_values_name_people(folder):
    for path in (folder / "tables").glob("*.csv"):
        if not path.name.startswith(("predictions", "shap", "provenance")):
            assert "pt-0" not in path.read_text("utf-8"), path.name


def test_an_unwritable_folder_is_found_before_anything_is_computed(cohort, tmp_path, monkeypatch):
    import precisionpain.report.study as module

    def never(*args: object, **options: object) -> None:
        raise AssertionError("computed before the folder was tried")

    monkeypatch.setattr(module, "cross_validate", never)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="choose a folder that you may write to"):
        run_study(cohort, out=tmp_path / "file" / "report", progress=False)


def test_a_second_study_leaves_nothing_stale_and_touches_nothing_foreign(tmp_path, study):
    study.save(tmp_path)
    (tmp_path / "tables" / "mine.csv").write_text("kept")
    quick(make_cohort(80), n_permutations=2, reference={}, out=tmp_path)
    assert not (tmp_path / "tables" / "shap_xgboost.csv").exists()
    assert not (tmp_path / "figures" / "shap_xgboost.png").exists()
    assert (tmp_path / "tables" / "mine.csv").read_text() == "kept"
    assert (tmp_path / "tables" / "shap_logistic.csv").exists()


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch):
    path = tmp_path / "report.html"
    write_whole(path, b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan():
    record = {"a": np.float64("nan"), "b": [np.int64(3), pd.NA, np.inf], "c": Path("x")}
    assert json.loads(as_json(record)) == {"a": None, "b": [3, None, None], "c": "x"}


def test_the_repr_is_the_headline(study):
    assert "SYNTHETIC DATA" in repr(study)
    assert study.headline[0] in repr(study)
    assert "pt-0" not in repr(study)
