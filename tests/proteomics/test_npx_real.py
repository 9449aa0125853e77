"""Real exports, counted by pandas and openpyxl before they are compared with what was read."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from precisionpain.errors import FormatError
from precisionpain.proteomics import read_npx


@pytest.fixture(scope="module")
def olink(shared_data):
    folder = shared_data / "olink"
    if not folder.is_dir():
        pytest.skip(f"real data absent: {folder}")
    return folder


def sheet(path):
    """Cells of the only sheet, without any of our code."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    book.worksheets[0].reset_dimensions()
    rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    book.close()
    return rows


@pytest.mark.parametrize(("name", "people"), [("npx1", 156), ("npx2", 172)])
def test_long_target_96(olink, name, people):
    """Values, plates and flags of every row of the file, looked up by its own keys."""
    path = olink / "reference_results" / f"{name}.csv.gz"
    npx = read_npx(path)
    truth = pd.read_csv(path, dtype={"SampleID": str}, float_precision="round_trip")
    assert len(truth) == (people + 4) * 184
    assert npx.shape == (people + 4, 184)
    kinds = npx.obs["sample_type"].value_counts().to_dict()
    assert kinds == {"SAMPLE": people, "CONTROL": 4}
    assert npx.uns["precisionpain"]["sample_type_from"] == "names"
    controls = npx.obs.index[npx.obs["sample_type"] == "CONTROL"]
    assert sorted(controls) == [
        "CONTROL_SAMPLE_AS 1#1", "CONTROL_SAMPLE_AS 1#2",
        "CONTROL_SAMPLE_AS 2#1", "CONTROL_SAMPLE_AS 2#2",
    ]  # fmt: skip
    row = pd.Series(npx.obs_names, index=npx.obs["sample_index"]).loc[truth["Index"]]
    at = npx.obs_names.get_indexer(row), npx.var_names.get_indexer(truth["OlinkID"])
    np.testing.assert_array_equal(npx.X[at], truth["NPX"])
    np.testing.assert_array_equal(npx.layers["lod"][at], truth["LOD"])
    np.testing.assert_array_equal(
        npx.layers["sample_qc"][at], truth["QC_Warning"].map({"Pass": 0.0, "Warning": 1.0})
    )
    column = npx.obsm["plate"].columns.get_indexer(truth["Panel"])
    assert (npx.obsm["plate"].to_numpy()[at[0], column] == truth["PlateID"]).all()
    assert sorted(npx.obsm["plate"].stack().unique()) == sorted(truth["PlateID"].unique())
    assert len(truth["PlateID"].unique()) == 4
    assert int(np.isnan(npx.X).sum()) == 0
    assert npx.obs["Subject"].nunique() == truth["Subject"].nunique()
    people = truth.dropna(subset=["Subject"]).drop_duplicates("SampleID").set_index("SampleID")
    own = npx.obs[npx.obs["sample_type"] == "SAMPLE"]
    assert (own["subject_id"] == people["Subject"].reindex(own.index)).all()
    assert own["subject_id"].nunique() < len(own)
    assert npx.uns["precisionpain"]["subject_from"] == "column 'Subject'"


def test_wide_and_long_are_the_same(olink):
    """The same project in both layouts, by independent writers."""
    long = read_npx(olink / "reference_results" / "npx1.csv.gz")
    for path in (
        olink / "reference_results" / "npx1_wide.xlsx",  # notes a wrong extent of its sheet
        olink / "olink_examples" / "npx_data1.xlsx",
    ):
        wide = read_npx(path)
        assert list(wide.obs_names) == list(long.obs_names)
        assert set(wide.var_names) == set(long.var_names)
        again = wide[:, long.var_names]
        # Excel holds 15 digits.
        np.testing.assert_allclose(again.X, long.X, rtol=1e-13)
        np.testing.assert_allclose(again.layers["lod"], long.layers["lod"], rtol=1e-13)
        np.testing.assert_array_equal(again.layers["sample_qc"], long.layers["sample_qc"])
        assert (again.var["uniprot"] == long.var["uniprot"]).all()
        np.testing.assert_allclose(again.var["missing_freq"], long.var["missing_freq"])
        for a, b in zip(
            wide.obsm["plate"].to_numpy().T, long.obsm["plate"].to_numpy().T, strict=True
        ):
            assert (a == b).all()


