"""Checks report, cleaning acts: what is found, what is left alone, what is written down."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scipy import stats

import precisionpain as pp
from precisionpain.errors import FormatError
from precisionpain.proteomics import (
    check_lfq,
    check_npx,
    clean,
    coefficient_of_variation,
    contamination_index,
)
from precisionpain.proteomics._layout import QC, make_adata
from precisionpain.proteomics._quality.batches import kruskal
from precisionpain.proteomics._quality.levels import sample_spread
from precisionpain.proteomics._quality.rules import Measured, below_lod, quantile

COLUMNS = ["check", "severity", "where", "item", "n", "share", "message", "action"]


def npx(n=24, p=10, seed=0, values=None, layers=None, obs=None, var=None, **known):
    """Return well-behaved NPX of two panels on three plates; each call may spoil a part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(5, 1, (n, p)) if values is None else np.array(values, dtype=float)
    n, p = x.shape
    table = pd.DataFrame(
        {
            "subject_id": [f"S{i:03d}" for i in range(n)],
            "visit": "preop",
            "specimen": "CSF",
            "sample_type": "SAMPLE",
            "plate": [f"plate{i % 3}" for i in range(n)],
        },
        index=pd.Index([f"row{i:03d}" for i in range(n)], name="sample_id"),
    ).assign(**(obs or {}))
    assays = pd.DataFrame(
        {
            "gene": [f"GENE{j}" for j in range(p)],
            "uniprot": [f"P{j:05d}" for j in range(p)],
            "panel": ["Inflammation" if j < p / 2 else "Neurology" for j in range(p)],
            "assay_type": "ASSAY",
        },
        index=pd.Index([f"OID{j:05d}" for j in range(p)], name="olink_id"),
    ).assign(**(var or {}))
    layers = {"lod": np.full((n, p), -5.0)} if layers is None else layers
    return make_adata(x, table, assays, layers=layers, kind="npx", **known)


def lfq(n=20, p=30, seed=0, values=None, names=None, **var):
    rng = np.random.default_rng(seed)
    x = rng.normal(24, 1, (n, p)) if values is None else np.array(values, dtype=float)
    n, p = x.shape
    obs = pd.DataFrame(
        {"subject_id": [f"S{i}" for i in range(n)], "sample_type": "SAMPLE", "plate": "one"},
        index=[f"run{i}" for i in range(n)],
    )
    table = pd.DataFrame(
        {"gene": [f"G{j}" for j in range(p)], "uniprot": [f"Q{j:05d}" for j in range(p)]},
        index=names or [f"Q{j:05d}" for j in range(p)],
    ).assign(**var)
    return make_adata(x, obs, table, kind="lfq")


def of(report, check, where=None):
    """Return the findings of one check."""
    rows = report[report["check"] == check]
    return rows if where is None else rows[rows["where"] == where]


def items(report, check, where=None):
    return list(of(report, check, where)["item"])


# --- the report ---------------------------------------------------------------------------


def test_clean_data_have_no_findings():
    # Of ten samples or fewer none can lie 3 SD from the mean.
    report = check_npx(npx(n=9))
    assert list(report.columns) == COLUMNS
    assert report.empty


def test_gravest_first():
    x = np.random.default_rng(0).normal(5, 1, (24, 10))
    x[0, 0] = np.inf
    x[:, 3] = np.nan
    adata = npx(values=x, obs={"sample_type": ["CONTROL"] + ["SAMPLE"] * 23})
    rank = check_npx(adata)["severity"].map({"error": 0, "warning": 1, "note": 2})
    assert set(rank) == {0, 1, 2}
    assert rank.is_monotonic_increasing


def test_nothing_is_changed():
    x = np.random.default_rng(0).normal(5, 1, (24, 10))
    x[0, 0] = np.inf
    adata = npx(values=x, layers={"sample_qc": np.full(x.shape, QC["FAIL"])})
    before = adata.copy()
    check_npx(adata)
    clean(adata[:, 1:], qc="keep")
    assert np.array_equal(adata.X, before.X)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.uns == before.uns


@pytest.mark.parametrize("check", [check_npx, check_lfq])
def test_not_an_adata(check):
    with pytest.raises(FormatError, match="expected an AnnData"):
        check(pd.DataFrame({"a": [1.0]}))


def test_kind_of_data():
    with pytest.raises(FormatError, match="use check_lfq"):
        check_npx(lfq())
    with pytest.raises(FormatError, match="use check_npx"):
        check_lfq(npx())
    # Nothing is said of it: taken at its word.
    bare = npx(n=9)
    del bare.uns["precisionpain"]
    assert check_npx(bare).empty


def test_missing_columns_are_named():
    adata = npx(layers={})
    del adata.obs["sample_type"], adata.obs["subject_id"], adata.obs["plate"]
    del adata.var["panel"], adata.var["uniprot"], adata.var["gene"]
    found = of(check_npx(adata), "layout").set_index("item")["severity"].to_dict()
    assert found == {
        "sample_type": "warning", "subject_id": "warning", "plate": "note",
        "panel": "note", "uniprot": "note", "gene": "note", "lod": "note",
    }  # fmt: skip


# --- names, units, controls ---------------------------------------------------------------


