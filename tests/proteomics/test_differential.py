"""What `differential` takes, refuses, leaves out and says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats as scipy_stats

from precisionpain.errors import DataWarning, FormatError
from precisionpain.proteomics import differential
from precisionpain.proteomics._layout import make_adata

TN = ("group", "TN", "control")
BOTH = "group[TN] - group[control]"


def study(n=24, p=30, seed=0, **columns):
    """Return people of two groups; protein p0 differs by 3, the others don't."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, size=(n, p))
    group = np.resize(["TN", "control"], n)
    values[group == "TN", 0] += 3
    obs = pd.DataFrame(
        {
            "subject_id": [f"S{i:03d}" for i in range(n)],
            "group": group,
            "age": rng.normal(50, 10, n),
            "sex": rng.choice(["f", "m"], n),
            "specimen": "CSF",
            "sample_type": "SAMPLE",
            **columns,
        },
        index=[f"sample{i}" for i in range(n)],
    )
    var = pd.DataFrame(
        {"gene": [f"G{i}" for i in range(p)], "uniprot": [f"P{i:05d}" for i in range(p)],
         "lod": np.where(np.arange(p) == 1, 99.0, -99.0)},
        index=[f"p{i}" for i in range(p)],
    )  # fmt: skip
    return make_adata(values, obs, var, kind="npx")


def test_promised_columns_and_the_protein_that_differs():
    found = differential(study(), "~ group + age", BOTH)
    assert list(found.columns) == [
        "gene", "uniprot", "log_fc", "ci_low", "ci_high", "statistic", "df", "p_value", "q_value",
        "n_1", "n_2", "testable", "below_lod",
    ]  # fmt: skip
    assert list(found.index) == [f"p{i}" for i in range(30)]
    assert found["p_value"].idxmin() == "p0"
    assert found.loc["p0", "ci_low"] < 3 < found.loc["p0", "ci_high"]
    assert found["below_lod"].tolist() == [0.0, 1.0] + [0.0] * 28
    assert found.attrs["n_samples"] == 24


@pytest.mark.parametrize("method", ["limma", "welch", "mann_whitney", "anova", "ordinal"])
def test_sign_is_first_minus_second_and_rows_dont_matter(method):
    adata = study()
    effect = "log_odds" if method == "ordinal" else "log_fc"
    one = differential(adata, "~ group", TN, method)
    two = differential(adata, "~ group", "group[control] - group[TN]", method)
    order = np.random.default_rng(1).permutation(adata.n_obs)
    three = differential(adata[order, ::-1].copy(), "~ group", TN, method).loc[one.index]
    assert one.loc["p0", effect] > 1
    assert_allclose(one[effect], -two[effect], atol=1e-7)
    assert_allclose(one["p_value"], two["p_value"], rtol=1e-6)
    assert_allclose(one["p_value"], three["p_value"], rtol=1e-6)


def test_control_samples_and_assays_are_left_out_and_counted():
    adata = study()
    plain = differential(adata, "~ group", TN)
    kind = np.array(["SAMPLE"] * 24 + ["PLATE_CONTROL"] * 4)
    extra = study(28, sample_type=kind)
    extra.X[:24] = adata.X
    extra.X[24:] = 60.0
    extra.obs.iloc[:24, extra.obs.columns.get_loc("age")] = adata.obs["age"].to_numpy()
    found = differential(extra, "~ group", TN)
    assert found.attrs["left_out"] == {"not a sample of a person": 4}
    assert_allclose(found["p_value"], plain["p_value"])
    extra.var["assay_type"] = ["ASSAY"] * 29 + ["EXTENSION_CONTROL"]
    found = differential(extra, "~ group", TN)
    assert "p29" not in found.index
    assert found.attrs["control_assays_left_out"] == 1


def test_a_name_that_looks_like_a_control_is_a_person():
    adata = study()
    adata.obs_names = [f"CANCER_{i}" for i in range(24)]
    assert differential(adata, "~ group", TN).attrs["n_samples"] == 24


