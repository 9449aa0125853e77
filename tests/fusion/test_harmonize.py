"""Harmonised features: sva's values, what is kept, new and small sites, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import precisionpain as pp
from precisionpain.cohort import Cohort, Column
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.fusion import (
    EarlyFusion,
    FeatureBlock,
    Harmonized,
    LateFusion,
    TableFeatures,
    block_model,
)

GOLDEN = Path(__file__).parent / "golden" / "harmonize"
MEASURES = ["volume_mm3", "min_area_mm2", "fa", "md", "t2_ms", "texture"]


def golden(name: str) -> pd.DataFrame:
    return pd.read_csv(GOLDEN / f"{name}.csv", index_col=0, float_precision="round_trip")


def with_measures(people: pd.DataFrame, measures: pd.DataFrame) -> Cohort:
    table = measures.rename_axis("subject_id").reset_index()
    # In another order than the people: rows are known by key.
    return Cohort(people, measurements={"mri": table.sample(frac=1, random_state=3)})


def several_sites(
    sizes=(40, 30, 20), p: int = 6, seed: int = 0, older: float = 0.0
) -> tuple[Cohort, pd.DataFrame]:
    """People of sites A, B, C… and their measures without the effects of the sites."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    index = pd.Index([f"p{i:03d}" for i in range(n)], name="subject_id")
    age = rng.normal(55, 8, n) + older * codes
    people = pd.DataFrame({"site": np.array(list("ABCDEFG"))[codes], "age": age}, index)
    own = pd.DataFrame(rng.normal(0, 1, (n, p)), index, [f"m{j}" for j in range(p)])
    ageing = -0.1 * (age - 55)
    shift, scale = rng.normal(0, 2, (len(sizes), p)), rng.uniform(0.5, 2, (len(sizes), p))
    shift[0], scale[0] = 0, 1
    measures = (own * scale[codes] + shift[codes]).add(ageing, axis=0)
    return with_measures(people, measures), own.add(ageing, axis=0)


CASES = {
    "plain": {"covariates": ()},
    "covariates": {},
    "reference": {"reference": "B"},
    "nonparametric": {"parametric": False},
    "mean_only": {"mean_only": True},
    "gaps": {},
}


@pytest.mark.parametrize("case", CASES)
def test_as_the_reference_implementation(case):
    data = golden("people_gaps" if case == "gaps" else "people").sample(frac=1, random_state=1)
    cohort = with_measures(data[["site", "age", "sex"]], data[MEASURES])
    options = {"covariates": ["age", "sex"], **CASES[case]}
    found = Harmonized("mri", **options).fit_transform(cohort)
    expected = golden(case).loc[data.index]
    assert found.index.equals(cohort.index)
    for name in MEASURES:  # each in its own unit
        size = expected[name].abs().max()
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-11 * size)
    moved = (found - data[MEASURES]).abs() / data[MEASURES].std()
    assert moved.to_numpy()[data[MEASURES].notna()].max() > 0.3


def test_the_marks_of_the_sites_go_and_what_is_true_stays():
    cohort, true = several_sites(sizes=(150, 150, 150))
    raw = TableFeatures("mri").fit_transform(cohort)
    found = Harmonized("mri", covariates="age").fit_transform(cohort)
    site = cohort.subjects["site"]

    def apart(frame):
        return frame.groupby(site).mean().std().mean(), frame.groupby(site).std().std().mean()

    assert min(apart(raw)) > 0.25
    assert max(apart(found)) < 0.15
    # Of people of one age, as the pooled scale of a measure is not that of site A.
    age = np.vander(cohort.subjects["age"], 2)

    def own(column):
        return column - age @ np.linalg.lstsq(age, column, rcond=None)[0]

    for name in true:
        one, before = (np.corrcoef(own(t[name]), own(true[name]))[0, 1] for t in (found, raw))
        assert one > 0.99 > before