def test_malformed_olink_ids():
    adata = npx()
    names = list(adata.var_names)
    names[2], names[5], names[7] = "OID123", "oid00005", "OID000071"
    adata.var_names = names
    report = check_npx(adata)
    assert items(report, "olink_id") == ["OID123", "oid00005", "OID000071"]
    assert clean(adata).n_vars == 10
    assert list(clean(adata, malformed="remove").var_names) == [
        name for name in names if name not in ("OID123", "oid00005", "OID000071")
    ]


def test_no_olink_id_at_all():
    adata = npx()
    adata.var_names = [f"protein{j}" for j in range(10)]
    found = of(check_npx(adata), "olink_id")
    assert list(found["where"]) == ["data"]
    with pytest.raises(FormatError, match="none would be left"):
        clean(adata, malformed="remove")


def test_accessions():
    accessions = ["P01584", "O43927", "A0A024R1R8", "P05231-2", "P29460,Q9NPF7"]
    wrong = ["IL6", "P0158", "", None, "P29460_IL12"]
    report = check_npx(npx(var={"uniprot": accessions + wrong}))
    found = of(report, "uniprot")
    assert list(found["n"]) == [5]
    assert "'IL6'" in found["message"].item()


def test_one_protein_on_two_panels_is_kept_apart():
    uniprot = [f"P{j:05d}" for j in range(10)]
    uniprot[1] = uniprot[8] = "P05231"
    uniprot[4] = "P29460,Q9NPF7"  # one assay of two proteins
    adata = npx(var={"uniprot": uniprot})
    report = check_npx(adata)
    found = of(report, "uniprot_twice")
    assert list(found["item"]) == ["P05231"]
    assert found["severity"].item() == "note"
    assert "'Inflammation', 'Neurology'" in found["message"].item()
    assert clean(adata, report).n_vars == 10


@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_duplicates():
    adata = npx()
    names = list(adata.obs_names)
    names[4] = names[3]
    adata.obs_names = names
    assays = list(adata.var_names)
    assays[9] = assays[0]
    adata.var_names = assays
    report = check_npx(adata)
    assert items(report, "duplicate_sample") == [names[3]]
    assert items(report, "duplicate_assay") == [assays[0]]
    assert set(report.loc[report["check"].str.startswith("dup"), "severity"]) == {"error"}
    assert clean(adata, report).shape == (24, 10)
    first = clean(adata, report, duplicates="first")
    assert first.shape == (23, 9)
    assert np.array_equal(first.X, np.delete(adata.X, 4, axis=0)[:, :9])


def test_same_sample_measured_twice():
    adata = npx(obs={"subject_id": ["S1", "S1"] + [f"S{i}" for i in range(2, 24)]})
    found = of(check_npx(adata), "repeated_sample")
    assert list(found["item"]) == ["row001"]
    # A second visit is no repeat.
    adata.obs["visit"] = ["preop", "followup"] + ["preop"] * 22
    assert of(check_npx(adata), "repeated_sample").empty


def test_samples_of_nobody():
    adata = npx(obs={"subject_id": [None] + [f"S{i}" for i in range(1, 24)]})
    found = of(check_npx(adata), "subject_id")
    assert found["severity"].item() == "error"
    assert "'row000'" in found["message"].item()


def test_pooled_specimens():
    adata = npx(obs={"specimen": ["CSF"] * 12 + ["serum"] * 12})
    assert "CSF 12, serum 12" in of(check_npx(adata), "specimen")["message"].item()


def test_linear_values():
    found = of(check_npx(npx(values=2 ** np.random.default_rng(0).normal(9, 2, (24, 10)))), "unit")
    assert found["severity"].item() == "error"
    assert "looks linear" in found["message"].item()
    assert "logged twice" in "".join(of(check_lfq(lfq(values=np.log2(lfq().X))), "unit")["message"])


def test_other_units():
    found = of(check_npx(npx(unit="Ct")), "unit")
    assert found["severity"].item() == "error"
    assert of(check_npx(npx(unit="NPX")), "unit").empty
    assert of(check_npx(npx(var={"unit": ["NPX"] * 9 + ["QUANT"]})), "unit")["n"].item() == 2


def test_mixed_normalization():
    kinds = ["Intensity"] * 6 + ["Plate control"] * 4
    found = of(check_npx(npx(var={"normalization": kinds})), "normalization")
    assert found["severity"].item() == "warning"
    assert "'Intensity' 6, 'Plate control' 4" in found["message"].item()


def test_infinite_and_zero():
    x = lfq().X.copy()
    x[0, :3] = -np.inf
    x[1, 4] = 0.0
    report = check_lfq(lfq(values=x))
    assert of(report, "infinite")[["n", "action"]].values.tolist() == [[3, "mask"]]
    assert of(report, "zero")[["n", "action"]].values.tolist() == [[1, "mask"]]
    tidy = clean(lfq(values=x), report)
    assert np.isnan(tidy.X[0, :3]).all()
    assert tidy.X[1, 4] == 0
    assert np.isnan(clean(lfq(values=x), report, zeros="mask").X).sum() == 4


def test_a_name_is_no_evidence_of_a_control():
    """Only the type tells: not ``CANCER_01``, and not a plain ``NC``."""
    types = ["SAMPLE"] * 20 + ["CONTROL", "NEGATIVE_CONTROL", "PLATE_CONTROL", "PLATE_CONTROL"]
    plain = npx(obs={"sample_type": types})
    named = plain.copy()
    named.obs_names = ["CANCER_01", "NC", "CONTROL_2", "PC_neg"] + [f"x{i}" for i in range(20)]
    for adata in (plain, named):
        found = of(check_npx(adata), "control_sample").set_index("item")["n"].to_dict()
        assert found == {"CONTROL": 1, "NEGATIVE_CONTROL": 1, "PLATE_CONTROL": 2}
        tidy = clean(adata)
        assert list(tidy.obs_names) == list(adata.obs_names[:20])
    assert clean(named, controls="keep").n_obs == 24