def test_missing_covariates_are_left_out_and_counted():
    adata = study()
    adata.obs.loc["sample3", "age"] = np.nan
    adata.obs.loc["sample4", "sex"] = None
    found = differential(adata, "~ group + age + sex", TN)
    assert found.attrs["left_out"] == {"missing covariate": 2}
    assert found["n_1"].max() + found["n_2"].max() == 22


@pytest.mark.parametrize("method", ["limma", "welch", "mann_whitney", "anova", "ordinal"])
def test_all_missing_in_one_group_is_not_testable(method):
    adata = study()
    adata.X[(adata.obs["group"] == "control").to_numpy(), 5] = np.nan
    found = differential(adata, "~ group", TN, method)
    row = found.loc["p5"]
    assert not row["testable"]
    assert np.isnan(row[["p_value", "q_value", "statistic"]].astype(float)).all()
    assert (row["n_1"], row["n_2"]) == (12, 0)
    # It has no part in the false discovery rate.
    rest = found.drop(index="p5")
    assert_allclose(rest["q_value"], scipy_stats.false_discovery_control(rest["p_value"]))


@pytest.mark.parametrize("method", ["limma", "welch", "anova"])
def test_zero_variance_is_finite_and_warned_of(method):
    adata = study()
    adata.X[:, 7] = 4.2
    with pytest.warns(DataWarning, match="1 proteins don't vary.*p7"):
        found = differential(adata, "~ group", TN, method)
    assert np.isfinite(found["statistic"]).all()
    assert found.loc["p7", "p_value"] > 0.9


@pytest.mark.parametrize("method", ["mann_whitney", "wilcoxon", "kruskal", "friedman"])
def test_values_without_an_order_say_nothing_and_are_warned_of(method):
    """p = 1 and no shift, as the other tests have it; still one of the tests that q counts."""
    adata = pairs() if method in ("wilcoxon", "friedman") else study()
    column, *levels = ("visit", "followup", "preop") if "visit" in adata.obs else TN
    adata.X[:, 7] = 4.2
    adata.X[:3, 8] = np.nan
    contrast = (column, *levels) if method in ("mann_whitney", "wilcoxon") else None
    if contrast is None:
        adata = adata[adata.obs[column].isin(levels)].copy()
    with pytest.warns(DataWarning, match="1 proteins don't vary: 'p7'.* p is 1"):
        found = differential(adata, f"~ {column}", contrast, method)
    row = found.loc["p7"]
    assert row["testable"]
    assert row["p_value"] == 1
    if contrast:
        assert row["log_fc"] == row["ci_low"] == row["ci_high"] == 0
    assert_allclose(found["q_value"], scipy_stats.false_discovery_control(found["p_value"]))


def test_a_protein_of_one_group_is_not_warned_of_as_constant():
    adata = study()
    adata.X[:, 5] = np.nan
    adata.X[0, 5] = 4.2
    found = differential(adata, "~ group", TN, "mann_whitney")
    assert not found.loc["p5", "testable"]


def test_zero_variance_in_pairs():
    adata = pairs()
    adata.X[:, 2] = 4.2
    with pytest.warns(DataWarning, match="don't vary"):
        found = differential(adata, "~ visit", ("visit", "followup", "preop"), "paired")
    assert found.loc["p2", "statistic"] == 0
    with pytest.warns(DataWarning, match="don't vary"):
        found = differential(adata, "~ visit", ("visit", "followup", "preop"), "mixed")
    assert found.loc["p2", "p_value"] > 0.9


def pairs(n=24):
    half = n // 2
    return study(
        n,
        subject_id=[f"S{i % half:03d}" for i in range(n)],
        visit=["preop"] * half + ["followup"] * half,
    )


