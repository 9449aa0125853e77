"""ComBat: the formulas against an independent implementation, and what it must refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, DataWarning, FormatError, LeakageError
from precisionpain.proteomics import ComBat
from precisionpain.proteomics._layout import make_adata

GOLDEN = Path(__file__).parent / "golden" / "combat"
PROTEINS = [f"p{i:02d}" for i in range(1, 26)]


def golden(name: str) -> pd.DataFrame:
    return pd.read_csv(GOLDEN / f"{name}.csv", index_col=0, float_precision="round_trip")


def table(n: int = 60, p: int = 12, seed: int = 0, sizes: tuple[int, ...] = (20, 20, 20)):
    """Proteins with known effects of batch, in location and scale."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    shift, scale = rng.normal(0, 1, (len(sizes), p)), rng.uniform(0.7, 1.4, (len(sizes), p))
    values = 6 + shift[codes] + scale[codes] * rng.normal(0, 0.5, (n, p))
    frame = pd.DataFrame(values, columns=[f"g{i}" for i in range(p)])
    frame.index = [f"s{i:03d}" for i in range(n)]
    frame["plate"] = np.array(["A", "B", "C", "D"])[codes]
    return frame


CASES = {
    "parametric": {},
    "nonparametric": {"parametric": False},
    "covariates": {"covariates": ["group", "age"]},
    "covariates_nonparametric": {"covariates": ["group", "age"], "parametric": False},
    "reference": {"reference": "B"},
    "covariates_reference": {"covariates": ["group", "age"], "reference": "B"},
    "mean_only": {"mean_only": True},
    "mean_only_nonparametric": {"mean_only": True, "parametric": False},
    "missing": {},
    "missing_covariates": {"covariates": ["group", "age"]},
    "missing_nonparametric": {"parametric": False},
}


@pytest.mark.parametrize("case", CASES)
def test_as_the_reference_implementation(case):
    options = CASES[case]
    data = golden("input_missing" if case.startswith("missing") else "input")
    used = ["batch", *options.get("covariates", ())]
    data = data[[*used, *PROTEINS]].sample(frac=1, random_state=1)  # rows are known by name
    found = ComBat("batch", **options).fit_transform(data)
    expected = golden(case).loc[data.index]
    assert list(found) == PROTEINS
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (found - data[PROTEINS]).abs().to_numpy()[~data[PROTEINS].isna()].max() > 0.1


def test_location_and_scale_alone_make_batches_alike():
    """Without shrinkage the adjusted batches share mean and variance, by definition."""
    data = table()
    found = ComBat(shrink=False).fit_transform(data)
    by = found.groupby(data["plate"].to_numpy())
    np.testing.assert_allclose(by.mean() - by.mean().mean(), 0, atol=1e-12)
    np.testing.assert_allclose(by.var() / by.var().mean(), 1, atol=1e-12)


def test_new_samples_of_a_batch_get_the_learned_parameters():
    data = table()
    combat = ComBat().fit(data)
    new = data.iloc[[45]].copy()
    new.iloc[0, :12] = np.arange(12.0)
    found = combat.transform(new).iloc[0]
    batch = new["plate"].iloc[0]
    sigma = np.sqrt(combat.sigma2_)
    z = (np.arange(12.0) - combat.alpha_) / sigma
    gamma, delta = combat.gamma_star_.loc[batch], combat.delta_star_.loc[batch]
    expected = (z - gamma) / np.sqrt(delta) * sigma + combat.alpha_
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_shrinkage_lies_between_the_own_estimate_and_the_common_one():
    combat = ComBat().fit(table(p=40))
    for batch in combat.batches_:
        own, star = combat.gamma_hat_.loc[batch], combat.gamma_star_.loc[batch]
        common = own.mean()
        assert ((star - common) * (own - common) >= 0).all()
        assert ((star - common).abs() <= (own - common).abs() + 1e-12).all()


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e3])
def test_measures_of_images_in_any_unit(unit):
    """A table of diffusion measures by scanner; the unit scales the answer and nothing else."""
    data = table()
    scaled = data.copy()
    scaled.iloc[:, :12] *= unit
    one, two = ComBat("plate").fit_transform(data), ComBat("plate").fit_transform(scaled)
    np.testing.assert_allclose(two / unit, one, rtol=1e-9)


