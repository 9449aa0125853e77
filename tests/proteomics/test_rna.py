"""Cells summed to people, on real cells, and results where scanpy looks for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import precisionpain as pp
from precisionpain.errors import AlignmentError, DataWarning, FormatError, MissingModalityError
from precisionpain.proteomics import embed, pseudobulk, store_differential
from precisionpain.proteomics._layout import make_adata

scanpy = pytest.importorskip("scanpy")


@pytest.fixture(scope="module")
def cells(shared_data):
    import anndata

    path = shared_data / "anndata" / "citeseq" / "pbmc_5k_protein_v3.h5ad"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}")
    adata = anndata.read_h5ad(path)
    rng = np.random.default_rng(0)
    adata.obs["subject_id"] = rng.choice(["p1", "p2", "p3"], adata.n_obs)
    adata.obs["kind"] = rng.choice(["T", "B"], adata.n_obs, p=[0.97, 0.03])
    adata.obs["site"] = adata.obs["subject_id"].map({"p1": "A", "p2": "B", "p3": "A"})
    return adata


def test_sums_are_those_of_the_cells(cells):
    people = pseudobulk(cells)
    assert people.obs["subject_id"].tolist() == ["p1", "p2", "p3"]
    for person in people.obs_names:
        own = np.asarray(cells[cells.obs["subject_id"] == person].X).sum(axis=0, dtype=float)
        np.testing.assert_array_equal(people[person].layers["count"].ravel(), own)
        cpm = own / own.sum() * 1e6
        np.testing.assert_allclose(people[person].X.ravel(), np.log2(cpm + 1), atol=1e-9)
    assert people.obs["n_cells"].sum() == cells.n_obs
    assert people.obs["site"].tolist() == ["A", "B", "A"]
    assert "n_counts" not in people.obs
    assert people.uns["precisionpain"]["kind"] == "rna"


def test_sparse_and_shuffled_cells_give_the_same(cells):
    other = cells[np.random.default_rng(1).permutation(cells.n_obs)].copy()
    other.X = sparse.csr_matrix(other.X)
    np.testing.assert_array_equal(pseudobulk(cells).X, pseudobulk(other).X)


def test_few_cells_are_left_out_and_counted(cells):
    people = pseudobulk(cells, cell_type="kind")
    counts = cells.obs.groupby(["subject_id", "kind"]).size()
    assert people.n_obs == (counts >= 10).sum()
    gone = people.uns["precisionpain"]["removed"]["fewer than 10 cells"]
    assert gone == ((counts < 10) & (counts > 0)).sum() > 0
    assert people.obs_names[0] == "p1/T"


def test_bad_cells(cells):
    with pytest.raises(MissingModalityError, match="'donor'"):
        pseudobulk(cells, subject="donor")
    logged = cells.copy()
    logged.X = np.log1p(logged.X)
    with pytest.raises(FormatError, match="raw counts"):
        pseudobulk(logged)
    nobody = cells.copy()
    nobody.obs["subject_id"] = [None, *cells.obs["subject_id"][1:]]
    with pytest.raises(FormatError, match="1 cells lack"):
        pseudobulk(nobody)
    with pytest.raises(FormatError, match="the most are"):
        pseudobulk(cells, min_cells=1000)
    with pytest.raises(MissingModalityError, match="no layer"):
        pseudobulk(cells, layer="raw")


@pytest.fixture(scope="module")
def proteins():
    return pp.datasets.sample_tn(n_subjects=60).assays["csf_lfq"]


def test_components_are_those_of_a_decomposition(proteins):
    before = proteins.X.copy()
    out = embed(proteins, n_components=4, umap=False)
    np.testing.assert_array_equal(proteins.X, before)
    np.testing.assert_array_equal(
        out.X, proteins[(proteins.obs["sample_type"] == "SAMPLE").to_numpy()].X
    )
    table = pd.DataFrame(out.X)
    z = ((table - table.mean()) / table.std()).fillna(0).to_numpy()
    z = z[:, np.ptp(z, axis=0) > 0]
    u, s, _ = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(out.obsm["X_pca"]), np.abs(u * s)[:, :4], atol=2e-3)
    np.testing.assert_allclose(
        out.uns["pca"]["variance_ratio"], (s**2 / (s**2).sum())[:4], rtol=1e-3
    )
    assert "_embedded" not in out.var


def test_too_little_to_embed():
    adata = make_adata(np.ones((5, 3)), pd.DataFrame(index=list("abcde")),
                       pd.DataFrame(index=list("xyz")))  # fmt: skip
    with pytest.raises(FormatError, match="2 varying proteins"):
        embed(adata)


@pytest.mark.slow
def test_umap_is_scanpys(proteins):
    out = embed(proteins, random_state=1)
    assert out.obsm["X_umap"].shape == (out.n_obs, 2)
    assert "connectivities" in out.obsp
    again = embed(proteins, random_state=1)
    np.testing.assert_array_equal(out.obsm["X_umap"], again.obsm["X_umap"])


def test_scanpy_reads_a_stored_result(proteins, tmp_path):
    import anndata

    rng = np.random.default_rng(0)
    names = proteins.var_names[:20]
    result = pd.DataFrame(
        {"log_fc": rng.normal(size=20), "statistic": rng.normal(size=20),
         "p_value": rng.random(20), "q_value": rng.random(20)}, index=names,
    )  # fmt: skip
    stored = store_differential(proteins, result, group="TN", reference="control")
    assert "rank_genes_groups" not in proteins.uns
    stored.write_h5ad(tmp_path / "x.h5ad")
    read = anndata.read_h5ad(tmp_path / "x.h5ad")
    table = scanpy.get.rank_genes_groups_df(read, "TN").set_index("names")
    expected = result.sort_values("statistic", ascending=False)
    assert table.index.tolist() == expected.index.tolist()
    pairs = {"scores": "statistic", "logfoldchanges": "log_fc", "pvals": "p_value",
             "pvals_adj": "q_value"}  # fmt: skip
    for one, two in pairs.items():
        np.testing.assert_allclose(table[one], expected[two], rtol=1e-6)


def test_what_was_not_testable_is_not_stored(proteins):
    result = pd.DataFrame(
        {"log_fc": 1.0, "statistic": 2.0, "p_value": [0.1, np.nan], "q_value": 0.1},
        index=proteins.var_names[:2],
    )
    with pytest.warns(DataWarning, match="1 proteins weren't testable"):
        stored = store_differential(proteins, result, group="TN", reference="control")
    assert len(stored.uns["rank_genes_groups"]["names"]) == 1
    with pytest.raises(AlignmentError, match="'nobody'"):
        store_differential(
            proteins, result.set_axis(["nobody", "P02768"]), group="TN", reference="control"
        )
    with pytest.raises(FormatError, match="'q_value'"):
        store_differential(
            proteins, result.drop(columns="q_value"), group="TN", reference="control"
        )