@pytest.mark.parametrize(
    ("name", "people", "plates"),
    [("target96_2panels_plasma_NPX_wide.xlsx", 300, 8),
     ("target96_2panels_serum_NPX_wide.xlsx", 92, 4)],
)  # fmt: skip
def test_npx_manager(olink, name, people, plates):
    path = olink / "target96_wide" / name
    rows = sheet(path)
    npx = read_npx(path)
    assert npx.shape == (people, 184)
    assert (npx.obs["sample_type"] == "SAMPLE").all()
    body = [row for row in rows[6:] if row and str(row[0]).startswith(("PLA_", "SER_"))]
    values = np.array([[np.nan if v is None else v for v in row[1:185]] for row in body], float)
    np.testing.assert_array_equal(npx.X, values)
    assert list(npx.obs_names) == [row[0] for row in body]
    assert npx.obsm["plate"]["Olink INFLAMMATION"].tolist() == [row[186] for row in body]
    assert npx.obsm["plate"].stack().nunique() == len({v for r in body for v in r[185:187]})
    assert npx.obsm["plate"].stack().nunique() == plates
    warned = sum(row[j] != "Pass" for row in body for j in (187, 188))
    assert int((npx.obsm["qc"] == "Warning").to_numpy().sum()) == warned
    lod = next(row for row in rows if row and row[0] == "LOD")
    assert (npx.layers["lod"] == np.array(lod[1:185], float)).all()
    assert set(npx.var["panel"]) == {"Olink CARDIOVASCULAR III", "Olink INFLAMMATION"}
    assert set(npx.var["panel_version"]) == {"v.6112", "v.3021"}
    assert (npx.var["normalization"] == "Intensity Normalized (v.2)").all()
    # Three accessions are on both panels and stay apart; one assay has none.
    accessions = pd.Series(next(row for row in rows if row and row[0] == "Uniprot ID")[1:185])
    assert npx.var["uniprot"].nunique() == accessions[accessions != "NA"].nunique() == 180
    assert npx.var["uniprot"].isna().sum() == (accessions == "NA").sum() == 1
    assert npx.var["uniprot"].value_counts().iloc[:4].tolist() == [2, 2, 2, 1]
    assert len(npx.var_names.unique()) == 184


def test_explore_3072(olink):
    path = olink / "reference_results" / "npx_explore3072.zip"
    npx = read_npx(path)
    with zipfile.ZipFile(path) as archive:
        truth = pd.read_csv(
            io.BytesIO(archive.read("Example_NPX_Data_3K.csv")),
            sep=";",
            keep_default_na=False,
            dtype={"NPX": str},
        )
    assert npx.shape == (4, 2943)
    assert npx.obs["sample_type"].tolist() == ["CONTROL", "CONTROL", "SAMPLE", "SAMPLE"]
    assert npx.obs["plate"].unique().tolist() == truth["PlateID"].unique().tolist() == ["P1"]
    table = truth.pivot(index="SampleID", columns="OlinkID", values="NPX")
    np.testing.assert_array_equal(npx.X, table.loc[npx.obs_names, npx.var_names].astype(float))
    assert npx.var["panel"].nunique() == 8
    # 18 assays repeat a UniProt of another panel; they stay apart.
    assert npx.n_vars - truth["UniProt"].nunique() == 18
    assert len(npx.var_names.unique()) == 2943
    assert int(npx.var["uniprot"].str.contains(",").sum()) == 5
    assert npx.var["uniprot"]["OID20593"] == "Q29980,Q29983"
    flags = truth.pivot(index="SampleID", columns="OlinkID", values="QC_Warning") == "WARN"
    assert int(npx.layers["sample_qc"].sum()) == int(flags.to_numpy().sum())
    flags = truth.pivot(index="SampleID", columns="OlinkID", values="Assay_Warning") == "WARN"
    assert int(npx.layers["assay_qc"].sum()) == int(flags.to_numpy().sum())
    assert npx.uns["precisionpain"]["product"] == "Explore 3072"
    assert len(npx.uns["precisionpain"]["other_files"]) == 2