def test_covariate_in_any_unit():
    data = table().assign(age=np.random.default_rng(1).normal(60, 10, 60))
    one = ComBat(covariates="age").fit_transform(data)
    two = ComBat(covariates="age").fit_transform(data.assign(age=data["age"] * 365e6))
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_reference_batch_stays_bit_for_bit():
    data = table()
    found = ComBat(reference="B").fit_transform(data)
    same = data["plate"] == "B"
    assert found[same].equals(data.loc[same, found.columns])
    assert not np.allclose(found[~same], data.loc[~same, found.columns])


# --- what is refused ----------------------------------------------------------------------


def test_an_unseen_batch_is_an_error():
    data = table(sizes=(20, 20, 20))
    combat = ComBat().fit(data[data["plate"] != "C"])
    with pytest.raises(AlignmentError, match=r"20 samples are of batch 'C'.*didn't see"):
        combat.transform(data)
    lost = data.iloc[:3].copy()
    lost.loc["s001", "plate"] = None
    with pytest.raises(AlignmentError, match="1 samples"):
        combat.transform(lost)


def test_batch_equal_to_a_covariate_is_named():
    data = table()
    data["group"] = data["plate"].map({"A": "TN", "B": "TN", "C": "control"})
    data["age"] = np.random.default_rng(0).normal(60, 9, 60)
    with pytest.raises(FormatError, match=r"batch 'plate' and covariates 'group' are confounded"):
        ComBat(covariates=["age", "group"]).fit(data)


def test_two_covariates_that_say_the_same_are_named():
    data = table()
    data["sex"] = np.tile(["f", "m"], 30)
    data["male"] = data["sex"] == "m"
    with pytest.raises(FormatError, match="'sex', 'male' are confounded"):
        ComBat(covariates=["sex", "male"]).fit(data)


def test_batch_equal_to_the_class_is_an_error():
    data = table()
    y = (data["plate"] == "C").astype(int)
    with pytest.raises(FormatError, match=r"'plate' and the outcome are confounded"):
        ComBat().fit(data, y)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y,
        lambda y: pd.Series(y).map({0: "no", 1: "yes"}).to_numpy(),
        lambda y: 3.5 - 2.0 * y,
        lambda y: np.where(y == 1, np.arange(len(y)) % 2 + 3, np.arange(len(y)) % 3),  # its source
    ],
    ids=["same", "renamed", "linear", "finer"],
)
def test_the_outcome_as_covariate_is_a_leak(make):
    y = np.random.default_rng(0).permutation(np.arange(60) % 2)
    data = table().assign(pain=make(y))
    with pytest.raises(LeakageError, match="'pain' gives the outcome away"):
        ComBat(covariates="pain").fit(data, y)
    ComBat(covariates="pain").fit(data)  # to describe groups, where nothing is predicted


def test_a_continuous_outcome_as_covariate_is_a_leak():
    y = np.random.default_rng(0).normal(size=60)
    with pytest.raises(LeakageError, match="gives the outcome away"):
        ComBat(covariates="pain").fit(table().assign(pain=10 - 3 * y), y)


def test_an_honest_covariate_is_none():
    rng = np.random.default_rng(3)
    y = rng.permutation(np.arange(60) % 2)
    data = table().assign(sex=rng.choice(["f", "m"], 60), age=rng.normal(60, 9, 60))
    ComBat(covariates=["sex", "age"]).fit(data, y)


def test_nothing_is_learned_from_the_outcome():
    data = table()
    y = np.random.default_rng(0).permutation(np.arange(60) % 2)
    one = ComBat().fit(data, y).transform(data)
    assert one.equals(ComBat().fit(data, 1 - y).transform(data))
    assert one.equals(ComBat().fit(data).transform(data))


def test_a_batch_of_one_sample():
    data = table(n=41, sizes=(20, 20, 1))
    with pytest.raises(FormatError, match=r"batch 'C' has one sample.*mean_only=True"):
        ComBat().fit(data)
    found = ComBat(mean_only=True).fit_transform(data)
    assert np.isfinite(found.to_numpy()).all()


def test_one_batch_is_nothing_to_adjust():
    with pytest.raises(FormatError, match="at least two batches"):
        ComBat().fit(table().assign(plate="A"))


