"""Leaks that people really make in small clinical studies, each planted and each caught.

One test per leak, planted as a user would write it. The table in
docs/explanation/why_nothing_leaks.md lists the same ones; a test holds the two together.
"""

from __future__ import annotations

import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import precisionpain as pp
from precisionpain.cohort import Cohort, Outcome
from precisionpain.errors import AlignmentError, ComparisonError, FormatError, LeakageError
from precisionpain.evaluation import (
    ClinicalFeatures,
    SubjectKFold,
    clinical_model,
    cross_validate,
    cross_validate_survival,
    leave_site_out,
    nested,
)
from precisionpain.evaluation.clinical_survival import ClinicalCox
from precisionpain.fusion import FeatureBlock, Harmonized, ResponseModel, TableFeatures
from precisionpain.proteomics import ComBat, MedianNormalizer, ProteinFeatures
from precisionpain.report import check_cohort
from precisionpain.stats import classification_metrics

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "why_nothing_leaks.md"
QUICK = {"baseline": None, "n_permutations": 2, "n_bootstrap": 20}


@pytest.fixture(scope="module")
def tn() -> Cohort:
    return pp.datasets.sample_tn(120, random_state=0)


@pytest.fixture(scope="module")
def mvd(tn) -> Cohort:
    return tn.require("mvd_response")


def noise(n: int = 60, p: int = 5, seed: int = 0) -> tuple[Cohort, np.ndarray]:
    """People of whom nothing tells the outcome."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        rng.normal(size=(n, p)), [f"s{i:03d}" for i in range(n)], [f"x{j}" for j in range(p)]
    )
    return Cohort(table, synthetic=True), rng.permutation(np.arange(n) % 2)


def looks(cohort: Cohort, outcome=None, check: str = "") -> dict[str, str]:
    """Item → finding of a check, where it asks for a look."""
    found = check_cohort(cohort, outcome)
    found = found[(found["check"] == check) & (found["state"] == "look")]
    return dict(zip(found["item"], found["finding"], strict=True))


def asks_for(cohort: Cohort, outcome: str, *columns: str):
    return cross_validate(clinical_model(columns=["age", *columns]), cohort, outcome, **QUICK)


# --- refused --------------------------------------------------------------------------------


def test_leak_outcome_column(tn):
    """The outcome's own column stays in the matrix of predictors."""
    assert "bni_12mo" not in tn.predictors
    with pytest.raises(LeakageError, match="bni_12mo"):
        asks_for(tn, "mvd_response", "bni_12mo")


def test_leak_outcome_in_other_words(tn):
    """Pain reduction at the follow-up "predicts" the pain class at the same follow-up."""
    with pytest.raises(LeakageError, match="pain_reduction_percent"):
        asks_for(tn, "mvd_response", "pain_reduction_percent")


def test_leak_undeclared_followup_column():
    """A spreadsheet with follow-up columns is read as it is, and all of it predicts."""
    cohort, y = noise()
    late = pd.DataFrame({"Postoperative numbness": y, "relapse": y}, index=cohort.index)
    careless = cohort.with_columns(late)
    assert set(careless.predictors) == set(cohort.predictors)
    with pytest.raises(LeakageError, match="its name speaks of what comes after"):
        cross_validate(clinical_model(columns=["x0", "relapse"]), careless, y, **QUICK)


def test_leak_outcome_defined_on_the_spot():
    """The outcome is a median split of a column that stays a predictor."""
    cohort, _ = noise()
    outcome = Outcome(column="x0", at_least=0.0)
    with pytest.raises(LeakageError, match="the outcome is computed from it"):
        cross_validate(clinical_model(columns=["x0", "x1"]), cohort, outcome, **QUICK)
    assert cross_validate(clinical_model(), cohort, outcome, **QUICK).auc.auc < 0.75


