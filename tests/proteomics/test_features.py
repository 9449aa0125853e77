"""Proteins of a Cohort as features, and the traps on the way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import precisionpain as pp
from precisionpain.cohort import Cohort
from precisionpain.errors import (
    AlignmentError,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.evaluation import SubjectKFold, check_splits, cross_validate
from precisionpain.proteomics import (
    ComBat,
    ControlZ,
    KNNProteins,
    MedianScaler,
    MinProb,
    ProteinFeatures,
    QuantileNormalizer,
)
from precisionpain.proteomics._layout import make_adata


def cohort_of(
    values: np.ndarray,
    obs: pd.DataFrame,
    subjects: pd.DataFrame,
    var: pd.DataFrame | None = None,
    **parts,
) -> Cohort:
    if var is None:
        var = pd.DataFrame(index=[f"OID{i:05d}" for i in range(values.shape[1])])
        var["gene"] = [f"G{i}" for i in range(values.shape[1])]
    return Cohort(subjects, assays={"pea": make_adata(values, obs, var)}, **parts)


def noise(n: int = 60, p: int = 40, seed: int = 0, **columns) -> Cohort:
    """People with one sample each, and a control sample on every plate."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:03d}" for i in range(n)]
    plate = columns.pop("plate", rng.choice(["A", "B"], n))
    obs = pd.DataFrame(
        {
            "subject_id": [*ids, None, None],
            "visit": [*["preop"] * n, None, None],
            "plate": [*plate, "A", "B"],
            "sample_type": [*["SAMPLE"] * n, "CONTROL", "CONTROL"],
        },
        index=[*(f"t{i}" for i in rng.permutation(n)), "c0", "c1"],
    )
    subjects = pd.DataFrame({"age": rng.normal(60, 9, n), **columns}, index=ids)
    x = rng.normal(5, 1, (n + 2, p))
    order = rng.permutation(n + 2)  # the assay's rows are in another order than the people
    return cohort_of(x[order], obs.iloc[order], subjects)


def model(**options):
    return make_pipeline(
        ProteinFeatures("pea", **options), SimpleImputer(), StandardScaler(), LogisticRegression()
    )


# --- the table ----------------------------------------------------------------------------


def test_rows_are_people_in_order_and_nobody_is_dropped():
    cohort = pp.datasets.sample_tn()
    some = cohort[[5, 30, 2, 11, 39]]
    features = ProteinFeatures("csf_pea").fit(cohort)
    table = features.transform(some)
    assert table.index.equals(some.index)
    adata = cohort.assays["csf_pea"]
    adata = adata[(adata.obs["visit"] == "preop").to_numpy()]
    for person in some.index:
        row = adata[(adata.obs["subject_id"] == person).to_numpy()].X
        expected = row[0] if len(row) else np.full(92, np.nan)
        np.testing.assert_array_equal(table.loc[person], expected)
    assert table.isna().all(axis=1).sum() == sum(
        p not in set(adata.obs["subject_id"]) for p in some.index
    )


def test_an_array_and_a_table_hold_the_same():
    cohort = noise()
    frame = ProteinFeatures("pea").fit_transform(cohort)
    array = ProteinFeatures("pea", as_frame=False).fit_transform(cohort)
    np.testing.assert_array_equal(frame, array)


def test_fit_transform_is_fit_and_transform():
    cohort = pp.datasets.sample_tn()
    steps = [MedianScaler(), ComBat("site"), ControlZ("diagnosis"), MinProb()]
    features = ProteinFeatures("csf_pea", steps=steps)
    one = features.fit_transform(cohort)
    two = features.transform(cohort)
    pd.testing.assert_frame_equal(one, two, rtol=1e-9)