def test_pairs_are_matched_by_person_not_by_place():
    adata = pairs()
    contrast = ("visit", "followup", "preop")
    one = differential(adata, "~ visit", contrast, "paired")
    peer = scipy_stats.ttest_rel(adata.X[12:], adata.X[:12])
    assert_allclose(one["statistic"], peer.statistic)
    order = np.random.default_rng(0).permutation(24)
    two = differential(adata[order].copy(), "~ visit", contrast, "paired")
    assert_allclose(one["p_value"], two["p_value"])
    three = differential(adata[:-1].copy(), "~ visit", contrast, "paired")
    assert three.attrs["left_out"] == {"person without all levels of visit": 1}
    assert (three["n_1"] == 11).all()


def test_mixed_model_agrees_with_pairs_when_people_differ():
    adata = pairs()
    adata.X += 2 * np.tile(np.random.default_rng(1).normal(size=(12, 30)), (2, 1))
    contrast = ("visit", "followup", "preop")
    one = differential(adata, "~ visit", contrast, "paired")
    two = differential(adata, "~ visit", contrast, "mixed")
    assert_allclose(one["p_value"], two["p_value"], rtol=1e-6)
    # A term of one degree of freedom is the square of its contrast.
    terms = differential(adata, "~ visit", method="mixed")
    assert_allclose(terms["statistic"], two["statistic"] ** 2, rtol=1e-6)


@pytest.mark.parametrize("method", ["limma", "welch", "mann_whitney", "anova", "ordinal"])
def test_several_samples_of_a_person_are_refused(method):
    with pytest.raises(FormatError, match="12 people have more than one sample"):
        differential(pairs(), "~ visit", ("visit", "followup", "preop"), method)


def test_ways_to_say_that_samples_belong_together():
    adata = pairs()
    contrast = ("visit", "followup", "preop")
    blocked = differential(adata, "~ visit", contrast, block="subject_id")
    assert -1 < blocked.attrs["correlation"] < 1
    paired = differential(adata, "~ visit + subject_id", contrast)
    difference = (adata.X[12:] - adata.X[:12]).mean(axis=0)
    assert_allclose(paired["log_fc"], difference, atol=1e-10)


def test_specimens_arent_pooled():
    adata = study(specimen=np.repeat(["CSF", "plasma"], 12))
    with pytest.raises(FormatError, match=r"'CSF', 'plasma'.*pooled.*specimen='CSF'"):
        differential(adata, "~ group", TN)
    assert differential(adata, "~ group + specimen", TN).attrs["n_samples"] == 24
    one = differential(adata, "~ group", TN, specimen="CSF")
    assert one.attrs["left_out"] == {"another specimen": 12}
    with pytest.raises(FormatError, match="expected samples of 'serum'"):
        differential(adata, "~ group", TN, specimen="serum")


def test_batch_equal_to_class_is_named():
    adata = study(plate=np.resize(["P1", "P2"], 24))
    with pytest.raises(FormatError, match=r"plate\[T.P2\].*group\[T.control\].*can't be told"):
        differential(adata, "~ group + plate", TN)


@pytest.mark.parametrize(
    ("formula", "contrast", "message"),
    [
        ("~ groupe", TN, "expected the column 'groupe'"),
        ("~ group", ("group", "TN", "MS"), "expected a level of 'group'.*found 'MS'"),
        ("~ group", ("age", "TN", "MS"), "expected a column of the formula"),
        ("~ group", "group", "which are compared"),
        ("~ group", "group[TN]", "add up to 0"),
        ("~ group", "group[TN - group[control]", "expected a level|can't read"),
        ("~ group", "group[TN] & group[control]", "can't read the contrast"),
        ("y ~ group", TN, "without a left side"),
        ("~ group +* age", TN, "expected a formula|can't be evaluated"),
        ("~ group", None, "say what is compared"),
    ],
)
def test_mistakes_are_named(formula, contrast, message):
    with pytest.raises(FormatError, match=message):
        differential(study(), formula, contrast)