def test_leak_followup_time_in_survival(tn):
    """The time to the event, or to the last contact, predicts the event."""
    model = ClinicalCox(["age", "recurrence_days"])
    with pytest.raises(LeakageError, match="recurrence_days"):
        cross_validate_survival(model, tn, "recurrence", cv=3, times=[365], baseline=None)


def test_leak_scan_after_surgery(mvd):
    """The nerve is measured on the follow-up scan, where the decompression shows."""
    nerves = FeatureBlock(TableFeatures("nerve_measures", visit="followup"))
    with pytest.raises(LeakageError, match="followup"):
        cross_validate(make_pipeline(nerves, LogisticRegression()), mvd, "mvd_response", **QUICK)


def test_leak_assay_after_surgery(mvd):
    """Proteins of all samples, those drawn after surgery included."""
    late = ProteinFeatures("csf_pea", visit="followup")
    with pytest.raises(LeakageError, match="followup"):
        cross_validate(make_pipeline(late, LogisticRegression()), mvd, "mvd_response", **QUICK)
    assert set(mvd.known_at_index().assays["csf_pea"].obs["visit"].dropna()) == {"preop"}


def test_leak_hidden_truth(tn):
    """A simulated cohort's hidden truth is taken for a measure."""
    with pytest.raises(LeakageError, match="hidden truth"):
        asks_for(tn, "mvd_response", "true_response_probability")


def test_leak_two_nerves_split_by_row(mvd):
    """The left nerve of a person trains the model that is tested on the right one."""
    nerves = mvd.per_nerve()
    with pytest.raises(LeakageError, match="stand in training and in test"):
        cross_validate(clinical_model(), nerves, "mvd_response", KFold(4, shuffle=True), **QUICK)


def test_leak_two_visits_split_by_row(mvd):
    """So does one visit of a person for another visit."""
    visits = mvd.per_visit()
    with pytest.raises(LeakageError, match="stand in training and in test"):
        cross_validate(clinical_model(), visits, "mvd_response", KFold(4, shuffle=True), **QUICK)


def test_leak_two_samples_as_two_people(mvd):
    """Each sample of a person counts as a person."""
    adata = mvd.assays["csf_pea"]
    again = adata[adata.obs["visit"] == "preop"].copy()
    again.obs_names = [f"{name}_aliquot2" for name in again.obs_names]
    import anndata

    both = mvd.with_assay("csf_pea", anndata.concat([adata, again], merge="same"))
    with pytest.raises(FormatError, match="several samples"):
        ProteinFeatures("csf_pea").fit(both)
    averaged = ProteinFeatures("csf_pea", repeats="mean").fit_transform(both)
    assert len(averaged) == len(both)


def test_leak_oversampling_before_the_split():
    """The rarer class is drawn with replacement, so that its people are in every fold."""
    cohort, y = noise()
    rare = np.flatnonzero(y == 1)[:10]
    with pytest.raises(AlignmentError, match="each person once"):
        cohort[np.concatenate([np.arange(60), np.repeat(rare, 3)])]


def test_leak_row_order_join():
    """A table that was sorted otherwise is glued on by row; people get others' values."""
    cohort, y = noise()
    true = pd.DataFrame({"y_like": y + 0.0}, index=cohort.index)
    shuffled = true.sample(frac=1.0, random_state=1)
    assert (cohort.with_columns(shuffled).subjects["y_like"] == y).all()
    with pytest.raises(AlignmentError, match="another order"):
        cohort[shuffled["y_like"] == 1]
    outcome = pd.Series(y, cohort.index).sample(frac=1.0, random_state=2)
    assert (cross_validate(clinical_model(), cohort, outcome, **QUICK).y == y).all()


def test_leak_ids_matched_by_resemblance():
    """sub-1 is taken for sub-01, or sub-010: two people become one."""
    people = pd.DataFrame({"age": [61.0, 48.0]}, index=["sub-01", "sub-010"])
    cohort = Cohort(people)
    assert len(cohort) == 2
    with pytest.raises(AlignmentError, match="'sub-1' equals 'sub-01' up to zero padding"):
        cohort.with_measurements("t", pd.DataFrame({"subject_id": ["sub-1"], "v": [1.0]}))