def test_proteins_by_id_gene_accession_and_panel():
    cohort = pp.datasets.sample_tn()
    adata = cohort.assays["csf_pea"]
    olink = str(adata.var.index[adata.var["gene"] == "GFAP"][0])
    table = ProteinFeatures("csf_pea", proteins=["P07196", olink, "IL6"]).fit_transform(cohort)
    assert list(table) == ["NEFL", "GFAP", "IL6"]
    panel = ProteinFeatures("csf_pea", proteins="trigeminal").fit(cohort)
    assert set(panel.get_feature_names_out()) == {
        "SFRP1",
        "FKBP5",
        "TBCB",
        "NEFL",
        "IL1B",
        "CXCL13",
    }
    with pytest.raises(MissingModalityError, match="no protein 'NEFH'"):
        ProteinFeatures("csf_pea", proteins=["NEFL", "NEFH"]).fit(cohort)
    by_id = ProteinFeatures("csf_pea", proteins=["NEFL"], names="id").fit(cohort)
    assert by_id.get_feature_names_out().tolist() == by_id.proteins_.tolist()


def test_one_protein_on_two_panels_and_two_proteins_in_one_assay():
    subjects = pd.DataFrame({"age": [50, 60]}, index=["a", "b"])
    obs = pd.DataFrame({"subject_id": ["a", "b"], "sample_type": "SAMPLE"}, index=["s1", "s2"])
    var = pd.DataFrame(
        {
            "gene": ["IL6", "IL6", "MICA_MICB", "Inc Ctrl"],
            "uniprot": ["P05231", "P05231", "Q29983,Q29980", "-"],
            "assay_type": ["ASSAY", "ASSAY", "ASSAY", "INCUBATION_CONTROL"],
        },
        index=["OID1", "OID2", "OID3", "OID4"],
    )
    cohort = cohort_of(np.arange(8.0).reshape(2, 4), obs, subjects, var)
    table = ProteinFeatures("pea").fit_transform(cohort)
    assert list(table) == ["IL6 (OID1)", "IL6 (OID2)", "MICA_MICB"]
    both = ProteinFeatures("pea", proteins=["IL6", "Q29980"]).fit_transform(cohort)
    assert list(both) == ["IL6 (OID1)", "IL6 (OID2)", "MICA_MICB"]


def test_people_with_several_samples():
    subjects = pd.DataFrame({"age": [50, 60]}, index=["a", "b"])
    obs = pd.DataFrame(
        {"subject_id": ["a", "a", "b"], "visit": ["screening", "preop", "preop"]},
        index=["s1", "s2", "s3"],
    )
    x = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
    cohort = cohort_of(x, obs, subjects, schedule={"screening": -30, "preop": -1})
    with pytest.raises(FormatError, match=r"1 people have several samples, for example 'a'"):
        ProteinFeatures("pea").fit(cohort)
    mean = ProteinFeatures("pea", repeats="mean").fit_transform(cohort)
    np.testing.assert_array_equal(mean, [[2.0, 2.0], [5.0, 6.0]])
    preop = ProteinFeatures("pea", visit="preop").fit_transform(cohort)
    np.testing.assert_array_equal(preop, [[3.0, np.nan], [5.0, 6.0]])
    with pytest.raises(FormatError, match="repeats is one of"):
        ProteinFeatures("pea", repeats="first").fit(cohort)


def test_specimens_are_not_pooled():
    subjects = pd.DataFrame({"age": [50, 60, 70]}, index=["a", "b", "c"])
    obs = pd.DataFrame(
        {
            "subject_id": ["a", "b", "c", None],
            "specimen": ["CSF", "serum", "CSF", None],
            "sample_type": ["SAMPLE", "SAMPLE", "SAMPLE", "CONTROL"],
        },
        index=["s1", "s2", "s3", "c1"],
    )
    cohort = cohort_of(np.arange(8.0).reshape(4, 2), obs, subjects)
    with pytest.raises(FormatError, match=r"specimens are mixed: 'CSF', 'serum'"):
        ProteinFeatures("pea").fit(cohort)
    csf = ProteinFeatures("pea", specimen="CSF").fit_transform(cohort)
    np.testing.assert_array_equal(csf, [[0, 1], [np.nan, np.nan], [4, 5]])
    # nor does a serum sample pass for CSF when only training was of one kind
    features = ProteinFeatures("pea").fit(cohort[[0, 2]])
    with pytest.raises(FormatError, match=r"training samples are 'CSF', found 'serum'"):
        features.transform(cohort[[1]])


