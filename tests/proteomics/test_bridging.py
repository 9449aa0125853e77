"""Choice of bridge samples, and the scales of two products."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import (
    bridge_normalize,
    bridgeability,
    cross_product_normalize,
    read_npx,
    select_bridges,
)
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._normalization.products import (
    compare,
    natural_basis,
    smooth_quantiles,
)

from .projects import people, project

GOLDEN = Path(__file__).parent / "golden" / "bridging"


# --- choice --------------------------------------------------------------------------------


def test_bridges_span_range_and_plates():
    adata = project(people(0, 60), plates=3)
    table = select_bridges(adata, 12)
    real = adata[adata.obs["sample_type"] == "SAMPLE"]
    order = real.to_df().median(axis=1).sort_values()
    place = order.index.get_indexer(table.index) // 5
    # One of each twelfth of the range.
    assert place.tolist() == list(range(12))
    assert table["slice"].tolist() == list(range(1, 13))
    assert table["plate"].value_counts().tolist() == [4, 4, 4]
    np.testing.assert_allclose(table["median"], order[table.index])


def test_plates_of_panels_are_spread_too():
    adata = project(people(0, 60), plates=3)
    plates = adata.obs.pop("plate")
    adata.obsm["plate"] = pd.DataFrame({"Neurology": plates, "Inflammation": "I" + plates})
    table = select_bridges(adata, 12)
    assert table["plate"].value_counts().to_dict() == dict.fromkeys(
        ["P1 / IP1", "P2 / IP2", "P3 / IP3"], 4
    )


def test_who_is_no_candidate():
    adata = project(people(0, 40))
    adata.X[:40] = np.random.default_rng(0).normal(4, 1, (40, 12))
    adata.layers["lod"][:] = -20.0
    adata.obs.loc[people(0, 3), "qc"] = "WARN"
    adata.layers["lod"][3:5, :4] = 50.0
    adata.X[5, :4] = np.nan
    adata.X[6] += 30
    table = select_bridges(adata, 33)
    assert sorted(table.index) == people(7, 40)
    expected = {"control samples": 3, "did not pass": 3, "below the limit": 3, "outlying": 1}
    assert table.attrs["left_out"] == expected
    with pytest.raises(AlignmentError, match=r"expected 34 candidates, found 33 .*3 did not pass"):
        select_bridges(adata, 34)
    assert len(select_bridges(adata, 36, exclude_qc=())) == 36
    assert len(select_bridges(adata, 36, max_below_lod=0.34)) == 36
    with pytest.raises(FormatError, match="at least 1"):
        select_bridges(adata, 0)


def test_no_second_sample_of_a_person_while_there_are_others():
    adata = project(people(0, 40))
    adata.obs["subject_id"] = [*[f"P{i // 2}" for i in range(40)], None, None, None]
    assert select_bridges(adata, 10)["subject_id"].is_unique


@settings(max_examples=15)
@given(st.integers(1, 20), st.integers(0, 1000))
def test_any_order_of_rows_gives_the_same_bridges(n, seed):
    adata = project(people(0, 40), plates=2)
    shuffled = adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()
    one, other = select_bridges(adata, n), select_bridges(shuffled, n)
    assert len(one) == n
    assert list(one.index) == list(other.index)


# --- pieces --------------------------------------------------------------------------------


def test_the_quantile_map_is_that_of_r():
    bridges = pd.read_csv(GOLDEN / "bridges.csv")
    mapped = pd.read_csv(GOLDEN / "mapped.csv")
    out = smooth_quantiles(
        bridges["old"].to_numpy(), bridges["new"].to_numpy(), mapped["new"].to_numpy()
    )
    np.testing.assert_allclose(out, mapped["mapped"], rtol=0, atol=1e-10)


def test_the_spline_is_smooth_and_straight_beyond_its_ends():
    knots = np.array([0.0, 0.5, 1.3, 2.0, 3.0])
    coefficient = np.array([1.0, -2.0, 3.0, 0.5, -1.0])

    def value(x):
        return natural_basis(np.asarray(x, dtype=float), knots) @ coefficient

    for start in (-5.0, 3.0):
        line = value(np.linspace(start, start + 2, 5))
        np.testing.assert_allclose(np.diff(line, 2), 0, atol=1e-9)
    h = 1e-4
    for knot in knots:
        second = [(value([x - h]) - 2 * value([x]) + value([x + h])) / h**2
                  for x in (knot - 3 * h, knot + 3 * h)]  # fmt: skip
        assert abs(second[0] - second[1])[0] < 0.1
    assert abs(value([1.0]) - (value([0.9]) + value([1.1])) / 2)[0] > 1e-3


def test_a_monotone_distortion_is_undone():
    rng = np.random.default_rng(0)
    truth = rng.normal(3, 1.5, 400)
    other = 0.4 * truth + 0.05 * truth**2
    mapped = smooth_quantiles(truth[:60], other[:60], other)
    inside = (other > other[:60].min()) & (other < other[:60].max())
    assert np.abs(mapped - truth)[inside].max() < 0.1
    assert np.abs(other - truth)[inside].max() > 1.0


def test_too_few_bridges_map_nothing_and_missing_stays_missing():
    x = np.arange(13.0)
    assert np.isnan(smooth_quantiles(x, x, x)).all()
    x = np.append(np.arange(40.0), np.nan)
    mapped = smooth_quantiles(x, x, x)
    np.testing.assert_allclose(mapped[:-1], x[:-1], atol=1e-8)
    assert np.isnan(mapped[-1])


def test_comparison_of_an_assay_by_hand():
    rng = np.random.default_rng(4)
    old = rng.normal(5, 1, 50)
    new = 0.8 * old + rng.normal(0, 0.3, 50) + 2
    counts_old, counts_new = np.full(50, 400.0), np.full(50, 200.0)
    counts_old[0] = 10  # not more than 10
    counts_new[1] = 5
    new[2] = 40.0  # far beyond the median ± 3 IQR
    old[3] = np.nan
    found = compare(old, new, counts_old, counts_new)
    a, b = old[4:], new[4:]
    assert found["n"] == 46
    assert found["shift"] == pytest.approx(np.median(a - b))
    assert found["r2"] == pytest.approx(np.corrcoef(a, b)[0, 1] ** 2)
    spans = [np.quantile(x, 0.9) - np.quantile(x, 0.1) for x in (a, b)]
    assert found["range_difference"] == pytest.approx(abs(spans[0] - spans[1]))
    assert found["median_count"] == 200
    ks = ks_2samp(a - np.median(a), b - np.median(b)).statistic
    assert found["ks"] == pytest.approx(ks, abs=1e-12)


# --- two products --------------------------------------------------------------------------

PAIRS = {"OLD0": "OID00000", "OLD1": "OID00001", "OLD2": "OID00002", "OLD3": "OID00003"}


def products(n=60, extra=20):
    """HT and 3072: a shift, a bent scale, no relation, and one shared by two assays."""
    rng = np.random.default_rng(11)
    ids = people(0, n + extra)
    truth = rng.normal(4, 1.2, (n + extra, 5))
    first = make_adata(
        truth + rng.normal(0, 0.05, truth.shape),
        pd.DataFrame({"sample_type": "SAMPLE"}, index=ids),
        pd.DataFrame({"gene": list("ABCDE")}, index=[f"OID{i:05d}" for i in range(5)]),
        layers={"count": np.full(truth.shape, 900.0), "lod": np.full(truth.shape, 0.5)},
        kind="npx", unit="NPX", product="Explore HT",
    )  # fmt: skip
    own = np.column_stack([
        truth[:, 0] - 2.0,
        np.where(truth[:, 1] > 4, 4 + 0.2 * (truth[:, 1] - 4), 4 + 2.5 * (truth[:, 1] - 4)),
        rng.normal(1, 4, n + extra),
        truth[:, 3] + 1.0,
        truth[:, 4],
    ])  # fmt: skip
    counts = np.full(own.shape, 800.0)
    counts[:, 2] = 90
    second = make_adata(
        own + rng.normal(0, 0.05, own.shape),
        pd.DataFrame({"sample_type": "SAMPLE"}, index=[*ids[:n], *people(500, 500 + extra)]),
        pd.DataFrame({"gene": list("ABCDF")}, index=[*PAIRS, "OLD9"]),
        layers={"count": counts, "lod": np.full(own.shape, -3.0)},
        kind="npx", unit="NPX", product="Explore 3072",
    )  # fmt: skip
    return first, second, ids[:n]


def test_each_assay_gets_its_recommendation():
    first, second, ids = products()
    table = bridgeability(first, second, ids, mapping=PAIRS)
    expected = {"OLD0": "median", "OLD1": "quantile", "OLD2": "not_bridgeable", "OLD3": "median"}
    assert table["recommendation"].to_dict() == expected
    assert table["reference_assay"].to_dict() == PAIRS
    assert table["gene"].tolist() == list("ABCD")
    assert table.loc["OLD0", "shift"] == pytest.approx(2.0, abs=0.05)
    assert table.loc["OLD2", "median_count"] == 90
    # All three must fail: with enough counts it is bridgeable.
    second.layers["count"][:, 2] = 150
    again = bridgeability(first, second, ids, mapping=PAIRS)
    assert again.loc["OLD2", "recommendation"] == "quantile"


def test_both_products_in_one(tmp_path):
    first, second, ids = products()
    both = cross_product_normalize(first, second, ids, mapping=PAIRS, projects=("HT", "3072"))
    assert both.obs["project"].value_counts().to_dict() == {"HT": 80, "3072": 20}
    assert list(both.var_names) == [
        "OID00000_OLD0", "OID00001_OLD1", "OID00002", "OID00003_OLD3", "OID00004", "OLD2", "OLD9",
    ]  # fmt: skip
    new = (both.obs["project"] == "3072").to_numpy()
    own = second[both.obs_names[new]].to_df()
    table = bridgeability(first, second, ids, mapping=PAIRS)
    out = both.to_df()[new]
    shift = table.loc["OLD0", "shift"]
    np.testing.assert_allclose(out["OID00000_OLD0"], own["OLD0"] + shift, atol=1e-12)
    layers = {name: both.to_df(name) for name in both.layers}
    bent = "OID00001_OLD1"
    np.testing.assert_array_equal(out[bent], layers["quantile_smoothed"][bent][new])
    np.testing.assert_allclose(
        layers["median_centered"][bent][new], own["OLD1"] + table.loc["OLD1", "shift"], atol=1e-12
    )
    np.testing.assert_array_equal(layers["measured"][bent][new], own["OLD1"])
    # What can't be compared isn't in one column.
    np.testing.assert_array_equal(out["OLD2"], own["OLD2"])
    assert out[["OID00002", "OID00004"]].isna().all(axis=None)
    assert both.to_df()[~new]["OLD2"].isna().all()
    np.testing.assert_array_equal(both.X[~new][:, :5], first.X)
    said = both.var["recommendation"].to_dict()
    assert said["OID00002"] == said["OLD2"] == "not_bridgeable"
    assert said["OLD9"] == said["OID00004"] == "not_overlapping"
    # Limits of the reference hold where values were brought to its scale.
    assert (layers["lod"][["OID00000_OLD0", bent]][new] == 0.5).all(axis=None)
    assert (layers["lod"][["OLD2", "OLD9"]][new] == -3.0).all(axis=None)
    step = both.uns["precisionpain"]["normalization"]["1"]
    kinds = [step[f"n_{k}"] for k in ("median", "quantile", "not_bridgeable")]
    assert kinds == [2, 1, 1]
    assert (step["n_assays_only_in_reference"], step["n_assays_only_in_new"]) == (1, 1)
    both.write_h5ad(tmp_path / "both.h5ad")
    assert anndata.read_h5ad(tmp_path / "both.h5ad").shape == both.shape


def test_several_assays_of_one_product_go_to_one_of_the_other():
    first, second, ids = products()
    both = cross_product_normalize(
        first, second, ids, mapping={"OLD0": "OID00000", "OLD3": "OID00000"}
    )
    assert {"OID00000_OLD0", "OID00000_OLD3"} <= set(both.var_names)
    old = both[both.obs["project"] == "reference"]
    np.testing.assert_array_equal(old[:, "OID00000_OLD3"].X, first[:, "OID00000"].X)


def test_the_same_id_that_is_not_bridgeable_is_kept_apart():
    first, second, ids = products()
    second.var_names = [*PAIRS.values(), "OLD9"]
    both = cross_product_normalize(first, second, ids)
    assert {"OID00002", "OID00002 (new)"} <= set(both.var_names)
    new = (both.obs["project"] == "new").to_numpy()
    assert both.to_df()["OID00002"][new].isna().all()
    assert both.to_df()["OID00002 (new)"][~new].isna().all()
    assert "OID00000" in both.var_names


def test_order_and_input_do_not_matter():
    first, second, ids = products()
    rng = np.random.default_rng(0)
    copy = second.copy()
    shuffled = second[rng.permutation(second.n_obs), rng.permutation(5)].copy()
    one = cross_product_normalize(first, second, ids, mapping=PAIRS)
    other = cross_product_normalize(first, shuffled, ids[::-1], mapping=pd.Series(PAIRS))
    np.testing.assert_allclose(
        other[one.obs_names, one.var_names].X, one.X, rtol=0, atol=1e-9, equal_nan=True
    )
    np.testing.assert_array_equal(second.X, copy.X)
    assert list(second.var_names) == list(copy.var_names)


def test_warnings_and_errors():
    first, second, ids = products()
    with pytest.warns(DataWarning, match="39 bridge samples; at least 40"):
        bridgeability(first, second, ids[:39], mapping=PAIRS)
    second.uns["precisionpain"]["product"] = "Reveal"
    bridgeability(first, second, ids[:24], mapping=PAIRS)
    with pytest.warns(DataWarning, match="23 bridge samples; at least 24"):
        bridgeability(first, second, ids[:23], mapping=PAIRS)
    with pytest.raises(AlignmentError, match="no assay of the new project"):
        bridgeability(first, second, ids)
    with pytest.raises(AlignmentError, match="'nobody'"):
        bridgeability(first, second, [*ids, "nobody"], mapping=PAIRS)
    del second.layers["count"]
    with pytest.warns(DataWarning, match="spans and r² alone"):
        table = bridgeability(first, second, ids, mapping=PAIRS)
    assert table.loc["OLD2", "recommendation"] == "not_bridgeable"
    with pytest.raises(FormatError, match="two different names"):
        cross_product_normalize(first, second, ids, mapping=PAIRS, projects=("a", "a"))


def test_quantiles_that_cannot_be_mapped_are_shifted_with_a_warning():
    first, second, ids = products()
    second.X[12:60, 1] = np.nan
    with pytest.warns(DataWarning, match="1 assays have too few bridge samples.*'OLD1'"):
        both = cross_product_normalize(first, second, ids, mapping=PAIRS)
    assert both.var.loc["OID00001_OLD1", "recommendation"] == "median"


def test_two_real_projects_of_one_product(shared_data):
    """Between projects of one product each assay is shifted, by what `bridge_normalize` adds.

    The one pair of projects at hand; it has neither counts nor another product, so it can't try
    the rules that tell assays apart.
    """
    folder = shared_data / "olink" / "reference_results"
    first, second = (read_npx(folder / f"npx{i}.csv.gz") for i in (1, 2))
    people = [a.obs_names[a.obs["sample_type"] == "SAMPLE"] for a in (first, second)]
    ids = list(people[0].intersection(people[1]))
    assert len(ids) == 16
    with (
        pytest.warns(DataWarning, match="16 bridge samples; at least 24"),
        pytest.warns(DataWarning, match="no layer 'count'"),
    ):
        table = bridgeability(first, second, ids)
    assert len(table) == 184
    assert (table["recommendation"] == "median").all()
    adjustment = bridge_normalize(first, second, ids).varm["adjustment"]["new"]
    np.testing.assert_allclose(table["shift"], adjustment.reindex(table.index), atol=1e-12)