class Trained(TransformerMixin, BaseEstimator):
    """Numbers from weights that a clone shares, learned from some people."""

    def __init__(self, known=()):
        self.known = known

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.subjects[["x0", "x1"]]

    def saw(self, people):
        return np.isin(people, list(self.known))


def test_leak_pretrained_on_the_test_people():
    """A network was trained on everybody, and its features are cross-validated afterwards."""
    cohort, y = noise()
    model = make_pipeline(Trained(["s003", "s030"]), LogisticRegression())
    with pytest.raises(LeakageError, match="2 of the 60 people were in the training data"):
        cross_validate(model, cohort, y, **QUICK)


def with_scanners(share_in_b: float, n: int = 80) -> tuple[Cohort, np.ndarray]:
    """Noise from two sites that see other shares of responders."""
    rng = np.random.default_rng(0)
    site = np.repeat(["A", "B"], n // 2)
    y = np.where(site == "A", rng.random(n) < 1 - share_in_b, rng.random(n) < share_in_b)
    ids = [f"s{i:03d}" for i in rng.permutation(n)]
    people = pd.DataFrame({"site": site, "status": y.astype(float)}, index=ids)
    table = pd.DataFrame(rng.normal(size=(n, 20)), columns=[f"m{j}" for j in range(20)])
    table.insert(0, "subject_id", ids)
    return Cohort(people, measurements={"mri": table}), y.astype(int)


def test_leak_combat_keeps_the_outcome():
    """The outcome is "protected" as a covariate of ComBat: noise then tells it."""
    cohort, y = with_scanners(0.15)
    with pytest.raises(LeakageError, match="gives the outcome away"):
        Harmonized("mri", covariates="status").fit(cohort, y)
    frame = cohort.measurement("mri").assign(plate=cohort.subjects["site"], status=y)
    with pytest.raises(LeakageError, match="gives the outcome away"):
        ComBat("plate", covariates="status").fit(frame, y)


def test_leak_batches_of_one_class_each():
    """Cases on one plate, controls on the other: the plate is the diagnosis."""
    cohort, y = with_scanners(1.0)
    with pytest.raises(FormatError, match="confounded"):
        Harmonized("mri").fit(cohort, y)
    frame = cohort.measurement("mri").assign(plate=cohort.subjects["site"])
    with pytest.raises(FormatError, match="confounded"):
        ComBat("plate").fit(frame, y)


def test_leak_best_of_several_folds(mvd):
    """Each model gets its own folds, and the luckiest draw wins."""
    one, other = (
        cross_validate(clinical_model(), mvd, "mvd_response", SubjectKFold(3, random_state=i),
                       **QUICK)
        for i in (0, 1)
    )  # fmt: skip
    with pytest.raises(ComparisonError, match="different folds"):
        one.compare(other)


# --- impossible: what learns, learns in the fold -----------------------------------------------


@pytest.mark.parametrize("step", [StandardScaler(), KNNImputer(), PCA(3)], ids=lambda s: str(s))
def test_leak_preprocessing_fitted_on_everybody(step):
    """Scaling, filling gaps or PCA of the whole table before the cross-validation."""
    cohort, y = noise()
    spoilt = step.fit(np.random.default_rng(1).normal(100, 50, (60, 5)))
    once = make_pipeline(ClinicalFeatures(), spoilt, LogisticRegression())
    never = make_pipeline(ClinicalFeatures(), type(step)(**step.get_params()), LogisticRegression())
    p, q = (cross_validate(m, cohort, y, **QUICK).predictions["p"] for m in (once, never))
    np.testing.assert_array_equal(p, q)


def test_leak_selection_outside_the_folds():
    """20 of 1,000 proteins are chosen on everybody, and then cross-validated."""
    inside, outside = [], []
    for seed in range(3):
        cohort, y = noise(60, 1000, seed)
        x = cohort.subjects
        chosen = x.columns[SelectKBest(f_classif, k=20).fit(x, y).get_support()]
        outside.append(cross_validate(clinical_model(columns=list(chosen)), cohort, y, **QUICK))
        steps = clinical_model().steps
        select = ("select", SelectKBest(f_classif, k=20))
        honest = Pipeline([*steps[:-1], select, steps[-1]])
        inside.append(cross_validate(honest, cohort, y, **QUICK))
    assert np.mean([r.auc.auc for r in outside]) > 0.9  # the price
    assert abs(np.mean([r.auc.auc for r in inside]) - 0.5) < 0.12
    spoilt, honest = (r.checks.loc["plausible for so few people"] for r in (outside[0], inside[0]))
    assert not spoilt["ok"]
    assert "ask where the features came from" in spoilt["finding"]
    assert honest["ok"]


def test_leak_plate_medians_of_everybody(mvd):
    """Plates are levelled with the samples of the test people."""
    people = mvd.known_at_index()
    train, test = next(SubjectKFold(4).split(people, mvd.outcome("mvd_response")))
    adata = people.assays["csf_pea"]
    rows = adata.obs["subject_id"].isin(people.index[test]).to_numpy()
    adata.X[rows] = 40.0
    spoilt = people.with_assay("csf_pea", adata)

    def medians(cohort):
        fitted = ProteinFeatures("csf_pea", steps=[MedianNormalizer()]).fit(cohort)
        return fitted.pipeline_.steps[0][1].medians_

    pd.testing.assert_frame_equal(medians(people[train]), medians(spoilt[train]))
    assert (medians(people) != medians(spoilt)).any(axis=None)


def test_leak_tuned_on_the_test_folds():
    """The best of many settings is reported with the score that it was chosen by."""
    best, honest = [], []
    for seed in range(4):
        cohort, y = noise(60, 24, seed)
        rng = np.random.default_rng(seed)
        some = [sorted(rng.choice(cohort.predictors, 4, replace=False)) for _ in range(8)]
        grid = {"features__columns": some}
        search = GridSearchCV(clinical_model(), grid, cv=SubjectKFold(5), scoring="roc_auc")
        best.append(search.fit(cohort, y).best_score_)
        tuned = nested(clinical_model(), grid, cv=SubjectKFold(3), scoring="roc_auc")
        honest.append(cross_validate(tuned, cohort, y, **QUICK).auc.auc)
    assert np.mean(best) > 0.55  # the price
    assert abs(np.mean(honest) - 0.5) < 3 * 0.075 / np.sqrt(len(honest))  # SE of one at n = 60


def test_leak_threshold_of_the_test_people():
    """The threshold with the best Youden index on the test people goes into the abstract."""
    chosen, fixed = [], []
    for seed in range(8):
        cohort, y = noise(40, 3, seed)
        result = cross_validate(clinical_model(), cohort, y, **QUICK)
        p = result.predictions.loc[cohort.index, "p"].to_numpy()
        at = [classification_metrics(y, p, threshold=t) for t in p]
        chosen.append(max(one.sensitivity + one.specificity - 1 for one in at))
        frame = result.summary()["estimate"]
        fixed.append(frame["sensitivity"] + frame["specificity"] - 1)
        with pytest.raises((FormatError, TypeError)):
            cross_validate(clinical_model(), cohort, y, threshold="youden", **QUICK).summary()
    assert np.mean(chosen) > 0.1  # the price
    assert np.mean(fixed) < 0.1


def test_leak_calibrated_on_the_test_people():
    """Recalibration and conformal thresholds are learned from those who are then judged."""
    cohort, y = noise(80, 3)
    train, test = next(SubjectKFold(4).split(cohort, y))
    table = cohort.subjects
    table.iloc[test] = 1e3
    model = ResponseModel({"clinic": "clinical"})
    one, two = (model.fit(c[train], y[train]).__dict__.copy() for c in (cohort, Cohort(table)))
    assert (one["slope_"], one["offset_"]) == (two["slope_"], two["offset_"])
    np.testing.assert_array_equal(one["lowest_"], two["lowest_"])
    # They come from training people who were left out, so their own fit isn't believed.
    assert set(one["left_out_"].index) == set(cohort.index[train])
    in_sample = one["fusion_"].predict_proba(cohort[train])[:, 1]
    assert not np.allclose(in_sample, one["left_out_"]["p"])


def test_leak_stopped_on_the_test_fold(tmp_path):
    """A network trains until the test people like it best."""
    from ..mtbi.scans import classifier, people

    cohort, y = people(tmp_path, 12)
    model = classifier(n_epochs=1, early_stopping=0.4)
    with pytest.raises(FormatError, match="watches people of its own"):
        model.fit(cohort[:8], y.iloc[:8], validation=(cohort[8:], y.iloc[8:]))
    model.fit(cohort[:8], y.iloc[:8])
    assert set(model.held_out_) <= set(cohort.index[:8])


# --- flagged --------------------------------------------------------------------------------------


def test_leak_innocent_name():
    """A column written down after the outcome was known, called n_calls."""
    cohort, y = noise(100)
    calls = 2 - y + 0.3 * np.random.default_rng(1).normal(size=100)
    careless = cohort.with_columns(pd.DataFrame({"n_calls": calls}, index=cohort.index))
    result = cross_validate(clinical_model(), careless, y, **QUICK)
    assert not result.checks.loc["no single column gives the outcome away", "ok"]
    assert "n_calls" in looks(careless, y, "the outcome in other words")


def test_leak_in_one_column_of_a_table():
    """The same in a table of measures that has no visit."""
    cohort, y = noise(100)
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(100, 50)), columns=[f"m{j}" for j in range(50)])
    table["m7"] = y + rng.normal(0, 0.3, 100)
    table.insert(0, "subject_id", cohort.index)
    careless = cohort.with_measurements("scores", table)
    assert list(looks(careless, y, "the outcome in other words")) == ["scores: m7"]