def test_what_is_no_cohort_or_has_no_samples():
    cohort = noise()
    with pytest.raises(FormatError, match="found DataFrame"):
        ProteinFeatures("pea").fit(cohort.subjects)
    with pytest.raises(FormatError, match="cohort of nerves"):
        ProteinFeatures("pea").fit(cohort.per_nerve())
    with pytest.raises(MissingModalityError, match="no assay 'csf'"):
        ProteinFeatures("csf").fit(cohort)
    lone = Cohort(
        pd.DataFrame({"age": [1, 2]}, index=["p000", "new"]),
        assays={"pea": cohort[[0]].assays["pea"]},
    )
    with pytest.raises(MissingModalityError, match="none of the 1 training people"):
        ProteinFeatures("pea").fit(lone[[1]])
    features = ProteinFeatures("pea", steps=[MedianScaler()]).fit(lone[[0]])
    assert features.transform(lone[[1]]).isna().all(axis=None)


# --- time ---------------------------------------------------------------------------------


def test_a_post_operative_protein_is_no_predictor():
    cohort = pp.datasets.sample_tn()
    assert "followup" in set(cohort.assays["csf_pea"].obs["visit"])
    with pytest.raises(LeakageError, match=r"'followup' can't be a predictor"):
        ProteinFeatures("csf_pea", visit="followup").fit(cohort)
    after = ProteinFeatures("csf_pea", visit="followup", allow=["followup"]).fit_transform(cohort)
    before = ProteinFeatures("csf_pea").fit_transform(cohort)
    assert 0 < after.notna().all(axis=1).sum() < before.notna().all(axis=1).sum()
    with pytest.raises(MissingModalityError, match="no visit 'day 3'"):
        ProteinFeatures("csf_pea", visit="day 3").fit(cohort)


def test_an_assay_that_is_only_later_is_a_leak():
    subjects = pd.DataFrame({"age": [50, 60]}, index=["a", "b"])
    obs = pd.DataFrame({"subject_id": ["a", "b"], "visit": "followup"}, index=["s1", "s2"])
    cohort = cohort_of(np.ones((2, 2)), obs, subjects, schedule={"followup": 90})
    with pytest.raises(LeakageError, match="'pea' can't be a predictor"):
        ProteinFeatures("pea").fit(cohort)


def test_later_samples_change_nothing():
    """Neither features nor what the steps learn hang on samples after the landmark."""
    cohort = pp.datasets.sample_tn()
    adata = cohort.assays["csf_pea"]
    late = (adata.obs["visit"] == "followup").to_numpy()
    adata.X[late] += 50.0
    spoilt = cohort.with_assay("csf_pea", adata)
    make = ProteinFeatures("csf_pea", steps=[QuantileNormalizer(), ComBat("plate")])
    one, two = make.fit_transform(cohort), clone(make).fit_transform(spoilt)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_pre_and_post_of_one_person_in_different_folds_is_refused():
    visits = pp.datasets.sample_tn().per_visit()
    splits = list(KFold(3, shuffle=True, random_state=0).split(np.zeros(len(visits))))
    with pytest.raises(LeakageError):
        check_splits(splits, visits.groups)


# --- steps --------------------------------------------------------------------------------


