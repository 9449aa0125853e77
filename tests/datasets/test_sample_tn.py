"""The synthetic trigeminal cohort: published marginals, consistency, known truth, no leaks."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import precisionpain as pp
from precisionpain.errors import FormatError, LeakageError

PANEL = {"SFRP1": "Q8N474", "FKBP5": "Q13451", "TBCB": "Q99426", "NEFL": "P07196",
         "IL1B": "P01584", "CXCL13": "O43927"}  # fmt: skip
MEASURES = [
    "volume_mm3", "length_mm", "mean_area_mm2", "min_area_mm2", "min_area_position_mm",
    "flattening", "angle_deg", "gap_mm", "contact_area_mm2", "contact_length_mm",
    "contact_position_mm", "n_contacts", "vessel", "vessel_diameter_mm", "crossing_angle_deg",
    "displacement_mm", "indentation_mm", "area_loss_percent", "sindou_grade",
]  # fmt: skip
ACCESSION = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}")


@pytest.fixture(scope="module")
def small() -> pp.Cohort:
    return pp.datasets.sample_tn()


@pytest.fixture(scope="module")
def large() -> pp.Cohort:
    began = time.process_time()
    cohort = pp.datasets.sample_tn(5000, random_state=1)
    assert time.process_time() - began < 10
    return cohort


@pytest.fixture(scope="module")
def nerves(large: pp.Cohort) -> pd.DataFrame:
    """Preoperative measures and diffusion, with the group of each nerve."""
    table = large.measurements["nerve_measures"].query("visit == 'preop'")
    tensor = large.measurements["diffusion"].query("visit == 'preop'")
    table = table.merge(tensor, how="left", on=["subject_id", "visit", "side"])
    people = large.subjects[["diagnosis", "affected_side", "index_surgery"]]
    table = table.merge(people, left_on="subject_id", right_index=True)
    painful = (table["side"] == table["affected_side"]) | (table["affected_side"] == "bilateral")
    other = np.where(table["diagnosis"] == "TN", "unaffected", "control")
    return table.assign(group=np.where(painful, "affected", other))


def mvd(cohort: pp.Cohort) -> tuple[pd.DataFrame, np.ndarray]:
    outcome = cohort.outcome("mvd_response").dropna()
    return cohort.subjects.loc[outcome.index], outcome.to_numpy(dtype=int)


def plasma(cohort: pp.Cohort, name: str = "csf_pea", visit: str = "preop") -> pd.DataFrame:
    adata = cohort.assays[name]
    adata = adata[(adata.obs["visit"] == visit).to_numpy()]
    return pd.DataFrame(
        adata.X, index=adata.obs["subject_id"].to_numpy(dtype=object), columns=adata.var["gene"]
    )


def clinical(people: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "male": people["sex"] == "male",
            "continuous": people["pain_type"] != "paroxysmal",
            "duration": np.log(people["disease_duration_years"]),
            "previous": people["previous_surgery"].astype(float),
        }
    )
    more = people[["age", "pcs_total", "hads_anxiety", "hads_depression", "sindou_grade"]]
    return frame.join(more.fillna(more.mean())).astype(float)


def cv_auc(frame: pd.DataFrame, y: np.ndarray, strength: float = 0.1) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return roc_auc_score(
        y, cross_val_predict(model, frame, y, cv=folds, method="decision_function")
    )


# --- the cohort as such -----------------------------------------------------------------


def test_says_that_it_is_synthetic_and_how_it_was_made(small):
    assert small.synthetic
    assert "synthetic" in small.name
    assert small.meta["generator"]["parameters"]["random_state"] == 0
    assert small.meta["generator"]["version"] == pp.__version__
    assert any("Brain 2015" in source for source in small.meta["sources"])
    json.dumps(small.meta)


def test_can_be_saved_and_read(small, tmp_path):
    small.save(tmp_path / "cohort")
    again = pp.read_cohort(tmp_path / "cohort")
    pd.testing.assert_frame_equal(again.subjects, small.subjects, check_dtype=False)
    for name in small.assays:
        np.testing.assert_array_equal(again.assays[name].X, small.assays[name].X)
    assert again.synthetic


def test_same_seed_same_cohort_other_seed_other_cohort():
    first, again, other = (pp.datasets.sample_tn(60, random_state=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(first.subjects, again.subjects)
    pd.testing.assert_frame_equal(first.visits, again.visits)
    for name in first.measurements:
        pd.testing.assert_frame_equal(first.measurements[name], again.measurements[name])
    for name in first.assays:
        np.testing.assert_array_equal(first.assays[name].X, again.assays[name].X)
        pd.testing.assert_frame_equal(first.assays[name].obs, again.assays[name].obs)
        pd.testing.assert_frame_equal(first.assays[name].var, again.assays[name].var)
    assert not first.subjects["age"].equals(other.subjects["age"])


def test_arguments_change_only_what_they_are_about(small):
    complete = pp.datasets.sample_tn(missing=0.0)
    pd.testing.assert_frame_equal(small.subjects, complete.subjects)
    null = pp.datasets.sample_tn(effect=0.0)
    before = small.known_at_index().subjects
    pd.testing.assert_frame_equal(before, null.known_at_index().subjects)
    for name, table in small.known_at_index().measurements.items():
        pd.testing.assert_frame_equal(table, null.known_at_index().measurements[name])
    unbatched = pp.datasets.sample_tn(batch_effect=0.0)
    pd.testing.assert_frame_equal(small.subjects, unbatched.subjects)


@pytest.mark.parametrize("n_subjects", [8, 9, 25])
@pytest.mark.parametrize("options", [{}, {"control_fraction": 0.0, "n_sites": 1}, {"missing": 0.9}])
def test_small_cohorts_hold_together(n_subjects, options):
    cohort = pp.datasets.sample_tn(n_subjects, random_state=3, **options)
    assert len(cohort) == n_subjects
    expected = round(n_subjects * options.get("control_fraction", 0.25))
    assert (cohort.subjects["diagnosis"] == "control").sum() == expected


def test_refusals_say_what_to_do():
    with pytest.raises(FormatError, match=r"at least 8 people.*n_subjects=7"):
        pp.datasets.sample_tn(7)
    with pytest.raises(FormatError, match=r"missing lies between 0 and 0\.9, found 1"):
        pp.datasets.sample_tn(missing=1.0)
    with pytest.raises(FormatError, match="random_state is a non-negative integer, found -1"):
        pp.datasets.sample_tn(random_state=-1)


def test_every_column_has_its_entry_and_nothing_after_surgery_predicts(small):
    columns = small.columns
    assert list(columns) == list(small.subjects.columns)
    assert all(record.description and record.kind for record in columns.values())
    after = {
        "complications", "bni_12mo", "pain_reduction_percent", "recurrence_days",
        "recurrence_event", "reoperation_before_recurrence", "pain_second_followup",
    }  # fmt: skip
    truth = {
        "latent_subtype", "latent_compression", "true_response_probability",
        "true_recurrence_risk",
    }  # fmt: skip
    assert {name for name, c in columns.items() if c.role == "outcome"} == after
    assert {name for name, c in columns.items() if c.role == "truth"} == truth
    phase = small.schedule.reset_index().set_index("visit")["phase"]
    assert (phase[[columns[name].visit for name in after]] == "after").all()
    assert not (after | truth) & set(small.predictors)
    assert set(small.predictors) == set(columns) - after - truth - {"site"}
    assert columns["site"].role == "note"
    with pytest.raises(LeakageError):
        small.predictor_frame(["true_response_probability"])
    seen = small.known_at_index()
    assert set(seen.measurements["nerve_measures"]["visit"]) == {"preop"}
    assert set(seen.assays["plasma_pea"].obs["visit"].dropna()) == {"preop"}


def test_values_lie_within_the_documented_range_and_levels(large):
    for name, record in large.columns.items():
        values = large.subjects[name].dropna()
        if record.minimum is not None:
            assert values.min() >= record.minimum, name
        if record.maximum is not None:
            assert values.max() <= record.maximum, name
        if record.levels is not None:
            assert set(values) <= set(record.levels.values()), name


def test_visits_of_data_are_visits_of_people(large):
    visits = large.visits
    known = set(zip(visits["subject_id"], visits["visit"], strict=True))
    tables = [*large.measurements.values(), *(a.obs for a in large.assays.values())]
    for table in tables:
        pairs = table[["subject_id", "visit"]].dropna()
        assert set(zip(pairs["subject_id"], pairs["visit"], strict=True)) <= known
    for table in large.measurements.values():
        assert not table.duplicated(["subject_id", "visit", "side"]).any()
    days = visits.groupby("visit")["day"].agg(["min", "max"])
    assert days.loc["preop"].between(-60, -1).all()
    assert days.loc["discharge"].between(3, 10).all()
    assert days.loc["followup"].between(270, 460).all()
    operated = large.subjects["index_surgery"].isin(["MVD", "percutaneous"])
    later = visits.loc[visits["visit"] != "preop", "subject_id"].unique()
    assert operated[later].all()


# --- the clinic -------------------------------------------------------------------------


def test_clinic_matches_the_public_cohort(large):
    sick = large.subjects.query("diagnosis == 'TN'")
    for name, mean, sd in (("age", 59.1, 12.2), ("bmi", 28.6, 5.0), ("pain_severity", 5.4, 2.1),
                           ("disease_duration_years", 7.5, 5.4), ("hads_anxiety", 6.8, 3.7),
                           ("hads_depression", 5.5, 3.6), ("pcs_total", 27.0, 11.1)):  # fmt: skip
        values = sick[name].dropna()
        assert abs(values.mean() - mean) < 4 * sd / np.sqrt(len(values)) + 0.02, name
        assert abs(values.std() / sd - 1) < 0.06, name
    side = sick["affected_side"].value_counts(normalize=True)
    assert side["right"] == pytest.approx(0.59, abs=0.035)
    assert side["left"] == pytest.approx(0.39, abs=0.035)
    assert 0 < side["bilateral"] < 0.05
    assert (sick["sex"] == "female").mean() == pytest.approx(0.6, abs=0.035)
    surgery = sick["index_surgery"].value_counts(normalize=True)
    assert surgery["MVD"] == pytest.approx(0.67, abs=0.035)
    well = large.subjects.query("diagnosis == 'control'")
    assert well[["affected_side", "bni_12mo", "index_surgery", "latent_subtype"]].isna().all(None)
    asked = large.subjects["pcs_total"].notna().groupby(large.subjects["site"]).mean()
    assert asked.is_monotonic_decreasing


def test_outcomes_after_surgery_agree_with_each_other(large):
    people = large.subjects
    operated = people["index_surgery"].isin(["MVD", "percutaneous"])
    assert people.loc[~operated, ["bni_12mo", "recurrence_days", "complications"]].isna().all(None)
    assert people.loc[operated, ["recurrence_days", "recurrence_event"]].notna().all(None)
    bni, reduction = people["bni_12mo"], people["pain_reduction_percent"]
    assert (bni.isna() == reduction.isna()).all()
    assert (reduction[bni == 1] == 100).all()
    assert reduction.groupby(bni).mean()[[2, 4, 5, 6]].is_monotonic_decreasing
    seen = people[bni.notna()]
    failed = seen["bni_12mo"] >= 5
    # Who has failed by 12 months failed before it; nobody else did, and all were followed so far.
    assert seen.loc[failed, "recurrence_event"].astype(bool).all()
    assert (seen.loc[failed, "recurrence_days"] < 275).all()
    assert (seen.loc[~failed, "recurrence_days"] > 455).all()
    assert not (people["recurrence_event"] & people["reoperation_before_recurrence"]).any()
    assert people["reoperation_before_recurrence"].sum() > 20
    rates = {name: large.outcome(name).mean() for name in ("bni_1", "bni_1_2", "bni_1_3b")}
    assert rates["bni_1"] < rates["bni_1_2"] < rates["bni_1_3b"]
    assert large.outcome("pain_reduction_100").mean() < large.outcome("pain_reduction_50").mean()


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.0])
def test_rate_of_response_stays_as_published(effect):
    cohort = pp.datasets.sample_tn(4000, random_state=11, effect=effect)
    people, y = mvd(cohort)
    assert y.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.19 / len(y)) + 0.01)
    if effect == 0:
        assert people["true_response_probability"].nunique() == 1
        assert cohort.subjects["true_recurrence_risk"].dropna().round(12).nunique() == 1


def test_sindou_reader_agrees_with_the_measures_about_as_readers_do(large, nerves):
    painful = nerves.query("group == 'affected'").drop_duplicates("subject_id")
    read = large.subjects["sindou_grade"].reindex(painful["subject_id"]).to_numpy()
    known = ~np.isnan(read)
    kappa = cohen_kappa_score(
        read[known].astype(int), painful["sindou_grade"][known], weights="linear"
    )
    assert 0.65 < kappa < 0.86
    assert (read[known] != painful["sindou_grade"][known]).any()


# --- the nerves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "group", "mean", "sd"),
    [
        ("volume_mm3", "affected", 65.8, 21.1),
        ("volume_mm3", "unaffected", 77.9, 19.3),
        ("volume_mm3", "control", 74.7, 16.5),
        ("min_area_mm2", "affected", 4.50, 2.19),
        ("angle_deg", "affected", 40.2, None),
        ("angle_deg", "unaffected", 48.9, None),
        ("angle_deg", "control", 52.0, None),
        ("length_mm", "control", 9.66, 1.71),
        ("fa", "affected", 0.37, 0.08),
        ("fa", "unaffected", 0.48, 0.08),
        ("fa", "control", 0.52, 0.04),
    ],
)
def test_measures_have_the_published_marginals(nerves, column, group, mean, sd):
    chosen = nerves.loc[nerves["group"] == group]
    values = chosen[column].dropna()
    n = chosen.loc[values.index, "subject_id"].nunique()  # both nerves of a control count once
    assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(n)
    if sd is not None:
        error = sd * np.sqrt((stats.kurtosis(values, fisher=False) - 1) / (4 * n))
        assert abs(values.std() - sd) < 4 * error


def test_contact_is_as_common_and_as_severe_as_published(nerves):
    first = nerves.drop_duplicates(["subject_id", "group"])
    for group, contact, severe in (("affected", 0.89, 0.53), ("unaffected", 0.78, 0.13),
                                   ("control", 0.78, 0.13)):  # fmt: skip
        grade = first.loc[first["group"] == group, "sindou_grade"]
        margin = 4 * np.sqrt(0.25 / len(grade))
        assert (grade >= 1).mean() == pytest.approx(contact, abs=margin)
        assert (grade >= 2).mean() == pytest.approx(severe, abs=margin)
    severe = nerves.query("sindou_grade >= 2")
    assert (severe["vessel"] == "artery").mean() == pytest.approx(0.98, abs=0.012)
    both = nerves.query("diagnosis == 'TN' and affected_side != 'bilateral'")
    volume = both.pivot_table(index="subject_id", columns="group", values="volume_mm3")
    assert (volume["affected"] < volume["unaffected"]).mean() == pytest.approx(0.65, abs=0.06)


def test_measures_of_a_nerve_do_not_contradict_each_other(large):
    table = large.measurements["nerve_measures"]
    assert list(table.columns) == ["subject_id", "visit", "side", *MEASURES]
    touched = table["gap_mm"] <= 0.5
    assert 0.5 < touched.mean() < 0.9
    alone, met = table[~touched], table[touched]
    assert (alone[["contact_area_mm2", "contact_length_mm", "n_contacts"]] == 0).all(None)
    absent = ["contact_position_mm", "vessel", "vessel_diameter_mm", "crossing_angle_deg"]
    assert alone[absent].isna().all(None)
    assert met[absent].notna().all(None)
    assert (met[["contact_area_mm2", "contact_length_mm", "n_contacts"]] > 0).all(None)
    assert (met["contact_length_mm"] < met["length_mm"]).all()
    for name in ("contact_position_mm", "min_area_position_mm"):
        known = table[table[name].notna()]
        assert known[name].between(0, known["length_mm"]).all()
    assert (table["min_area_mm2"] <= table["mean_area_mm2"]).all()
    np.testing.assert_allclose(
        table["volume_mm3"], table["mean_area_mm2"] * table["length_mm"], rtol=1e-9
    )
    grade = table["sindou_grade"]
    assert ((grade == 0) == ~touched).all()
    assert (table.loc[grade == 3, "indentation_mm"] >= 0.2).all()
    assert (table.loc[grade < 3, "indentation_mm"] < 0.2).all()
    assert (table.loc[grade == 2, "displacement_mm"] >= 0.3).all()
    assert (table.loc[grade < 2, "displacement_mm"] < 0.3).all()
    assert table["area_loss_percent"].between(0, 60).all()
    assert table["angle_deg"].between(0, 90).all()
    sides = table.groupby(["subject_id", "visit"])["side"].agg(set)
    assert (sides == {"left", "right"}).all()


def test_diffusion_is_that_of_a_tensor(large):
    table = large.measurements["diffusion"]
    np.testing.assert_allclose(table["md"], (table["ad"] + 2 * table["rd"]) / 3)
    eigenvalues = table[["ad", "rd", "rd"]].to_numpy()
    spread = eigenvalues - eigenvalues.mean(axis=1, keepdims=True)
    fa = np.sqrt(1.5 * (spread**2).sum(axis=1) / (eigenvalues**2).sum(axis=1))
    np.testing.assert_allclose(table["fa"], fa)
    assert (table["rd"] > 0).all()


def test_decompression_takes_the_vessel_off_and_the_nerve_regrows(large, nerves):
    key = ["subject_id", "side"]
    later = large.measurements["nerve_measures"].query("visit == 'followup'").set_index(key)
    before = nerves.set_index(key).loc[later.index]
    response = large.outcome("mvd_response").reindex(later.index.get_level_values(0)).to_numpy()
    freed = ((before["group"] == "affected") & (before["sindou_grade"] > 0)).to_numpy()
    growth = (later["min_area_mm2"] / before["min_area_mm2"]).to_numpy()
    assert (later["gap_mm"].to_numpy() > 0.5)[freed & (response == 1)].mean() > 0.9
    assert np.median(growth[freed & (response == 1)]) > 1.2
    assert np.median(growth[freed & (response == 0)]) == pytest.approx(1.05, abs=0.03)
    untouched = (before["index_surgery"] == "percutaneous").to_numpy() & freed
    assert (later["gap_mm"].to_numpy() <= 0.5)[untouched].all()


# --- the proteins -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csf_pea", "plasma_pea", "csf_lfq"])
def test_assays_keep_people_and_controls_apart(large, name):
    adata = large.assays[name]
    real = (adata.obs["sample_type"] == "SAMPLE").to_numpy()
    assert adata.obs.loc[real, ["subject_id", "visit", "plate"]].notna().all(None)
    assert adata.obs.loc[~real, "subject_id"].isna().all()
    assert adata.obs.loc[~real, "sample_type"].str.contains("CONTROL").all()
    assert set(adata.obs["specimen"]) == {"plasma" if name == "plasma_pea" else "CSF"}
    assert adata.obs["plate"].nunique() >= 2
    kinds = adata.obs.groupby("plate")["sample_type"].agg(set)
    assert (kinds.map(len) >= 2).all()
    plates = adata.obs[real].groupby("subject_id")["plate"].nunique()
    assert (plates == 1).all()
    assert adata.n_vars == (150 if name == "csf_lfq" else 92)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_missing_modalities_follow_the_argument_and_the_site(missing):
    cohort = pp.datasets.sample_tn(3000, random_state=2, missing=missing)
    lacks = ~cohort.availability
    margin = 4 * np.sqrt(0.25 / 3000)
    for name in ("csf_pea", "plasma_pea", "csf_lfq", "diffusion"):
        assert lacks[name].mean() == pytest.approx(missing, abs=margin)
        by_site = lacks[name].groupby(cohort.subjects["site"]).mean()
        if missing:
            assert by_site["C"] > by_site["A"] + 0.1
    assert lacks["nerve_measures"].mean() == pytest.approx(missing / 3, abs=margin)


def test_named_proteins_have_their_accession_and_made_up_ones_none(large):
    for name in ("csf_pea", "plasma_pea", "csf_lfq"):
        var = large.assays[name].var
        accession = dict(zip(var["gene"], var["uniprot"], strict=True))
        for gene, uniprot in accession.items():
            parts = uniprot.split(";")
            if gene.startswith("SYN"):
                assert uniprot == gene
            else:
                assert all(ACCESSION.fullmatch(part) for part in parts), gene
                assert len(parts) == len(gene.split(";"))
        if name != "csf_lfq":
            assert {gene: accession[gene] for gene in PANEL} == PANEL
            assert var.index.str.fullmatch(r"OIDS\d{5}").all()
            assert (var["lod"] > 0).all()


def test_named_accessions_are_those_of_real_exports(large, shared_data):
    npx = pd.read_csv(shared_data / "olink" / "gisby2021_serum" / "serum_npx_level.csv")
    pairs = npx[["GeneID", "UniProt"]].drop_duplicates()
    real = dict(zip(pairs["GeneID"], pairs["UniProt"], strict=True))
    checked = 0
    for adata in large.assays.values():
        for gene, uniprot in zip(adata.var["gene"], adata.var["uniprot"], strict=True):
            if gene in real:
                assert real[gene] == uniprot
                checked += 1
    assert checked > 40


def test_faint_values_sit_at_the_limit_or_go_missing(large):
    adata = large.assays["csf_pea"]
    kind = adata.obs["sample_type"].to_numpy()
    below = adata.var["lod"].to_numpy() > adata.X
    assert below[kind == "NEGATIVE_CONTROL"].mean() > 0.99
    assert 0.02 < below[kind == "SAMPLE"].mean() < 0.15
    assert (below[kind == "SAMPLE"].mean(axis=0) > 0.5).sum() >= 3
    assert np.isfinite(adata.X).all()
    lfq = large.assays["csf_lfq"]
    gone = np.isnan(lfq.X).mean(axis=0)
    level = np.nanmedian(lfq.X, axis=0)
    assert stats.spearmanr(gone, level).statistic < -0.5
    assert 0.05 < gone.mean() < 0.3
    assert gone[level > 25].mean() == pytest.approx(0.02, abs=0.005)


def test_batch_effect_is_of_plates_and_sites():
    def spread(batch_effect: float) -> tuple[float, float]:
        cohort = pp.datasets.sample_tn(1500, random_state=4, batch_effect=batch_effect)
        adata = cohort.assays["plasma_pea"]
        frame = pd.DataFrame(adata.X, index=adata.obs_names)
        pooled = adata.obs["sample_type"] == "CONTROL"
        plates = frame[pooled].groupby(adata.obs["plate"]).mean().std().median()
        mine = adata.obs["sample_type"] == "SAMPLE"
        site = cohort.subjects["site"].reindex(adata.obs.loc[mine, "subject_id"]).to_numpy()
        return plates, frame[mine].groupby(site).mean().std().median()

    plates, sites = spread(1.0)
    no_plates, no_sites = spread(0.0)
    assert no_plates < 0.15  # two control samples a plate, noise 0.15
    assert no_sites < 0.05
    assert plates > 2 * no_plates
    assert sites > 3 * no_sites


# --- the truth behind it ----------------------------------------------------------------


def test_causes_leave_their_marks(large, nerves):
    subtype = large.subjects["latent_subtype"]
    npx = plasma(large)
    kind = subtype.reindex(npx.index).to_numpy()
    for gene, cause in (("NEFL", "axonal"), ("TBCB", "axonal"), ("IL1B", "inflammatory"),
                        ("CXCL13", "autoimmune_like"), ("FKBP5", "stress")):  # fmt: skip
        assert npx[gene].groupby(kind).mean().idxmax() == cause
    painful = nerves.query("group == 'affected'")
    kind = subtype.reindex(painful["subject_id"]).to_numpy()
    assert painful["fa"].groupby(kind).mean().idxmin() == "axonal"
    assert painful["sindou_grade"].groupby(kind).mean().idxmax() == "compression"
    worry = large.subjects.groupby("latent_subtype")["pcs_total"].mean()
    assert worry.idxmax() == "stress"
    compression = large.subjects["latent_compression"].dropna()
    assert stats.kstest(compression, "norm").pvalue > 1e-3


def test_relieved_patients_return_towards_the_controls(large):
    before, after = plasma(large), plasma(large, visit="followup")
    well = large.subjects["diagnosis"] == "control"
    response = large.outcome("mvd_response").reindex(after.index)
    for gene in ("SFRP1", "NEFL", "TBCB"):
        control = before.loc[well.reindex(before.index).to_numpy(), gene].mean()
        excess = before.loc[after.index, gene] - control
        left = after[gene] - control
        relieved, others = response.to_numpy() == 1, response.to_numpy() == 0
        assert left[relieved].mean() < 0.5 * excess[relieved].mean()
        if gene == "SFRP1":  # elsewhere the excess of the others is small beside its error
            assert 0.5 * excess[others].mean() < left[others].mean() < excess[others].mean()


def test_subtypes_can_be_switched_off_without_changing_the_spread(large):
    none = pp.datasets.sample_tn(5000, random_state=1, subtypes=False)
    assert none.subjects["latent_subtype"].isna().all()
    assert set(large.subjects["latent_subtype"].dropna()) == {
        "compression", "axonal", "inflammatory", "autoimmune_like", "stress"}  # fmt: skip
    for gene in PANEL:
        ratio = plasma(none)[gene].std() / plasma(large)[gene].std()
        assert ratio == pytest.approx(1, abs=0.08), gene
    # A minority with a shifted mean makes the marks of its cause skewed; without, they are not.
    sick = none.subjects["diagnosis"] == "TN"
    p_values = []
    for cohort in (large, none):
        marks = plasma(cohort)[["NEFL", "TBCB", "MAPT"]]
        p_values.append(stats.skewtest(marks[sick[marks.index].to_numpy()].mean(axis=1)).pvalue)
    assert p_values[0] < 1e-3 < p_values[1]


def test_true_probability_is_calibrated_and_bounds_the_models(large):
    people, y = mvd(large)
    p = people["true_response_probability"].to_numpy()
    assert 0.80 < roc_auc_score(y, p) < 0.86
    groups = pd.qcut(p, 10, labels=False)
    observed = pd.Series(y).groupby(groups).sum()
    expected = pd.Series(p).groupby(groups).sum()
    variance = pd.Series(p * (1 - p)).groupby(groups).sum()
    assert stats.chi2.sf(((observed - expected) ** 2 / variance).sum(), 10) > 1e-3


def test_true_recurrence_risk_is_that_of_the_survival_curve(large):
    from lifelines import KaplanMeierFitter

    table = large.outcome("recurrence").dropna()
    risk = large.subjects.loc[table.index, "true_recurrence_risk"]
    fitted = KaplanMeierFitter().fit(table["time"], table["event"])
    curve = 1 - fitted.predict(3 * 365.25)
    assert curve == pytest.approx(risk.mean(), abs=4 * np.sqrt(0.2 / len(table)))
    high = risk > risk.median()
    assert table.loc[high, "event"].mean() > 2 * table.loc[~high, "event"].mean()


def test_blocks_of_data_add_to_each_other(large, nerves):
    people, y = mvd(large)
    clinic = clinical(people)
    alone = cv_auc(clinic, y)
    assert 0.69 < alone < 0.77
    painful = nerves.query("group == 'affected'").drop_duplicates("subject_id")
    scan = painful.set_index("subject_id")[["sindou_grade", "min_area_mm2", "fa", "n_contacts"]]
    scan = scan.add_prefix("measured_").assign(
        vein=(painful["vessel"] == "vein").to_numpy(dtype=float)
    )
    everything = clinic.join(scan).join(plasma(large)[list(PANEL)], how="inner").dropna()
    keep = people.index.isin(everything.index)
    fused = cv_auc(everything.loc[people.index[keep]], y[keep])
    assert fused > cv_auc(clinic[keep], y[keep]) + 0.02
    assert fused < roc_auc_score(y, people["true_response_probability"]) + 0.01


def test_null_cohort_holds_nothing_to_find():
    found, errors = [], []
    for seed in range(6):
        cohort = pp.datasets.sample_tn(800, random_state=seed, effect=0.0)
        people, y = mvd(cohort)
        npx = plasma(cohort)[list(PANEL)].reindex(people.index)
        frame = clinical(people).join(npx.fillna(npx.mean()))
        found.append(cv_auc(frame, y))
        n1, n0 = y.sum(), len(y) - y.sum()
        errors.append(np.sqrt((n1 + n0 + 1) / (12 * n1 * n0)))
    assert np.all(np.abs(np.array(found) - 0.5) < 4 * np.array(errors))
    assert abs(np.mean(found) - 0.5) < 3.5 * np.mean(errors) / np.sqrt(len(found))


def test_assays_say_what_they_are():
    """As those of the readers do, so that checks for one kind refuse the other."""
    assays = pp.datasets.sample_tn(40, random_state=0).assays
    known = {name: adata.uns["precisionpain"] for name, adata in assays.items()}
    assert {name: about["kind"] for name, about in known.items()} == {
        "csf_pea": "npx", "plasma_pea": "npx", "csf_lfq": "lfq",
    }  # fmt: skip
    with pytest.raises(FormatError, match="use check_lfq"):
        pp.proteomics.check_npx(assays["csf_lfq"])
    with pytest.raises(FormatError, match="use check_npx"):
        pp.proteomics.check_lfq(assays["csf_pea"])