def test_leak_missing_by_outcome(mvd):
    """The assay was only paid for in responders: whoever has it, responded."""
    y = mvd.outcome("mvd_response")
    adata = mvd.assays["csf_pea"]
    keep = adata.obs["subject_id"].map(y) != 0.0
    some = mvd.with_assay("csf_pea", adata[keep.to_numpy()].copy())
    assert "csf_pea" in looks(some, "mvd_response", "missing by outcome")


def test_leak_headers_by_outcome(tmp_path):
    """Cases were scanned with one protocol, controls with another."""
    cohort, y = noise(24)
    paths = []
    for i, label in enumerate(y):
        paths.append(tmp_path / f"{i}.nii.gz")
        affine = np.diag([1.0, 1.0, 1.2 if label else 1.0, 1.0])
        nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), affine).to_filename(paths[-1])
    images = pd.DataFrame(
        {"subject_id": cohort.index, "visit": "preop", "contrast": "T1w", "path": map(str, paths)}
    )
    found = looks(cohort.with_images(images), y, "measured differently by outcome")
    assert "T1w: spacing" in found


def test_leak_plate_or_site_by_outcome():
    """Nearly all responders come from one hospital, whose scanner any measure can tell."""
    cohort, y = with_scanners(0.9, n=400)
    assert "site" in looks(cohort, y, "measured differently by outcome")
    table = cohort.measurement("mri")
    table.loc[cohort.subjects["site"] == "B"] += 3  # the scanner, not the people
    scans = cohort.with_measurements("mri", table.rename_axis("subject_id").reset_index())
    scans = scans.without_predictors(["status"], "it is the outcome")
    model = make_pipeline(FeatureBlock("mri"), LogisticRegression())
    pooled = cross_validate(model, scans, y, **QUICK)
    each = leave_site_out(model, scans, y, baseline=None, n_permutations=0)
    assert pooled.auc.ci_low > 0.7
    assert 0.4 < each.table["auc"].mean() < 0.6


