"""Long tables as products, versions and editors write them, and what is wrong with some."""

from __future__ import annotations

import gc
import gzip
import hashlib
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, DataWarning, FormatError, StorageError
from precisionpain.proteomics import read_npx


def rows(**changes):
    """Three samples × two assays, as columns of a long table."""
    table = {
        "SampleID": ["S1", "S1", "S2", "S2", "S3", "S3"],
        "OlinkID": ["OID1", "OID2"] * 3,
        "UniProt": ["P01584", "O43927"] * 3,
        "Assay": ["IL1B", "CXCL13"] * 3,
        "Panel": ["Inflammation"] * 6,
        "PlateID": ["P1"] * 6,
        "NPX": ["1.5", "-2.25", "3.0", "4.125", "0.5", "NA"],
    }
    table.update(changes)
    return {name: cells for name, cells in table.items() if cells is not None}


def text_of(table, sep=";"):
    header = sep.join(table)
    lines = [sep.join(cells) for cells in zip(*table.values(), strict=True)]
    return "\n".join([header, *lines]) + "\n"


TRUTH = np.array([[1.5, -2.25], [3.0, 4.125], [0.5, np.nan]])


def read(tmp_path, table, *, sep=";", name="export.csv", encoding="utf-8", edit=str, **options):
    path = tmp_path / name
    path.write_bytes(edit(text_of(table, sep)).encode(encoding))
    return read_npx(path, **options)


def check(npx):
    assert npx.obs_names.tolist() == ["S1", "S2", "S3"]
    assert npx.var_names.tolist() == ["OID1", "OID2"]
    np.testing.assert_array_equal(npx.X, TRUTH)
    assert npx.obs["subject_id"].tolist() == ["S1", "S2", "S3"]


# ---- text as it comes


@pytest.mark.parametrize("sep", [";", ",", "\t"])
@pytest.mark.parametrize("name", ["export.csv", "export.txt", "no_ending"])
def test_delimiters(tmp_path, sep, name):
    check(read(tmp_path, rows(), sep=sep, name=name))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(tmp_path, encoding):
    npx = read(tmp_path, rows(Hospital=["Umeå"] * 6), encoding=encoding)
    check(npx)
    assert npx.obs["Hospital"].tolist() == ["Umeå"] * 3