def test_controls_take_part_in_the_steps_but_not_in_the_result():
    cohort = noise()

    class Counts(MedianScaler):
        def _fit(self, matrix):
            super()._fit(matrix)
            self.rows_ = (int(matrix.sample.sum()), int((~matrix.sample).sum()))

    features = ProteinFeatures("pea", steps=Counts())
    table = features.fit_transform(cohort)
    assert features.pipeline_[-1].rows_ == (60, 2)
    assert len(table) == 60


def test_columns_of_people_are_joined_by_key():
    """A step may name a column of `subjects`; it follows the person, not the row."""
    rng = np.random.default_rng(1)
    site = rng.choice(["x", "y"], 60)
    cohort = noise(site=site)
    adata = cohort.assays["pea"]
    people = cohort.subjects["site"].reindex(adata.obs["subject_id"])
    adata.X[(people == "y").to_numpy()] += 4.0
    shifted = cohort.with_assay("pea", adata)
    table = ProteinFeatures("pea", steps=[ComBat("site", mean_only=True)]).fit_transform(shifted)
    means = table.groupby(shifted.subjects["site"]).mean().mean(axis=1)
    assert abs(means["x"] - means["y"]) < 0.05


def test_a_step_may_not_name_an_outcome_even_where_obs_has_a_copy():
    cohort = pp.datasets.sample_tn()
    adata = cohort.assays["csf_pea"]
    adata.obs["bni_12mo"] = (
        cohort.subjects["bni_12mo"].reindex(adata.obs["subject_id"]).to_numpy(dtype=float)
    )
    copied = cohort.with_assay("csf_pea", adata)
    make = ProteinFeatures("csf_pea", steps=[ComBat("plate", covariates="bni_12mo")])
    for people in (cohort, copied, copied.known_at_index()):
        with pytest.raises(LeakageError, match="'bni_12mo' can't be a predictor"):
            make.fit(people)


def test_a_column_that_nobody_has():
    with pytest.raises(MissingModalityError, match="no column 'scanner'"):
        ProteinFeatures("pea", steps=[ComBat("scanner")]).fit(noise())


def test_an_unseen_plate_is_an_error_at_prediction():
    cohort = noise(plate=np.repeat(["A", "B", "C"], 20))
    features = ProteinFeatures("pea", steps=[ComBat("plate")]).fit(cohort[:40])
    with pytest.raises(AlignmentError, match="batch 'C'"):
        features.transform(cohort[40:])


def test_settings_of_the_steps_are_tuned_in_the_fold():
    cohort = noise(80)
    y = np.random.default_rng(0).permutation(np.arange(80) % 2)
    steps = make_pipeline(MedianScaler(), KNNProteins())
    search = GridSearchCV(
        model(steps=steps),
        {"proteinfeatures__steps__knnproteins__n_neighbors": [2, 5]},
        cv=SubjectKFold(3),
        scoring="roc_auc",
    ).fit(cohort, y)
    assert search.best_params_["proteinfeatures__steps__knnproteins__n_neighbors"] in (2, 5)


# --- leaks --------------------------------------------------------------------------------

STEPS = [MedianScaler(), QuantileNormalizer(), ComBat("plate"), MinProb()]


def test_the_test_people_change_nothing():
    cohort = noise(60)
    adata = cohort.assays["pea"]
    rng = np.random.default_rng(2)
    adata.X[rng.random(adata.shape) < 0.1] = np.nan
    cohort = cohort.with_assay("pea", adata)
    y = rng.permutation(np.arange(60) % 2)
    train, test = np.arange(40), np.arange(40, 60)
    spoilt_data = cohort.assays["pea"]
    rows = spoilt_data.obs["subject_id"].isin(cohort.index[50:]).to_numpy()
    spoilt_data.X[rows] = rng.normal(1.0, 9.0, (rows.sum(), adata.n_vars))
    spoilt = cohort.with_assay("pea", spoilt_data)
    one = model(steps=STEPS).fit(cohort[train], y[train])
    two = model(steps=STEPS).fit(spoilt[train], y[train])
    p, q = one.predict_proba(cohort[test]), two.predict_proba(spoilt[test])
    np.testing.assert_allclose(p[:10], q[:10], rtol=1e-12)  # who wasn't spoilt, beside who was
    assert np.abs(p[10:] - q[10:]).max() > 0.01