def test_leak_site_as_a_predictor(tn):
    """The hospital itself is given to the model."""
    assert "site" in tn.subjects
    assert "site" not in tn.predictors
    features = ClinicalFeatures().fit(tn.known_at_index())
    assert not [name for name in features.get_feature_names_out() if name.startswith("site")]


def test_leak_one_person_under_two_ids(tn):
    """Somebody was entered twice, before and after a change of the number."""
    people = tn.subjects.iloc[[3, 5]].copy()
    people.index = ["X1", "X2"]
    both = Cohort(pd.concat([tn.subjects, people]), columns=tn.columns, outcomes=tn.outcomes)
    found = looks(both, None, "one person under two ids")
    assert "2 pairs" in found["subjects"]
    assert "rows 3, 120; rows 5, 121" in found["subjects"]
    adata = tn.assays["csf_pea"]
    some = adata.obs_names[adata.obs["subject_id"].notna()][:2]
    one, other = adata.obs.loc[some, "subject_id"]
    values = adata.to_df()
    values.loc[some[1]] = values.loc[some[0]]
    adata.X = values.to_numpy()
    assert one != other
    assert "csf_pea" in looks(tn.with_assay("csf_pea", adata), None, "one person under two ids")


def test_leak_one_id_spelt_twice():
    """sub-01 of the clinic and sub-1 of the scanner become two people of one table."""
    people = pd.DataFrame({"age": [61.0, 61.0, 48.0]}, index=["sub-01", "sub-1", "sub-010"])
    found = looks(Cohort(people), None, "ids spelt alike")
    assert found[""].startswith("2 ids equal another")