def test_unknown_types():
    adata = npx(
        obs={"sample_type": ["SAMPLE"] * 23 + ["BLANK"]}, var={"assay_type": ["ASSAY"] * 10}
    )
    assert of(check_npx(adata), "sample_type")[["severity", "item"]].values.tolist() == [
        ["error", "BLANK"]
    ]


def test_controls_enter_no_statistic():
    """Absurd control rows and columns change nothing but their own count."""
    adata = npx(n=30, p=12)
    absurd = np.array(adata.X)
    absurd[-3:], absurd[:, -1] = 40.0, np.nan
    spoilt = npx(
        values=absurd,
        obs={"sample_type": ["SAMPLE"] * 27 + ["CONTROL"] * 3},
        var={"assay_type": ["ASSAY"] * 11 + ["EXTENSION_CONTROL"], "panel": "one"},
        layers={"lod": np.full(absurd.shape, 4.9)},
    )
    plain = spoilt[:27, :11].copy()
    about_controls = ("control_sample", "control_assay", "replicates")
    report = check_npx(spoilt)
    rest = report[~report["check"].isin(about_controls)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, check_npx(plain))
    assert len(rest) > 0


# --- values -------------------------------------------------------------------------------


def test_empty_missing_and_constant():
    x = np.random.default_rng(1).normal(5, 1, (24, 10))
    x[:, 2] = np.nan
    x[7] = np.nan
    x[:15, 3] = np.nan
    x[:, 4] = np.where(np.arange(24) == 7, np.nan, 6.5)
    adata = npx(values=x)
    report = check_npx(adata)
    assert items(report, "empty") == ["OID00002", "row007"]
    assert items(report, "missing", "assay") == ["OID00003"]
    assert of(report, "missing", "assay")["share"].item() == 15 / 24
    assert items(report, "constant") == ["OID00004"]
    assert of(report, "constant")["action"].item() == "none"
    assert of(report, "missing", "data")["n"].item() == np.isnan(x).sum()
    tidy = clean(adata, report)
    assert tidy.shape == (23, 9)
    assert clean(adata, report, missing_assay=0.5).shape == (23, 8)
    assert clean(adata, report, empty="keep").shape == (24, 10)


def test_shares_settle():
    """An assay that only exceeds the limit once a sample has left goes as well."""
    x = np.full((4, 4), 5.0) + np.arange(4)
    x[0, :3] = np.nan  # 3 of 4 missing: goes
    x[1:3, 3] = np.nan  # 2 of 4, then 2 of 3
    x[1, 0] = x[2, 1] = np.nan
    adata = npx(values=x)
    tidy = clean(adata, missing_assay=0.6, missing_sample=0.6)
    shares = np.isnan(tidy.X)
    assert tidy.shape == (3, 3)
    assert shares.mean(axis=0).max() <= 0.6
    assert shares.mean(axis=1).max() <= 0.6


def test_below_lod_is_flagged_and_kept():
    adata = npx()
    lod = np.full(adata.shape, -5.0)
    lod[:, 1] = 20.0
    lod[3] = 20.0
    lod[4:10, 2] = 20.0
    adata.layers["lod"] = lod
    report = check_npx(adata)
    assert items(report, "below_lod", "assay") == ["OID00001"]
    assert items(report, "below_lod", "sample") == ["row003"]
    assert of(report, "below_lod", "data")["n"].item() == 24 + 9 + 6
    assert set(of(report, "below_lod")["action"]) == {"none"}
    assert np.array_equal(clean(adata, report).X, adata.X)


def test_below_lod_options():
    adata = npx()
    adata.layers["lod"] = np.full(adata.shape, 5.0)
    adata.X[0, 0] = np.nan
    flagged = clean(adata, below_lod="flag")
    assert np.array_equal(flagged.layers["below_lod"], adata.X < 5)
    assert np.array_equal(flagged.X, adata.X, equal_nan=True)
    replaced = clean(adata, below_lod="replace")
    assert np.array_equal(replaced.X, np.where(adata.X < 5, 5.0, adata.X), equal_nan=True)
    assert np.array_equal(replaced.layers["below_lod"], adata.X < 5)
    assert replaced.uns["precisionpain"]["flow"]["n"].tolist() == [int((adata.X < 5).sum())]
    with pytest.raises(FormatError, match="found none"):
        clean(npx(layers={}), below_lod="flag")


def test_lod_of_var_and_unknown_limits():
    adata = npx(layers={}, var={"lod": [20.0, np.nan] + [0.0] * 8})
    assert items(check_npx(adata), "below_lod", "assay") == ["OID00000"]
    assert not below_lod(adata, adata.X)[:, 1].any()


