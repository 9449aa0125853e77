"""Bridges, subsets, reference medians, chains: against a known truth, pandas and the vendor."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import (
    ProjectLink,
    bridge_normalize,
    intensity_normalize,
    normalize_projects,
    plate_normalize,
    reference_median_normalize,
    subset_normalize,
)
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._normalization.usable import column_medians

from .projects import people, project

BRIDGES = people(0, 10)


def two(**changes):
    first = project(people(0, 30), seed=1)
    second = project([*BRIDGES, *people(30, 50)], shift=np.linspace(-2, 2, 12), seed=2, **changes)
    return first, second


def steps_of(adata):
    return adata.uns["precisionpain"]["normalization"]


# --- medians -------------------------------------------------------------------------------


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=3, max_size=3),
            min_size=n, max_size=n,
        )
    )
)  # fmt: skip
def test_column_medians_are_those_of_pandas(rows):
    table = pd.DataFrame(rows, dtype=float)
    np.testing.assert_array_equal(column_medians(table.to_numpy()), table.median().to_numpy())


# --- bridges -------------------------------------------------------------------------------


def test_a_shift_between_projects_is_found_and_removed():
    first, second = two()
    both = bridge_normalize(first, second, BRIDGES)
    added = both.varm["adjustment"]
    assert (added["reference"] == 0).all()
    # 0.01 of noise on each value, a median over ten differences.
    np.testing.assert_allclose(added["new"], -np.linspace(-2, 2, 12), atol=0.02)
    truth = project(people(30, 50), seed=2)
    moved = both[people(30, 50)].X
    np.testing.assert_allclose(moved, truth[people(30, 50)].X, atol=0.08)


def test_factors_are_medians_of_paired_differences_not_differences_of_medians():
    first, second = two()
    # One person changes much: pairs feel it less than ranks do.
    second.X[:4, 0] += 5
    both = bridge_normalize(first, second, BRIDGES)
    a, b = first[BRIDGES].to_df(), second[BRIDGES].to_df()
    np.testing.assert_allclose(both.varm["adjustment"]["new"], (a - b).median(), rtol=0, atol=1e-12)
    assert abs((a - b).median() - (a.median() - b.median())).max() > 0.1


def test_limits_of_detection_move_with_the_values():
    first, second = two()
    first.var["lod"] = 1.0
    second.var["lod"] = 1.5
    second.layers["plate_lod"] = second.layers["lod"] + 0.25
    both = bridge_normalize(first, second, BRIDGES)
    added = both.varm["adjustment"]["new"].to_numpy()
    own = (both.obs["project"] == "new").to_numpy()
    for name in ("lod", "plate_lod"):
        expected = second.layers[name][0] + added
        np.testing.assert_allclose(both.layers[name][own], np.tile(expected, (own.sum(), 1)))
    np.testing.assert_array_equal(both.layers["lod"][~own], first.layers["lod"])
    assert np.isnan(both.layers["plate_lod"][~own]).all()
    highest = np.maximum(first.layers["lod"][0], second.layers["lod"][0] + added)
    np.testing.assert_allclose(both.var["max_lod"], highest)
    np.testing.assert_allclose(both.var["lod"], highest)


def test_limits_in_var_alone_become_a_layer():
    first, second = two(lod=False)
    del first.layers["lod"]
    first.var["lod"], second.var["lod"] = 1.0, 2.0
    both = bridge_normalize(first, second, BRIDGES)
    added = both.varm["adjustment"]["new"].to_numpy()
    own = (both.obs["project"] == "new").to_numpy()
    assert (both.layers["lod"][~own] == 1.0).all()
    np.testing.assert_allclose(both.layers["lod"][own][0], 2.0 + added)
    np.testing.assert_allclose(both.var["max_lod"], np.maximum(1.0, 2.0 + added))


def test_max_lod_is_the_highest_of_all_projects_for_everybody():
    first, second = two()
    first.layers["max_lod"] = first.layers["lod"] + 1
    second.layers["max_lod"] = second.layers["lod"] - 9
    both = bridge_normalize(first, second, BRIDGES)
    np.testing.assert_allclose(both.layers["max_lod"], np.tile(first.layers["max_lod"][0], (56, 1)))


def test_the_input_stays_as_it_was():
    first, second = two()
    copies = first.copy(), second.copy()
    bridge_normalize(first, second, BRIDGES)
    for now, before in zip((first, second), copies, strict=True):
        np.testing.assert_array_equal(now.X, before.X)
        np.testing.assert_array_equal(now.layers["lod"], before.layers["lod"])
        pd.testing.assert_frame_equal(now.obs, before.obs)
        assert now.uns == before.uns


def test_bridges_are_in_the_result_once_unless_asked():
    first, second = two()
    once = bridge_normalize(first, second, BRIDGES)
    assert once.obs_names.is_unique
    assert once.obs["project"].value_counts().to_dict() == {"reference": 33, "new": 23}
    assert once.obs.loc[BRIDGES, "project"].eq("reference").all()
    kept = bridge_normalize(first, second, BRIDGES, keep_bridges=True)
    assert kept.n_obs == first.n_obs + second.n_obs
    again = kept[[f"{name} (new)" for name in BRIDGES]]
    assert again.obs["original_id"].tolist() == BRIDGES
    np.testing.assert_allclose(again.X, first[BRIDGES].X, atol=0.08)


def test_rows_in_any_order_give_the_same():
    first, second = two()
    rng = np.random.default_rng(3)
    shuffled = (
        first[rng.permutation(first.n_obs)].copy(),
        second[rng.permutation(second.n_obs), rng.permutation(second.n_vars)].copy(),
    )
    one = bridge_normalize(first, second, BRIDGES)
    other = bridge_normalize(*shuffled, list(reversed(BRIDGES)))
    own = one.obs_names[one.obs["sample_type"] == "SAMPLE"]
    assert list(other.var_names) == list(one.var_names)
    np.testing.assert_allclose(other[own].X, one[own].X, rtol=0, atol=1e-12)


def test_control_samples_and_control_assays_are_never_learned_from():
    first, second = two()
    second.var.loc["OID00003", "assay_type"] = "EXTENSION_CONTROL"
    first.var.loc["OID00003", "assay_type"] = "EXTENSION_CONTROL"
    both = bridge_normalize(first, second, BRIDGES)
    assert both.varm["adjustment"].loc["OID00003", "new"] == 0
    plain = bridge_normalize(*two(), BRIDGES)
    rest = both.var_names != "OID00003"
    np.testing.assert_array_equal(
        both.varm["adjustment"]["new"][rest], plain.varm["adjustment"]["new"][rest]
    )
    with pytest.raises(AlignmentError, match="control samples: 'NC0'"):
        bridge_normalize(first, second, [*BRIDGES, "NC0"])


def test_a_patient_called_cancer_is_no_control():
    first, second = two()
    for adata in (first, second):
        adata.obs_names = [name.replace("S001", "CANCER_01") for name in adata.obs_names]
    named = [name.replace("S001", "CANCER_01") for name in BRIDGES]
    both = bridge_normalize(first, second, named)
    assert steps_of(both)["1"]["n_bridges"] == 10


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([*BRIDGES, "X1", "X2"], r"2 of 12 bridge ids are absent: 'X1', 'X2'"),
        ([*BRIDGES, "S000"], r"1 bridge ids are named twice: 'S000'"),
        ([], "found none"),
        ([*BRIDGES, "S020"], r"project 'new': 1 of 11 bridge ids are absent: 'S020'"),
    ],
)
def test_wrong_bridge_ids_are_listed(ids, message):
    with pytest.raises(AlignmentError, match=message):
        bridge_normalize(*two(), ids)


def test_an_id_of_two_rows_is_an_error():
    first, second = two()
    second.obs["tube"] = [*BRIDGES[:-1], "S000", *second.obs_names[10:]]
    first.obs["tube"] = first.obs_names
    with pytest.raises(AlignmentError, match="belong to several rows: 'S000'"):
        bridge_normalize(first, second, BRIDGES[:-1], on="tube")


def test_bridges_by_column_and_by_mapping():
    first, second = two()
    plain = bridge_normalize(first, second, BRIDGES)
    renamed = second.copy()
    renamed.obs_names = [f"tube{i}" for i in range(second.n_obs)]
    new_ids = {name: f"tube{i}" for i, name in enumerate(BRIDGES)}
    mapped = bridge_normalize(first, renamed, new_ids)
    series = bridge_normalize(first, renamed, pd.Series(new_ids))
    first.obs["person"], renamed.obs["person"] = first.obs_names, second.obs_names
    by_column = bridge_normalize(first, renamed, BRIDGES, on="person")
    for other in (mapped, series, by_column):
        pd.testing.assert_frame_equal(other.varm["adjustment"], plain.varm["adjustment"])
    with pytest.raises(FormatError, match="expected the column 'nobody'"):
        bridge_normalize(first, renamed, BRIDGES, on="nobody")
    with pytest.raises(FormatError, match="expected a list of ids"):
        bridge_normalize(first, renamed, "S001")


def test_bridges_that_did_not_pass_are_left_out_and_counted():
    first, second = two()
    second.obs.loc[["S000"], "qc"] = "WARN"
    second.X[0] += 30
    first.obs.loc["S001", "qc"] = "FAIL"
    both = bridge_normalize(first, second, BRIDGES)
    assert steps_of(both)["1"]["n_bridges"] == 8
    assert list(steps_of(both)["1"]["bridges_left_out"]) == ["S000", "S001"]
    used = BRIDGES[2:]
    expected = (first[used].to_df() - second[used].to_df()).median()
    np.testing.assert_allclose(both.varm["adjustment"]["new"], expected)
    # Its copy goes all the same: it's the same sample.
    assert both.obs.loc["S000", "project"] == "reference"
    all_ten = bridge_normalize(first, second, BRIDGES, exclude_qc=())
    assert steps_of(all_ten)["1"]["n_bridges"] == 10


def test_a_panel_that_failed_is_left_out_alone():
    first, second = two()
    del second.obs["qc"]
    second.obsm["sample_qc"] = pd.DataFrame(
        {"Neurology": ["Warning", *["Pass"] * 32], "Inflammation": "Pass"}, index=second.obs_names
    )
    second.X[0] += 30
    both = bridge_normalize(first, second, BRIDGES)
    difference = first[BRIDGES].to_df() - second[BRIDGES].to_df()
    expected = difference.median()
    neurology = first.var_names[first.var["panel"] == "Neurology"]
    expected[neurology] = difference.loc[BRIDGES[1:], neurology].median()
    np.testing.assert_allclose(both.varm["adjustment"]["new"], expected)
    by_layer = second.copy()
    by_layer.layers["sample_qc"] = np.zeros(second.shape)
    by_layer.layers["sample_qc"][0, (second.var["panel"] == "Neurology").to_numpy()] = 1
    del by_layer.obsm["sample_qc"]
    same = bridge_normalize(first, by_layer, BRIDGES)
    pd.testing.assert_frame_equal(same.varm["adjustment"], both.varm["adjustment"])


def test_few_bridges_warn():
    first, second = two()
    fewer = second[[*BRIDGES[:7], *people(30, 50)]].copy()
    with pytest.warns(DataWarning, match="7 bridge samples that passed"):
        bridge_normalize(first, fewer, BRIDGES[:7])
    second.obs.loc[BRIDGES[:3], "qc"] = "FAIL"
    with pytest.warns(DataWarning, match=r"7 bridge samples that passed \(of 10 named\)"):
        bridge_normalize(first, second, BRIDGES)
    second.obs.loc[BRIDGES, "qc"] = "FAIL"
    with pytest.raises(AlignmentError, match="none of 10 bridge samples"):
        bridge_normalize(first, second, BRIDGES)


@pytest.mark.parametrize(
    ("product", "panel", "low", "high", "what"),
    [
        (None, "P", 8, 16, "in general"),
        ("Target 48", "P", 8, 16, "in general"),
        ("Target 96", "P", 8, 16, "for Target 96"),
        ("Explore 384", "Neurology", 8, 16, "for Explore 384"),
        ("Explore 384", "Neurology_II", 16, 24, "for Explore 384 Neurology II"),
        ("Explore 3072", "P", 16, 24, "for Explore 3072"),
        ("Reveal", "P", 16, 24, "for Reveal"),
        ("Explore HT", "P", 16, 32, "for Explore HT"),
    ],
)
def test_how_many_bridges_each_product_asks_for(product, panel, low, high, what):
    """The vendor's table; one fewer warns, as many don't (warnings are errors here)."""
    first = project(people(0, 40), seed=1)
    second = project([*people(0, low), *people(50, 60)], seed=2)
    for adata in (first, second):
        adata.var["panel"] = panel
        if product is not None:
            adata.uns["precisionpain"]["product"] = product
    with pytest.warns(DataWarning, match=f"fewer than the {low} to {high} .* {what}: the factors"):
        bridge_normalize(first, second[1:], people(1, low))
    bridge_normalize(first, second, people(0, low))


def test_an_assay_without_a_difference_stays_and_is_counted():
    first, second = two()
    second.X[:10, 4] = np.nan
    both = bridge_normalize(first, second, BRIDGES)
    assert both.varm["adjustment"]["new"].iloc[4] == 0
    assert steps_of(both)["1"]["n_assays_without_factor"] == 1


def test_assays_and_panels_of_one_project_alone():
    first, second = two()
    first = first[:, :10].copy()
    second = second[:, 2:].copy()
    second.var.loc[second.var_names[-1], "panel"] = "Oncology"
    both = bridge_normalize(first, second, BRIDGES)
    assert both.n_vars == 12
    step = steps_of(both)["1"]
    counted = [step[f"n_assays_{k}"] for k in ("shared", "only_in_reference", "only_in_new")]
    assert counted == [8, 2, 2]
    assert list(step["panels_only_in_new"]) == ["Oncology"]
    assert len(step["panels_only_in_reference"]) == 0
    new = both[both.obs["project"] == "new"]
    assert np.isnan(new[:, ["OID00000", "OID00001"]].X).all()
    # What only the new project has stays as it was measured.
    alone = second.var_names[-2:]
    np.testing.assert_array_equal(new[people(30, 50), alone].X, second[people(30, 50), alone].X)
    assert both.var["gene"].tolist() == [f"G{i}" for i in range(12)]
    fewer = bridge_normalize(first, second, BRIDGES, assays="shared")
    assert list(fewer.var_names) == [f"OID{i:05d}" for i in range(2, 10)]
    with pytest.raises(FormatError, match="'all' or 'shared'"):
        bridge_normalize(first, second, BRIDGES, assays="some")
    with pytest.raises(AlignmentError, match="share no assay"):
        bridge_normalize(first[:, :2].copy(), second[:, 5:].copy(), BRIDGES)


def test_one_protein_on_two_panels_has_two_factors():
    first, second = two()
    for adata in (first, second):
        adata.var.loc["OID00001", "uniprot"] = adata.var.loc["OID00000", "uniprot"]
    both = bridge_normalize(first, second, BRIDGES)
    a, b = both.varm["adjustment"]["new"].iloc[:2]
    assert abs(a - b) > 0.2


def test_people_with_one_id_who_are_no_bridge_are_kept_apart():
    first = project(people(0, 30))
    second = project(people(0, 30), shift=1.0)
    with pytest.warns(DataWarning, match="20 ids are in several projects"):
        both = bridge_normalize(first, second, BRIDGES)
    assert both.obs_names.is_unique
    assert "S020 (new)" in both.obs_names


def test_other_units_and_normalisations():
    first, second = two()
    second.uns["precisionpain"]["unit"] = "Ct"
    with pytest.raises(FormatError, match="expected the same unit, found 'NPX' and 'Ct'"):
        bridge_normalize(first, second, BRIDGES)
    first, second = two()
    first.var["normalization"], second.var["normalization"] = "Intensity", "Plate control"
    with pytest.warns(DataWarning, match="12 assays were normalised otherwise"):
        bridge_normalize(first, second, BRIDGES)
    first, second = two()
    second.X = np.exp2(second.X + 20)
    with pytest.raises(FormatError, match="log2 scale"):
        bridge_normalize(first, second, BRIDGES)


def test_the_result_survives_a_file(tmp_path):
    first, second = two()
    first.layers["assay_qc_words"] = np.zeros(first.shape, dtype=np.int32)
    first.uns["precisionpain"]["categories"] = {"assay_qc_words": ["PASS", "EXCLUDED"]}
    second.layers["assay_qc_words"] = np.ones(second.shape, dtype=np.int32)
    second.layers["assay_qc_words"][0, 0] = -1
    second.uns["precisionpain"]["categories"] = {"assay_qc_words": ["odd", "PASS"]}
    both = bridge_normalize(first, second, BRIDGES, keep_bridges=True)
    # Codes of two files are brought to one list of words.
    words = [*both.uns["precisionpain"]["categories"]["assay_qc_words"], None]
    codes = both.layers["assay_qc_words"].astype(int)
    assert {words[c] for c in codes[1:33].ravel()} == {"PASS"}
    assert words[codes[33, 0]] is None
    assert words[codes[34, 0]] == "PASS"
    both.write_h5ad(tmp_path / "both.h5ad")
    again = anndata.read_h5ad(tmp_path / "both.h5ad")
    np.testing.assert_array_equal(again.X, both.X)
    assert steps_of(again)["1"]["method"] == "bridge"
    pd.testing.assert_frame_equal(
        pd.DataFrame(again.varm["adjustment"]), both.varm["adjustment"], check_names=False
    )


# --- subsets, medians ----------------------------------------------------------------------


def test_subset_by_hand():
    first, second = two()
    old, new = people(5, 20), people(30, 45)
    second.obs.loc["S030", "qc"] = "WARN"
    both = subset_normalize(first, second[10:].copy(), reference_ids=old, new_ids=new)
    expected = first[old].to_df().median() - second[new[1:]].to_df().median()
    np.testing.assert_allclose(both.varm["adjustment"]["new"], expected, rtol=0, atol=1e-12)
    step = steps_of(both)["1"]
    assert (step["n_reference"], step["n_new"], step["n_new_left_out"]) == (15, 14, 1)
    with pytest.raises(AlignmentError, match="1 of 2 ids of the subset are absent: 'nobody'"):
        subset_normalize(first, second, reference_ids=["S001", "nobody"])


def test_intensity_takes_all_people_and_no_control():
    first, second = two()
    second = second[10:].copy()
    both = intensity_normalize(first, second)
    medians = [a[a.obs["sample_type"] == "SAMPLE"].to_df().median() for a in (first, second)]
    np.testing.assert_allclose(both.varm["adjustment"]["new"], medians[0] - medians[1])
    # Controls lie at −50; with them the medians would be others.
    with_controls = first.to_df().median() - second.to_df().median()
    assert abs(both.varm["adjustment"]["new"] - with_controls).max() > 0.01


def test_reference_medians():
    adata = project(people(0, 30))
    medians = pd.Series(np.linspace(0, 3, 12), adata.var_names).sample(frac=1, random_state=0)
    out = reference_median_normalize(adata, medians)
    real = out[out.obs["sample_type"] == "SAMPLE"].to_df().median()
    np.testing.assert_allclose(real, medians[out.var_names], rtol=0, atol=1e-12)
    assert out.obs_names.equals(adata.obs_names)
    some = people(3, 12)
    part = reference_median_normalize(adata, medians.to_dict(), ids=some)
    np.testing.assert_allclose(part[some].to_df().median(), medians[out.var_names])
    with pytest.warns(DataWarning, match="2 assays have no reference median"):
        fewer = reference_median_normalize(adata, medians.drop(["OID00001", "OID00005"]))
    np.testing.assert_array_equal(fewer.X[:, [1, 5]], adata.X[:, [1, 5]])
    with pytest.raises(AlignmentError, match="none of 12 assays"):
        reference_median_normalize(adata, {"G1": 2.0})


# --- many projects -------------------------------------------------------------------------


def three():
    shifts = {"A": 0.0, "B": np.linspace(-1, 1, 12), "C": np.linspace(2, -3, 12)}
    ids = {"A": people(0, 30), "B": people(20, 50), "C": people(40, 70)}
    return {
        name: project(ids[name], shift=shifts[name], seed=i) for i, name in enumerate("ABC")
    }, shifts


def test_a_chain_of_projects_ends_at_the_reference():
    projects, shifts = three()
    links = [
        ProjectLink("C", "B", ids=people(40, 50)),
        ProjectLink("B", "A", ids=people(20, 30)),
    ]
    whole = normalize_projects(projects, links)
    for name in "ABC":
        np.testing.assert_allclose(whole.varm["adjustment"][name], -np.array(shifts[name] * 1.0)
                                   * np.ones(12), atol=0.03)  # fmt: skip
    assert whole.obs["project"].value_counts().to_dict() == {"A": 33, "B": 23, "C": 23}
    # Step by step gives the same.
    ab = bridge_normalize(projects["A"], projects["B"], people(20, 30), keep_bridges=True)
    b = ab[ab.obs["project"] == "new"].copy()
    b.obs_names = b.obs["original_id"]
    bc = bridge_normalize(b, projects["C"], people(40, 50))
    np.testing.assert_allclose(
        bc.varm["adjustment"]["new"].iloc[:, -1] if bc.varm["adjustment"]["new"].ndim > 1
        else bc.varm["adjustment"]["new"],
        whole.varm["adjustment"]["C"], rtol=0, atol=1e-12,
    )  # fmt: skip


def test_a_result_is_bridged_again_without_losing_its_projects(tmp_path):
    projects, shifts = three()
    ab = bridge_normalize(projects["A"], projects["B"], people(20, 30))
    abc = bridge_normalize(ab, projects["C"], people(40, 50))
    assert abc.obs["project"].value_counts().to_dict() == {
        "reference: reference": 33, "reference: new": 23, "new": 23,
    }  # fmt: skip
    controls = abc.obs.loc[abc.obs["sample_type"] != "SAMPLE", "original_id"]
    assert controls.tolist() == ["NC0", "NC1", "NC2"] * 3
    assert abc.obs_names.is_unique
    added = abc.varm["adjustment"]
    assert list(added) == ["reference: reference", "reference: new", "new"]
    np.testing.assert_allclose(added["new"], -shifts["C"], atol=0.03)
    # And the other way round: what was joined moves as a whole.
    turned = bridge_normalize(projects["C"], ab, people(40, 50)).varm["adjustment"]
    np.testing.assert_allclose(turned["new: reference"], shifts["C"], atol=0.03)
    np.testing.assert_allclose(turned["new: new"], shifts["C"] - shifts["B"], atol=0.03)
    whole = plate_normalize(abc)
    assert len(whole.varm["plate_adjustment"].columns) == 6
    whole.write_h5ad(tmp_path / "whole.h5ad")
    assert anndata.read_h5ad(tmp_path / "whole.h5ad").shape == abc.shape


def test_a_project_bridged_to_two_at_once():
    projects, _ = three()
    projects["C"] = project([*people(0, 6), *people(44, 50), *people(60, 70)], shift=1.5)
    links = [
        ProjectLink("B", "A", ids=people(20, 30)),
        ProjectLink("C", ["A", "B"], ids=[*people(44, 50), *people(0, 6)]),
    ]
    whole = normalize_projects(projects, links)
    np.testing.assert_allclose(whole.varm["adjustment"]["C"], -1.5, atol=0.03)
    assert list(steps_of(whole)["2"]["reference"]) == ["A", "B"]


@pytest.mark.filterwarnings("ignore:.*ids are in several projects")
def test_links_of_other_methods():
    projects, shifts = three()
    whole = normalize_projects(
        projects,
        [ProjectLink("B", "A", "intensity"), ProjectLink("C", "A", "subset", ids=people(50, 70))],
    )
    want = projects["A"][:30].to_df().median() - projects["B"][:30].to_df().median()
    np.testing.assert_allclose(whole.varm["adjustment"]["B"], want)
    assert [s["method"] for s in steps_of(whole).values()] == ["intensity", "subset"]
    assert shifts["A"] == 0


@pytest.mark.parametrize(
    ("links", "error", "message"),
    [
        ([("B", "A"), ("C", "D")], AlignmentError, "unknown projects: 'D'"),
        ([("B", "A")], AlignmentError, r"not moved: \['A', 'C'\]"),
        ([("B", "A"), ("B", "C"), ("C", "A")], AlignmentError, r"moved twice: \['B'\]"),
        ([("B", "C"), ("C", "B")], AlignmentError, "go in a circle"),
        ([("B", "A"), ("C", "A", "rescale")], FormatError, "found 'rescale'"),
        ([("B", "A"), ("C", "A", "bridge")], FormatError, "a bridge needs ids"),
    ],
)
def test_wrong_links(links, error, message):
    projects, _ = three()
    made = [ProjectLink(*link, ids=people(20, 30) if link[0] == "B" else None) for link in links]
    with pytest.raises(error, match=message):
        normalize_projects(projects, made)


# --- the vendor's results ------------------------------------------------------------------


def by_hand(table: pd.DataFrame, *, controls_are_people: bool = False):
    """The long table as AnnData, by pandas alone."""
    table = table.assign(row=table["SampleID"] + "#" + table["Index"].astype(str))
    first = table.drop_duplicates("row").set_index("row")
    control = first["SampleID"].str.startswith("CONTROL_SAMPLE") & (not controls_are_people)
    names = first["SampleID"].where(~first["SampleID"].duplicated(keep=False), first.index)
    assays = table.drop_duplicates("OlinkID").set_index("OlinkID")
    values, lod = (
        table.pivot(index="row", columns="OlinkID", values=v).loc[first.index, assays.index]
        for v in ("NPX", "LOD")
    )
    return make_adata(
        values.to_numpy(),
        pd.DataFrame({"sample_type": np.where(control, "CONTROL", "SAMPLE")}, index=names),
        pd.DataFrame({"panel": assays["Panel"], "uniprot": assays["UniProt"]}),
        layers={"lod": lod.to_numpy()}, kind="npx",
    )  # fmt: skip


@pytest.fixture(scope="module")
def vendor(shared_data):
    folder = shared_data / "olink" / "reference_results"
    tables = [pd.read_csv(folder / f"npx{i}.csv.gz") for i in (1, 2)]
    return tables, pd.read_csv(folder / "olink_normalised.csv.gz")


def difference(both, expected, names):
    """Largest difference to the vendor's table, in values and limits."""
    new = both.obs["project"].eq("new").to_numpy()
    assert len(expected) > 2000
    worst = 0.0
    for project_name, rows in expected.groupby("Project"):
        adata = both[new if project_name == names[1] else ~new]
        wanted = rows.pivot(index="SampleID", columns="OlinkID", values=["NPX", "LOD"])
        own = adata[wanted.index, wanted["NPX"].columns]
        worst = max(worst, np.abs(own.X - wanted["NPX"]).to_numpy().max(),
                    np.abs(own.layers["lod"] - wanted["LOD"]).to_numpy().max())  # fmt: skip
    return worst