@pytest.mark.parametrize("sep", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_decimal_commas(tmp_path, sep, encoding):
    npx = read(
        tmp_path,
        rows(LOD=["0.5", "1.25"] * 3),
        sep=sep,
        encoding=encoding,
        edit=lambda text: text.replace(".", ","),
    )
    check(npx)
    np.testing.assert_array_equal(npx.layers["lod"], [[0.5, 1.25]] * 3)


def test_blank_rows_at_the_end(tmp_path):
    npx = read(tmp_path, rows(), edit=lambda text: text + ";;;;;;\n;;;;;;\n\n\n")
    check(npx)
    assert npx.uns["precisionpain"]["removed"] == {"blank rows": 2}


def test_windows_lines_and_quotes(tmp_path):
    table = rows(Note=['"a; ""b"""'] * 6)
    npx = read(tmp_path, table, edit=lambda text: text.replace("\n", "\r\n"))
    check(npx)
    assert npx.obs["Note"].tolist() == ['a; "b"'] * 3


def test_empty_cells_are_missing(tmp_path):
    check(read(tmp_path, rows(NPX=["1.5", "-2.25", "3.0", "4.125", "0.5", ""])))


def test_header_that_ends_in_delimiters(tmp_path):
    check(read(tmp_path, rows(), edit=lambda text: text.replace("\n", ";;\n")))


def test_wrong_number_names_line_and_column(tmp_path):
    table = rows(NPX=["1.5", "-2.25", "3.0", "n.d.", "0.5", "NA"])
    with pytest.raises(FormatError, match=r"line 5, column 'NPX': .*found 'n\.d\.'"):
        read(tmp_path, table)


def test_mixed_decimal_marks(tmp_path):
    table = rows(NPX=["1,5", "-2,25", "3.5", "4,125", "0,5", "NA"])
    with pytest.raises(FormatError, match=r"line 4, column 'NPX': .*decimal comma, found '3\.5'"):
        read(tmp_path, table)


def test_mixed_encodings(tmp_path):
    lines = text_of(rows(Hospital=["Umeå"] * 6)).splitlines()
    data = b"\n".join(line.encode("cp1252" if k == 4 else "utf-8") for k, line in enumerate(lines))
    (tmp_path / "export.csv").write_bytes(data)
    with pytest.raises(FormatError, match=r"line 5, byte \d+: found the byte 0xe5"):
        read_npx(tmp_path / "export.csv")


def test_cut_line(tmp_path):
    lines = text_of(rows()).splitlines()[:6]
    with pytest.raises(FormatError, match="line 7: expected 7 cells, found 3"):
        read(tmp_path, rows(), edit=lambda _: "\n".join([*lines, "S3;OID2;O43927"]))


def test_row_without_sample(tmp_path):
    table = rows(SampleID=["S1", "S1", "S2", "", "S3", "S3"])
    with pytest.raises(FormatError, match=r"line 5, column 'SampleID'"):
        read(tmp_path, table)


def test_header_only(tmp_path):
    with pytest.raises(FormatError, match="no rows"):
        read(tmp_path, rows(), edit=lambda text: text.splitlines()[0] + "\n")


def test_column_twice(tmp_path):
    with pytest.raises(FormatError, match="'NPX' occur"):
        read(tmp_path, rows(), edit=lambda text: text.replace("PlateID", "NPX"))


def test_something_else(tmp_path):
    (tmp_path / "letter.csv").write_text("Dear colleague,\nhere are the data.\n")
    with pytest.raises(FormatError, match="expected an NPX export"):
        read_npx(tmp_path / "letter.csv")
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(FormatError, match=r"\.xls workbook"):
        read_npx(tmp_path / "old.xls")
    with pytest.raises(StorageError, match="no such file"):
        read_npx(tmp_path / "absent.csv")


# ---- archives, folders, lists, Parquet


def test_gzip_and_parquet(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text_of(rows()).encode()))
    check(read_npx(tmp_path / "a.csv.gz"))
    table = pd.DataFrame(rows())
    table["NPX"] = pd.to_numeric(table["NPX"], errors="coerce")
    table.to_parquet(tmp_path / "table.bin")
    check(read_npx(tmp_path / "table.bin"))
    data = (tmp_path / "table.bin").read_bytes()
    (tmp_path / "half.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="damaged"):
        read_npx(tmp_path / "half.parquet")


def archive(path, members):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def test_zip_with_other_members(tmp_path):
    data = text_of(rows()).encode()
    members = {
        "NPX.csv": data,
        "LICENSE.txt": b"Do as you like.",
        "MD5_checksum.txt": hashlib.md5(data).hexdigest().encode() + b"\n",
    }
    npx = read_npx(archive(tmp_path / "a.zip", members))
    check(npx)
    others = npx.uns["precisionpain"]["other_files"]
    assert [name.split(", ")[1] for name in others] == ["LICENSE.txt", "MD5_checksum.txt"]


def test_zip_that_differs_from_its_checksum(tmp_path):
    members = {"NPX.csv": text_of(rows()), "checksum.txt": "0" * 32}
    with pytest.raises(StorageError, match="differs from the checksum"):
        read_npx(archive(tmp_path / "a.zip", members))


def test_zip_of_nothing(tmp_path):
    with pytest.raises(FormatError, match="found no NPX export among"):
        read_npx(archive(tmp_path / "a.zip", {"README.txt": "nothing here"}))


def split(tmp_path, by):
    """Write one file per value of a column; return the folder."""
    table = pd.DataFrame(rows())
    folder = tmp_path / "parts"
    folder.mkdir()
    for value, part in table.groupby(by):
        part.to_csv(folder / f"{value}.csv", sep=";", index=False)
    return folder


@pytest.mark.parametrize("by", ["SampleID", "OlinkID"])
def test_folder_of_plates_or_panels(tmp_path, by):
    folder = split(tmp_path, by)
    if by == "OlinkID":  # a panel in each file
        path = folder / "OID2.csv"
        path.write_text(path.read_text().replace("Inflammation", "Neurology"))
    (folder / "README.md").write_text("Olink data")
    check(read_npx(folder))
    check(read_npx(sorted(folder.glob("*.csv"))))


def test_columns_that_only_one_file_has(tmp_path):
    """What a file doesn't say is missing for its samples; the column stays where it belongs."""
    table = pd.DataFrame(rows(Site=["A"] * 6, Age=["61", "61", "50", "50", "44", "44"]))
    first, second = table.iloc[:4].drop(columns=["Age"]), table.iloc[4:].drop(columns=["Site"])
    first.to_csv(tmp_path / "1.csv", index=False)
    second.to_csv(tmp_path / "2.csv", index=False)
    npx = read_npx([tmp_path / "1.csv", tmp_path / "2.csv"])
    check(npx)
    assert npx.obs["Site"].tolist() == ["A", "A", None]
    np.testing.assert_array_equal(npx.obs["Age"], [np.nan, np.nan, 44])
    first["Age"] = "unknown"
    first.to_csv(tmp_path / "1.csv", index=False)
    npx = read_npx([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert npx.obs["Age"].tolist() == ["unknown", "unknown", "44"]


def test_archives_that_cannot_be_read(tmp_path):
    path = archive(tmp_path / "a.zip", {"NPX.csv": text_of(rows())})
    data = bytearray(path.read_bytes())
    (tmp_path / "half.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="damaged"):
        read_npx(tmp_path / "half.zip")
    data[6] |= 1  # the flag of the member's own header, and of the archive's list
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="encrypted"):
        read_npx(path)


def test_same_sample_in_two_files_clashes(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(text_of(rows()))
    two.write_text(text_of(rows(PlateID=["P2"] * 6)))
    with pytest.raises(AlignmentError, match=r"'S1', 'S2', 'S3' are on the same panel in more"):
        read_npx([one, two])


def test_controls_of_two_files_keep_apart(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    control = ["CONTROL_SAMPLE_AS 1"] * 2
    one.write_text(text_of(rows(SampleID=["S1", "S1", "S2", "S2", *control])))
    two.write_text(text_of(rows(SampleID=["S3", "S3", "S4", "S4", *control])))
    npx = read_npx([one, two])
    assert npx.obs_names.tolist() == [
        "S1", "S2", "CONTROL_SAMPLE_AS 1#1", "S3", "S4", "CONTROL_SAMPLE_AS 1#2",
    ]  # fmt: skip
    np.testing.assert_array_equal(npx.X, np.vstack([TRUTH, TRUTH]))


# ---- samples that come again


def test_two_plates(tmp_path):
    """A sample on two plates is two rows, whatever the order of the rows of the file."""
    table = rows(SampleID=["S1"] * 4 + ["S2"] * 2, PlateID=["P10", "P10", "P9", "P9", "P9", "P9"])
    npx = read(tmp_path, table)
    assert npx.obs_names.tolist() == ["S1#2", "S1#1", "S2"]  # P9 comes before P10
    assert npx.obs["sample_id"].tolist() == ["S1", "S1", "S2"]
    assert npx.obs["subject_id"].tolist() == ["S1", "S1", "S2"]
    assert npx.obs["plate"].tolist() == ["P10", "P9", "P9"]
    shuffled = {name: [cells[k] for k in (5, 3, 0, 2, 4, 1)] for name, cells in table.items()}
    again = read(tmp_path, shuffled)[npx.obs_names, npx.var_names]
    np.testing.assert_array_equal(again.X, npx.X)


def test_panels_on_their_own_plates_are_one_row(tmp_path):
    panel = ["Inflammation", "Neurology"] * 3
    npx = read(tmp_path, rows(Panel=panel, PlateID=["I1", "N7", "I1", "N7", "I2", "N8"]))
    check(npx)
    assert npx.obsm["plate"].to_dict("list") == {
        "Inflammation": ["I1", "I1", "I2"],
        "Neurology": ["N7", "N7", "N8"],
    }
    assert "plate" not in npx.obs


def test_index_pairs_panels_of_repeated_controls(tmp_path):
    """Panels of a control that was run twice belong together by Index, not by their order."""
    table = rows(
        SampleID=["IPC"] * 4 + ["S3"] * 2,
        Panel=["I", "N"] * 3,
        OlinkID=["OID1", "OID2", "OID1", "OID2", "OID1", "OID2"],
        Index=["12", "90", "90", "12", "1", "1"],
        PlateID=["I1", "N2", "I2", "N1", "I1", "N1"],
    )
    npx = read(tmp_path, table)
    assert npx.obs["sample_type"].tolist() == ["PLATE_CONTROL", "PLATE_CONTROL", "SAMPLE"]
    assert npx.obs_names.tolist() == ["IPC#1", "IPC#2", "S3"]
    np.testing.assert_array_equal(npx.X[:2], [[1.5, 4.125], [3.0, -2.25]])
    assert npx.obsm["plate"].loc["IPC#1"].tolist() == ["I1", "N1"]


def test_without_evidence_panels_are_not_paired(tmp_path):
    table = rows(
        SampleID=["IPC"] * 4 + ["S3"] * 2,
        Panel=["I", "N"] * 3,
        PlateID=["I1", "N1", "I2", "N2", "I1", "N1"],
    )
    npx = read(tmp_path, table)
    assert npx.n_obs == 5
    assert np.isnan(npx.X[:4]).sum() == 4


def test_true_duplicates_are_listed(tmp_path):
    table = rows(SampleID=["S1", "S1", "S1", "S1", "S3", "S3"])
    with pytest.raises(AlignmentError, match=r"2 values .*'S1 × OID1', 'S1 × OID2'"):
        read(tmp_path, table)


def test_suffix_takes_no_ones_name(tmp_path):
    table = rows(SampleID=["S1", "S1", "S1", "S1", "S1#1", "S1#1"], PlateID=[*"AABBAA"])
    assert read(tmp_path, table).obs_names.tolist() == ["S1#2", "S1#3", "S1#1"]


# ---- whose sample, what kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CANCER_01", "SAMPLE"), ("NC_07", "SAMPLE"), ("NC", "SAMPLE"), ("CONTROL_3", "SAMPLE"),
        ("INCONTINENCE", "SAMPLE"), ("IPCRESS", "SAMPLE"), ("Negative", "SAMPLE"),
        ("CONTROL_SAMPLE_AS 1", "CONTROL"), ("Sample control 2", "CONTROL"),
        ("CONTROL_SAMPLE", "CONTROL"), ("NEGATIVE_CONTROL_1", "NEGATIVE_CONTROL"),
        ("Neg Ctrl", "NEGATIVE_CONTROL"), ("IPC", "PLATE_CONTROL"), ("IPC 3", "PLATE_CONTROL"),
        ("Plate Control", "PLATE_CONTROL"), ("Inter-plate control 2", "PLATE_CONTROL"),
    ],
)  # fmt: skip
def test_names_of_controls(tmp_path, name, kind):
    npx = read(tmp_path, rows(SampleID=[name, name, "S2", "S2", "S3", "S3"]))
    assert npx.obs["sample_type"].tolist() == [kind, "SAMPLE", "SAMPLE"]
    assert (npx.obs["subject_id"].iloc[0] is None) == (kind != "SAMPLE")
    assert npx.uns["precisionpain"]["sample_type_from"] == "names"


def test_the_column_outweighs_the_name(tmp_path):
    table = rows(
        SampleID=["CONTROL_SAMPLE_1", "CONTROL_SAMPLE_1", "NC_2", "NC_2", "S3", "S3"],
        SampleType=["SAMPLE", "SAMPLE", "NEGATIVE_CONTROL", "NEGATIVE_CONTROL",
                    "SAMPLE_CONTROL", "SAMPLE_CONTROL"],
    )  # fmt: skip
    npx = read(tmp_path, table)
    assert npx.obs["sample_type"].tolist() == ["SAMPLE", "NEGATIVE_CONTROL", "CONTROL"]
    assert npx.uns["precisionpain"]["sample_type_from"] == "column"
    with pytest.raises(FormatError, match="found 'BUFFER'"):
        read(tmp_path, rows(Sample_Type=["BUFFER"] * 6))


def test_control_assays(tmp_path):
    table = rows(AssayType=["assay", "ext_ctrl"] * 3)
    assert read(tmp_path, table).var["assay_type"].tolist() == ["ASSAY", "EXTENSION_CONTROL"]
    table = rows(Assay=["INCENP", "Incubation control 1"] * 3)
    assert read(tmp_path, table).var["assay_type"].tolist() == ["ASSAY", "INCUBATION_CONTROL"]


# ---- what files say of assays and values


def test_two_accessions_are_one_assay(tmp_path):
    for joined in ("P29460_P29459", "P29460,P29459", "P29460;P29459", "P29460, P29459"):
        npx = read(tmp_path, rows(UniProt=[joined, "O43927"] * 3), sep="\t")
        check(npx)
        assert npx.var["uniprot"].tolist() == ["P29460,P29459", "O43927"]


def test_an_assay_listed_under_each_accession(tmp_path):
    """The same value twice, under two accessions, is one value; two values are an error."""
    table = rows()
    twice = {name: [*cells, cells[0]] for name, cells in table.items()}
    twice["UniProt"][-1] = "P29459"
    npx = read(tmp_path, twice)
    check(npx)
    assert npx.var["uniprot"].iloc[0] == "P01584,P29459"
    twice["NPX"][-1] = "9.0"
    with pytest.raises(AlignmentError, match="'S1 × OID1'"):
        read(tmp_path, twice)


def test_one_assay_on_two_panels_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="OID1 has several values of Panel"):
        read(tmp_path, rows(Panel=["A", "A", "B", "B", "B", "B"]))


def test_two_names_of_an_assay(tmp_path):
    with pytest.warns(DataWarning, match="IL1B / IL-1B"):
        npx = read(tmp_path, rows(Assay=["IL1B", "CXCL13", "IL-1B", "CXCL13", "IL1B", "CXCL13"]))
    assert npx.var["gene"].tolist() == ["IL1B", "CXCL13"]


@pytest.mark.parametrize("column", ["QC_Warning", "SampleQC", "Sample_QC"])
def test_flags_of_samples(tmp_path, column):
    flags = ["Pass", "Pass", "Warning", "Warning", "FAIL", "FAIL"]
    npx = read(tmp_path, rows(**{column: flags}))
    np.testing.assert_array_equal(npx.layers["sample_qc"], [[0, 0], [1, 1], [2, 2]])
    assert npx.obs["qc"].tolist() == ["Pass", "Warning", "FAIL"]


def test_flags_of_values(tmp_path):
    """Flags that differ within a sample and within an assay have a layer of their own."""
    flags = ["PASS", "EXCLUDED", "WARN", "NA", "FAIL", "PASS"]
    npx = read(tmp_path, rows(AssayQC=flags))
    np.testing.assert_array_equal(npx.layers["assay_qc"], [[0, 2], [1, np.nan], [2, 0]])
    # EXCLUDED stays apart from FAIL in words.
    words = npx.uns["precisionpain"]["categories"]["assay_qc_words"]
    codes = npx.layers["assay_qc_words"]
    spelt = np.array([*words, "NA"], dtype=object)[codes]
    assert spelt.ravel().tolist() == flags


def test_unknown_flag(tmp_path):
    with pytest.warns(DataWarning, match="QC flags 'MEH' are unknown"):
        npx = read(tmp_path, rows(SampleQC=["PASS", "PASS", "MEH", "MEH", "PASS", "PASS"]))
    assert np.isnan(npx.layers["sample_qc"][1]).all()


def test_the_limit_that_counts(tmp_path):
    """LOD, else the plate's, else the highest of all plates; all are kept."""
    npx = read(
        tmp_path,
        rows(MaxLOD=["9"] * 6, PlateLOD=["2", "NA"] * 3, LOD=["1", "NA", "NA", "NA", "1", "5"]),
    )
    np.testing.assert_array_equal(npx.layers["lod"], [[1, 9], [2, 9], [1, 5]])
    np.testing.assert_array_equal(npx.layers["max_lod"], np.full((3, 2), 9))
    np.testing.assert_array_equal(npx.layers["plate_lod"][:, 0], [2, 2, 2])


def test_counts_and_other_scales(tmp_path):
    npx = read(
        tmp_path,
        rows(Count=[*"123456"], ExtNPX=["-1.5"] * 6, PCNormalizedNPX=["0.5"] * 6,
             Block=["1", "2"] * 3, WellID=["A1", "A1", "B1", "B1", "C1", "C1"],
             DataAnalysisRefID=["D1", "D2"] * 3, ExploreVersion=["5.0"] * 6),
    )  # fmt: skip
    np.testing.assert_array_equal(npx.layers["count"], [[1, 2], [3, 4], [5, 6]])
    assert (npx.layers["ext_npx"] == -1.5).all()
    assert (npx.layers["pc_normalized_npx"] == 0.5).all()
    assert npx.var["block"].tolist() == ["1", "2"]
    assert npx.var["data_analysis_ref"].tolist() == ["D1", "D2"]
    assert npx.obs["well"].tolist() == ["A1", "B1", "C1"]
    assert npx.obs["explore_version"].tolist() == ["5.0"] * 3


def test_unknown_columns_find_their_homes(tmp_path):
    npx = read(
        tmp_path,
        rows(Age=["61", "61", "50", "50", "44", "44"], Code=["007", "007", "8", "8", "9", "9"],
             Class=["a", "b"] * 3, Mark=[*"xyzxyx"], Cell=["1.5", "2", "3", "4", "5", "6.5"]),
    )  # fmt: skip
    assert npx.obs["Age"].tolist() == [61, 50, 44]
    assert npx.obs["Code"].tolist() == ["007", "8", "9"]
    assert npx.var["Class"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(npx.layers["Cell"], [[1.5, 2], [3, 4], [5, 6.5]])
    words = np.array(npx.uns["precisionpain"]["categories"]["Mark"])
    assert words[npx.layers["Mark"]].ravel().tolist() == [*"xyzxyx"]


def test_numbers_that_turn_into_text_far_down(tmp_path):
    """A column is looked at in the first rows only, and read again where that was wrong."""
    n = 3000
    lines = [f"S{k};OID1;IL1B;1.0;{k}" for k in range(n)] + ["last;OID1;IL1B;1.0;unknown"]
    path = tmp_path / "long.csv"
    path.write_text("SampleID;OlinkID;Assay;NPX;Score\n" + "\n".join(lines) + "\n")
    npx = read_npx(path)
    assert npx.obs["Score"].tolist() == [*map(str, range(n)), "unknown"]


def test_normalization(tmp_path):
    with pytest.warns(DataWarning, match="normalised in 2 ways"):
        npx = read(tmp_path, rows(Normalization=["Intensity", "Plate control"] * 3))
    assert npx.var["normalization"].tolist() == ["Intensity", "Plate control"]
    assert read(tmp_path, rows(Normalization=["Intensity", "EXCLUDED"] * 3)).n_vars == 2


@pytest.mark.parametrize("other", ["Ct", "Quantified_value"])
def test_two_scales(tmp_path, other):
    with pytest.raises(FormatError, match=f"found NPX beside {other}|found {other} beside NPX"):
        read(tmp_path, rows(**{other: ["20"] * 6}))
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(text_of(rows()))
    two.write_text(text_of(rows(NPX=None, **{other: ["20"] * 6})))
    with pytest.raises(FormatError, match="different scales"):
        read_npx([one, two])
    npx = read(tmp_path, rows(**{other: ["20"] * 6}), value="NPX")
    check(npx)
    assert (npx.layers[other.split("_")[0].lower()] == 20).all()


def test_ct_alone(tmp_path):
    with pytest.raises(FormatError, match="Ct values"):
        read(tmp_path, rows(NPX=None, Ct=["20"] * 6))


def test_concentrations(tmp_path):
    table = rows(NPX=None, Quantified_value=["8", "0", "2", "0.5", "1024", "NA"],
                 Unit=["pg/mL"] * 6, PlateLOD=["4", "0.25"] * 3)  # fmt: skip
    npx = read(tmp_path, table)
    np.testing.assert_array_equal(npx.X, [[3, np.nan], [1, -1], [10, np.nan]])
    np.testing.assert_array_equal(npx.layers["quantified"], [[8, 0], [2, 0.5], [1024, np.nan]])
    np.testing.assert_array_equal(npx.layers["lod"], [[2, -2]] * 3)
    about = npx.uns["precisionpain"]
    assert about["unit"] == "log2 pg/mL"
    assert about["removed"] == {"concentrations of 0 or less": 1}


def test_already_linear_values_are_refused(tmp_path):
    with pytest.raises(FormatError, match="log2 scale, found up to 5e"):
        read(tmp_path, rows(NPX=["500000"] * 6))


def test_batches_do_not_matter(tmp_path, monkeypatch):
    """Read in pieces of a few hundred bytes, a table is the same."""
    from precisionpain.proteomics._npx import delimited

    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 30)).round(4)
    lines = [
        f"S{i:02d};OID{j:02d};G{j};{values[i, j]};{'PASS' if i % 3 else 'WARN'};L{j % 4}"
        for i in range(40) for j in rng.permutation(30)
    ]  # fmt: skip
    path = tmp_path / "export.csv"
    path.write_text("SampleID;OlinkID;Assay;NPX;SampleQC;Panel_Lot_Nr\n" + "\n".join(lines))
    whole = read_npx(path)
    monkeypatch.setattr(delimited, "_BLOCK", 700)
    pieces = read_npx(path)
    np.testing.assert_array_equal(pieces.X, whole.X)
    pd.testing.assert_frame_equal(pieces.obs, whole.obs)
    pd.testing.assert_frame_equal(pieces.var, whole.var)
    order = [f"OID{j:02d}" for j in range(30)]
    np.testing.assert_array_equal(whole[:, order].X, values)


def test_reading_leaves_no_file_open(tmp_path):
    """An open file on Windows can't be removed."""
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text_of(rows()).encode()))
    archive(tmp_path / "a.zip", {"NPX.csv": text_of(rows())})
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        read_npx(tmp_path / "a.csv.gz")
        read_npx(tmp_path / "a.zip")
        gc.collect()
    assert [str(one.message) for one in found] == []