@pytest.mark.parametrize("place", ["layer", "obs", "obsm"])
def test_sample_qc(place):
    """Two samples failed on one panel (or all, where only the sample is known)."""
    words = ["FAIL", "Pass", "Warning"] + ["PASS"] * 20 + ["FAIL"]
    codes = np.array([2, 0, 1] + [0] * 20 + [2], dtype=float)
    adata = npx(layers={})
    if place == "obs":
        adata.obs["sample_qc"] = words
        expected = 2 * 10
    elif place == "obsm":
        adata.obsm["sample_qc"] = pd.DataFrame(
            {"Neurology": words, "Inflammation": "PASS"}, index=adata.obs_names
        )
        expected = 2 * 5
    else:
        layer = np.zeros(adata.shape)
        layer[:, 5:] = codes[:, None]
        adata.layers["sample_qc"] = layer
        expected = 2 * 5
    report = check_npx(adata)
    found = of(report, "sample_qc")
    assert found[["item", "severity"]].values.tolist() == [
        ["row000", "warning"], ["row023", "warning"], ["row002", "note"]
    ]  # fmt: skip
    if place != "obs":
        assert "'Neurology'" in found["message"].iloc[0]
        assert "Inflammation" not in found["message"].iloc[0]
    masked = clean(adata, report, empty="keep")
    assert np.isnan(masked.X).sum() == expected
    assert np.isnan(masked.X[[0, 23], 5:]).all()
    # Of whom nothing is left leaves, though the report couldn't know.
    assert clean(adata, report).n_obs == (22 if place == "obs" else 24)
    assert clean(adata, report, qc="remove").n_obs == 22
    warned = clean(adata, report, qc_level="WARN", empty="keep")
    assert np.isnan(warned.X).sum() == expected * 3 / 2
    assert np.array_equal(clean(adata, report, qc="keep").X, adata.X)


def test_assay_qc():
    codes = np.zeros((24, 10))
    codes[::3, 6] = QC["FAIL"]
    codes[1, 7] = QC["WARN"]
    codes[2, 8] = np.nan
    adata = npx(layers={"assay_qc": codes})
    report = check_npx(adata)
    assert of(report, "assay_qc")[["item", "severity", "n"]].values.tolist() == [
        ["OID00006", "warning", 8], ["OID00007", "note", 1]
    ]  # fmt: skip
    tidy = clean(adata)
    assert np.array_equal(np.isnan(tidy.X), codes == QC["FAIL"])
    assert "OID00006" not in clean(adata, qc="remove").var_names


def test_quantiles():
    x = np.random.default_rng(3).normal(size=(40, 17))
    x[np.random.default_rng(4).random(x.shape) < 0.4] = np.nan
    x[5, 1:] = np.nan
    for q in (0.0, 0.25, 0.5, 0.75, 1.0):
        assert np.allclose(quantile(x, q), np.nanquantile(x, q, axis=1), rtol=0, atol=1e-14)
    x[7] = np.nan
    assert np.isnan(quantile(x, 0.5)[7])


def test_outliers_by_median_and_iqr():
    rng = np.random.default_rng(5)
    x = rng.normal(5, 1, (60, 40))
    x[10, :20] += 6  # the median, on the first panel
    x[20, 20:] = 5 + 12 * (x[20, 20:] - 5)  # the spread, on the second
    adata = npx(values=x)
    report = check_npx(adata)
    found = of(report, "outlier").set_index("item")["message"]
    assert found["row010"].startswith("panel 'Inflammation': median")
    assert found["row020"].startswith("panel 'Neurology': ")
    assert "IQR" in found["row020"]
    # By hand: mean ± 3 SD of the samples' own medians and IQRs.
    spread = sample_spread(Measured(adata), 3.0)
    for panel, columns in (("Inflammation", slice(0, 20)), ("Neurology", slice(20, 40))):
        own = spread[spread["panel"] == panel]
        med = np.median(x[:, columns], axis=1)
        iqr = stats.iqr(x[:, columns], axis=1)
        assert np.allclose(own["median"], med)
        assert np.allclose(own["iqr"], iqr)
        z = [np.abs(v - v.mean()) / v.std(ddof=1) for v in (med, iqr)]
        assert np.array_equal(own["outlier"], (z[0] > 3) | (z[1] > 3))
    assert items(check_npx(adata, n_sd=50), "outlier") == []


def test_outliers_leave_by_the_report_only():
    x = np.random.default_rng(5).normal(5, 1, (60, 40))
    x[[10, 30]] += 8
    adata = npx(values=x)
    report = check_npx(adata)
    with pytest.raises(FormatError, match="pass it as report"):
        clean(adata, outliers="remove")
    assert clean(adata, report).n_obs == 60
    agreed = report[report["item"] != "row030"]
    tidy = clean(adata, agreed, outliers="remove")
    assert "row010" not in tidy.obs_names
    assert "row030" in tidy.obs_names
    again = clean(tidy, agreed, outliers="remove")
    assert again.n_obs == tidy.n_obs


# --- plates, groups -----------------------------------------------------------------------


def test_kruskal_against_scipy():
    rng = np.random.default_rng(6)
    x = np.round(rng.normal(size=(40, 30)), 1)  # with ties
    codes = rng.integers(0, 4, 40)
    x[codes == 2, :10] += 1
    x[rng.random(x.shape) < 0.1] = np.nan
    x[codes == 1, 5] = np.nan
    x[:, 6] = 1.5
    x[codes != 0, 7] = np.nan
    h, p, share = kruskal(x, codes)
    for j in range(30):
        if j in (6, 7):
            assert np.isnan(p[j])
            continue
        groups = [x[(codes == g) & ~np.isnan(x[:, j]), j] for g in range(4)]
        oracle = stats.kruskal(*[g for g in groups if len(g)])
        assert h[j] == pytest.approx(oracle.statistic, abs=1e-10)
        assert p[j] == pytest.approx(oracle.pvalue, abs=1e-12)
        assert 0 <= share[j] <= 1


