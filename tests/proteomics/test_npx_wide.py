"""Wide sheets as NPX Manager and NPX Signature lay them out, built here cell by cell."""

from __future__ import annotations

import csv

import numpy as np
import openpyxl
import pytest

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import read_npx


def target_96():
    """Two panels with a control assay and deviations each; two samples, one control."""
    return [
        ["My project", "Olink NPX Signature 1.8.0"],
        ["NPX data"],
        ["Panel", *["Target 96 I(v.3021)"] * 2, *["Target 96 N(v.11)"] * 2,
         "Target 96 I(v.3021)", "Target 96 N(v.11)", "Target 96 I(v.3021)", "Target 96 N(v.11)",
         "Target 96 I(v.3021)", "Target 96 N(v.11)"],
        ["Assay", "IL1B", "Inc Ctrl 1", "NEFL", "Ext Ctrl", "Plate ID", "Plate ID", "QC Warning",
         "QC Warning", "QC Deviation from median", "QC Deviation from median"],
        ["Uniprot ID", "P01584", None, "P07196", None, None, None, None, None,
         "Inc Ctrl 2", "Inc Ctrl 2"],
        ["OlinkID", "OID1", "OID8", "OID2"],
        [],
        ["A", 1.5, 0.1, 7.25, 0.2, "I1", "N1", "Pass", "Warning", 0.05, 0.41],
        ["B", -0.5, 0.2, None, 0.3, "I2", "N2", "Pass", "Pass", -0.1, 0.0],
        ["IPC 1", 3, 0.3, 4, 0.4, "I1", "N1", "Warning", "Pass", -0.35, 0.1],
        [],
        ["LOD", 0.5, None, 1.25],
        ["Missing Data freq.", 0.5, 0, 0.25],
        ["Normalization", *["Intensity Normalized (v.2)"] * 4],
    ]  # fmt: skip


def target_48():
    """Concentrations, with limits for each of two plates."""
    return [
        ["Cytokines", "NPX Signature 1.9.0"],
        ["Quantified data"],
        ["Panel", *["Target 48 Cytokine(v.1)"] * 5],
        ["Assay", "IL1B", "CXCL13", "TNF", "Plate ID", "QC Warning"],
        ["Uniprot ID", "P01584", "O43927", "P01375"],
        ["OlinkID", "OID1", "OID2", "OID3"],
        ["Unit", "pg/mL", "pg/mL", "pg/mL"],
        [],
        ["A", 8, 2, 0.5, "P1", "Pass"],
        ["B", 16, 0, 4, "P2", "Warning"],
        ["C", 32, 1, 1, "P1", "Pass"],
        [],
        ["Assay warning", "Pass", "Warning", "Pass", "P1"],
        ["Assay warning", "Pass", "Pass", "Pass", "P2"],
        ["Lowest quantifiable level", 1, 1, 1, "P1"],
        ["Lowest quantifiable level", 2, 2, 2, "P2"],
        ["Plate LOD", 0.5, 0.25, 1, "P1"],
        ["Plate LOD", 2, 4, 8, "P2"],
        ["LLOQ", 0.1, 0.2, 0.3],
        ["ULOQ", 1000, 2000, 3000],
        ["Missing Data freq.", 0, 0.333, 0],
        ["Normalization", "Plate control", "Plate control", "Plate control"],
    ]