def test_selecting_proteins_in_the_fold_finds_nothing_in_noise():
    """20 of 1,000 noise proteins, n = 60: before the folds this gives an AUC near 0.96."""
    inside, outside = [], []
    for seed in range(8):
        cohort = noise(60, 1000, seed)
        y = np.random.default_rng(1000 + seed).permutation(np.arange(60) % 2)
        honest = make_pipeline(
            ProteinFeatures("pea", steps=[MedianScaler()], as_frame=False),
            SelectKBest(f_classif, k=20),
            StandardScaler(),
            LogisticRegression(C=0.1),
        )
        inside.append(cross_validate(honest, cohort, y, cv=5, baseline=None).auc.auc)
        if seed < 3:
            table = ProteinFeatures("pea").fit_transform(cohort)
            best = table.columns[SelectKBest(f_classif, k=20).fit(table, y).get_support()]
            picked = cross_validate(model(proteins=list(best)), cohort, y, cv=5, baseline=None)
            outside.append(picked.auc.auc)
    assert 0.40 <= np.mean(inside) <= 0.60
    assert np.mean(outside) > 0.85  # what the library's own path must not do


def confounded(seed: int, p: int = 500) -> tuple[Cohort, pd.Series]:
    """Noise on two plates that differ, and whose classes are 5:1 and 1:5."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], 36)
    plate = np.where(np.arange(72) % 6 == 0, 1 - y, y)
    order = rng.permutation(72)
    label = np.array(["control", "TN"])
    cohort = noise(72, p, seed, plate=np.array(["A", "B"])[plate[order]], group=label[y[order]])
    adata = cohort.assays["pea"]
    adata.X[(adata.obs["plate"] == "B").to_numpy()] += rng.normal(0, 2, p)
    return cohort.with_assay("pea", adata), pd.Series(y[order], cohort.index, name="group")


def test_the_outcome_is_refused_as_a_covariate_of_combat():
    """On pure noise, class-aware ComBat before the folds finds the class; here it can't run."""
    naive, honest = [], []
    for seed in range(3):
        cohort, y = confounded(seed)
        aware = model(steps=[ComBat("plate", covariates="group")])
        with pytest.raises(LeakageError, match="'group' gives the outcome away"):
            cross_validate(aware, cohort, y, cv=5, baseline=None)
        plain = model(steps=[ComBat("plate")])
        honest.append(cross_validate(plain, cohort, y, cv=5, baseline=None).auc.auc)
        # What it would do: adjust everybody with the class in hand, then cross-validate.
        adata = cohort.assays["pea"]
        people = cohort.subjects["group"].reindex(adata.obs["subject_id"])
        adata.obs["group"] = people.to_numpy()
        adjusted = ComBat("plate", covariates="group").fit_transform(adata)
        spoilt = cohort.with_assay("pea", adjusted)
        naive.append(cross_validate(model(), spoilt, y, cv=5, baseline=None).auc.auc)
    assert np.mean(naive) > 0.75
    assert np.mean(honest) < 0.65


def test_cross_validate_on_the_synthetic_cohort():
    cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response", "csf_pea")
    pipeline = make_pipeline(
        ProteinFeatures(
            "csf_pea",
            proteins="trigeminal",
            steps=[MedianScaler(), ComBat("plate", covariates=["age"])],
        ),
        SimpleImputer(),
        StandardScaler(),
        LogisticRegression(C=0.1),
    )
    result = cross_validate(pipeline, cohort, "mvd_response", cv=4, n_bootstrap=50)
    assert len(result.frame()) == 4
    assert np.isfinite(result.auc.auc)