def test_options_that_dont_go_together():
    adata = study()
    with pytest.raises(FormatError, match="expected one of"):
        differential(adata, "~ group", TN, "deseq")
    with pytest.raises(FormatError, match="method='limma' only"):
        differential(adata, "~ group", TN, "welch", trend=True)
    with pytest.raises(FormatError, match="no covariates"):
        differential(adata, "~ group + age", TN, "welch")
    with pytest.raises(FormatError, match="tests all levels together"):
        differential(adata, "~ group", TN, "kruskal")
    adata.X[0, 0] = 5000.0
    with pytest.raises(FormatError, match="log2 scale"):
        differential(adata, "~ group", TN)


def test_slope_and_interaction_and_weights():
    adata = study(48, visit=np.repeat(["a", "b"], 24), arm=np.resize(["x", "x", "y", "z"], 48))
    slope = differential(adata, "~ age + group", "age", "anova")
    x = np.column_stack([np.ones(48), adata.obs["age"], adata.obs["group"] == "TN"]).astype(float)
    assert_allclose(slope["log_fc"], np.linalg.lstsq(x, adata.X)[0][1], rtol=1e-8)
    cells = adata.to_df().groupby([adata.obs["group"], adata.obs["visit"]]).mean()
    inter = differential(adata, "~ group * visit", "group[TN]:visit[b] - group[TN]:visit[a]")
    assert_allclose(inter["log_fc"], cells.loc[("TN", "b")] - cells.loc[("TN", "a")], rtol=1e-8)
    # A main effect is the mean over the levels of what it interacts with.
    main = differential(adata, "~ group * visit", TN)
    expected = cells.groupby(level=0).mean()
    assert_allclose(main["log_fc"], expected.loc["TN"] - expected.loc["control"], rtol=1e-8)
    arms = adata.to_df().groupby(adata.obs["arm"]).mean()
    half = differential(adata, "~ arm", "0.5 * arm[x] + 0.5 * arm[y] - arm[z]", "anova")
    assert_allclose(half["log_fc"], (arms.loc["x"] + arms.loc["y"]) / 2 - arms.loc["z"], rtol=1e-8)


def test_terms_have_their_own_false_discovery_rate():
    found = differential(study(), "~ group + age", method="anova")
    assert list(found["term"].unique()) == ["group", "age"]
    for _, part in found.groupby("term"):
        assert_allclose(part["q_value"], scipy_stats.false_discovery_control(part["p_value"]))
    one = differential(study(), "~ group + age", TN, "anova")
    assert_allclose(found[found["term"] == "group"]["statistic"], one["statistic"] ** 2)


def test_trend_by_number_of_peptides():
    adata = study(p=400)
    count = np.resize([1, 2, 4, 8, 16, 32], 400)
    adata.X = 5 + (adata.X - 5) / np.sqrt(count)
    adata.var["n_peptides"] = count
    plain = differential(adata, "~ group", TN)
    trend = differential(adata, "~ group", TN, trend="n_peptides")
    assert trend.attrs["df_prior"] > plain.attrs["df_prior"]
    adata.var.loc["p3", "n_peptides"] = 0
    with pytest.raises(FormatError, match="expected positive numbers"):
        differential(adata, "~ group", TN, trend="n_peptides")
    with pytest.raises(FormatError, match="expected the column 'peptides'"):
        differential(adata, "~ group", TN, trend="peptides")


@pytest.mark.parametrize("method", ["limma", "welch", "mann_whitney", "anova"])
def test_nothing_is_found_where_nothing_is(method):
    """Of 2000 proteins without a difference 5% have p < 0.05."""
    adata = study(20, 2001, seed=11)
    adata.X[np.random.default_rng(0).random(adata.shape) < 0.1] = np.nan
    found = differential(adata, "~ group", TN, method).drop(index="p0")
    assert 0.035 < (found["p_value"] < 0.05).mean() < 0.065
    assert (found["q_value"] < 0.05).sum() <= 2


def test_input_stays_as_it_was():
    adata = study()
    before, obs = adata.X.copy(), adata.obs.copy()
    differential(adata, "~ group + age", TN)
    assert_allclose(adata.X, before)
    pd.testing.assert_frame_equal(adata.obs, obs)