def test_covariates_keep_the_difference_that_is_theirs():
    """Site C's people are 20 years older, which is worth −2 SD of each measure."""
    cohort, true = several_sites(sizes=(150, 150, 150), older=10.0)
    site = cohort.subjects["site"]
    expected = true[site == "C"].mean() - true[site == "A"].mean()
    assert (expected < -1.5).all()
    kept, lost = (Harmonized("mri", covariates=c).fit_transform(cohort) for c in (["age"], ()))
    difference = kept[site == "C"].mean() - kept[site == "A"].mean()
    slope = np.array([np.polyfit(cohort.subjects["age"], kept[m], 1)[0] for m in kept])
    np.testing.assert_allclose(difference, -2, atol=0.6)
    np.testing.assert_allclose(slope, -0.1, atol=0.03)
    assert (lost[site == "C"].mean() - lost[site == "A"].mean()).abs().max() < 0.1


def test_new_people_get_what_training_learned():
    cohort, _ = several_sites()
    train, test = next(SubjectKFold(4, stratify_by="site").split(cohort))
    fitted = Harmonized("mri", covariates="age").fit(cohort[train])
    together, alone = fitted.transform(cohort[test]), fitted.transform(cohort[test[:1]])
    pd.testing.assert_frame_equal(together.iloc[:1], alone)
    c, who = fitted.combat_, cohort[test[:1]]
    x = TableFeatures("mri").fit_transform(who).to_numpy()[0]
    i = c.batches.index(who.subjects["site"].iloc[0])
    level = c.alpha + (who.subjects["age"].iloc[0] - c.centre[0]) * c.beta[0]
    expected = (x - level - c.gamma[i] * c.sigma) / np.sqrt(c.delta[i]) + level
    np.testing.assert_allclose(alone.to_numpy()[0], expected, rtol=1e-12)


def test_nothing_is_learned_from_the_test_fold_or_from_the_outcome():
    cohort, _ = several_sites()
    y = np.random.default_rng(0).permutation(np.arange(len(cohort)) % 2)
    train, test = next(SubjectKFold(4).split(cohort, y))
    table = cohort.measurements["mri"]
    strangers = table["subject_id"].isin(cohort.index[test])
    table.loc[strangers, "m0"] = 1e6
    spoilt = cohort.with_measurements("mri", table)
    one, two, three = (
        Harmonized("mri", covariates="age").fit(c[train], outcome)
        for c, outcome in ((cohort, y[train]), (spoilt, y[train]), (cohort, None))
    )
    expected = one.transform(cohort[train])
    for other in (two, three):
        pd.testing.assert_frame_equal(other.transform(cohort[train]), expected)


def test_gaps_stay_gaps_and_nobody_leaves():
    cohort, _ = several_sites()
    table = cohort.measurements["mri"].set_index("subject_id")
    rng = np.random.default_rng(4)
    table = table.mask(rng.random(table.shape) < 0.2)
    table = table.drop(index=["p003", "p044"])
    table.loc["p005"] = np.nan
    gappy = cohort.with_measurements("mri", table.reset_index())
    raw = TableFeatures("mri").fit_transform(gappy)
    found = Harmonized("mri", covariates="age").fit_transform(gappy)
    pd.testing.assert_frame_equal(found.isna(), raw.isna())
    assert found.loc[["p003", "p044", "p005"]].isna().all(axis=None)


def test_who_lacks_a_covariate_counts_as_average():
    cohort, _ = several_sites()
    people = cohort.subjects
    people.loc["p000", "age"] = np.nan
    people["group"] = np.where(np.arange(len(people)) % 3 == 0, "a", "b")
    without = Cohort(people, measurements=cohort.measurements)
    fitted = Harmonized("mri", covariates=["age", "group"]).fit(without)
    new = people.iloc[[0]].assign(age=people["age"].mean())
    asked = without[[0]], Cohort(new, measurements={"mri": cohort.measurements["mri"]
                                 .query("subject_id == 'p000'")})  # fmt: skip
    pd.testing.assert_frame_equal(*(fitted.transform(c) for c in asked), rtol=1e-10)
    stranger = Cohort(new.assign(group="never seen"), measurements=asked[1].measurements)
    assert np.isfinite(fitted.transform(stranger)).all(axis=None)


