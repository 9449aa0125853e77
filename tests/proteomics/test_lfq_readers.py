"""Readers of label-free exports: every trap of the files, on tables of a few cells."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import (
    read_diann,
    read_fragpipe,
    read_matrix,
    read_maxquant,
    read_spectronaut,
    roll_up,
)
from precisionpain.proteomics._lfq.names import accession, clean_samples, members

GROUPS = (
    "Protein IDs\tMajority protein IDs\tGene names\tRazor + unique peptides\tReverse\t"
    "Potential contaminant\tOnly identified by site\tIntensity\tIntensity A\tIntensity B\t"
    "LFQ intensity A\tLFQ intensity B\n"
    "sp|P01584|IL1B_HUMAN;P99999\tsp|P01584|IL1B_HUMAN\tIL1B\t5\t\t\t\t9\t4\t5\t1024\t0\n"
    "O43927;P1\tO43927;P1\tCXCL13\t3\t\t\t\t9\t4\t5\t2048\t4096.5\n"
    "CON__P02769\tCON__P02769\t\t9\t\t+\t\t9\t4\t5\t100\t100\n"
    "REV__P5\tREV__P5\t\t1\t+\t\t\t9\t4\t5\t100\t100\n"
    "P7;CON__P8\tP7;CON__P8\tX\t2\t\t\t\t9\t4\t5\t512\t512\n"
    "P9\tP9\tX\t1\t\t\t+\t9\t4\t5\t512\t512\n"
)


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="table.txt", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return to_file


def check_groups(adata):
    assert list(adata.var_names) == ["P01584", "O43927;P1", "P7"]
    expected = np.log2([[1024, 2048, 512], [np.nan, 4096.5, 512]])
    np.testing.assert_allclose(adata.X, expected)
    assert adata.uns["precisionpain"]["removed"] == {
        "decoy": 1, "contaminant": 1, "only_by_site": 1,
    }  # fmt: skip


def test_maxquant(write):
    adata = read_maxquant(write(GROUPS))
    check_groups(adata)
    assert list(adata.obs_names) == ["A", "B"]
    assert list(adata.var["uniprot"]) == ["P01584", "O43927", "P7"]
    assert list(adata.var["uniprots"]) == ["P01584;P99999", "O43927;P1", "P7"]
    assert list(adata.var["gene"]) == ["IL1B", "CXCL13", "X"]
    assert list(adata.var["n_peptides"]) == [5, 3, 2]
    assert list(adata.obs["subject_id"]) == ["A", "B"]
    assert adata.obs["visit"].isna().all()
    np.testing.assert_array_equal(
        adata.layers["intensity"], [[1024, 2048, 512], [np.nan, 4096.5, 512]]
    )


@pytest.mark.parametrize(
    "changed",
    [
        lambda t: t.replace("4096.5", "4096,5"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n") + "\r\n\r\n" + "\t" * 11 + "\r\n",
        lambda t: t.replace("LFQ intensity ", "LFQ.intensity.").replace("Majority protein IDs",
                                                                        "Majority.protein.IDs"),
        lambda t: t.replace("4096.5", "4.0965E+03").replace("\t0\n", "\tNaN\n"),
        lambda t: "".join(f'"{i}"\t{line}' if i else line
                          for i, line in enumerate(t.splitlines(keepends=True))),
    ],
    ids=["decimal comma", "BOM", "blank rows", "dots", "exponents", "row names"],
)  # fmt: skip
def test_the_same_table_written_otherwise(write, changed):
    check_groups(read_maxquant(write(changed(GROUPS))))


def test_encodings_and_compression(write, tmp_path):
    check_groups(read_maxquant(write(GROUPS, encoding="utf-16")))
    check_groups(read_maxquant(write(gzip.compress(GROUPS.encode()), "x.txt")))
    german = GROUPS.replace("CXCL13", "CXCLß")
    with pytest.raises(FormatError, match=r"line 3.*encoding="):
        read_maxquant(write(german, encoding="cp1252"))
    adata = read_maxquant(write(german, encoding="cp1252"), encoding="cp1252")
    assert adata.var["gene"].iloc[1] == "CXCLß"
    with pytest.raises(FormatError, match="damaged"):
        read_maxquant(write(gzip.compress(GROUPS.encode())[:-12], "y.txt"))


def test_an_assay_without_visits_goes_into_a_file(write, tmp_path):
    """Columns in which nothing is known are no reason to refuse the whole assay."""
    adata = read_maxquant(write(GROUPS))
    assert adata.obs["visit"].isna().all()
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert again.obs["visit"].isna().all()
    np.testing.assert_array_equal(again.X, adata.X)


def test_excel_and_parquet_hold_the_same(tmp_path, write):
    table = pd.read_csv(write(GROUPS), sep="\t")
    table.to_excel(tmp_path / "t.xlsx", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    for source in (table, tmp_path / "t.xlsx", tmp_path / "t.parquet"):
        check_groups(read_maxquant(source))


def test_rows_and_columns_may_be_shuffled(write):
    table = pd.read_csv(write(GROUPS), sep="\t")
    expected = read_maxquant(table).to_df()
    shuffled = table.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    found = read_maxquant(shuffled).to_df()
    pd.testing.assert_frame_equal(found.loc[expected.index, expected.columns], expected)


def test_cells_that_cannot_be_read_are_named(write):
    with pytest.raises(FormatError, match=r"line 3, column 'LFQ intensity B'.*|'n\.d\.'"):
        read_maxquant(write(GROUPS.replace("4096.5", "n.d.")))
    with pytest.raises(FormatError, match="may be a decimal sign or a separator of thousands"):
        read_maxquant(write(GROUPS.replace("4096.5", "4,096")))
    grouped = read_maxquant(write(GROUPS.replace("4096.5", "4,096")), decimal=",")
    assert grouped.layers["intensity"][1, 1] == pytest.approx(4.096)
    with pytest.raises(FormatError, match=r"found '4096\.5'"):
        read_maxquant(write(GROUPS), decimal=",")
    with pytest.raises(FormatError, match="0 and above, found -5"):
        read_maxquant(write(GROUPS.replace("4096.5", "-5")))
    with pytest.raises(FormatError, match="infinite"):
        read_maxquant(write(GROUPS.replace("4096.5", "inf")))
    with pytest.raises(FormatError, match=r"line 3.*expected 12 cells.*found 13"):
        read_maxquant(write(GROUPS.replace("CXCL13", "CXCL\t13")))


def test_files_that_are_none(write, tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        read_maxquant(tmp_path / "absent.txt")
    with pytest.raises(FormatError, match="found a folder"):
        read_maxquant(tmp_path)
    with pytest.raises(FormatError, match="empty"):
        read_maxquant(write("\n\n"))
    with pytest.raises(FormatError, match="one column"):
        read_maxquant(write("nothing\nhere\n"))
    with pytest.raises(FormatError, match="read it with read_npx"):
        read_maxquant(write("SampleID;OlinkID;UniProt;Assay;NPX\nS1;OID1;P1;IL1B;3,2\n"))
    with pytest.raises(FormatError, match=r"quantity='ibaq'.*quantity='lfq'"):
        read_maxquant(write(GROUPS), quantity="ibaq")
    with pytest.raises(FormatError, match="one of 'lfq', 'ibaq'"):
        read_maxquant(write(GROUPS), quantity="LFQ")
    with pytest.raises(FormatError, match="found a table of proteins"):
        read_maxquant(write(GROUPS), level="ion")
    with pytest.raises(FormatError, match="ratios of labels"):
        read_maxquant(write(GROUPS.replace("Gene names", "Ratio H/L")))


def test_groups_come_once(write):
    line = GROUPS.splitlines()[2] + "\n"
    with pytest.raises(AlignmentError, match="come twice: 'O43927;P1'"):
        read_maxquant(write(GROUPS + line))
    with pytest.raises(AlignmentError, match="two columns"):
        read_maxquant(write(GROUPS.replace("LFQ intensity B", "LFQ intensity A")))


def test_keeping_what_would_go(write):
    adata = read_maxquant(write(GROUPS), keep=["contaminant"])
    assert adata.var_names[adata.var["contaminant"]].to_list() == ["P02769"]
    assert adata.uns["precisionpain"]["removed"] == {"decoy": 1, "only_by_site": 1}
    with pytest.raises(FormatError, match="'contaminants'"):
        read_maxquant(write(GROUPS), keep=["contaminants"])
    with pytest.raises(FormatError, match="keep"):
        read_maxquant(write(GROUPS), keep="contaminant")
    # CON__P7 and P7 are two groups: their names stay apart.
    both = GROUPS.replace("CON__P02769", "CON__P7")
    named = read_maxquant(write(both), keep=["contaminant"]).var_names
    assert list(named) == ["P01584", "O43927;P1", "CON__P7", "P7;CON__P8"]


def people(**change):
    table = pd.DataFrame(
        {"sample_id": ["B", "A"], "subject_id": ["007", "007"], "visit": ["followup", "preop"],
         "specimen": "CSF", "plate": ["1", "2"], "age": [51, 50]}
    )  # fmt: skip
    return table.assign(**change)


def test_samples_are_joined_by_name(write, tmp_path):
    file = write(GROUPS)
    people().to_csv(tmp_path / "people.csv", index=False, sep=";")
    for samples in (people(), people().set_index("sample_id"), tmp_path / "people.csv"):
        adata = read_maxquant(file, samples=samples)
        check_groups(adata)
        assert adata.obs.loc["A", "visit"] == "preop"
        assert adata.obs["subject_id"].to_list() == ["007", "007"]
        assert adata.obs["age"].to_list() == [50, 51]
        assert adata.obs["plate"].to_list() == ["2", "1"]
        assert adata.obs["sample_type"].to_list() == ["SAMPLE", "SAMPLE"]


def test_samples_that_do_not_fit(write):
    file = write(GROUPS)
    with pytest.raises(AlignmentError, match=r"not in the file: 'C'.*have no row: 'A'"):
        read_maxquant(file, samples=people(sample_id=["B", "C"]))
    with pytest.raises(AlignmentError, match="several rows"):
        read_maxquant(file, samples=people(sample_id=["B", "B"]))
    with pytest.raises(AlignmentError, match="no subject_id for 1 samples: 'A'"):
        read_maxquant(file, samples=people(subject_id=["007", None]))
    with pytest.raises(FormatError, match="'POOL'"):
        read_maxquant(file, samples=people(sample_type=["POOL", "SAMPLE"]))
    with pytest.raises(FormatError, match="'sample_id'"):
        read_maxquant(file, samples=people().drop(columns="sample_id"))
    pool = people(sample_type=["CONTROL", "SAMPLE"], subject_id=[None, "007"])
    assert read_maxquant(file, samples=pool).obs.loc["B", "subject_id"] is None


def test_the_result_can_be_stored(write, tmp_path):
    adata = read_maxquant(write(GROUPS), samples=people())
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    assert again.uns["precisionpain"]["removed"] == {
        "decoy": 1, "contaminant": 1, "only_by_site": 1,
    }  # fmt: skip


def report(**change):
    table = pd.DataFrame(
        {"Run": ["A", "A", "B", "B"], "Protein.Group": ["P1;P2"] * 4, "Genes": "G1;G2",
         "Stripped.Sequence": ["AAK", "LLR"] * 2, "Modified.Sequence": ["AAK", "LLR"] * 2,
         "Precursor.Charge": 2, "Precursor.Id": ["AAK2", "LLR2"] * 2,
         "Q.Value": [0.001, 0.002, 0.001, 0.02], "PG.Q.Value": 0.001,
         "Precursor.Normalised": [100.0, 800.0, 200.0, 1600.0],
         "PG.MaxLFQ": [1024.0, 1024.0, 2048.0, 2048.0]}
    )  # fmt: skip
    return table.assign(**change)


def test_diann_report_is_filtered_and_counted_once():
    adata = read_diann(report())
    np.testing.assert_allclose(adata.X[:, 0], [10, 11])
    assert adata.uns["precisionpain"]["removed"] == {"Q.Value": 1}
    assert list(adata.var["n_peptides"]) == [2]
    assert list(adata.var_names) == ["P1;P2"]
    assert read_diann(report(), q_value=0.05).uns["precisionpain"]["removed"] == {}
    with pytest.raises(FormatError, match="q_value"):
        read_diann(report(), q_value=1e-9)
    with pytest.raises(FormatError, match="between 0 and 1"):
        read_diann(report(), q_value=1.5)
    # Old versions call the quantile of the library LibPGQValue.
    assert read_diann(report(LibPGQValue=[0, 0.5, 0, 0])).uns["precisionpain"]["removed"] == {
        "Q.Value": 1, "Lib.PG.Q.Value": 1,
    }  # fmt: skip


def test_diann_from_precursors():
    table = report(**{"Q.Value": 0.001})
    adata = read_diann(table, quantity="ions")
    # Both ions double; their mean log2 over both runs is kept.
    mean = np.log2([100, 800, 200, 1600]).mean()
    np.testing.assert_allclose(adata.X[:, 0], [mean - 0.5, mean + 0.5])
    ions = read_diann(table, level="ion")
    np.testing.assert_allclose(roll_up(ions).X, adata.X)
    assert list(ions.var_names) == ["AAK2", "LLR2"]
    np.testing.assert_allclose(roll_up(ions, method="sum").X[:, 0], np.log2([900, 1800]))


def test_diann_values_that_contradict_each_other():
    with pytest.raises(AlignmentError, match="several values in the run 'A'"):
        read_diann(report(**{"PG.MaxLFQ": [1024.0, 1030.0, 2048.0, 2048.0]}))


def test_diann_paths_become_names():
    adata = read_diann(report(Run=[r"D:\raw\S 1.raw"] * 2 + [r"D:\raw\S 2.raw"] * 2))
    assert list(adata.obs_names) == ["S 1", "S 2"]
    assert adata.obs["original_name"].iloc[0] == r"D:\raw\S 1.raw"
    samples = pd.DataFrame({"subject_id": ["a", "b"]}, index=[r"D:\raw\S 2.raw", "S 1"])
    joined = read_diann(
        report(Run=[r"D:\raw\S 1.raw"] * 2 + [r"D:\raw\S 2.raw"] * 2), samples=samples
    )
    assert joined.obs["subject_id"].to_list() == ["b", "a"]


def test_diann_matrix_of_precursors(write):
    table = write(
        "Protein.Group\tGenes\tProteotypic\tStripped.Sequence\tModified.Sequence\t"
        "Precursor.Charge\tPrecursor.Id\t/d/A.mzML\t/d/B.mzML\n"
        "P1\tG\t1\tAAK\tAAK\t2\tAAK2\t100\t200\n"
        "P1\tG\t1\tLLR\tLLR\t2\tLLR2\t400\n"
    )
    adata = read_diann(table)
    assert list(adata.obs_names) == ["A", "B"]
    mean = np.log2([100, 200, 400]).mean()
    np.testing.assert_allclose(adata.X[:, 0], [mean - 0.5, mean + 0.5])


def test_fragpipe_groups_and_kinds_of_intensity():
    table = pd.DataFrame(
        {"Protein": ["sp|P1|A_HUMAN", "contam_sp|P02769|ALBU_BOVIN"],
         "Protein ID": ["P1", "P02769"],
         "Entry Name": ["A_HUMAN", "ALBU_BOVIN"], "Gene": ["A", "ALB"],
         "Indistinguishable Proteins": ["sp|P2|B_HUMAN, sp|P3|C_HUMAN", ""],
         "Combined Total Peptides": [4, 9],
         "S 1 Intensity": [16.0, 1], "S 1 Razor Intensity": [8.0, 1],
         "S 1 MaxLFQ Intensity": [32.0, 1], "S 1 Unique Spectral Count": [3, 3]}
    )  # fmt: skip
    for quantity, value in (("intensity", 4), ("razor", 3), ("maxlfq", 5)):
        adata = read_fragpipe(table, quantity=quantity)
        assert adata.to_df().to_dict() == {"P1;P2;P3": {"S 1": value}}
        assert adata.uns["precisionpain"]["removed"] == {"contaminant": 1}
        assert adata.var["n_peptides"].to_list() == [4]
    with pytest.raises(FormatError, match="found those of 'maxlfq', 'intensity', 'razor'"):
        read_fragpipe(table, quantity="unique")


def test_spectronaut_with_decimal_commas(write):
    text = (
        "R.FileName;PG.ProteinGroups;PG.Genes;PG.Quantity;PG.Qvalue;EG.IsDecoy;EG.Qvalue;"
        "PEP.StrippedSequence;EG.PrecursorId;FG.Quantity\n"
        'A;P1;G1;1024,125;0;False;0,0001;AAK;_AAK_.2;100,5\n'
        'A;P1;G1;1024,125;0;False;0,0001;AAK;_AAK_.2;100,5\n'
        'A;P1;G1;1024,125;0;False;1,5E-05;LLR;_LLR_.2;50,5\n'
        'B;P1;G1;Filtered;0;False;0,0001;AAK;_AAK_.2;NaN\n'
        'B;P2;G2;64,0;0;False;0,0001;VVK;_VVK_.2;64,0\n'
        'B;P3;G3;64,0;0;True;0,0001;MMK;_MMK_.2;64,0\n'
        'B;P4;G4;64,0;0,5;False;0,0001;MMK;_MMR_.2;64,0\n'
    )  # fmt: skip
    adata = read_spectronaut(write(text))
    assert list(adata.var_names) == ["P1", "P2"]
    np.testing.assert_allclose(
        adata.layers["intensity"], [[1024.125, np.nan], [np.nan, 64]], rtol=1e-12
    )
    assert adata.uns["precisionpain"]["removed"] == {"decoy": 1, "PG.Qvalue": 1}
    assert adata.var["n_peptides"].to_list() == [2, 1]
    ions = read_spectronaut(write(text), level="ion")
    assert list(ions.var_names) == ["_AAK_.2", "_LLR_.2", "_VVK_.2"]


def test_matrix_asks_for_the_scale():
    table = pd.DataFrame({"p": ["P1", "P2"], "A": [10.0, 12.0], "B": [11.0, np.nan]})
    adata = read_matrix(table, log2=True, columns=["A", "B"])
    np.testing.assert_array_equal(adata.X, [[10, 12], [11, np.nan]])
    with pytest.raises(FormatError, match="log2=True"):
        read_matrix(table, log2=False, columns=["A", "B"])
    with pytest.raises(FormatError, match="log2=False"):
        read_matrix(table.assign(A=[1e6, 1e7]), log2=True, columns=["A", "B"])
    with pytest.raises(FormatError, match=r"no column fits 'S\.\+'"):
        read_matrix(table, log2=True, columns="S.+")
    with pytest.raises(FormatError, match="'C'"):
        read_matrix(table, log2=True, columns=["A", "C"])
    with pytest.raises(FormatError, match="regular expression"):
        read_matrix(table, log2=True, columns="A(")
    with pytest.raises(FormatError, match="can't name proteins"):
        read_matrix(table, log2=True, columns="p|A")


def test_zero_on_the_log_scale_is_a_value():
    table = pd.DataFrame({"p": ["P1", "P2"], "A": [0.0, -1.5], "B": [1.0, 2.0]})
    adata = read_matrix(table, log2=True, columns=["A", "B"])
    np.testing.assert_array_equal(adata.X, [[0, -1.5], [1, 2]])


def test_names():
    assert clean_samples(["a.raw", "b.mzML.gz", r"C:\x\c.d", "pre/post"]) == [
        "a", "b", "c", "pre/post",
    ]  # fmt: skip
    assert accession("tr|A0A024R944|A0A024R944_HUMAN") == "A0A024R944"
    assert accession("P10636-8") == "P10636-8"
    assert accession("CON__ENSEMBL:ENSBTAP00000031900") == "ENSEMBL:ENSBTAP00000031900"
    assert members("sp|P1|A, sp|P2|B") == ["sp|P1|A", "sp|P2|B"]