def test_settings_that_make_no_sense():
    with pytest.raises(FormatError, match="reference 'Z'"):
        ComBat(reference="Z").fit(table())
    with pytest.raises(FormatError, match="column 'site'"):
        ComBat("site").fit(table())
    with pytest.raises(FormatError, match="no batch"):
        ComBat().fit(table().assign(plate=[None] + ["A"] * 29 + ["B"] * 30))
    with pytest.raises(FormatError, match="an array has no column"):
        ComBat().fit(np.ones((4, 3)))
    with pytest.raises(FormatError, match=r"'g1'|shrink=False"):
        ComBat().fit(table()[["g0", "plate"]])
    assert ComBat(shrink=False).fit_transform(table()[["g0", "plate"]]).shape == (60, 1)


def test_covariates_are_needed_for_new_samples_too():
    data = table().assign(sex=np.tile(["f", "m"], 30))
    combat = ComBat(covariates="sex").fit(data)
    with pytest.raises(FormatError, match="'sex' is missing for 1 samples"):
        combat.transform(data.assign(sex=[None, *data["sex"].iloc[1:]]))
    with pytest.raises(AlignmentError, match="levels that training didn't: 'x'"):
        combat.transform(data.assign(sex=["x", *data["sex"].iloc[1:]]))


# --- gaps and constants -------------------------------------------------------------------


def test_a_constant_protein_stays_finite():
    data = table()
    data["g3"] = 5.0
    data["g4"] = data["plate"].map({"A": 1.0, "B": 2.0, "C": 6.0})  # constant in each batch
    with pytest.warns(DataWarning, match=r"2 don't vary \('g3', 'g4'\)"):
        found = ComBat().fit_transform(data)
    assert np.isfinite(found.to_numpy()).all()
    np.testing.assert_allclose(found["g3"], 5.0, rtol=1e-12)
    np.testing.assert_allclose(found["g4"], 3.0, rtol=1e-12)
    # and it has no part in what the others learn
    others = ComBat().fit_transform(data.drop(columns=["g3", "g4"]))
    np.testing.assert_allclose(found[others.columns], others, rtol=1e-12)


def test_a_protein_that_is_constant_in_one_batch_stays_finite():
    data = table()
    data.loc[data["plate"] == "B", "g3"] = 4.0
    for parametric in (True, False):
        found = ComBat(parametric=parametric).fit_transform(data)
        assert np.isfinite(found.to_numpy()).all()


def test_a_protein_never_seen_in_a_batch_gets_the_mean_effect():
    data = table(p=30)
    whole = data.copy()
    data.loc[data["plate"] == "B", "g3"] = np.nan
    with pytest.warns(DataWarning, match=r"1 have no value in some batch \('g3'\)"):
        combat = ComBat().fit(data)
    rest = combat.gamma_hat_.loc["B"].drop("g3").mean()
    assert combat.gamma_star_.loc["B", "g3"] == pytest.approx(rest, rel=1e-12)
    assert np.isfinite(combat.transform(whole).to_numpy()).all()


def test_gaps_stay_gaps():
    data = table()
    data.iloc[2, 3] = np.nan
    found = ComBat().fit_transform(data)
    assert np.isnan(found.iloc[2, 3])
    assert found.isna().to_numpy().sum() == 1


# --- rows that aren't people --------------------------------------------------------------


def adata_with_controls(plates=("A", "B", "C")):
    data = table()
    obs = data[["plate"]].assign(sample_type="SAMPLE", sex=np.tile(["f", "m"], 30))
    controls = pd.DataFrame(
        {"plate": list(plates), "sample_type": "CONTROL", "sex": None},
        index=[f"c{i}" for i in range(len(plates))],
    )
    values = np.vstack([data.iloc[:, :12], np.full((len(plates), 12), 50.0)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(12)])
    return make_adata(values, pd.concat([obs, controls]), var), data


def test_control_samples_are_adjusted_but_not_learned_from():
    adata, data = adata_with_controls()
    out = ComBat().fit_transform(adata)
    alone = ComBat().fit_transform(data)
    np.testing.assert_allclose(out.X[:60], alone, rtol=1e-12)
    assert np.isfinite(out.X).all()
    assert np.ptp(out.X[60:], axis=0).min() > 0  # each by its own plate


def test_a_control_without_covariates_gets_the_average_ones():
    adata, _ = adata_with_controls()
    out = ComBat(covariates="sex").fit_transform(adata)
    assert np.isfinite(out.X).all()


def test_a_control_of_an_unseen_plate_becomes_missing():
    adata, _ = adata_with_controls(("A", "Z"))
    with pytest.warns(DataWarning, match="1 rows that aren't samples of people"):
        out = ComBat().fit_transform(adata)
    assert np.isnan(out["c1"].X).all()
    assert np.isfinite(out["c0"].X).all()