@pytest.mark.parametrize("batch", [None, "plate", ["plate"]])
def test_plate_effects(batch):
    x = np.random.default_rng(7).normal(5, 0.5, (48, 20))
    on = np.arange(48) % 3 == 1
    x[np.ix_(on, [2, 11, 17])] += 2
    report = check_npx(npx(values=x), batch=batch)
    assert set(items(report, "batch_effect", "assay")) >= {"OID00002", "OID00011", "OID00017"}
    assert len(items(report, "batch_effect", "assay")) <= 4
    shift = of(report, "batch_effect", "assay").set_index("item")["message"]["OID00002"]
    medians = [np.median(x[np.arange(48) % 3 == g, 2]) for g in range(3)]
    assert f"up to {np.ptp(medians):.2f} apart" in shift


def test_no_plate_effect_under_the_null():
    """FDR holds: over many sets without any effect few have a finding (5% expected)."""
    hits = [
        not of(check_npx(npx(n=48, p=30, seed=s)), "batch_effect").empty for s in range(100, 160)
    ]
    assert np.mean(hits) < 0.15


def test_plates_differ_by_panel():
    x = np.random.default_rng(8).normal(5, 0.5, (48, 10))
    plates = pd.DataFrame({"Inflammation": ["a", "b"] * 24, "Neurology": ["c"] * 24 + ["d"] * 24})
    x[:, 8] += np.where(plates["Neurology"] == "c", 2, 0)
    adata = npx(values=x)
    del adata.obs["plate"]
    adata.obsm["plate"] = plates.set_axis(adata.obs_names)
    assert items(check_npx(adata), "batch_effect", "assay") == ["OID00008"]


def test_plate_is_the_group():
    adata = npx(obs={"group": ["TN", "control", "control"] * 8})
    found = of(check_npx(adata, group="group"), "confounded")
    assert found["severity"].item() == "error"
    assert found["item"].item() == "plate × group"
    assert found["share"].item() == pytest.approx(1)
    spread = npx(obs={"group": ["TN"] * 12 + ["control"] * 12})
    assert of(check_npx(spread, group="group"), "confounded").empty
    uneven = npx(n=60, obs={"group": ["TN" if i % 3 == 0 or i < 6 else "no" for i in range(60)]})
    assert of(check_npx(uneven, group="group"), "confounded")["severity"].item() == "warning"


def test_visits_on_different_plates():
    adata = npx(
        obs={"subject_id": [f"S{i // 2}" for i in range(24)], "visit": ["pre", "post"] * 12}
    )
    found = of(check_npx(adata), "split_subject")
    assert found["n"].item() == 12


@pytest.mark.parametrize("option", [{"group": "diagnosis"}, {"batch": "run"}])
def test_absent_column(option):
    with pytest.raises(FormatError, match=next(iter(option.values()))):
        check_npx(npx(), **option)


@pytest.mark.parametrize("option", [{"below_lod": 50}, {"missing": -0.1}, {"fdr": 2}])
def test_shares_are_shares(option):
    with pytest.raises(FormatError, match="from 0 to 1"):
        check_npx(npx(), **option)


# --- mass spectrometry ---------------------------------------------------------------------


def test_contaminants_and_decoys():
    names = [f"Q{j:05d}" for j in range(30)]
    names[3] = "CON__P04264;P04264"
    names[4] = "REV__P00001"
    names[5] = "P12345;CON__P02768"  # a minor member: stays
    names[6] = "rev_sp|P00002|X"
    adata = lfq(names=names, only_by_site=[False] * 29 + [True])
    report = check_lfq(adata)
    assert items(report, "contaminant") == ["CON__P04264;P04264"]
    assert items(report, "decoy") == ["REV__P00001", "rev_sp|P00002|X"]
    assert items(report, "only_by_site") == ["Q00029"]
    tidy = clean(adata, report)
    assert tidy.n_vars == 26
    assert "P12345;CON__P02768" in tidy.var_names
    removed = tidy.uns["precisionpain"]["removed"]
    assert removed == {
        "contaminant (assays)": 1, "decoy (assays)": 2, "only_by_site (assays)": 1
    }  # fmt: skip


def test_low_numbers_of_proteins():
    x = lfq(n=20, p=200).X.copy()
    rng = np.random.default_rng(9)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[4, :90] = np.nan
    report = check_lfq(lfq(values=x))
    assert items(report, "n_proteins", "sample") == ["run4"]
    assert of(report, "n_proteins", "sample")["n"].item() == (~np.isnan(x[4])).sum()
    assert clean(lfq(values=x), report, outliers="remove").n_obs == 19


@pytest.mark.parametrize("at_random", [True, False])
def test_missing_not_at_random(at_random):
    rng = np.random.default_rng(10)
    level = np.linspace(18, 32, 200)
    x = rng.normal(level, 1, (30, 200))
    gone = rng.random(x.shape) < 0.2 if at_random else rng.random(x.shape) < (32 - x) / 28
    x[gone] = np.nan
    assert of(check_lfq(lfq(values=x)), "missing_not_at_random").empty is at_random


def test_single_peptides():
    found = of(check_lfq(lfq(n_peptides=[1, 1] + [5] * 28)), "n_peptides")
    assert found["n"].item() == 2


