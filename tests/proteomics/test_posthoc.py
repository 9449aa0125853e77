"""Limits of all pairs together: against emmeans (golden/posthoc.R), SciPy, what they promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from precisionpain.proteomics import differential
from precisionpain.proteomics._differential.terms import tukey_p, tukey_t
from precisionpain.proteomics._layout import make_adata

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "anova": ("missing", "obs", "~ group + age", "group"),
    "interaction": ("missing", "obs", "~ group * visit", "group:visit"),
    "mixed": ("repeated", "repeated_obs", "~ time", "time"),
}


def read(name):
    return pd.read_csv(GOLDEN / f"{name}.csv", float_precision="round_trip")


def assay(values, obs):
    table, known = read(f"differential/{values}"), read(f"differential/{obs}")
    known.index = [f"s{i}" for i in range(len(known))]
    return make_adata(table.to_numpy(), known, pd.DataFrame(index=table.columns), kind="lfq")


def turned(table):
    """Every pair the other way round as well, as another program may have it."""
    other = table.copy()
    other["contrast"] = [" - ".join(reversed(text.split(" - "))) for text in table["contrast"]]
    for low, high in (("ci_low", "ci_high"), ("ci_low_adjusted", "ci_high_adjusted")):
        other[low], other[high] = -table[high], -table[low]
    other["log_fc"] = -table["log_fc"]
    return pd.concat([table, other]).set_index("contrast", append=True)


@pytest.mark.parametrize(
    ("case", "level"), [("anova", 0.95), ("anova", 0.99), ("interaction", 0.95), ("mixed", 0.95)]
)
def test_limits_are_those_of_emmeans(case, level):
    values, obs, formula, term = CASES[case]
    adata = assay(values, obs)
    if case == "mixed":
        adata.X[[1, 16, 29]] = np.nan
    how = {"method": "mixed", "subject": "person"} if case == "mixed" else {"method": "anova"}
    found = turned(differential(adata, formula, posthoc=term, confidence=level, **how))
    golden = read("posthoc/limits")
    golden = golden[(golden["case"] == case) & np.isclose(golden["level"], level)]
    golden = golden.set_index(["assay", "contrast"])
    assert len(golden) >= 57
    found = found.loc[golden.index]
    # lmerTest's degrees of freedom rest on numerical derivatives.
    rtol = 1e-5 if case == "mixed" else 1e-7
    assert_allclose(found["log_fc"], golden["estimate"], rtol=max(rtol, 1e-9), atol=1e-6)
    assert_allclose(found["df"], golden["df"], rtol=1e-5)
    width = (golden["tight_high"] - golden["tight_low"]).to_numpy()
    for name, ours in (("low", "ci_low_adjusted"), ("high", "ci_high_adjusted")):
        assert (np.abs(found[ours] - golden[f"tight_{name}"]) / width).max() < rtol
        # qtukey promises 1e-4.
        assert (np.abs(found[ours] - golden[name]) / width).max() < 1e-4


def test_quantiles_of_the_studentised_range():
    golden = read("posthoc/quantiles")
    assert len(golden) == 75
    for (k, level), part in golden.groupby(["k", "level"]):
        df = part["df"].to_numpy(float)
        found = tukey_t(level, int(k), df) * np.sqrt(2)
        # With few degrees of freedom, and far out, R's ptukey is off itself: for k = 2 the truth
        # is Student's t (R off by 1e-4 at 2 df), for k = 30 SciPy's integral, as below (4e-5).
        assert_allclose(found[df >= 10], part["q"][df >= 10], rtol=1e-4 if level > 0.99 else 2e-7)
        if k == 2:
            assert_allclose(found, stats.t.ppf((1 + level) / 2, df) * np.sqrt(2), rtol=1e-12)


@pytest.mark.parametrize(("k", "df"), [(3, 2.0), (4, 11.0), (8, 37.5), (30, 10.0)])
def test_quantiles_of_scipy(k, df):
    for level in (0.9, 0.999):
        expected = stats.studentized_range.ppf(level, k, df) / np.sqrt(2)
        assert tukey_t(level, k, np.array([df]))[0] == pytest.approx(expected, rel=1e-9)


def test_quantile_and_p_are_inverse():
    df = np.array([3.0, np.nan, 12.5, 0.0, 200.0])
    for k in (2, 3, 7):
        t = tukey_t(0.95, k, df)
        assert np.isnan(t[[1, 3]]).all()
        assert_allclose(tukey_p(t[[0, 2, 4]], k, df[[0, 2, 4]]), 0.05, rtol=1e-9)


def test_one_way_limits_are_those_of_scipy():
    rng = np.random.default_rng(3)
    groups = [rng.normal(mean, 1, n) for mean, n in ((0, 8), (1, 11), (2, 6))]
    obs = pd.DataFrame({"group": np.repeat(list("abc"), [8, 11, 6])})
    obs.index = [f"s{i}" for i in range(25)]
    adata = make_adata(np.concatenate(groups)[:, None], obs, pd.DataFrame(index=["P1"]), kind="lfq")
    found = differential(adata, "~ group", method="anova", posthoc="group")
    found = found.set_index("contrast")
    expected = stats.tukey_hsd(*groups).confidence_interval(0.95)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        row = found.loc[f"{'abc'[i]} - {'abc'[j]}"]
        assert row["ci_low_adjusted"] == pytest.approx(expected.low[i, j], rel=1e-7)
        assert row["ci_high_adjusted"] == pytest.approx(expected.high[i, j], rel=1e-7)


def test_limits_and_p_agree_and_are_wider_than_those_of_one_pair():
    found = differential(assay("missing", "obs"), "~ group + age", method="anova", posthoc="group")
    found = found[found["testable"]]
    outside = (found["ci_low_adjusted"] > 0) | (found["ci_high_adjusted"] < 0)
    assert (outside == (found["p_adjusted"] < 0.05)).all()
    assert 0 < outside.sum() < len(found)
    assert (found["ci_low_adjusted"] < found["ci_low"]).all()
    assert (found["ci_high_adjusted"] > found["ci_high"]).all()


def test_all_pairs_are_covered_together():
    """Of 2,000 proteins without any difference, all six pairs hold in 95%, and one by one fewer."""
    rng = np.random.default_rng(8)
    obs = pd.DataFrame({"group": np.repeat(list("abcd"), 6)}, index=[f"s{i}" for i in range(24)])
    var = pd.DataFrame(index=[f"P{i}" for i in range(2000)])
    adata = make_adata(rng.normal(20, 1, (24, 2000)), obs, var, kind="lfq")
    found = differential(adata, "~ group", method="anova", posthoc="group")
    inside = (found["ci_low_adjusted"] <= 0) & (found["ci_high_adjusted"] >= 0)
    together = inside.groupby(level=0).all().mean()
    # Exact for groups of equal size; 3.3 standard errors of 2,000 are 0.016.
    assert abs(together - 0.95) < 0.016
    single = (found["ci_low"] <= 0) & (found["ci_high"] >= 0)
    assert single.groupby(level=0).all().mean() < 0.9


@pytest.mark.parametrize("method", ["kruskal", "friedman"])
def test_ranks_have_no_such_limits(method):
    adata = assay("repeated", "repeated_obs")
    if method == "kruskal":
        adata.obs["subject_id"] = adata.obs_names
    subject = "person" if method == "friedman" else "subject_id"
    found = differential(adata, "~ time", method=method, posthoc="time", subject=subject)
    assert "ci_low_adjusted" not in found
    assert "ci_low" in found


def test_a_protein_that_cannot_be_tested_has_no_limits():
    adata = assay("missing", "obs")
    adata.X[(adata.obs["group"] == "MS").to_numpy(), 0] = np.nan
    found = differential(adata, "~ group + age", method="anova", posthoc="group")
    row = found[(found.index == adata.var_names[0]) & found["contrast"].str.contains("MS")]
    assert len(row) == 2
    assert not row["testable"].any()
    assert row[["ci_low_adjusted", "ci_high_adjusted"]].isna().all(axis=None)
