"""The study as one call: its rows, its figures, and what a kill can't change."""

from __future__ import annotations

import gc
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

import precisionpain as pp
from precisionpain._learning.device import deterministic_threads
from precisionpain.errors import DataWarning, FormatError, LeakageError, MissingModalityError
from precisionpain.mtbi import BEDSIDE_FEATURES, experiments, resnet3d
from precisionpain.mtbi._experiments import published, study
from precisionpain.mtbi._experiments.models import Vote
from precisionpain.mtbi._experiments.plan import ROWS

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


# -- the plan ----------------------------------------------------------------------------------


def test_every_published_row_has_a_place():
    assert set(published.PUBLISHED) <= set(ROWS)
    counts = experiments.plan().dropna(subset=["published_auc"])["table"].value_counts()
    assert counts.to_dict() == {2: 4, 3: 11, 4: 4}


def test_published_numbers_are_those_of_the_audit():
    """The printed values imply what an independent look at the paper found."""
    best = published.PUBLISHED["axial_best_fold"]
    line = {"row": "best", "kind": "best fold", **best}
    audit = pp.evaluation.audit_table([line], n=128, n_positive=55, folds=8)
    assert audit.implied("best", "confusion")["matrices"] == [{"tp": 5, "fp": 4, "fn": 1, "tn": 6}]
    for name, row in published.PUBLISHED.items():
        impossible = row["f1"] > (row["precision"] + row["recall"]) / 2 + 0.01
        assert impossible == ROWS[name].note.startswith("its printed F1"), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": [5]}, "tables are any of"),
        ({"tables": []}, "tables are any of"),
        ({"tables": [4], "rows": ["axial"]}, "is in table 2"),
        ({"rows": ["axiall"]}, "there is no row 'axiall'"),
        ({"rows": "axial"}, "is a list of names"),
        ({"rows": ["axial"], "plane": "coronal"}, "'plane' is no setting"),
        ({"rows": ["axial"], "widht": 8}, "'widht' is no setting"),
        ({"rows": ["axial"], "n_epochs": 0}, "at least 1"),
        ({"rows": ["axial"], "depth": 11}, "expected a depth"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(sample, options, words):
    with pytest.raises(FormatError, match=words):
        experiments.run(sample, **options)


def test_an_unknown_outcome_and_a_bad_folder_are_refused(sample, tmp_path):
    with pytest.raises(MissingModalityError):
        experiments.run(sample, [1], outcome="chronic_pane")
    (tmp_path / "file").write_text("")
    with pytest.raises(pp.errors.StorageError, match="may write to"):
        experiments.run(sample, [1], out=tmp_path / "file" / "out")


# -- figures -----------------------------------------------------------------------------------


def test_table_one_meets_the_printed_one(sample):
    table = experiments.run(sample, [1]).tables[1]
    assert len(table) == 10
    assert (table["status"] == "done").all()
    numbers = table[table["level"] == "mean ± SD"].set_index("variable")
    for group in ("chronic_pain", "recovery", "overall"):
        here, there = (numbers[c].str.split(" ± ", expand=True).astype(float)
                       for c in (group, f"published_{group}"))  # fmt: skip
        assert (here - there).abs().max(axis=None) <= 0.051
    w = numbers[["w", "published_w"]].replace("", np.nan).dropna().astype(float)
    assert len(w) == 6
    assert (w["w"] - w["published_w"]).abs().max() <= 0.5
    sizes = table.set_index(["variable", "level"])
    assert sizes.loc[("sex", "female"), "chronic_pain"].startswith("27 ")


def test_figures_are_those_of_scikit_learn(sample):
    """Means over folds and pooled ones, with undefined precision as 0, from the predictions."""
    found = experiments.run(sample, [4], rows=["random_forest", "neck_pain"], n_splits=4)
    table = found.tables[4].set_index("row")
    zero = {"zero_division": 0}
    scores = {
        "accuracy": accuracy_score,
        "precision": lambda y, c: precision_score(y, c, **zero),
        "recall": lambda y, c: recall_score(y, c, **zero),
        "f1": lambda y, c: f1_score(y, c, **zero),
    }
    for name, own in found.predictions.groupby("row"):
        for measure, score in scores.items():
            each = [score(f["y"], f["p"] >= 0.5) for _, f in own.groupby("fold")]
            assert table.loc[name, measure] == pytest.approx(np.mean(each))
            whole = score(own["y"], own["p"] >= 0.5)
            assert table.loc[name, f"pooled_{measure}"] == pytest.approx(whole)
        each = np.array([roc_auc_score(f["y"], f["p"]) for _, f in own.groupby("fold")])
        assert table.loc[name, "auc"] == pytest.approx(each.mean())
        assert table.loc[name, "pooled_auc"] == pytest.approx(roc_auc_score(own["y"], own["p"]))
        half = 3.182446 * each.std(ddof=1) * np.sqrt(1 / 4 + 1 / 3)  # t of 3 degrees
        assert table.loc[name, "auc_low"] == pytest.approx(max(0, each.mean() - half), abs=1e-5)
        assert table.loc[name, "auc_high"] == pytest.approx(min(1, each.mean() + half), abs=1e-5)
    assert set(found.predictions["subject_id"]) == set(sample.index)
    alone, forest = table.loc["neck_pain"], table.loc["random_forest"]
    assert forest["reference_auc"] == pytest.approx(alone["pooled_auc"])
    assert forest["minus_reference"] == pytest.approx(forest["auc"] - alone["auc"])
    assert forest["published_auc"] == 0.77
    assert forest["published_auc_low"] < 0.70 < 0.84 < forest["published_auc_high"]
    assert pd.isna(alone["published_auc"])
    assert alone["reference"] is None or pd.isna(alone["reference"])


def test_the_folds_are_the_studys(sample):
    found = experiments.run(sample, [4], rows=["neck_pain", "neck_pain_stratified"])
    plain = [test.tolist() for _, test in pp.mtbi.paper_folds().split(sample)]
    here = [test.tolist() for _, test in found.results["neck_pain"].splits]
    assert here == plain
    events = found.results["neck_pain_stratified"].frame()["events"]
    assert events.max() - events.min() <= 1


def test_a_vote_is_the_mean_or_the_mean_of_the_majority():
    class Known:
        def __init__(self, p):
            self.p, self.classes_ = p, np.array([0, 1])

        def predict_proba(self, X):
            return np.stack([1 - self.p, self.p], axis=1)

    planes = [np.array([0.9, 0.4, 0.1]), np.array([0.6, 0.2, 0.2]), np.array([0.1, 0.8, 0.3])]
    for voting, expected in (("mean", [1.6 / 3, 1.4 / 3, 0.2]), ("majority", [0.75, 0.3, 0.2])):
        vote = Vote([], voting)
        vote._fitted = [Known(p) for p in planes]
        np.testing.assert_allclose(vote.predict_proba(None)[:, 1], expected)


# -- networks ----------------------------------------------------------------------------------


def test_all_rows_are_there(cohort, tmp_path):
    """Every row of the study is computed, or says why not; shared trainings are done once."""
    rows = [name for name, row in ROWS.items() if row.table in (2, 3) and row.name not in (
        "resnet34", "resnet50", "paper_optimistic")]  # fmt: skip
    found = experiments.run(cohort, [1, 2, 3], rows=rows, out=tmp_path, **TINY)
    frame = found.frame().set_index("row")
    assert list(frame.index) == rows
    assert list(frame.index[frame["status"] != "done"]) == ["stratified_axial_1mm"]
    assert "no scans at 1 mm" in frame.loc["stratified_axial_1mm", "status"]
    assert frame.loc["stratified_axial_1mm", "published_auc"] == 0.50
    done = frame[frame["status"] == "done"]
    assert (done["reference"] == "bedside random forest").all()
    assert (
        done[["auc", "pooled_auc", "with_bedside_auc", "added", "minus_reference"]]
        .notna()
        .all(axis=None)
    )
    # Planes 3, stratified, two seeds, weights and augmentation: 8 networks; ResNet-10 is the
    # main one here, and the ensembles and the best fold are made of what is there.
    networks = [
        record for path in (tmp_path / "predictions").glob("*.json")
        if (record := json.loads(path.read_text()))["about"]["settings"]["model"]
        == "ChronicPainClassifier"
    ]  # fmt: skip
    assert len(networks) == 8 * 2
    p = found.predictions.set_index(["row", "subject_id"])["p"]
    mean = np.mean([p[plane] for plane in ("axial", "coronal", "sagittal")], axis=0)
    np.testing.assert_allclose(p["ensemble_mean"], mean, rtol=0, atol=1e-12)
    assert p["resnet10"].equals(p["axial"])
    assert not p["coronal"].equals(p["axial"])
    assert not p["class_weight_1.5"].equals(p["axial"])
    assert not p["augmentation"].equals(p["axial"])
    best = found.results["axial"].frame()["auc"].max()
    assert frame.loc["axial_best_fold", "auc"] == best
    assert frame.loc["axial_best_fold", "pooled_auc"] == frame.loc["axial", "pooled_auc"]
    assert not (tmp_path / "training").exists()
    text = found.summary()
    assert "not computed" in text
    assert all(row["label"][:37] in text for row in found.frame().to_dict("records"))
    assert found.audit().errors["row"].unique().tolist() == ["ensemble_majority", "ensemble_mean"]


def test_a_network_predicts_as_the_classifier_does(cohort):
    found = experiments.run(cohort, [2], rows=["coronal"], **TINY)
    result = found.results["coronal"]
    train, test = result.splits[1]
    own = {k: v for k, v in TINY.items() if k != "n_splits"}
    model = pp.mtbi.ChronicPainClassifier("coronal", **own)
    y = cohort.outcome("chronic_pain").astype(int)
    model.fit(cohort[train], y.iloc[train])
    np.testing.assert_array_equal(
        model.predict_proba(cohort[test])[:, 1], result.predictions.query("fold == 1")["p"]
    )


def test_choosing_the_epoch_on_the_test_people_is_labelled_and_looks_better(cohort):
    found = experiments.run(
        cohort, [2], rows=["axial", "paper_optimistic"], **(TINY | {"n_epochs": 4})
    )
    frame = found.frame().set_index("row")
    honest, optimistic = (found.results[name].frame()["auc"] for name in frame.index)
    assert (optimistic >= honest).all()
    assert optimistic.mean() > honest.mean()
    assert "OPTIMISTIC" in frame.loc["paper_optimistic", "label"]
    assert "NOT A RESULT" in frame.loc["paper_optimistic", "note"]
    assert any("no result" in note for note in found.notes)
    assert (
        "paper_optimistic" not in experiments.run(cohort, [4], rows=[], n_splits=2).frame()["row"]
    )


def test_people_without_scans_or_outcome_leave(cohort):
    images = cohort.images[cohort.images["subject_id"] != "p03"]
    subjects = cohort.subjects.astype({"chronic_pain": object})
    subjects.loc["p04", "chronic_pain"] = None
    fewer = pp.Cohort(
        subjects, images=images, columns={"chronic_pain": "outcome"},
        outcomes={"chronic_pain": CHRONIC},
    )  # fmt: skip
    found = experiments.run(fewer, [4], rows=["neck_pain"], n_splits=2)
    assert found.tables[4]["n"].tolist() == [14]
    assert len(found.cohort) == 14
    assert "no T1w" in str(found.cohort.flow)


def test_reasons_stand_in_the_table(sample, cohort, tmp_path):
    """No scans, no bedside features, no weights: the rows stay and say so."""
    without = experiments.run(sample, [2], rows=["axial", "coronal"], **TINY).tables[2]
    assert without["status"].str.contains("128 of 128 people have no T1w scan").all()
    assert without["published_auc"].tolist() == [0.56, 0.47]
    bare = cohort.without_predictors(list(BEDSIDE_FEATURES), reason="not asked")
    with pytest.raises(LeakageError):
        experiments.run(bare, [4], rows=["neck_pain"], n_splits=2)
    scans = pp.Cohort(
        cohort.subjects[["chronic_pain"]], images=cohort.images,
        columns={"chronic_pain": "outcome"}, outcomes={"chronic_pain": CHRONIC},
    )  # fmt: skip
    table = experiments.run(scans, rows=["axial", "neck_pain"], **TINY)
    statuses = table.frame().set_index("row")["status"]
    assert statuses["axial"] == "done"
    assert statuses["neck_pain"].startswith("not computed: ")
    assert table.tables[1].set_index("variable").loc["age", "status"].startswith("not computed")
    assert pd.isna(table.frame().set_index("row").loc["axial", "reference_auc"])


def test_rows_without_weights_are_not_computed(cohort, tmp_path):
    import torch

    state = {
        f"module.{k}": v for k, v in resnet3d(10, width=4, random_state=7).state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "resnet_10_23dataset.pth")
    for weights in (tmp_path, tmp_path / "resnet_10_23dataset.pth",
                    {10: tmp_path / "resnet_10_23dataset.pth"}):  # fmt: skip
        found = experiments.run(cohort, [3], rows=["resnet10", "resnet34"], weights=weights, **TINY)
        status = found.frame().set_index("row")["status"]
        assert status["resnet10"] == "done"
        assert "no weights for ResNet-34" in status["resnet34"]
        assert not any("at random" in note for note in found.notes)
    random = experiments.run(cohort, [3], rows=["resnet10"], **TINY)
    assert not random.predictions["p"].equals(found.predictions["p"])


def test_weights_that_know_the_people_are_refused(cohort, tmp_path):
    own = {k: v for k, v in TINY.items() if k != "n_splits"}
    model = pp.mtbi.ChronicPainClassifier(**own)
    model.fit(cohort[:8], cohort.outcome("chronic_pain").astype(int).iloc[:8]).save(tmp_path)
    for row in ("axial", "ensemble_mean"):
        with pytest.raises(LeakageError, match="8 of the 16 people"):
            experiments.run(cohort, rows=[row], tables=[2, 3], weights=tmp_path, **TINY)


def test_scans_at_1_mm(cohort, tmp_path):
    """They come from another cohort of the same people, in any order, or from the same one."""
    affine = np.array([[-1, 0, 0, 78], [0, 1, 0, -112], [0, 0, 1, -70], [0, 0, 0, 1.0]])
    shape = (157, 189, 156)
    some = cohort[:8]
    paths = {}
    for i, name in enumerate(some.index):
        data = np.random.default_rng(i).integers(0, 200, shape, dtype=np.uint8)
        paths[name] = write(tmp_path / f"{name}.nii", data, affine)
    images = pd.DataFrame(
        {"subject_id": list(paths), "visit": "baseline", "contrast": "T1w", "res": "1",
         "path": [str(path) for path in paths.values()], "present": True}
    ).iloc[::-1]  # fmt: skip
    fine = pp.Cohort(
        some.subjects.iloc[::-1], images=images, columns={"chronic_pain": "outcome"},
        outcomes={"chronic_pain": CHRONIC},
    )  # fmt: skip
    row = ["stratified_axial_1mm"]
    apart = experiments.run(some, [3], rows=row, fine=fine, **TINY)
    assert apart.frame()["status"].tolist() == ["done"]
    assert list(apart.results[row[0]].cohort.index) == list(some.index)
    both = pp.Cohort(
        some.subjects, images=pd.concat([some.images.assign(res="8"), images]),
        columns={"chronic_pain": "outcome"}, outcomes={"chronic_pain": CHRONIC},
    )  # fmt: skip
    chosen = TINY | {"entities": {"res": "8"}}
    together = experiments.run(both, [3], rows=row, fine={"entities": {"res": "1"}}, **chosen)
    assert together.predictions["p"].tolist() == apart.predictions["p"].tolist()
    coarse = experiments.run(some, [3], rows=row, fine=some, **TINY).frame()["status"].item()
    assert "expected scans at 1 mm, found voxels of 8 mm" in coarse


def test_the_published_scaling_says_that_it_leaks(cohort):
    with pytest.warns(DataWarning, match="leaks"):
        found = experiments.run(cohort, [2], rows=["axial"], scaling="dataset", **TINY)
    honest = experiments.run(cohort, [2], rows=["axial"], **TINY)
    assert not found.predictions["p"].equals(honest.predictions["p"])


# -- files -------------------------------------------------------------------------------------


def test_files_hold_everything_and_names_in_one_only(cohort, tmp_path):
    found = experiments.run(cohort, [1, 2, 4], rows=["axial", "coronal", "neck_pain"], **TINY)
    written = found.save(tmp_path / "tables")
    assert set(written) == {
        "table_1.csv", "table_2.csv", "table_4.csv", "folds.csv", "predictions.csv", "results.json"
    }  # fmt: skip
    back = pd.read_csv(written["table_2.csv"])
    assert back["auc"].tolist() == pytest.approx(found.tables[2]["auc"].tolist())
    record = json.loads(written["results.json"].read_text("utf-8"))
    assert record["settings"]["n_epochs"] == 1
    assert [row["row"] for row in record["tables"]["2"]] == ["axial", "coronal"]
    assert len(pd.read_csv(written["predictions.csv"])) == 3 * len(cohort)
    assert len(pd.read_csv(written["folds.csv"])) == 3 * 2
    for name, path in written.items():
        assert ("p07" in path.read_text("utf-8")) == (name == "predictions.csv")
    assert "3 of 3 computed" in repr(found)


def test_what_was_kept_in_passing_goes_with_the_results(sample):
    found = experiments.run(sample, [4], rows=["neck_pain"], n_splits=2)
    result = found.results["neck_pain"]
    del found
    place = result._rerun.model.store.folder
    assert len(list(place.glob("predictions/*.json"))) == 2
    null = result.permutation.null  # more can be asked of it
    assert len(null) == 20
    assert len(list(place.glob("predictions/*.json"))) == 42
    del result
    gc.collect()
    assert not place.exists()


def test_synthetic_people_are_called_so(sample):
    found = experiments.run(sample, [4], rows=["neck_pain"], n_splits=2)
    assert found.summary().startswith("SYNTHETIC PEOPLE")
    assert "SYNTHETIC" in repr(found)
    page = pp.report.render_experiments(found)
    assert "Synthetic data." in page
    assert "<script" not in page
    assert not any(f">{name}<" in page or f" {name} " in page for name in sample.index)
