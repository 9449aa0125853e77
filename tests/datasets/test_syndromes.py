"""Sciatica, diabetic neuropathy and CRPS: known truth, consistency, and no leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

import precisionpain as pp
from precisionpain.errors import FormatError, LeakageError
from precisionpain.evaluation import SubjectKFold, site_predictability
from precisionpain.fusion import FeatureBlock, Harmonized, TableFeatures, early_fusion
from precisionpain.trigeminal import NerveMeasures

MAKERS = {
    "sciatica": pp.datasets.sample_sciatica,
    "neuropathy": pp.datasets.sample_neuropathy,
    "crps": pp.datasets.sample_crps,
}
# Outcome, its true probability, its rate, and the AUC that the docstring promises.
TRUTHS = [
    ("sciatica", "response", "true_response_probability", 0.65, 0.79),
    ("neuropathy", "neuropathy", "true_neuropathy_probability", 0.45, 0.78),
    ("neuropathy", "painful", "true_pain_probability", 0.40, 0.74),
    ("crps", "response", "true_response_probability", 0.40, 0.80),
]
WEIGHTS = {
    "response": "response_log_odds_at_effect_1",
    "neuropathy": "neuropathy_log_odds_at_effect_1",
    "painful": "pain_log_odds_at_effect_1",
}


@pytest.fixture(scope="module")
def large() -> dict[str, pp.Cohort]:
    return {name: make(3000, random_state=1) for name, make in MAKERS.items()}


def known(cohort: pp.Cohort, outcome: str) -> pd.Series:
    return cohort.outcome(outcome).dropna()


# --- the cohorts as such -------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_says_that_it_is_synthetic_and_how_it_was_made(name):
    cohort = MAKERS[name](60, random_state=3)
    assert cohort.synthetic
    assert "synthetic" in cohort.name
    assert cohort.meta["generator"]["parameters"]["random_state"] == 3
    assert any("made up" in source for source in cohort.meta["sources"])
    again = MAKERS[name](60, random_state=3)
    pd.testing.assert_frame_equal(cohort.subjects, again.subjects)
    np.testing.assert_array_equal(cohort.assays["plasma_pea"].X, again.assays["plasma_pea"].X)
    for table in cohort.measurements:
        pd.testing.assert_frame_equal(cohort.measurements[table], again.measurements[table])
    assert not cohort.subjects.equals(MAKERS[name](60, random_state=4).subjects)


@pytest.mark.parametrize("name", MAKERS)
def test_blocks_have_streams_of_their_own(name):
    plain = MAKERS[name](60)
    moved = MAKERS[name](60, batch_effect=3.0, missing=0.5)
    pd.testing.assert_frame_equal(plain.subjects, moved.subjects)
    stronger = MAKERS[name](60, effect=2.0)
    for table in plain.measurements:
        pd.testing.assert_frame_equal(plain.measurements[table], stronger.measurements[table])


@pytest.mark.parametrize("name", MAKERS)
def test_survives_storage(name, tmp_path):
    cohort = MAKERS[name](40)
    cohort.save(tmp_path / "stored")
    again = pp.read_cohort(tmp_path / "stored")
    pd.testing.assert_frame_equal(again.subjects, cohort.subjects, check_dtype=False)
    assert again.outcomes == cohort.outcomes
    assert again.synthetic


@pytest.mark.parametrize("name", MAKERS)
def test_smallest_and_refused(name):
    make = MAKERS[name]
    assert len(make(8, n_sites=1)) == 8
    for options, words in (
        ({"n_subjects": 7}, "at least 8"),
        ({"random_state": -1}, "non-negative"),
        ({"missing": 1}, r"missing lies between 0 and 0\.9"),
        ({"effect": -1}, "effect lies between"),
        ({"n_sites": 0}, "n_sites lies between"),
        ({"batch_effect": 11}, "batch_effect lies between"),
    ):
        with pytest.raises(FormatError, match=words):
            make(**{"n_subjects": 20, **options})


@pytest.mark.parametrize("name", MAKERS)
def test_shares_of_what_is_missing(name, large):
    cohort = large[name]
    for block in (*cohort.measurements, *cohort.assays):
        lack = 1 - cohort.has(block)
        assert lack.mean() == pytest.approx(0.2, abs=0.03)
        by_site = lack.groupby(cohort.subjects["site"]).mean()
        assert by_site["C"] > by_site["A"] + 0.05
    complete = MAKERS[name](40, missing=0.0)
    assert complete.has("plasma_pea").all()


# --- the truth -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "outcome", "truth", "rate", "auc"), TRUTHS)
def test_the_true_probability_is_one(name, outcome, truth, rate, auc, large):
    """Calibrated, of the promised rate and AUC."""
    cohort = large[name]
    y = known(cohort, outcome)
    p = cohort.truth.loc[y.index, truth]
    assert p.notna().all()
    assert y.mean() == pytest.approx(rate, abs=0.05)
    found = pp.stats.delong(y, p)
    assert found.ci_low - 0.005 <= auc <= found.ci_high + 0.005
    fit = LogisticRegression(C=1e6).fit(special.logit(p.to_numpy())[:, None], y)
    assert fit.coef_[0, 0] == pytest.approx(1, abs=0.15)
    assert fit.intercept_[0] == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(("name", "outcome", "truth"), [row[:3] for row in TRUTHS])
def test_the_weights_are_those_of_the_causes(name, outcome, truth, large):
    cohort = large[name]
    p = cohort.truth[truth].dropna()
    causes = [c for c in cohort.truth if c.startswith("latent_")]
    weights = cohort.meta[WEIGHTS[outcome]]
    x = cohort.truth.loc[p.index, causes]
    x = np.column_stack([np.ones(len(x)), x])
    slope = np.linalg.lstsq(x, special.logit(p), rcond=None)[0][1:]
    for cause, found in zip(causes, slope, strict=True):
        expected = weights.get(cause.removeprefix("latent_"), 0.0)
        assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("name", "outcome", "truth", "rate", "auc"), TRUTHS)
def test_without_effect_nothing_predicts_and_the_rate_stays(name, outcome, truth, rate, auc):
    cohort = MAKERS[name](2000, random_state=2, effect=0.0)
    p = cohort.truth[truth].dropna()
    assert p.nunique() == 1
    assert p.iloc[0] == pytest.approx(rate)
    assert known(cohort, outcome).mean() == pytest.approx(rate, abs=0.06)
    strong = MAKERS[name](2000, random_state=2, effect=2.0).truth[truth].dropna()
    assert strong.mean() == pytest.approx(rate, abs=0.05)
    assert strong.std() > 0.2


@pytest.mark.parametrize("name", MAKERS)
def test_truth_and_outcomes_never_predict(name):
    cohort = MAKERS[name](60)
    barred = [c for c, column in cohort.columns.items() if column.role in ("truth", "outcome")]
    assert not set(barred) & set(cohort.predictors)
    assert "site" not in cohort.predictors
    for column in barred:
        with pytest.raises(LeakageError):
            cohort.predictor_frame([column])


# --- consistency ---------------------------------------------------------------------------


def test_sciatica_says_the_same_thing_everywhere(large):
    s = large["sciatica"].subjects
    after = s["leg_pain_12mo"].dropna()
    expected = 100 * (1 - after / s.loc[after.index, "leg_pain_nrs"])
    np.testing.assert_allclose(s["pain_reduction_percent"].dropna(), expected, atol=0.051)
    treated = s["index_treatment"] != "none"
    assert large["sciatica"].outcome("response")[~treated].isna().all()
    canal = large["sciatica"].measurements["canal"].set_index("subject_id")
    at = s.loc[canal.index, "affected_level"].map({"L4": "l3_l4", "L5": "l4_l5", "S1": "l5_s1"})
    own = [canal.loc[i, f"canal_area_{name}_mm2"] for i, name in at.items()]
    np.testing.assert_array_equal(canal["canal_area_painful_mm2"], own)


def test_neuropathy_says_the_same_thing_everywhere(large):
    s = large["neuropathy"].subjects
    by = s.groupby("status")[["mtcns", "nds", "pain_nrs"]].mean()
    assert by.loc["none", "mtcns"] + 8 < by.loc["painless", "mtcns"]
    assert (s.loc[s["status"] == "painful", "pain_nrs"] >= 3).all()
    assert (s.loc[s["status"] != "painful", "pain_nrs"] <= 1).all()
    table = large["neuropathy"].measurements["conduction"]
    assert (table["sural_velocity_m_s"].isna() == (table["sural_snap_uv"] == 0)).all()


def test_crps_meets_its_criteria_and_controls_have_none(large):
    s = large["crps"].subjects
    sick = s["diagnosis"] == "CRPS"
    assert (s.loc[sick, "budapest_symptoms"] >= 3).all()
    assert (s.loc[sick, "budapest_signs"] >= 2).all()
    for column in ("affected_side", "css", "pain_nrs", "index_treatment", "latent_autoimmune"):
        assert s.loc[~sick, column].isna().all()
    assert large["crps"].outcome("response")[~sick].isna().all()


FOLLOWS = [
    ("sciatica", "root_measures", "affected:root_area_mm2", "latent_compression", -1),
    ("sciatica", "root_texture", "affected:t2_signal", "latent_inflammation", 1),
    ("sciatica", "canal", "canal_area_painful_mm2", "latent_compression", -1),
    ("neuropathy", "neurography", "sciatic_fa", "latent_axonal", -1),
    ("neuropathy", "neurography", "tibial_proton_density", "latent_microvascular", -1),
    ("neuropathy", "conduction", "sural_snap_uv", "latent_axonal", -1),
    ("crps", "antibodies", "log2_adrb2_titre", "latent_autoimmune", 1),
]


@pytest.mark.parametrize(("name", "block", "column", "cause", "sign"), FOLLOWS)
def test_measures_follow_their_cause(name, block, column, cause, sign, large):
    cohort = large[name]
    values = FeatureBlock(Harmonized(block)).fit_transform(cohort)[column]
    assert sign * values.corr(cohort.truth[cause]) > 0.3


@pytest.mark.parametrize(
    ("name", "gene", "cause"),
    [("sciatica", "IL6", "latent_inflammation"), ("neuropathy", "NEFL", "latent_axonal"),
     ("crps", "TNF", "latent_inflammatory"), ("crps", "CXCL13", "latent_autoimmune")],
)  # fmt: skip
def test_proteins_follow_their_cause(name, gene, cause, large):
    cohort = large[name]
    adata = cohort.assays["plasma_pea"]
    real = (adata.obs["sample_type"] == "SAMPLE").to_numpy()
    column = (adata.var["gene"] == gene).to_numpy().argmax()
    npx = pd.Series(np.asarray(adata.X)[real, column], adata.obs["subject_id"][real])
    assert npx.corr(cohort.truth[cause].reindex(npx.index)) > 0.3


@pytest.mark.parametrize(
    ("name", "panel", "lacking"),
    [("sciatica", "sciatica", 0), ("neuropathy", "diabetic_neuropathy_proteins", 0),
     ("crps", "crps_cytokines", 0)],
)  # fmt: skip
def test_the_panels_are_found_in_the_assays(name, panel, lacking):
    found = pp.proteomics.panels[panel].find(MAKERS[name](20).assays["plasma_pea"])
    assert found["assay"].isna().sum() == lacking
    assert (found["matched_by"] == "uniprot").all()


# --- scanners ------------------------------------------------------------------------------


def test_scanners_leave_marks_that_harmonising_takes_away():
    cohort = pp.datasets.sample_neuropathy(240, random_state=3)
    found = site_predictability(
        {"before": TableFeatures("neurography"),
         "after": Harmonized("neurography", covariates=["age", "sex"])},
        cohort, n_permutations=99, n_bootstrap=50,
    ).table  # fmt: skip
    assert found.loc["before", "auc"] > 0.8
    assert found.loc["before", "p_value"] == 0.01
    assert found.loc["after", "auc"] < 0.6
    none = pp.datasets.sample_neuropathy(240, random_state=3, scanner_effect=0.0)
    plain = site_predictability(
        TableFeatures("neurography"), none, n_permutations=99, n_bootstrap=50
    )
    assert plain.table["auc"].iloc[0] < 0.62


# --- nothing of trigeminal neuralgia is wired in -------------------------------------------


def test_roots_are_joined_by_level_and_side():
    cohort = pp.datasets.sample_sciatica(60, missing=0.0)
    table = cohort.measurements["root_measures"]
    shuffled = cohort.with_measurements("root_measures", table.sample(frac=1, random_state=0))
    found = NerveMeasures("root_measures", level="affected_level").fit_transform(shuffled)
    block = FeatureBlock("root_measures").fit(cohort)
    assert block.columns_ == list(found)
    assert any(c.startswith("asymmetry:root_area") for c in found)
    rows = table.set_index(["subject_id", "level", "side"])["root_area_mm2"]
    other = {"left": "right", "right": "left"}
    for person, s in cohort.subjects.iterrows():
        a = rows[person, s["affected_level"], s["affected_side"]]
        u = rows[person, s["affected_level"], other[s["affected_side"]]]
        assert found.loc[person, "affected:root_area_mm2"] == a
        assert found.loc[person, "asymmetry:root_area_mm2"] == pytest.approx((u - a) / u)


def test_a_level_that_is_not_told_is_refused():
    cohort = pp.datasets.sample_sciatica(30)
    with pytest.raises(pp.errors.MissingModalityError, match="no column 'root'"):
        NerveMeasures("root_measures", level="root").fit(cohort)
    with pytest.raises(pp.errors.MissingModalityError, match="no column 'level'"):
        NerveMeasures("canal", level="affected_level").fit(cohort)
    with pytest.raises(FormatError, match="sizes are numbers among the measures"):
        NerveMeasures("root_measures", level="affected_level", sizes=["fa"]).fit(cohort)
    chosen = NerveMeasures("root_measures", level="affected_level", sizes=["root_area_mm2"])
    names = chosen.fit(cohort).get_feature_names_out()
    assert [n for n in names if n.startswith("asymmetry")] == ["asymmetry:root_area_mm2"]


def test_measures_of_the_library_keep_their_asymmetries():
    """A column that is above 0 by chance gets none where the library knows it by name."""
    cohort = pp.datasets.sample_tn(60)
    table = cohort.measurements["nerve_measures"].assign(displacement_mm=1.0)
    names = NerveMeasures().fit(cohort.with_measurements("nerve_measures", table)).sizes_
    assert "displacement_mm" not in names
    assert "volume_mm3" in names


@pytest.mark.parametrize(("name", "outcome"), [(row[0], row[1]) for row in TRUTHS])
def test_fusion_runs_from_names_alone(name, outcome):
    cohort = MAKERS[name](160, random_state=2).require(outcome)
    blocks = {block: block for block in pp.fusion.available_blocks(cohort)}
    visible = cohort.known_at_index()
    train, test = next(SubjectKFold(2).split(cohort, cohort.outcome(outcome)))
    model = early_fusion(blocks).fit(visible[train], cohort.outcome(outcome).iloc[train])
    assert (model.blocks_["left_out"] == "").all()
    assert np.isfinite(model.predict_proba(visible[test])).all()