def test_leak_one_scan_under_two_ids():
    """The same file was exported for two people."""
    cohort, _ = noise(10)
    images = pd.DataFrame(
        {"subject_id": cohort.index, "visit": "preop", "contrast": "T1w", "present": False,
         "path": [f"{i}.nii" for i in range(10)], "sha256": [*"abcdefgh", "a", "j"]}
    )  # fmt: skip
    assert "2 people share" in looks(cohort.with_images(images), None, "one person under two ids")[
        "T1w"
    ]  # fmt: skip


def test_leak_sorted_by_outcome():
    """Responders were numbered first, so that ids, rows and plates follow the outcome."""
    cohort, y = noise()
    y = np.sort(y)[::-1]
    assert "number in the id" in looks(cohort, y, "order by outcome")
    groups = Cohort(cohort.subjects.set_axis(
        [f"{'RN'[1 - label]}{(i * 37) % 60}" for i, label in enumerate(y)]))  # fmt: skip
    assert "letters of the id" in looks(groups, y, "order by outcome")


class Remembers(ClassifierMixin, BaseEstimator):
    """Keeps what it has seen in the class instead of the object."""

    memory: dict = {}  # noqa: RUF012

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.memory.update(zip(X.index, y, strict=True))
        return self

    def predict_proba(self, X):
        p = np.array([self.memory.get(one, 0.5) for one in X.index]) * 0.8 + 0.1
        return np.column_stack([1 - p, p])


def test_leak_memory_that_outlives_the_fold():
    """A cache, a global or a file on disk carries people from one fold to the next."""
    cohort, y = noise()
    result = cross_validate(Remembers(), cohort, y, **QUICK | {"n_permutations": 20})
    assert not result.permutation.passed
    assert "something leaks" in repr(result.permutation)


def test_leak_a_transformer_reaches_for_the_outcome(tn):
    """A function on the table picks the outcome up by itself."""
    reach = FunctionTransformer(lambda cohort: cohort.subjects[["age", "bni_12mo"]])
    model = make_pipeline(reach, LogisticRegression())
    with pytest.raises(KeyError, match="bni_12mo"):
        cross_validate(model, tn, "mvd_response", **QUICK)
    ask = FunctionTransformer(lambda cohort: cohort.outcome("mvd_response").to_frame())
    with pytest.raises(LeakageError):
        cross_validate(make_pipeline(ask, LogisticRegression()), tn, "mvd_response", **QUICK)