def test_explore_ht(olink):
    npx = read_npx(olink / "olink_examples" / "npx_data_ext.parquet")
    assert npx.shape == (1, 1)
    assert npx.layers["count"][0, 0] == 1668
    assert npx.var["uniprot"].tolist() == ["P10636"]
    assert npx.uns["precisionpain"]["product"] == "Explore HT"
    assert npx.uns["precisionpain"]["file_metadata"]["DataFileType"] == "NPX File"
    # "NA" is nothing, not a flag.
    assert np.isnan(npx.layers["assay_qc"][0, 0])
    assert npx.layers["sample_qc"][0, 0] == 0


def test_without_olink_id(olink):
    path = olink / "gisby2021_serum" / "serum_npx_level.csv"
    samples = pd.read_csv(olink / "gisby2021_serum" / "serum_sample_level.csv")
    npx = read_npx(path, samples=samples.rename(columns={"Individual_ID": "subject_id"}))
    truth = pd.read_csv(path, float_precision="round_trip")
    assert npx.shape == (63, 436)
    assert int(np.isnan(npx.X).sum()) == 63 * 436 - len(truth) == 97
    names = truth["Panel"] + ":" + truth["Assay"]
    at = npx.obs_names.get_indexer(truth["SampleID"]), npx.var_names.get_indexer(names)
    np.testing.assert_array_equal(npx.X[at], truth["NPX"])
    assert npx.obs["subject_id"].nunique() == truth["Individual_ID"].nunique() == 57
    assert npx.obs["plate"].nunique() == samples["Plate_ID"].nunique()


def test_samples_of_a_project(olink):
    table = pd.read_csv(olink / "olink_examples" / "npx_data1_meta.csv", sep=";")
    table = table.rename(columns={"Subject": "subject_id", "Time": "visit"})
    table = table[~table["SampleID"].str.startswith("CONTROL")]
    npx = read_npx(olink / "reference_results" / "npx1_wide.xlsx", samples=table)
    person = npx.obs[npx.obs["sample_type"] == "SAMPLE"]
    keyed = table.set_index("SampleID")["subject_id"]
    assert (person["subject_id"] == keyed[person["sample_id"]].to_numpy()).all()
    assert set(person["visit"]) == {"Baseline", "Week.6", "Week.12"}


@pytest.mark.parametrize("name", ["npx_data1.rda", "manifest.rda", "OlinkID_HT_mapping.rds"])
def test_r_files_are_refused(olink, name):
    with pytest.raises(FormatError, match="expected an NPX export"):
        read_npx(olink / "olink_examples" / name)


def test_sample_tables_are_no_exports(olink):
    with pytest.raises(FormatError, match="expected a column NPX"):
        read_npx(olink / "gisby2021_serum" / "serum_sample_level.csv")


def test_shuffled_rows_give_the_same(olink, tmp_path):
    path = olink / "reference_results" / "npx1.csv.gz"
    with gzip.open(path, "rt") as text:
        header, *lines = text.read().splitlines()
    np.random.default_rng(0).shuffle(lines)
    (tmp_path / "shuffled.csv").write_text("\n".join([header, *lines]))
    one, other = read_npx(path), read_npx(tmp_path / "shuffled.csv")
    assert list(one.obs_names) != list(other.obs_names)
    other = other[one.obs_names, one.var_names].copy()
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_array_equal(one.layers["lod"], other.layers["lod"])
    pd.testing.assert_frame_equal(one.obs, other.obs)
    pd.testing.assert_frame_equal(
        one.obsm["plate"].sort_index(axis=1), other.obsm["plate"].sort_index(axis=1)
    )