# --- contamination, replicates ---------------------------------------------------------------


def test_blood_in_csf():
    genes = [f"G{j}" for j in range(10)]
    genes[1], genes[2], genes[7] = "HBA1;HBA2", "HBB", "CA1"
    x = np.random.default_rng(11).normal(20, 0.2, (30, 10))
    x[5, [1, 2, 7]] += 4
    adata = npx(values=x, var={"gene": genes})
    report = check_npx(adata)
    assert items(report, "erythrocyte", "sample") == ["row005"]
    index = contamination_index(adata)
    assert list(index.columns) == ["erythrocyte"]
    by_hand = np.median(x[:, [1, 2, 7]] - np.median(x[:, [1, 2, 7]], axis=0), axis=1)
    assert np.allclose(index["erythrocyte"], by_hand)
    # One marker alone is no evidence.
    assert contamination_index(adata[:, [0, 2, 3]]).shape == (30, 0)


def test_contamination_is_judged_within_a_specimen():
    """Plasma holds more haemoglobin than CSF; that's no contamination."""
    x = np.random.default_rng(12).normal(10, 0.2, (40, 4))
    x[20:] += 5
    adata = npx(
        values=x,
        obs={"specimen": ["CSF"] * 20 + ["plasma"] * 20},
        var={"gene": ["HBA1", "HBB", "CA1", "PPBP"]},
    )
    assert items(check_npx(adata), "erythrocyte", "sample") == []
    assert contamination_index(adata)["erythrocyte"].abs().max() < 1


def controls(values, plates, **obs):
    values = np.array(values, dtype=float)
    return npx(
        values=values, layers={},
        obs={"sample_type": "CONTROL", "plate": plates, **obs}, var={"panel": "one"},
    )  # fmt: skip


def test_cv_by_hand():
    adata = controls([[1.0], [1.2], [2.0], [2.4]], ["a", "a", "b", "b"])
    cv = coefficient_of_variation(adata).iloc[0]
    within = np.sqrt((2 * 0.1**2 + 2 * 0.2**2) / 2)
    between = np.std([1.1, 2.2], ddof=1)
    total = np.std([1.0, 1.2, 2.0, 2.4], ddof=1)
    for name, sd in (("cv_intra", within), ("cv_inter", between), ("cv_total", total)):
        oracle = stats.lognorm(s=sd * np.log(2))
        assert cv[name] == pytest.approx(oracle.std() / oracle.mean(), rel=1e-12)
    assert (cv["n"], cv["n_plates"]) == (4, 2)


def test_cv_of_several_materials():
    """Two materials at different levels: their difference is no variation."""
    x = [[1.0], [1.2], [7.0], [7.2], [1.0], [1.2], [7.0], [7.2]]
    adata = controls(x, ["a"] * 4 + ["b"] * 4, pool=["low", "low", "high", "high"] * 2)
    cv = coefficient_of_variation(adata, by="pool").iloc[0]
    within = stats.lognorm(s=np.sqrt(0.02) * np.log(2))
    assert cv["cv_intra"] == pytest.approx(within.std() / within.mean())
    assert cv["cv_inter"] == pytest.approx(0, abs=1e-7)
    assert coefficient_of_variation(adata)["cv_intra"].item() > 10


def test_cv_leaves_out_what_is_missing_or_below():
    x = np.array([[1.0, 3.0], [1.2, np.nan], [-9.0, 3.1], [1.1, 3.3]])
    adata = controls(x, ["a"] * 4)
    adata.layers["lod"] = np.zeros(x.shape)
    cv = coefficient_of_variation(adata, above_lod=True)
    assert cv["n"].tolist() == [3, 3]
    sd = np.std([1.0, 1.2, 1.1], ddof=1) * np.log(2)
    assert cv["cv_intra"].iloc[0] == pytest.approx(np.sqrt(np.exp(sd**2) - 1))
    assert cv["cv_inter"].isna().all()
    assert coefficient_of_variation(adata)["n"].tolist() == [4, 3]


def test_cv_without_replicates():
    with pytest.raises(FormatError, match="'SAMPLE': 24"):
        coefficient_of_variation(npx())
    with pytest.raises(FormatError, match="'pool'"):
        coefficient_of_variation(npx(), sample_type="SAMPLE", by="pool")
    single = coefficient_of_variation(controls([[1.0]], ["a"]))
    assert single[["cv_intra", "cv_inter", "cv_total"]].isna().all(axis=None)


# --- cleaning -------------------------------------------------------------------------------


def spoilt(seed):
    """Return data with something of everything."""
    rng = np.random.default_rng(seed)
    x = rng.normal(5, 1.5, (40, 16))
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape) < 0.01] = np.inf
    x[:, 3] = np.nan
    x[rng.integers(40), rng.integers(16)] = 0.0
    adata = npx(
        values=x,
        obs={"sample_type": rng.choice(["SAMPLE", "CONTROL"], 40, p=[0.8, 0.2])},
        var={"assay_type": rng.choice(["ASSAY", "EXTENSION_CONTROL"], 16, p=[0.9, 0.1])},
        layers={
            "lod": np.full(x.shape, 4.0),
            "sample_qc": np.repeat(rng.choice([0.0, 1.0, 2.0], (40, 1), p=[0.8, 0.1, 0.1]), 16, 1),
            "assay_qc": rng.choice([0.0, 2.0, np.nan], x.shape, p=[0.95, 0.03, 0.02]),
        },
        removed={"no_protein": 2},
    )
    names = list(adata.var_names)
    names[-1] = "control"
    adata.var_names = names
    return adata