def test_flags_and_levels_pass():
    cohort, _ = several_sites()
    table = cohort.measurements["mri"]
    table["touched"] = (table["m0"] > 0).astype(float)
    flagged = cohort.with_measurements("mri", table)
    fitted = Harmonized("mri").fit(flagged)
    assert fitted.passed_ == ["touched"]
    expected = TableFeatures("mri").fit_transform(flagged)["touched"]
    pd.testing.assert_series_equal(fitted.transform(flagged)["touched"], expected)
    chosen = Harmonized("mri", columns=["m1", "m2"]).fit(flagged)
    raw, found = TableFeatures("mri").fit_transform(flagged), chosen.transform(flagged)
    assert list(found.columns[(found != raw).any()]) == ["m1", "m2"]
    with pytest.raises(MissingModalityError, match="no column 'm99'"):
        Harmonized("mri", columns=["m99"]).fit(flagged)


def test_one_column_stands_alone():
    cohort, _ = several_sites(p=1)
    found = Harmonized("mri").fit_transform(cohort)
    by = found.groupby(cohort.subjects["site"])
    np.testing.assert_allclose(by.mean() - by.mean().mean(), 0, atol=1e-12)
    np.testing.assert_allclose(by.var() / by.var().mean(), 1, rtol=1e-12)


# --- sites: new, small, single, missing ----------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    cohort, _ = several_sites(sizes=(60, 50, 40))
    rows = {s: np.flatnonzero(cohort.subjects["site"] == s) for s in "ABC"}
    known = cohort[np.concatenate([rows["A"], rows["B"]])]
    return cohort, known, cohort[rows["C"]]


def test_a_new_site_stays_as_it_is_with_a_warning(trained):
    _, known, new = trained
    fitted = Harmonized("mri").fit(known)
    raw = TableFeatures("mri").fit_transform(new)
    with pytest.warns(DataWarning, match=r"40 people are of site 'C', whose effect isn't known"):
        pd.testing.assert_frame_equal(fitted.transform(new), raw)
    people = known.subjects.iloc[:3]
    nowhere = Cohort(people.assign(site=None), measurements={"mri": known.measurements["mri"]
                     [lambda t: t["subject_id"].isin(people.index)]})  # fmt: skip
    with pytest.warns(DataWarning, match="3 people are of site none"):
        fitted.transform(nowhere)


def test_a_new_site_can_be_refused(trained):
    _, known, new = trained
    with pytest.raises(AlignmentError, match=r"40 people are of site 'C'.*unknown="):
        Harmonized("mri", unknown="error").fit(known).transform(new)


def test_a_new_site_can_be_estimated_from_its_own_people(trained):
    cohort, known, new = trained
    fitted = Harmonized("mri", unknown="estimate", eb=False).fit(known)
    found, c = fitted.transform(new), fitted.combat_
    np.testing.assert_allclose(found.mean(), c.alpha, atol=1e-12)
    np.testing.assert_allclose(found.var(), c.sigma2, rtol=1e-10)
    # The others are as without them, and the fit has not changed.
    alone = fitted.transform(known)
    pd.testing.assert_frame_equal(fitted.transform(cohort).loc[known.index], alone)
    assert fitted.combat_.batches == ("A", "B")
    with pytest.warns(DataWarning, match="4 people are of site 'C'"):
        fitted.transform(new[:4])


