"""Limits of detection: from controls by the published formulas, from a table, and counting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import below_lod, estimate_lod
from precisionpain.proteomics._layout import make_adata


def explore(n_people=20, n_blank=12, n_assays=6, seed=0, zero=False):
    """Counts as the instrument gives them, and NPX by the published formulas."""
    rng = np.random.default_rng(seed)
    n = n_people + n_blank + 4
    kind = ["SAMPLE"] * n_people + ["NEGATIVE_CONTROL"] * n_blank + ["PLATE_CONTROL"] * 4
    plate = np.array(["P1", "P2"])[np.arange(n) % 2]
    level = np.array([3000.0, 2000, 1500, 800, 600, 500])[:n_assays]
    counts = np.round(level * np.exp(rng.normal(0, 0.5, (n, n_assays)))) + 200
    # Assays 0 to 2 have counts in empty wells, the others next to none.
    blank = slice(n_people, n_people + n_blank)
    counts[blank, :3] = np.round(200 * np.exp(rng.normal(0, 0.3, (n_blank, 3)))) + 60
    counts[blank, 3:] = rng.integers(1, 90, (n_blank, n_assays - 3))
    if zero:
        counts[0, 3] = 0
    extension = np.round(1000 * np.exp(rng.normal(0, 0.2, n)))
    with np.errstate(divide="ignore"):
        ext_npx = np.log2(counts / extension[:, None])
    pc = np.empty_like(ext_npx)
    center = {}
    for p in ("P1", "P2"):
        control = (plate == p) & (np.array(kind) == "PLATE_CONTROL")
        center[p] = np.median(ext_npx[control], axis=0)
        pc[plate == p] = ext_npx[plate == p] - center[p]
    pc[np.isinf(pc)] = np.nan
    obs = pd.DataFrame({"sample_type": kind, "plate": plate}, index=[f"r{i}" for i in range(n)])
    var = pd.DataFrame(
        {"panel": "Explore", "assay_type": "ASSAY"}, index=[f"OID{i:05d}" for i in range(n_assays)]
    )
    adata = make_adata(pc, obs, var, layers={"count": counts}, kind="npx", unit="NPX")
    return adata, extension, center


def npx_limit(values):
    return np.median(values) + max(0.2, 3 * np.std(values, ddof=1))


def test_limits_from_npx_of_negative_controls():
    adata, *_ = explore()
    out = estimate_lod(adata)
    blank = adata[adata.obs["sample_type"] == "NEGATIVE_CONTROL"]
    for j in range(3):
        expected = npx_limit(blank.X[:, j])
        np.testing.assert_allclose(out.layers["lod"][:, j], expected, rtol=0, atol=1e-12)
    assert out.var["lod_method"].tolist() == ["npx"] * 3 + ["count"] * 3


def test_the_margin_is_at_least_a_fifth():
    adata, *_ = explore()
    blank = (adata.obs["sample_type"] == "NEGATIVE_CONTROL").to_numpy()
    adata.X[blank, 0] = np.linspace(1.0, 1.01, blank.sum())
    np.testing.assert_allclose(estimate_lod(adata).layers["lod"][:, 0], 1.005 + 0.2)


def test_limits_from_counts_by_the_published_formula():
    adata, extension, center = explore()
    out = estimate_lod(adata)
    blank = (adata.obs["sample_type"] == "NEGATIVE_CONTROL").to_numpy()
    for j in (3, 4, 5):
        top = adata.layers["count"][blank, j].max()
        assert top <= 150
        limit = max(150, 2 * top)
        by_plate = np.array([center[p][j] for p in adata.obs["plate"]])
        expected = np.log2(limit / extension) - by_plate
        np.testing.assert_allclose(out.layers["lod"][:, j], expected, rtol=0, atol=1e-10)
    assert np.ptp(out.layers["lod"][:, 3]) > 0.1


def test_a_cell_without_counts_takes_its_extension_control():
    adata, extension, center = explore(zero=True)
    control = adata[:, :1].copy()
    control.var_names = ["EXT"]
    control.var["assay_type"] = "EXTENSION_CONTROL"
    control.layers["count"] = extension[:, None]
    control.X = np.zeros((adata.n_obs, 1))
    whole = make_adata(
        np.hstack([adata.X, control.X]), adata.obs, pd.concat([adata.var, control.var]),
        layers={"count": np.hstack([adata.layers["count"], control.layers["count"]])},
    )  # fmt: skip
    out = estimate_lod(whole)
    blank = (adata.obs["sample_type"] == "NEGATIVE_CONTROL").to_numpy()
    limit = max(150, 2 * adata.layers["count"][blank, 3].max())
    expected = np.log2(limit / extension[0]) - center[adata.obs["plate"].iloc[0]][3]
    assert np.isnan(whole.X[0, 3])
    assert out.layers["lod"][0, 3] == pytest.approx(expected, abs=1e-10)
    # Control assays have no limit of their own.
    assert out.var.loc["EXT", "lod_method"] == "none"


def test_limits_follow_a_later_normalisation_plate_by_plate():
    adata, *_ = explore()
    plain = estimate_lod(adata)
    later = adata.copy()
    later.layers["pc_normalized_npx"] = adata.X.copy()
    added = np.where(adata.obs["plate"] == "P1", -1.5, 0.7)[:, None] * np.arange(1, 7)
    later.X = adata.X + added
    later.X[3, 2] = np.nan
    later.layers["pc_normalized_npx"][3, 2] = np.nan
    later.var["normalization"] = "Intensity"
    out = estimate_lod(later)
    np.testing.assert_allclose(out.layers["lod"], plain.layers["lod"] + added, atol=1e-12)
    del later.layers["pc_normalized_npx"]
    with pytest.raises(FormatError, match="6 assays are intensity-normalised"):
        estimate_lod(later)


@pytest.mark.parametrize("where", ["obs", "var", "obsm", "layers"])
def test_each_reference_has_its_own_limit(where):
    adata, *_ = explore(n_blank=24)
    del adata.layers["count"]
    if where == "var":
        adata.var["data_analysis_ref"] = ["D1"] * 2 + ["D2"] * 4
        blank = adata[adata.obs["sample_type"] == "NEGATIVE_CONTROL"]
        out = estimate_lod(adata)
        np.testing.assert_allclose(out.layers["lod"][0], [npx_limit(c) for c in blank.X.T])
        return
    reference = np.where(np.arange(adata.n_obs) % 2 == 0, "D1", "D2")
    if where == "obs":
        adata.obs["data_analysis_ref"] = reference
    elif where == "obsm":
        adata.obsm["data_analysis_ref"] = pd.DataFrame(
            {"Explore": reference}, index=adata.obs_names
        )
    else:
        codes = (reference == "D2").astype(np.int32)
        adata.layers["data_analysis_ref"] = np.tile(codes[:, None], (1, 6))
        adata.uns["precisionpain"]["categories"] = {"data_analysis_ref": ["D1", "D2"]}
    adata.X[reference == "D2"] += 4
    out = estimate_lod(adata)
    for name in ("D1", "D2"):
        blank = adata[(adata.obs["sample_type"] == "NEGATIVE_CONTROL") & (reference == name)]
        assert blank.n_obs == 12
        expected = [npx_limit(column) for column in blank.X.T]
        np.testing.assert_allclose(
            out.layers["lod"][np.flatnonzero(reference == name)[0]], expected
        )


def test_controls_that_passed_nowhere_do_not_count():
    adata, *_ = explore(n_blank=10)
    adata.obs["qc"] = "PASS"
    adata.obs.loc["r20", "qc"] = "FAIL"
    with pytest.raises(FormatError, match=r"expected 10 negative controls .* found 9 \(of 10\)"):
        estimate_lod(adata)
    out = estimate_lod(adata, min_controls=9)
    step = out.uns["precisionpain"]["normalization"]["1"]
    assert (step["n_controls"], step["n_controls_left_out"]) == (9, 1)
    del adata.obs["qc"]
    adata.layers["sample_qc"] = np.zeros(adata.shape)
    adata.layers["sample_qc"][20, :5] = 2
    # It passed for one assay, which is enough.
    assert estimate_lod(adata).uns["precisionpain"]["normalization"]["1"]["n_controls"] == 10


def test_a_reference_with_few_controls_gets_no_limit_and_says_so():
    adata, *_ = explore(n_blank=12)
    adata.obs["data_analysis_ref"] = ["D1"] * 30 + ["D2"] * 6
    with pytest.warns(DataWarning, match=r"1 data-analysis references have fewer than 10"):
        out = estimate_lod(adata)
    assert np.isnan(out.layers["lod"][30:]).all()
    assert np.isfinite(out.layers["lod"][:30]).all()


def fixed(adata, **changes):
    table = pd.DataFrame(
        {
            "OlinkID": adata.var_names, "DataAnalysisRefID": "D1", "LODNPX": [1.0, 2, 3, 4, 5, 6],
            "LODCount": 300.0, "LODMethod": ["lod_npx"] * 4 + ["lod_count"] * 2,
        }
    )  # fmt: skip
    return table.assign(**changes)


def test_limits_of_a_table(tmp_path):
    adata, extension, center = explore()
    adata.obs["data_analysis_ref"] = "D1"
    out = estimate_lod(adata, "fixed", table=fixed(adata))
    np.testing.assert_array_equal(out.layers["lod"][5, :4], [1, 2, 3, 4])
    by_plate = np.array([center[p][4] for p in adata.obs["plate"]])
    np.testing.assert_allclose(out.layers["lod"][:, 4], np.log2(300 / extension) - by_plate)
    assert out.var["lod_method"].tolist() == ["npx"] * 4 + ["count"] * 2
    for separator in ",;":
        path = tmp_path / f"lod{ord(separator)}.csv"
        fixed(adata).sample(frac=1, random_state=1).to_csv(path, sep=separator, index=False)
        again = estimate_lod(adata, "fixed", table=path)
        np.testing.assert_array_equal(again.layers["lod"], out.layers["lod"])


def test_both_ways():
    adata, *_ = explore()
    with pytest.warns(DataWarning, match="1 assays have no limit of detection: 'OID00005'"):
        fixed_alone = estimate_lod(adata, "fixed", table=fixed(adata).iloc[:5])
    both = estimate_lod(adata, "both", table=fixed(adata).iloc[:5])
    np.testing.assert_array_equal(both.layers["nc_lod"], estimate_lod(adata).layers["lod"])
    np.testing.assert_array_equal(both.layers["fixed_lod"], fixed_alone.layers["lod"])
    np.testing.assert_array_equal(both.layers["lod"], both.layers["nc_lod"])


def test_wrong_tables():
    adata, *_ = explore()
    adata.obs["data_analysis_ref"] = "D1"
    with pytest.raises(FormatError, match="'LODCount' are absent"):
        estimate_lod(adata, "fixed", table=fixed(adata).drop(columns="LODCount"))
    with pytest.raises(FormatError, match="found 'guess'"):
        estimate_lod(adata, "fixed", table=fixed(adata, LODMethod="guess"))
    with pytest.raises(AlignmentError, match="several limits for"):
        estimate_lod(adata, "fixed", table=pd.concat([fixed(adata), fixed(adata)]))
    with pytest.raises(AlignmentError, match="no row is for"):
        estimate_lod(adata, "fixed", table=fixed(adata, DataAnalysisRefID="D7"))
    with pytest.raises(FormatError, match="without a table"):
        estimate_lod(adata, "both")
    with pytest.raises(FormatError, match="with a table"):
        estimate_lod(adata, table=fixed(adata))
    with pytest.raises(FormatError, match="found 'maximum'"):
        estimate_lod(adata, "maximum")
    # Without the reference in adata, two rows for an assay can't be told apart.
    del adata.obs["data_analysis_ref"]
    two = pd.concat([fixed(adata), fixed(adata, DataAnalysisRefID="D2")])
    with pytest.raises(AlignmentError, match="several limits"):
        estimate_lod(adata, "fixed", table=two)


def test_values_stay_and_the_input_too():
    adata, *_ = explore()
    adata.var["lod"] = 9.0
    before = adata.copy()
    out = estimate_lod(adata)
    np.testing.assert_array_equal(out.X, adata.X)
    np.testing.assert_array_equal(adata.X, before.X)
    assert "lod" not in adata.layers
    assert "lod" not in out.var
    assert adata.var["lod"].eq(9.0).all()


def test_counting_below_the_limit():
    values = np.array([[1.0, 1, np.nan], [2, 1, 5], [3, 1, 5], [-9, -9, -9]])
    obs = pd.DataFrame({"sample_type": ["SAMPLE"] * 3 + ["CONTROL"]}, index=list("abcd"))
    var = pd.DataFrame({"gene": ["A", "B", "C"], "lod": [1.5, 2.0, 1.0]}, index=list("xyz"))
    adata = make_adata(values, obs, var)
    table = below_lod(adata)
    assert table["n"].tolist() == [3, 3, 2]
    assert table["n_below"].tolist() == [1, 3, 0]
    np.testing.assert_allclose(table["share"], [1 / 3, 1, 0])
    assert table["flagged"].tolist() == [False, True, False]
    # The layer counts before the column.
    adata.layers["lod"] = np.full(adata.shape, 10.0)
    assert below_lod(adata)["share"].tolist() == [1, 1, 1]
    with pytest.raises(FormatError, match="expected the limits 'plate_lod'"):
        below_lod(adata, layer="plate_lod")