# --- the list, and false alarms -------------------------------------------------------------------


def planted() -> list[str]:
    return [name for name in globals() if name.startswith("test_leak_")]


def test_twenty_or_more_and_all_on_the_page():
    section = PAGE.read_text(encoding="utf-8").split("\n## Twenty leaks")[1].split("\n## ")[0]
    numbers = [int(found) for found in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
    assert numbers == list(range(1, len(planted()) + 1))
    assert len(planted()) >= 20


SIGNS = (
    "ids spelt alike",
    "one person under two ids",
    "the outcome in other words",
    "missing by outcome",
    "measured differently by outcome",
    "order by outcome",
)


def test_clean_cohorts_raise_no_alarm():
    """Each check speaks up in at most 1 of 20 cohorts in which nothing is wrong."""
    seeds = range(20)
    alarms = dict.fromkeys(SIGNS, 0)
    for seed in seeds:
        found = check_cohort(pp.datasets.sample_tn(80, random_state=seed), "mvd_response")
        assert set(SIGNS) <= set(found["check"])
        for name in set(found.loc[found["state"] == "look", "check"]) & set(SIGNS):
            alarms[name] += 1
    assert max(alarms.values()) <= 0.05 * len(seeds), alarms


def test_a_published_cohort_has_a_scan_under_two_ids(shared_data, tmp_path):
    """ds005713: two people have the same diffusion and resting-state files, by their checksums."""
    cohort = pp.datasets.fetch_ds005713(tmp_path, mirror=shared_data / "tn_ds005713")
    files = cohort.images.dropna(subset=["sha256"])
    owners = files.groupby("sha256")["subject_id"].agg(lambda ids: tuple(sorted(set(ids))))
    assert set(owners[owners.map(len) > 1]) == {("sub-109", "sub-110")}
    found = looks(cohort, None, "one person under two ids")
    assert set(found) == {"dwi", "bold"}
    # Its two groups are numbered with and without padding: sub-010 is not sub-10.
    assert looks(cohort, None, "ids spelt alike")


def test_a_cohort_of_nerves_is_no_cohort_of_people(tn):
    nerves = tn.per_nerve()
    assert not looks(nerves, None, "one person under two ids")
    with pytest.raises(FormatError, match="by person"):
        check_cohort(nerves, "mvd_response")


def test_dates_are_an_order_too():
    cohort, y = noise()
    days = pd.Series(y * 300 + np.arange(60), cohort.index)
    dates = pd.Timestamp("2021-05-03") + pd.to_timedelta(days, unit="D")
    written = dates.dt.strftime("%Y-%m-%d").rename("operated").to_frame()
    dated = cohort.with_columns(written, {"operated": {"kind": "date"}})
    assert list(looks(dated, y, "order by outcome")) == ["operated"]


def test_files_that_cannot_be_read_are_no_error(tmp_path):
    cohort, y = noise(12)
    paths = [tmp_path / f"{i}.nii.gz" for i in range(12)]
    for path in paths:
        path.write_bytes(b"\x1f\x8b\x08broken")
    images = pd.DataFrame(
        {"subject_id": cohort.index, "visit": "preop", "contrast": "T1w", "path": map(str, paths)}
    )
    assert not looks(cohort.with_images(images), y, "measured differently by outcome")


def test_few_people_and_odd_columns_are_no_error():
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {"age": rng.normal(60, 9, 9), "same": 1.0, "none": np.nan, "kind": list("aabbccddd"),
         "seen": pd.date_range("2024-01-01", periods=9), "flag": [True, False, None] * 3},
        index=[f"p{i}" for i in range(9)],
    )  # fmt: skip
    found = check_cohort(Cohort(people), np.arange(9) % 2)
    assert set(found.loc[found["check"].isin(SIGNS), "state"]) == {"ok"}