def test_small_sites_are_joined_refused_or_left():
    cohort, _ = several_sites(sizes=(40, 30, 4, 3))
    with pytest.warns(DataWarning, match=r"taken as one: 'C \(4\)', 'D \(3\)'"):
        fitted = Harmonized("mri").fit(cohort)
    assert fitted.sites_.to_dict() == {"A": "A", "B": "B", "C": "small sites", "D": "small sites"}
    with pytest.raises(FormatError, match=r"fewer than 5 people.*'C \(4\)', 'D \(3\)'"):
        Harmonized("mri", small="error").fit(cohort)
    few, _ = several_sites(sizes=(40, 30, 3))
    with pytest.warns(DataWarning, match=r"too small to harmonise: 'C \(3\)'"):
        fitted = Harmonized("mri").fit(few)
    raw = TableFeatures("mri").fit_transform(few)
    with pytest.warns(DataWarning, match="3 people are of site 'C'"):
        found = fitted.transform(few)
    at_c = few.subjects["site"] == "C"
    pd.testing.assert_frame_equal(found[at_c], raw[at_c])
    assert not np.allclose(found[~at_c], raw[~at_c])


def test_one_site_is_left_alone_with_a_warning():
    cohort, _ = several_sites(sizes=(30,))
    with pytest.warns(DataWarning, match="one site only, so nothing is harmonised"):
        fitted = Harmonized("mri", covariates="age").fit(cohort)
    assert fitted.combat_ is None
    assert fitted.sites_.empty
    pd.testing.assert_frame_equal(
        fitted.transform(cohort), TableFeatures("mri").fit_transform(cohort)
    )


def test_the_reference_stays_bit_for_bit(trained):
    cohort, known, _ = trained
    raw = TableFeatures("mri").fit_transform(cohort)
    found = Harmonized("mri", reference="B").fit_transform(cohort)
    at_b = cohort.subjects["site"] == "B"
    pd.testing.assert_frame_equal(found[at_b], raw[at_b])
    with pytest.raises(FormatError, match="the reference 'C' is not among the sites 'A', 'B'"):
        Harmonized("mri", reference="C").fit(known)


def test_a_column_that_a_site_lacks_is_named():
    cohort, _ = several_sites()
    table = cohort.measurements["mri"]
    at_c = table["subject_id"].map(cohort.subjects["site"]) == "C"
    table.loc[at_c, "m3"] = np.nan
    with pytest.warns(DataWarning, match="nobody of some site has 'm3'"):
        Harmonized("mri").fit(cohort.with_measurements("mri", table))


# --- refused -------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused():
    cohort, _ = several_sites()
    for options, error, words in (
        ({"unknown": "guess"}, FormatError, "unknown is one of"),
        ({"small": "drop"}, FormatError, "small is one of"),
        ({"min_people": 1}, FormatError, "min_people"),
        ({"batch": "scanner"}, MissingModalityError, "no column 'scanner'"),
        ({"covariates": "site"}, FormatError, "can't be a covariate"),
    ):
        with pytest.raises(error, match=words):
            Harmonized("mri", **options).fit(cohort)
    with pytest.raises(FormatError, match="Cohort of subjects"):
        Harmonized("mri").fit(cohort.subjects)
    with pytest.raises(MissingModalityError, match="nothing called 'scan'"):
        Harmonized("scan").fit(cohort)
    people = cohort.subjects
    people.iloc[0, 0] = None
    with pytest.raises(FormatError, match="1 training people have no site"):
        Harmonized("mri").fit(Cohort(people, measurements=cohort.measurements))


def test_covariates_that_follow_from_the_site_are_refused():
    cohort, _ = several_sites()
    people = cohort.subjects.assign(field=lambda t: np.where(t["site"] == "A", "1.5 T", "3 T"))
    both = Cohort(people, measurements=cohort.measurements)
    with pytest.raises(FormatError, match="'site' and covariates 'field' are confounded"):
        Harmonized("mri", covariates=["age", "field"]).fit(both)