OPTIONS = st.fixed_dictionaries(
    {
        "controls": st.sampled_from(["remove", "keep"]),
        "qc": st.sampled_from(["mask", "keep"]),
        "qc_level": st.sampled_from(["FAIL", "WARN"]),
        "infinite": st.sampled_from(["mask", "keep"]),
        "zeros": st.sampled_from(["mask", "keep"]),
        "malformed": st.sampled_from(["remove", "keep"]),
        "below_lod": st.sampled_from(["keep", "flag", "replace"]),
        "empty": st.sampled_from(["remove", "keep"]),
        "missing_assay": st.sampled_from([None, 0.35, 0.6]),
        "missing_sample": st.sampled_from([None, 0.45, 0.6]),
    }
)


def cleaned(adata, options):
    """Clean; an example of which nothing would be left shows nothing."""
    try:
        return clean(adata, **options)
    except FormatError as error:
        if "nothing would be left" in str(error):
            reject()
        raise


def same(a, b):
    assert list(a.obs_names) == list(b.obs_names)
    assert list(a.var_names) == list(b.var_names)
    assert np.array_equal(a.X, b.X, equal_nan=True)
    assert set(a.layers) == set(b.layers)
    for name in a.layers:
        assert np.array_equal(
            np.asarray(a.layers[name], float), np.asarray(b.layers[name], float), equal_nan=True
        )
    one, two = a.uns["precisionpain"], b.uns["precisionpain"]
    pd.testing.assert_frame_equal(one["flow"], two["flow"])
    assert one["removed"] == two["removed"]
    assert one["summary"] == two["summary"]


@settings(max_examples=40)
@given(st.integers(0, 10**6), OPTIONS)
def test_cleaning_twice_is_cleaning_once(seed, options):
    once = cleaned(spoilt(seed), options)
    same(once, clean(once, **options))