def test_bridged_as_by_the_vendor(vendor):
    tables, results = vendor
    ids = sorted(set(tables[0]["SampleID"]) & set(tables[1]["SampleID"]))
    ids = [name for name in ids if not name.startswith("CONTROL")]
    assert len(ids) == 16
    both = bridge_normalize(*map(by_hand, tables), ids)
    expected = results[results["method"] == "bridged"]
    assert difference(both, expected, ("20200001", "20200002")) < 1e-10
    factors = expected[expected["Project"].eq("20200002")].groupby("OlinkID")["Adj_factor"].first()
    np.testing.assert_allclose(
        both.varm["adjustment"].loc[factors.index, "new"], factors, rtol=0, atol=1e-10
    )


@pytest.mark.filterwarnings("ignore:.*ids are in several projects")
def test_intensity_as_by_the_vendor_who_had_controls_in_it(vendor):
    tables, results = vendor
    expected = results[results["method"] == "intensity"]
    with_controls = [by_hand(t, controls_are_people=True) for t in tables]
    assert difference(intensity_normalize(*with_controls), expected, ("P1", "P2")) < 1e-10
    # Without them, as it should be, it's another result.
    without = difference(intensity_normalize(*map(by_hand, tables)), expected, ("P1", "P2"))
    assert 0.2 < without < 0.5


@pytest.mark.filterwarnings("ignore:.*ids are in several projects")
def test_reference_medians_and_chains_agree_with_pandas_on_real_projects(vendor):
    tables, _ = vendor
    first, second = map(by_hand, tables)
    real = tables[0][~tables[0]["SampleID"].str.startswith("CONTROL")]
    medians = real.groupby("OlinkID")["NPX"].median()
    moved = reference_median_normalize(second, medians)
    own = tables[1][~tables[1]["SampleID"].str.startswith("CONTROL")]
    expected = medians - own.groupby("OlinkID")["NPX"].median()
    np.testing.assert_allclose(
        moved.varm["adjustment"]["new"], expected[moved.var_names], rtol=0, atol=1e-10
    )
    ids = [n for n in first.obs_names if n in set(second.obs_names) and "CONTROL" not in n]
    chain = normalize_projects(
        {"1": first, "2": second, "3": first.copy()},
        [ProjectLink("2", "1", ids=ids), ProjectLink("3", "2", ids=ids)],
    )
    # The third is the first again, and brought to the second at its new level: nothing is left.
    np.testing.assert_allclose(chain.varm["adjustment"]["3"], 0.0, rtol=0, atol=1e-10)