def test_the_outcome_is_no_covariate():
    cohort, _ = several_sites()
    people = cohort.subjects.assign(pain_12mo=np.arange(len(cohort)) % 2)
    columns = {"pain_12mo": Column(role="outcome", kind="number")}
    known = Cohort(people, measurements=cohort.measurements, columns=columns)
    with pytest.raises(LeakageError, match="pain_12mo"):
        Harmonized("mri", covariates="pain_12mo").fit(known)
    hidden = Cohort(people.rename(columns={"pain_12mo": "score"}), measurements=cohort.measurements)
    y = people["pain_12mo"].to_numpy()
    with pytest.raises(LeakageError, match="'score' gives the outcome away"):
        Harmonized("mri", covariates="score").fit(hidden, y)
    with pytest.raises(FormatError, match="'site' and the outcome are confounded"):
        Harmonized("mri").fit(cohort, (people["site"] == "A").to_numpy(dtype=int))


def test_keeping_the_outcome_would_have_made_signal_of_noise():
    """What the docstring warns of, measured on features that are noise.

    With the outcome as covariate of training people and unequal sites the values carry it.
    """
    rng = np.random.default_rng(0)
    n = 120
    site = np.repeat(["A", "B"], n // 2)
    y = np.where(site == "A", rng.random(n) < 0.9, rng.random(n) < 0.1).astype(float)
    x = rng.normal(size=(n, 300))
    spoilt = pp.stats.fit_combat(x, site, y[:, None]).adjust(x, site, y[:, None])
    honest = pp.stats.fit_combat(x, site).adjust(x, site)

    def apart(values):
        known = values[:, :150] @ (values[y == 1, :150].mean(0) - values[y == 0, :150].mean(0))
        return pp.stats.auc(y, known)

    # The direction is found on all people: the honest one overfits too, but by less.
    assert apart(spoilt) > apart(honest)


# --- inside of blocks and fusions ----------------------------------------------------------


def test_in_a_block_and_in_both_fusions():
    cohort = pp.datasets.sample_tn(n_subjects=240, random_state=2).require("mvd_response")
    y = cohort.outcome("mvd_response")
    nerves = Harmonized("nerve_measures", covariates=["age", "sex"])
    block = FeatureBlock(nerves).fit(cohort, y)
    plain = FeatureBlock("nerve_measures").fit(cohort, y)
    assert block.columns_ == plain.columns_
    np.testing.assert_array_equal(block.available(cohort), plain.available(cohort))
    for model in (
        EarlyFusion({"clinic": "clinical", "nerves": nerves}),
        LateFusion({"clinic": "clinical", "nerves": FeatureBlock(nerves)}, n_repeats=1),
    ):
        assert clone(model).get_params()["blocks"] is not None
        result = cross_validate(
            model, cohort, "mvd_response", cv=3, baseline=None, n_permutations=2, n_bootstrap=20
        )
        assert np.isfinite(result.predictions["p"]).all()
        with pytest.raises(MissingModalityError, match="nothing called 'scan'"):
            clone(model).set_params(blocks={"x": Harmonized("scan")}).fit(cohort, y)


def test_a_cohort_without_the_block_lacks_it():
    cohort, _ = several_sites()
    block = FeatureBlock(Harmonized("mri")).fit(cohort)
    bare = Cohort(cohort.subjects)
    with pytest.warns(DataWarning, match="the cohort has no 'mri'"):
        assert block.transform(bare).isna().all(axis=None)


def test_a_model_travels_better_within_the_fold():
    """A signal drowned by scanners comes back, for people left out of all that is learned."""
    cohort, true = several_sites(sizes=(80, 80, 80), seed=5)
    rng = np.random.default_rng(1)
    z = true - true.mean()
    y = (rng.random(len(z)) < 1 / (1 + np.exp(-2 * z["m0"] + 2 * z["m1"]))).astype(int)
    folds = SubjectKFold(5, stratify_by="site")
    options = {"cv": folds, "baseline": None, "n_permutations": 2, "n_bootstrap": 20}
    raw, found = (
        cross_validate(block_model(f), cohort, y, **options).auc.auc
        for f in ("mri", Harmonized("mri", covariates="age"))
    )
    assert found > raw + 0.05


def test_no_warning_where_nothing_is_odd():
    cohort, _ = several_sites()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Harmonized("mri", covariates="age").fit_transform(cohort)