@settings(max_examples=20)
@given(st.integers(0, 10**6), OPTIONS)
def test_order_and_names_of_rows_matter_not(seed, options):
    adata = spoilt(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(40), rng.permutation(16)
    shuffled = adata[rows][:, columns].copy()
    one, two = cleaned(adata, options), cleaned(shuffled, options)
    assert set(one.obs_names) == set(two.obs_names)
    assert set(one.var_names) == set(two.var_names)
    aligned = two[one.obs_names, one.var_names]
    assert np.array_equal(one.X, aligned.X, equal_nan=True)
    renamed = adata.copy()
    renamed.obs_names = [f"CONTROL_NC_{i}" for i in range(40)]
    assert np.array_equal(one.X, clean(renamed, **options).X, equal_nan=True)


@settings(max_examples=20)
@given(st.integers(0, 10**6), OPTIONS)
def test_the_flow_accounts_for_everything(seed, options):
    adata = spoilt(seed)
    tidy = cleaned(adata, options)
    flow = tidy.uns["precisionpain"]["flow"]
    gone = flow.groupby("what")["n"].sum()
    assert adata.n_obs - gone.get("samples", 0) == tidy.n_obs
    assert adata.n_vars - gone.get("assays", 0) == tidy.n_vars
    listed = [
        name for text in flow.loc[flow["what"] == "samples", "items"] for name in text.split("; ")
    ]
    assert set(listed) == set(adata.obs_names) - set(tidy.obs_names)
    removed = tidy.uns["precisionpain"]["removed"]
    assert removed.pop("no_protein") == 2  # what the reader counted stays
    assert sum(removed.values()) == flow["n"].sum()
    for n in flow["n"]:
        assert str(n) in tidy.uns["precisionpain"]["summary"]


def test_the_record_survives_a_file(tmp_path):
    for name, adata in (("some", spoilt(1)), ("none", npx())):
        tidy = clean(adata)
        tidy.write_h5ad(tmp_path / f"{name}.h5ad")
        back = anndata.read_h5ad(tmp_path / f"{name}.h5ad")
        known = back.uns["precisionpain"]
        flow = tidy.uns["precisionpain"]["flow"]
        assert known["flow"].astype(str).values.tolist() == flow.astype(str).values.tolist()
        assert known["summary"] == tidy.uns["precisionpain"]["summary"]
        same(clean(back), clean(tidy))


@settings(max_examples=20)
@given(st.integers(0, 10**6), OPTIONS)
def test_a_whole_report_forbids_nothing(seed, options):
    """But for controls that are kept, and zeros, which are values of NPX as any other."""
    adata = spoilt(seed)
    report = check_npx(adata, missing=0)
    options = {**options, "controls": "remove", "zeros": "keep"}
    same(cleaned(adata, options), cleaned(adata, {**options, "report": report}))


def test_only_what_the_report_lists():
    adata = spoilt(2)
    report = check_npx(adata)
    assert {"control_sample", "sample_qc", "infinite"} <= set(report["check"])
    untouched = clean(adata, report.iloc[:0], missing_assay=0.1)
    assert np.array_equal(untouched.X, adata.X, equal_nan=True)
    only = clean(adata, report[report["check"] == "control_sample"])
    assert only.uns["precisionpain"]["flow"]["step"].tolist() == ["type CONTROL"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_report_follows_the_names(seed):
    """Rows and columns in another order: the same findings of the same items."""
    adata = spoilt(seed)
    rng = np.random.default_rng(seed)
    shuffled = adata[rng.permutation(40)][:, rng.permutation(16)].copy()
    keys = ["check", "severity", "where", "item", "n"]
    one, two = (
        check_npx(each, missing=0.3).sort_values(keys, ignore_index=True)
        for each in (adata, shuffled)
    )
    pd.testing.assert_frame_equal(one[keys], two[keys])
    assert np.allclose(one["share"], two["share"], equal_nan=True)


def test_names_that_coincide():
    """A sample with the name of an assay, or of a line on all data, is only itself."""
    x = np.random.default_rng(3).normal(5, 1, (24, 10))
    x[:, 2] = np.nan
    x[0, 4] = np.nan
    adata = npx(values=x)
    adata.obs_names = ["X", "OID00002"] + [f"row{i}" for i in range(22)]
    report = check_npx(adata)
    assert items(report, "missing", "data") == ["X"]
    x[:2] = np.nan  # after the report
    spoilt = adata.copy()
    spoilt.X = x
    tidy = clean(spoilt, report, missing_sample=0.5, outliers="remove", empty="keep")
    assert list(tidy.obs_names) == list(adata.obs_names)


def test_what_is_no_report():
    for wrong in ({"check": []}, pd.DataFrame({"a": [1]})):
        with pytest.raises(FormatError, match="report"):
            clean(npx(), wrong)


@pytest.mark.parametrize(
    "option",
    [{"controls": "drop"}, {"qc": True}, {"below_lod": "half"}, {"missing_assay": 50}],
)
def test_unknown_options(option):
    with pytest.raises(FormatError, match=next(iter(option))):
        clean(npx(), **option)


def test_nothing_left():
    with pytest.raises(FormatError, match="24 samples \\(type CONTROL\\)"):
        clean(npx(obs={"sample_type": "CONTROL"}))


@pytest.mark.parametrize("name", ["csf_pea", "plasma_pea", "csf_lfq"])
def test_the_synthetic_cohort(name):
    adata = pp.datasets.sample_tn().assays[name]
    report = (check_lfq if name == "csf_lfq" else check_npx)(adata)
    assert "error" not in set(report["severity"])
    types = adata.obs["sample_type"].value_counts()
    counted = of(report, "control_sample").set_index("item")["n"]
    assert counted.to_dict() == types.drop("SAMPLE").to_dict()
    tidy = clean(adata, report)
    assert tidy.n_obs == types["SAMPLE"]
    assert (tidy.obs["sample_type"] == "SAMPLE").all()


# --- real exports ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def olink_export(shared_data):
    path = shared_data / "olink" / "reference_results" / "npx1.csv.gz"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}")
    long = pd.read_csv(path)
    return pp.proteomics.read_npx(path), long[~long["SampleID"].str.startswith("CONTROL")]


def test_real_outliers_and_warnings(olink_export):
    """The same samples as a long table gives by its own grouping."""
    adata, people = olink_export
    report = check_npx(adata)
    assert "error" not in set(report["severity"])
    assert of(report, "control_sample")["n"].item() == adata.n_obs - people["SampleID"].nunique()
    own = people.groupby(["Panel", "SampleID"])["NPX"].agg(["median", stats.iqr])
    z = (own - own.groupby("Panel").transform("mean")) / own.groupby("Panel").transform("std")
    expected = {name for _, name in own.index[(z.abs() > 3).any(axis=1)]}
    assert set(items(report, "outlier")) == expected
    assert expected
    warned = people.loc[people["QC_Warning"] != "Pass", "SampleID"].unique()
    assert set(items(report, "sample_qc")) == set(warned)


def test_real_values_below_lod(olink_export):
    adata, people = olink_export
    below = people["NPX"] < people["LOD"]
    report = check_npx(adata, below_lod=0.08)
    assert of(report, "below_lod", "data")["n"].item() == below.sum()
    share = below.groupby(people["OlinkID"]).mean()
    assert set(items(report, "below_lod", "assay")) == set(share.index[share > 0.08])
    assert (share > 0.08).any()


def test_real_plate_effects(olink_export):
    adata, people = olink_export
    p = {
        name: stats.kruskal(*[rows["NPX"].dropna() for _, rows in table.groupby("PlateID")]).pvalue
        for name, table in people.groupby("OlinkID")
    }
    q = stats.false_discovery_control(list(p.values()))
    expected = {name for name, value in zip(p, q, strict=True) if value < 0.05}
    assert set(items(check_npx(adata), "batch_effect", "assay")) == expected
    assert expected


def test_real_contaminants(shared_data):
    path = shared_data / "lfq" / "small_exports" / "lfq_maxquant_proteinGroups.txt.gz"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}")
    table = pd.read_csv(path, sep="\t", low_memory=False)
    flags = ["Potential contaminant", "Reverse", "Only identified by site"]
    flags = [name if name in table else name.replace(" ", ".") for name in flags]
    foreign = (table[flags] == "+").any(axis=1)
    adata = pp.proteomics.read_maxquant(path, keep=("contaminant", "decoy", "only_by_site"))
    report = check_lfq(adata)
    for name, check in zip(flags, ("contaminant", "decoy", "only_by_site"), strict=True):
        assert len(of(report, check)) == (table[name] == "+").sum() > 0
    assert clean(adata, report, empty="keep").n_vars == (~foreign).sum()
