"""Specimens and nerves against proteins: independent packages, keys, and simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import precisionpain as pp
from precisionpain.errors import AlignmentError, FormatError, MissingModalityError
from precisionpain.proteomics import csf_plasma_agreement, radiogenomic
from precisionpain.proteomics._layout import make_adata


def assay(values, specimen="CSF", prefix="s", **obs):
    n = len(values)
    table = pd.DataFrame(
        {"subject_id": [f"p{i}" for i in range(n)], "visit": "preop", "specimen": specimen, **obs},
        index=[f"{prefix}{i}" for i in range(n)],
    )
    names = [f"OID{k}" for k in range(values.shape[1])]
    var = pd.DataFrame({"gene": [f"G{k}" for k in range(len(names))],
                        "uniprot": [f"P0000{k}" for k in range(len(names))]},
                       index=names)  # fmt: skip
    return make_adata(values, table, var)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 4))
    csf, plasma = truth + rng.normal(size=(30, 4)), 2 * truth + 0.5 * rng.normal(size=(30, 4))
    csf[3, 1] = plasma[5, 1] = np.nan
    return assay(csf), assay(plasma, "plasma", "x")


def test_correlations_agree_with_scipy(pair):
    csf, plasma = pair
    table = csf_plasma_agreement(csf, plasma)
    for k, row in table.iterrows():
        x, y = csf.X[:, k], plasma.X[:, k]
        both = np.isfinite(x) & np.isfinite(y)
        x, y = x[both], y[both]
        r = stats.pearsonr(x, y)
        assert row["n"] == both.sum()
        assert row["pearson"] == pytest.approx(r.statistic)
        assert row["pearson_p"] == pytest.approx(r.pvalue)
        np.testing.assert_allclose(
            [row["pearson_low"], row["pearson_high"]], r.confidence_interval(), rtol=1e-9
        )
        rho = stats.spearmanr(x, y)
        assert row["spearman"] == pytest.approx(rho.statistic)
        assert row["spearman_p"] == pytest.approx(rho.pvalue)
        assert row["spearman_low"] < rho.statistic < row["spearman_high"]
        z = stats.zscore(x, ddof=1) - stats.zscore(y, ddof=1)
        assert row["limit_z"] == pytest.approx(1.959964 * z.std(ddof=1))


def test_people_are_joined_by_who_they_are(pair):
    csf, plasma = pair
    rng = np.random.default_rng(1)
    # Two people lack plasma, one lacks CSF, and the rows are in another order.
    fewer = plasma[rng.permutation(np.arange(2, 30))][:, ::-1].copy()
    one = csf_plasma_agreement(csf[:29].copy(), fewer)
    two = csf_plasma_agreement(csf[2:29].copy(), plasma[2:29].copy())
    pd.testing.assert_frame_equal(one, two)
    assert one.attrs == {"n_people": 27, "n_csf_only": 2, "n_plasma_only": 1}


def test_deming_is_symmetric_and_finds_the_line():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 3, (4000, 1))
    x, y = truth + rng.normal(size=truth.shape), 1 + 2 * truth + 3 * rng.normal(size=truth.shape)
    # The jackknife of 4000 is slow: the line alone, and the limits on fewer.
    row = csf_plasma_agreement(assay(x[:600]), assay(y[:600], "plasma"), error_ratio=9).iloc[0]
    back = csf_plasma_agreement(assay(y[:600]), assay(x[:600], "plasma"), error_ratio=1 / 9).iloc[0]
    assert row["slope"] * back["slope"] == pytest.approx(1)
    assert row["slope_low"] < 2 < row["slope_high"]
    assert row["intercept"] == pytest.approx(1, abs=0.6)
    # Least squares of y on x would be pulled down by the error of x.
    assert np.polyfit(x[:600, 0], y[:600, 0], 1)[0] < row["slope_low"]


def test_jackknife_limits_cover():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 2, (40, 300))
    x, y = truth + rng.normal(size=truth.shape), 0.5 * truth + rng.normal(size=truth.shape)
    table = csf_plasma_agreement(assay(x), assay(y, "plasma"))
    share = ((table["slope_low"] < 0.5) & (table["slope_high"] > 0.5)).mean()
    assert 0.91 < share < 0.99
    # Of x and y: 2 / √(5 · 2).
    r = 2 / np.sqrt(10)
    assert 0.91 < ((table["pearson_low"] < r) & (table["pearson_high"] > r)).mean() < 0.99


def test_proteins_of_other_products_meet_by_accession(pair):
    csf, plasma = pair
    other = plasma.copy()
    other.var_names = [f"X{k}" for k in range(4)]
    other.var["uniprot"] = ["P00002;P9", "P00000", "P00000", None]
    table = csf_plasma_agreement(csf, other, by="uniprot")
    assert list(zip(table["csf"], table["plasma"], strict=True)) == [
        ("OID0", "X1"), ("OID0", "X2"), ("OID2", "X0"),
    ]  # fmt: skip
    with pytest.raises(AlignmentError, match="joined by assay"):
        csf_plasma_agreement(csf, other)


def test_bad_specimens(pair):
    csf, plasma = pair
    with pytest.raises(FormatError, match="both are 'CSF'"):
        csf_plasma_agreement(csf, csf)
    twice = plasma.copy()
    twice.obs["subject_id"] = ["p0", *twice.obs["subject_id"][:-1]]
    with pytest.raises(FormatError, match="several samples"):
        csf_plasma_agreement(csf, twice)
    strangers = plasma.copy()
    strangers.obs["subject_id"] = [f"q{i}" for i in range(30)]
    with pytest.raises(AlignmentError, match="no person"):
        csf_plasma_agreement(csf, strangers)
    with pytest.raises(FormatError, match="no sample of visit 'later'"):
        csf_plasma_agreement(csf, plasma, visit="later")
    later = plasma.copy()
    later.obs["visit"] = "followup"
    with pytest.raises(AlignmentError, match="at one visit"):
        csf_plasma_agreement(csf, later)


def test_what_cannot_be_told_is_missing():
    x = np.random.default_rng(0).normal(size=(12, 2))
    y = x.copy()
    x[:, 0] = 3.0
    y[4:, 1] = np.nan
    table = csf_plasma_agreement(assay(x), assay(y, "plasma"))
    assert table[["pearson", "spearman_p", "slope", "q_value"]].isna().all().all()
    assert table["n"].tolist() == [12, 4]


def nerve(n, rng, **columns):
    return pd.DataFrame(
        {"subject_id": [f"p{i}" for i in range(n)], "visit": "preop",
         "area": rng.normal(size=n), "gap": rng.normal(size=n), **columns}
    )  # fmt: skip


def test_linear_models_agree_with_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    values = rng.normal(size=(40, 5))
    values[rng.random(values.shape) < 0.1] = np.nan
    adata = assay(values, age=rng.normal(60, 9, 40), sex=rng.choice(["f", "m", "x"], 40))
    table = nerve(40, rng)
    table.loc[[1, 7], "area"] = np.nan
    found = radiogenomic(adata, table.sample(frac=1, random_state=1), covariates=["age", "sex"])
    held = pd.get_dummies(adata.obs[["age", "sex"]], drop_first=True).to_numpy(float)
    for row in found.itertuples():
        y = adata[:, row.protein].X.ravel()
        x = table[row.measure].to_numpy()
        keep = np.isfinite(x) & np.isfinite(y)
        design = api.add_constant(np.column_stack([x, held])[keep])
        fit = api.OLS(y[keep], design).fit()
        assert row.n == keep.sum()
        assert row.df == fit.df_resid
        assert row.slope == pytest.approx(fit.params[1])
        assert row.p_value == pytest.approx(fit.pvalues[1])
        np.testing.assert_allclose([row.slope_low, row.slope_high], fit.conf_int()[1], rtol=1e-8)
        assert row.r == pytest.approx(fit.tvalues[1] / np.sqrt(fit.tvalues[1] ** 2 + fit.df_resid))
    q = stats.false_discovery_control(found["p_value"])
    np.testing.assert_allclose(found["q_value"], q)
    assert found["p_value"].is_monotonic_increasing


def test_spearman_is_scipys_without_covariates():
    rng = np.random.default_rng(5)
    adata, table = assay(rng.normal(size=(25, 3))), nerve(25, rng)
    found = radiogenomic(adata, table, method="spearman", columns=["gap"]).set_index("protein")
    for k in range(3):
        rho = stats.spearmanr(adata.X[:, k], table["gap"])
        assert found.loc[f"OID{k}", "r"] == pytest.approx(rho.statistic)
        assert found.loc[f"OID{k}", "p_value"] == pytest.approx(rho.pvalue)


def test_a_confounder_is_taken_out():
    rng = np.random.default_rng(6)
    age = rng.normal(30, 10, 200)
    adata = assay((age / 2 + rng.normal(0, 2, 200))[:, None], age=age)
    table = nerve(200, rng, area=-age + rng.normal(0, 3, 200))[["subject_id", "area"]]
    alone = radiogenomic(adata, table).iloc[0]
    held = radiogenomic(adata, table, covariates=["age"]).iloc[0]
    assert alone["r"] < -0.8
    assert held["ci_low"] < 0 < held["ci_high"]


def test_chance_finds_nothing():
    rng = np.random.default_rng(7)
    false = [
        (radiogenomic(assay(rng.normal(size=(30, 100))), nerve(30, rng))["q_value"] < 0.05).any()
        for _ in range(30)
    ]
    # At 5% each, 6 or more of 30 have a probability of 0.3%.
    assert sum(false) < 6


def test_people_without_a_covariate_are_counted():
    rng = np.random.default_rng(8)
    adata = assay(rng.normal(size=(30, 2)), age=[np.nan, *rng.normal(60, 9, 29)])
    table = nerve(25, rng)
    table = pd.concat([table, table.iloc[:1].assign(subject_id="zz")])
    found = radiogenomic(adata, table, covariates=["age"])
    assert (found["n"] == 24).all()
    assert found.attrs["n_people"] == 24
    assert found.attrs["n_without_covariates"] == 1
    assert (found.attrs["n_proteins_only"], found.attrs["n_measures_only"]) == (5, 1)


def test_what_the_covariates_explain_is_not_tested():
    rng = np.random.default_rng(9)
    age = rng.normal(60, 9, 30)
    found = radiogenomic(
        assay(rng.normal(size=(30, 1)), age=age), nerve(30, rng, area=2 * age + 1),
        columns=["area"], covariates=["age"],
    )  # fmt: skip
    assert found[["r", "p_value", "slope", "q_value"]].isna().all().all()


@pytest.fixture(scope="module")
def cohort():
    return pp.datasets.sample_tn(n_subjects=60, random_state=2)


def test_sides_are_anatomical_in_the_table_and_affected_in_the_result(cohort):
    found = radiogenomic(
        cohort, "nerve_measures", assay="csf_pea", visit="preop", columns=["volume_mm3"]
    ).set_index("protein")
    measures = cohort.measurements["nerve_measures"]
    measures = measures[measures["visit"] == "preop"]
    side = cohort.subjects["affected_side"]
    adata = cohort.assays["csf_pea"]
    adata = adata[
        ((adata.obs["visit"] == "preop") & (adata.obs["sample_type"] == "SAMPLE")).to_numpy()
    ].copy()
    xs, ys = [], []
    for sample, person in adata.obs["subject_id"].items():
        own = measures[measures["subject_id"] == person].set_index("side")["volume_mm3"]
        if side[person] == "bilateral":
            value = own.mean() if len(own) == 2 else np.nan
        elif side[person] in ("left", "right") and len(own):
            value = own.get(side[person], np.nan)
        else:
            continue
        xs.append(value)
        ys.append(adata[sample, "OIDS00001"].X.item())
    keep = np.isfinite(xs)
    expected = stats.pearsonr(np.array(xs)[keep], np.array(ys)[keep])
    row = found.loc["OIDS00001"]
    assert row["n"] == keep.sum()
    assert row["r"] == pytest.approx(expected.statistic)


def test_the_other_nerve_and_the_mean(cohort):
    options = {"assay": "csf_pea", "visit": "preop", "columns": ["volume_mm3"]}
    one, other, mean = (
        radiogenomic(cohort, "nerve_measures", side=side, **options)
        for side in ("affected", "contralateral", "mean")
    )
    # Controls have nerves, but no affected one.
    assert mean["n"].max() > one["n"].max()
    assert not np.allclose(one["r"], other.set_index("protein").loc[one["protein"], "r"])


def test_bad_tables(cohort):
    rng = np.random.default_rng(0)
    adata, table = assay(rng.normal(size=(12, 2))), nerve(12, rng)
    with pytest.raises(MissingModalityError, match="needs a Cohort"):
        radiogenomic(adata, table.assign(side="left"))
    with pytest.raises(MissingModalityError, match="needs a Cohort"):
        radiogenomic(adata, "nerve_measures")
    with pytest.raises(MissingModalityError, match="assay="):
        radiogenomic(cohort, "nerve_measures")
    with pytest.raises(FormatError, match="several rows"):
        radiogenomic(adata, pd.concat([table, table]))
    with pytest.raises(AlignmentError, match="proteins and measures"):
        radiogenomic(adata, table.assign(subject_id=[f"q{i}" for i in range(12)]))
    with pytest.raises(MissingModalityError, match="no covariate 'bmi'"):
        radiogenomic(adata, table, covariates=["bmi"])
    with pytest.raises(FormatError, match="text in 'vessel'"):
        radiogenomic(adata, table.assign(vessel="artery"), columns=["vessel"])
    with pytest.raises(FormatError, match="several samples"):
        radiogenomic(cohort, "nerve_measures", assay="csf_pea")