def write(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for k, grid in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet {k + 1}")
        for row in grid:
            sheet.append(row)
    book.save(path)
    return path


def test_panels_beside_one_another(tmp_path):
    npx = read_npx(write(tmp_path / "wide.xlsx", target_96()))
    assert npx.obs_names.tolist() == ["A", "B", "IPC 1"]
    assert npx.obs["sample_type"].tolist() == ["SAMPLE", "SAMPLE", "PLATE_CONTROL"]
    # A control assay without OlinkID is called by its panel and name.
    assert npx.var_names.tolist() == ["OID1", "OID8", "OID2", "Target 96 N:Ext Ctrl"]
    assert npx.var["assay_type"].tolist() == [
        "ASSAY", "INCUBATION_CONTROL", "ASSAY", "EXTENSION_CONTROL"]  # fmt: skip
    np.testing.assert_array_equal(
        npx.X, [[1.5, 0.1, 7.25, 0.2], [-0.5, 0.2, np.nan, 0.3], [3, 0.3, 4, 0.4]]
    )
    assert npx.var["panel"].tolist() == ["Target 96 I"] * 2 + ["Target 96 N"] * 2
    assert npx.var["panel_version"].tolist() == ["v.3021"] * 2 + ["v.11"] * 2
    assert npx.obsm["plate"].loc["B"].to_dict() == {"Target 96 I": "I2", "Target 96 N": "N2"}
    assert npx.obsm["qc"].loc["A"].to_dict() == {"Target 96 I": "Pass", "Target 96 N": "Warning"}
    np.testing.assert_array_equal(
        npx.layers["sample_qc"], [[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]
    )
    deviation = npx.obsm["QC Deviation Inc Ctrl 2"]
    np.testing.assert_array_equal(deviation, [[0.05, 0.41], [-0.1, 0.0], [-0.35, 0.1]])
    np.testing.assert_array_equal(npx.layers["lod"], [[0.5, np.nan, 1.25, np.nan]] * 3)
    np.testing.assert_array_equal(npx.var["missing_freq"], [0.5, 0, 0.25, np.nan])
    about = npx.uns["precisionpain"]
    assert about["product"] == "Target 96"
    assert about["unit"] == "NPX"
    assert about["file_metadata"] == {
        "software": "Olink NPX Signature 1.8.0", "project": "My project"}  # fmt: skip


def test_concentrations_and_plate_limits(tmp_path):
    npx = read_npx(write(tmp_path / "quant.xlsx", target_48()))
    np.testing.assert_array_equal(npx.X, [[3, 1, -1], [4, np.nan, 2], [5, 0, 0]])
    np.testing.assert_array_equal(npx.layers["quantified"], [[8, 2, 0.5], [16, 0, 4], [32, 1, 1]])
    # A and C were on P1, B on P2.
    np.testing.assert_array_equal(npx.layers["lod"], [[-1, -2, 0], [1, 2, 3], [-1, -2, 0]])
    np.testing.assert_array_equal(npx.layers["assay_qc"], [[0, 1, 0], [0, 0, 0], [0, 1, 0]])
    assert npx.obs["PlateLQL"].tolist() == [1, 2, 1]
    assert npx.var["ULOQ"].tolist() == [1000, 2000, 3000]
    assert npx.var["unit"].tolist() == ["pg/mL"] * 3
    assert npx.obs["plate"].tolist() == ["P1", "P2", "P1"]
    about = npx.uns["precisionpain"]
    assert (about["unit"], about["product"]) == ("log2 pg/mL", "Target 48")
    assert about["removed"] == {"concentrations of 0 or less": 1}


def test_npx_with_max_and_plate_lod(tmp_path):
    grid = target_48()
    grid[1] = ["NPX data"]
    del grid[6]
    at = next(k for k, row in enumerate(grid) if row and row[0] == "Plate LOD")
    grid.insert(at, ["Max LOD", 9, 9, 9])
    grid[at + 1][1] = None
    npx = read_npx(write(tmp_path / "npx.xlsx", grid))
    assert npx.X[1].tolist() == [16, 0, 4]
    np.testing.assert_array_equal(npx.layers["lod"], [[9, 0.25, 1], [2, 4, 8], [9, 0.25, 1]])


def test_flex_has_no_deviations_and_own_panel(tmp_path):
    grid = [row[:4] + row[4:5] if row and row[0] != "Unit" else [] for row in target_48()]
    grid[1] = ["NPX data"]
    grid[2] = ["Panel", *["Olink Flex XYZ(v.2)"] * 4]
    grid = grid[:6] + grid[7:11] + [[], ["LOD", 1, 2, 3]]
    npx = read_npx(write(tmp_path / "flex.xlsx", grid))
    assert npx.uns["precisionpain"]["product"] == "Flex"
    assert npx.var["panel"].unique().tolist() == ["Olink Flex XYZ"]
    np.testing.assert_array_equal(npx.layers["lod"], [[1, 2, 3]] * 3)
    assert npx.n_obs == 3


def test_a_sheet_for_each_panel(tmp_path):
    """Samples are matched by name; sheets that hold notes are left out."""
    whole = target_96()
    place = {"I": [0, 1, 2, 5, 7, 9], "N": [0, 3, 4, 6, 8, 10]}
    sheets = []
    for columns in place.values():
        width = 11
        padded = [row + [None] * (width - len(row)) for row in whole]
        sheets.append([[row[j] for j in columns] if k > 1 else row for k, row in enumerate(padded)])
    sheets[1][7], sheets[1][8] = sheets[1][8], sheets[1][7]
    one = read_npx(write(tmp_path / "one.xlsx", whole))
    two = read_npx(write(tmp_path / "two.xlsx", *sheets, [["Notes"], ["Freezer 7"]]))
    assert two.obs_names.tolist() == one.obs_names.tolist()
    np.testing.assert_array_equal(two.X, one.X)
    np.testing.assert_array_equal(two.layers["sample_qc"], one.layers["sample_qc"])
    assert two.obsm["plate"].to_dict() == one.obsm["plate"].to_dict()


@pytest.mark.parametrize(("sep", "comma"), [(";", True), (",", False), ("\t", True)])
def test_wide_text(tmp_path, sep, comma):
    path = tmp_path / "wide.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as out:
        for row in target_96():
            cells = ["" if c is None else str(c) for c in row]
            if comma:
                cells = [c.replace(".", ",") if c[-1:].isdigit() and c[:1] in "-0123456789" else c
                         for c in cells]  # fmt: skip
            csv.writer(out, delimiter=sep).writerow(cells)
    one, two = read_npx(write(tmp_path / "wide.xlsx", target_96())), read_npx(path)
    np.testing.assert_array_equal(one.X, two.X)
    np.testing.assert_array_equal(one.layers["lod"], two.layers["lod"])


def test_a_long_table_in_a_workbook(tmp_path):
    grid = [["SampleID", "OlinkID", "Assay", "NPX"], ["S1", "OID1", "IL1B", 1.5],
            ["S1", "OID2", "TNF", None]]  # fmt: skip
    npx = read_npx(write(tmp_path / "long.xlsx", grid))
    np.testing.assert_array_equal(npx.X, [[1.5, np.nan]])


def test_repeated_samples_are_rows_of_their_own(tmp_path):
    grid = target_96()
    grid[8][0] = "A"
    npx = read_npx(write(tmp_path / "wide.xlsx", grid))
    assert npx.obs_names.tolist() == ["A#1", "A#2", "IPC 1"]
    assert npx.X[:, 0].tolist() == [1.5, -0.5, 3]


def broken(change):
    grid = target_96()
    change(grid)
    return grid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g[8].__setitem__(1, "high"), r"Sheet 1', cell B9: .*found 'high'"),
        (lambda g: g[8].__setitem__(10, "?"), r"cell K9: expected a number, found '\?'"),
        (lambda g: g[8].__setitem__(0, None), "cell A9: found a row without SampleID"),
        (lambda g: g.__delitem__(5), r"\['olinkid'\] are missing"),
        (lambda g: g.insert(9, []), "cell A11: expected a row of the foot.*found 'IPC 1'"),
        (lambda g: g[7].append(4.5), "cell L8: found values in a column without Assay"),
        (lambda g: g.__delitem__(slice(7, 10)), "found no samples"),
        (lambda g: g[1].append("Quantified data"), "in the head of one sheet"),
        (lambda g: g.append(["LOD", 1, 1, 1, 1]), "LOD is there 2 times, without the plate"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        read_npx(write(tmp_path / "wide.xlsx", broken(change)))


def test_ct_sheet(tmp_path):
    grid = broken(lambda g: g.__setitem__(1, ["Ct data"]))
    with pytest.raises(FormatError, match="Ct values"):
        read_npx(write(tmp_path / "wide.xlsx", grid))


def test_same_assay_on_two_columns(tmp_path):
    grid = broken(lambda g: (g[2].__setitem__(3, "Target 96 I(v.3021)"),
                             g[5].__setitem__(3, "OID1")))  # fmt: skip
    with pytest.raises(AlignmentError, match="'A × OID1'"), pytest.warns(match="several names"):
        read_npx(write(tmp_path / "wide.xlsx", grid))


def test_workbook_without_an_export(tmp_path):
    with pytest.raises(FormatError, match="expected a sheet in which a row begins with Panel"):
        read_npx(write(tmp_path / "notes.xlsx", [["Notes"]]))
