"""Scores of a panel: by hand, by simulation, and in the fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.proteomics import Analyte, Panel, PanelScores, score_panel
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._reference import Layout, distances, mean_z, z_against

PANEL = Panel(
    "test",
    (
        Analyte("A", gene=("A",), axis="x"),
        Analyte("B", gene=("B",), axis="x", sign=-1),
        Analyte("C", gene=("C",), axis="y"),
        Analyte("D", gene=("D",)),
    ),
)
SINGLE = Panel("one", (Analyte("A", gene=("A",), axis="x"),))


def people(values, n_controls, genes=("A", "B", "C", "D"), **layers):
    n = len(values)
    obs = pd.DataFrame(
        {
            "subject_id": [f"p{i}" for i in range(n)],
            "group": ["control"] * n_controls + ["TN"] * (n - n_controls),
            "sample_type": "SAMPLE",
            "specimen": "CSF",
        },
        index=[f"s{i}" for i in range(n)],
    )
    var = pd.DataFrame({"gene": list(genes)}, index=[f"OID{i}" for i in range(len(genes))])
    return make_adata(np.asarray(values, float), obs, var, layers=layers)


@pytest.fixture
def adata():
    return people(np.random.default_rng(3).normal(5, 1, (24, 4)), 12)


CONTROLS = {"group": "control"}


def by_hand(row, controls):
    z = [(row[k] - np.mean(controls[:, k])) / np.std(controls[:, k], ddof=1) for k in range(3)]
    return (z[0] - z[1]) / 2, z[2], (z[0] - z[1] + z[2]) / 3


def test_scores_are_the_signed_mean_of_z(adata):
    table = score_panel(adata, PANEL, CONTROLS)
    controls = adata.X[:12]
    for i in range(24):
        # A control is compared with the others.
        reference = np.delete(controls, i, axis=0) if i < 12 else controls
        found = table.loc[f"s{i}", ["x", "y", "overall"]].to_numpy(float)
        np.testing.assert_allclose(found, by_hand(adata.X[i], reference), atol=1e-12)
    assert table["control"].sum() == 12
    assert table["subject_id"].tolist() == adata.obs["subject_id"].tolist()


def test_limits_are_those_of_a_further_control(adata):
    row = score_panel(adata, PANEL, CONTROLS).loc["s20"]
    c = adata.X[:12, 2]
    half = stats.t.ppf(0.975, 11) * np.sqrt(1 + 1 / 12)
    np.testing.assert_allclose([row["y_low"], row["y_high"]], [-half, half], atol=1e-12)
    # In the unit of the protein this is the textbook's prediction interval.
    low = c.mean() - stats.t.ppf(0.975, 11) * c.std(ddof=1) * np.sqrt(1 + 1 / 12)
    np.testing.assert_allclose(c.mean() + row["y_low"] * c.std(ddof=1), low, atol=1e-12)


@pytest.mark.parametrize("n_controls", [5, 10, 30])
def test_limits_cover_new_people_exactly(n_controls):
    rng = np.random.default_rng(100 + n_controls)
    layout = Layout(np.array([0]), np.ones(1))
    share = []
    for _ in range(300):
        controls, new = rng.normal(3, 2, (n_controls, 1)), rng.normal(3, 2, (50, 1))
        result = mean_z(z_against(new, controls), z_against(controls, controls), layout, 0.95)
        share.append(((result.score < result.low) | (result.score > result.high)).mean())
    # People share their controls, so the error comes from the spread over cohorts.
    assert abs(np.mean(share) - 0.05) < 4 * np.std(share, ddof=1) / np.sqrt(len(share))


def test_controls_left_out_are_like_new_people():
    rng = np.random.default_rng(7)
    outside = []
    for _ in range(40):
        table = score_panel(people(rng.normal(0, 2, (13, 1)), 12, ["A"]), SINGLE, CONTROLS)
        beyond = (table["x"] < table["x_low"]) | (table["x"] > table["x_high"])
        outside.append(beyond[table["control"]].mean())
    assert abs(np.mean(outside) - 0.05) < 4 * np.std(outside, ddof=1) / np.sqrt(len(outside))


def test_limits_of_several_proteins_cover_nearly():
    rng = np.random.default_rng(8)
    mix = rng.normal(size=(4, 4))
    layout = Layout(np.arange(4), np.array([1.0, -1, 1, 1]))
    share = []
    for _ in range(300):
        controls, new = rng.normal(size=(15, 4)) @ mix, rng.normal(size=(50, 4)) @ mix
        result = mean_z(z_against(new, controls), z_against(controls, controls), layout, 0.95)
        share.append(((result.score < result.low) | (result.score > result.high)).mean())
    assert abs(np.mean(share) - 0.05) < 0.02


def test_distance_is_hotellings():
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(4, 4))
    adata = people(rng.normal(size=(26, 4)) @ mix, 25)
    row = score_panel(adata, PANEL, CONTROLS).loc["s25"]
    controls, new = adata.X[:25], adata.X[25]
    away = new - controls.mean(axis=0)
    squared = away @ np.linalg.inv(np.cov(controls.T)) @ away
    assert row["distance"] == pytest.approx(np.sqrt(squared), rel=1e-9)
    layout = Layout(np.arange(4), np.ones(4))
    p = []
    for _ in range(400):
        controls, new = rng.normal(size=(15, 4)) @ mix, rng.normal(size=(1, 4)) @ mix
        p.append(distances(z_against(new, controls), z_against(controls, controls), layout)[1][0])
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_no_distance_from_too_few_controls(adata):
    few = adata[[0, 1, 2, 3, 20]].copy()
    row = score_panel(few, PANEL, CONTROLS).loc["s20"]
    assert np.isnan(row["distance"])
    assert np.isfinite(row["x"])


def test_missing_values_change_what_is_averaged_and_are_counted(adata):
    adata.X[20, 1] = np.nan
    adata.X[21, :3] = np.nan
    adata.X[0, 0] = np.nan
    table = score_panel(adata, PANEL, CONTROLS)
    controls = adata.X[1:12]
    z = (adata.X[20, 0] - controls[:, 0].mean()) / controls[:, 0].std(ddof=1)
    assert table.loc["s20", "x"] == pytest.approx(z)
    assert table.loc["s20", ["x_n_measured", "x_n_missing"]].tolist() == [1, 1]
    assert table.loc["s20", "x_n_controls"] == 11
    assert table.loc["s21", ["x", "y", "overall"]].isna().all()
    assert table.loc["s21", "overall_n_missing"] == 3


def test_two_assays_of_a_protein_count_as_one():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(20, 3))
    adata = people(values, 12, ["A", "A", "B"])
    table = score_panel(adata, PANEL, CONTROLS)
    c = values[:12]
    z = (values[15] - c.mean(axis=0)) / c.std(axis=0, ddof=1)
    assert table.loc["s15", "x"] == pytest.approx(((z[0] + z[1]) / 2 - z[2]) / 2)
    assert table.loc["s15", "x_n_measured"] == 2
    assert table.attrs["assays"]["A"] == ["OID0", "OID1"]
    assert table.attrs["not_found"] == ["C", "D"]
    assert table.attrs["no_axis"] == ["D"]


def test_below_the_limit_is_flagged_and_kept(adata):
    limit = np.full(adata.shape, -np.inf)
    limit[20, 0] = 99.0
    flagged = adata.copy()
    flagged.layers["lod"] = limit
    one, two = score_panel(adata, PANEL, CONTROLS), score_panel(flagged, PANEL, CONTROLS)
    assert two.loc["s20", "x_n_below_lod"] == 1
    assert two["x_n_below_lod"].sum() == 1
    pd.testing.assert_series_equal(one["x"], two["x"])


def test_scores_follow_the_samples_not_the_rows(adata):
    order = np.random.default_rng(0).permutation(24)
    shuffled = adata[order][:, [2, 0, 3, 1]].copy()
    one, two = (score_panel(a, PANEL, CONTROLS) for a in (adata, shuffled))
    pd.testing.assert_frame_equal(one, two.loc[one.index])


def test_shift_and_scale_of_a_protein_change_nothing(adata):
    other = adata.copy()
    other.X = other.X * [2.0, 0.5, 3.0, 1.0] + [1.0, -4.0, 0.0, 2.0]
    one, two = (score_panel(a, PANEL, CONTROLS) for a in (adata, other))
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-9)


@pytest.mark.parametrize(
    "controls",
    [
        [f"s{i}" for i in range(12)],
        [f"p{i}" for i in range(12)],
        pd.Series([True] * 12 + [False] * 12, [f"s{i}" for i in range(24)])[::-1],
        {"subject_id": [f"p{i}" for i in range(12)] + ["not here"]},
    ],
)
def test_controls_can_be_named_in_several_ways(adata, controls):
    one, two = score_panel(adata, PANEL, CONTROLS), score_panel(adata, PANEL, controls)
    pd.testing.assert_frame_equal(one, two)


def test_controls_from_elsewhere(adata):
    healthy, patients = adata[:12].copy(), adata[12:].copy()
    table = score_panel(patients, PANEL, healthy)
    expected = score_panel(adata, PANEL, CONTROLS).loc[patients.obs_names]
    pd.testing.assert_frame_equal(table, expected)
    with pytest.raises(AlignmentError, match="lack 'OID3'"):
        score_panel(patients, PANEL, healthy[:, :3].copy())


def test_controls_of_another_study_may_have_the_same_sample_names(adata):
    healthy, patients = adata[:12].copy(), adata[12:].copy()
    expected = score_panel(patients, PANEL, healthy)
    patients.obs_names = healthy.obs_names
    table = score_panel(patients, PANEL, healthy)
    assert not table["control"].any()
    np.testing.assert_array_equal(table["x"], expected["x"])


def test_a_name_is_no_evidence_of_a_control(adata):
    # "NC" inside a name says nothing; the type of a sample does.
    adata.obs_names = ["CANCER_01", *adata.obs_names[1:]]
    adata.obs["sample_type"] = ["SAMPLE"] * 23 + ["NEGATIVE_CONTROL"]
    table = score_panel(adata, PANEL, CONTROLS)
    assert "CANCER_01" in table.index
    assert len(table) == 23


def test_bad_controls_are_refused(adata):
    for controls, kind, message in (
        (None, FormatError, "found none"),
        ({"group": "healthy"}, FormatError, "none of the 24"),
        ({"arm": "control"}, AlignmentError, "no column 'arm'"),
        (["s1", "s2", "x"], AlignmentError, "unknown sample and subject ids: 'x'"),
        (["s1", "p2", "s3"], AlignmentError, "mix"),
        (["s1", "s2"], FormatError, "at least 3"),
        ("control", FormatError, "boolean flags"),
    ):
        with pytest.raises(kind, match=message):
            score_panel(adata, PANEL, controls)


def test_a_person_is_one_control(adata):
    adata.obs["subject_id"] = ["p1", "p1", *adata.obs["subject_id"][2:]]
    with pytest.raises(FormatError, match="several samples"):
        score_panel(adata, PANEL, CONTROLS)


def test_specimens_are_never_pooled(adata):
    adata.obs["specimen"] = ["CSF"] * 12 + ["serum"] * 12
    with pytest.raises(FormatError, match="specimens are mixed: 'CSF', 'serum'"):
        score_panel(adata, PANEL, CONTROLS)


def test_linear_values_are_refused(adata):
    adata.X = adata.X * 1e6
    with pytest.raises(FormatError, match="log2"):
        score_panel(adata, PANEL, CONTROLS)


def test_a_protein_that_never_varies_gets_no_score(adata):
    adata.X[:12, 2] = 0.1 + 0.2
    with pytest.warns(DataWarning, match="'C'"):
        table = score_panel(adata, PANEL, CONTROLS)
    assert table["y"].isna().all()
    assert np.isfinite(table["x"]).all()


def test_nothing_measured_is_refused():
    with pytest.raises(FormatError, match="none of the 6 analytes"):
        score_panel(people(np.ones((6, 1)), 4, ["ZZZ"]), "trigeminal", CONTROLS)


def test_the_transformer_learns_from_training_only(adata):
    model = PanelScores(PANEL, controls=CONTROLS).fit(adata[:18].copy())
    other = adata.copy()
    other.X[18:] += 3
    pd.testing.assert_frame_equal(model.transform(adata)[:18], model.transform(other)[:18])
    assert model.controls_.index.tolist() == [f"s{i}" for i in range(12)]
    np.testing.assert_array_equal(
        clone(model).fit(adata).transform(adata).to_numpy(),
        score_panel(adata, PANEL, CONTROLS)[["x", "y", "overall"]].to_numpy(),
    )
    before = adata.X.copy()
    model.fit_transform(adata)
    np.testing.assert_array_equal(adata.X, before)


def test_another_protein_set_at_transform_is_an_error(adata):
    model = PanelScores(PANEL, controls=CONTROLS).fit(adata)
    with pytest.raises(AlignmentError, match="not in X"):
        model.transform(adata[:, :2].copy())


@pytest.fixture(scope="module")
def cohort():
    return pp.datasets.sample_tn(n_subjects=80, random_state=1)


def test_a_cohort_gives_one_row_per_person_in_its_order(cohort):
    model = PanelScores(controls={"diagnosis": "control"}, assay="csf_pea", visit="preop")
    table = model.fit(cohort).transform(cohort)
    assert table.index.tolist() == cohort.index.tolist()
    turned = cohort[np.arange(len(cohort))[::-1]]
    pd.testing.assert_frame_equal(model.transform(turned), table[::-1])
    # The same by hand, from the samples.
    adata = cohort.assays["csf_pea"]
    adata = adata[(adata.obs["visit"] == "preop").to_numpy()].copy()
    healthy = cohort.subjects.index[cohort.subjects["diagnosis"] == "control"]
    scores = score_panel(adata, "trigeminal", {"subject_id": healthy}).set_index("subject_id")
    known = table.dropna()
    pd.testing.assert_frame_equal(known, scores.loc[known.index, known.columns], check_names=False)


def test_truth_of_the_sample_cohort_is_found(cohort):
    model = PanelScores(controls={"diagnosis": "control"}, assay="csf_pea", visit="preop")
    table = model.fit(cohort).transform(cohort)
    sick = cohort.subjects["diagnosis"] == "TN"
    assert table.loc[sick, "axonal"].mean() > table.loc[~sick, "axonal"].mean() + 0.5


def test_a_post_operative_protein_is_a_leak(cohort):
    model = PanelScores(controls={"diagnosis": "control"}, assay="csf_pea", visit="followup")
    with pytest.raises(LeakageError):
        model.fit(cohort)
    with pytest.raises(MissingModalityError, match="assay="):
        PanelScores(controls={"diagnosis": "control"}).fit(cohort)


def test_scores_in_a_cross_validated_pipeline(cohort):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    adata = cohort.assays["csf_pea"]
    healthy = cohort.subjects.index[cohort.subjects["diagnosis"] == "control"]
    controls = adata[
        (adata.obs["subject_id"].isin(healthy) & (adata.obs["visit"] == "preop")).to_numpy()
    ].copy()
    model = make_pipeline(
        PanelScores(controls=controls, assay="csf_pea", visit="preop"),
        SimpleImputer(), LogisticRegression(),
    )  # fmt: skip
    result = pp.evaluation.cross_validate(
        model, cohort, "mvd_response", pp.evaluation.SubjectKFold(3)
    )
    assert len(result.frame()) > 0


@pytest.mark.parametrize("named", ["column", "ids", "flags"])
def test_training_people_without_controls(adata, named):
    patients = adata[12:].copy()
    controls, message = {
        "column": (CONTROLS, r"none of the 12 samples is meant by {'group': 'control'}"),
        "ids": ([f"s{i}" for i in range(12)], "unknown sample and subject ids: 's0'"),
        "flags": (pd.Series(False, patients.obs_names), "none of the 12 samples is meant"),
    }[named]
    with pytest.raises((FormatError, AlignmentError), match=message) as caught:
        PanelScores(PANEL, controls=controls).fit(patients)
    assert "controls=adata[is_control]" in str(caught.value)
    with pytest.raises(FormatError, match=r"found 2 among the 14 samples.*controls=adata"):
        PanelScores(PANEL, controls=CONTROLS).fit(adata[10:].copy())


def test_patients_alone_in_a_cross_validation(cohort):
    """Controls have no outcome and are in no training set; the message says what then to do."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    scores = PanelScores(controls={"diagnosis": "control"}, assay="csf_pea", visit="preop")
    model = make_pipeline(scores, SimpleImputer(), LogisticRegression())
    with pytest.raises(FormatError, match=r"none of the .* is meant.*controls=adata\[is_control"):
        pp.evaluation.cross_validate(model, cohort, "mvd_response", pp.evaluation.SubjectKFold(3))


def test_controls_of_another_specimen_are_refused():
    cohort = pp.datasets.sample_tn()
    healthy = cohort.subjects.query("diagnosis == 'control'").index
    csf, plasma = (cohort.assays[name] for name in ("csf_pea", "plasma_pea"))
    controls = csf[(csf.obs["visit"] == "preop") & csf.obs["subject_id"].isin(healthy)]
    mine = plasma[plasma.obs["visit"] == "preop"]
    with pytest.raises(FormatError, match=r"controls of 'plasma'.*found 'CSF'"):
        pp.proteomics.PanelScores("trigeminal", controls=controls).fit(mine)
