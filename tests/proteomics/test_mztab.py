"""mzTab 1.0, and the matrices of genes that DIA-NN writes."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import panels, read_diann, read_mztab

HEAD = """COM|made up
MTD|mzTab-version|1.0.0
MTD|mzTab-mode|Complete
MTD|mzTab-type|Quantification
MTD|ms_run[1]-location|file://C:\\data\\TN01.mzML
MTD|ms_run[2]-location|file:///data/TN02.mzML
MTD|assay[1]-ms_run_ref|ms_run[2]
MTD|assay[2]-ms_run_ref|ms_run[1]
MTD|study_variable[1]-description|before
"""
COLUMNS = (
    "PRH|accession|description|ambiguity_members|protein_abundance_assay[1]|"
    "protein_abundance_assay[2]|protein_abundance_study_variable[1]|"
    "protein_abundance_stdev_study_variable[1]|opt_global_result_type|"
    "opt_global_cv_PRIDE:0000303_decoy_hit\n"
)
ROWS = """PRT|P01584|Interleukin-1 beta OX=9606 GN=IL1B PE=1|null|1024|0|512|1|single_protein|0
COM|between proteins
PRT|O43927|CXCL13|O43927, P1,P2|2048|4096.5|3000|1|indistinguishable_protein_group|0
PRT|O43927|CXCL13|null|null|null|null|null|protein_details|0
PRT|P1|other|null|null|null|null|null|protein_details|0
PRT|DECOY_P5|x|null|100|100|100|1|single_protein|1
PRT|P6|x|null|100|100|100|1|single_protein|1
PRT|CON__P02769|x|null|100|100|100|1|single_protein|0

PSH|sequence|accession
PSM|PEPTIDE|P01584
"""
GENES = (
    "Genes\tN.Sequences\tD:\\raw\\S1.raw\tD:\\raw\\S2.raw\nIL1B\t3\t1024\t0\nAPOE;APOC1\t2\t\t512\n"
)


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="study.mzTab", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.replace("|", "\t").encode(encoding))
        return path

    return to_file


def test_assays(write):
    adata = read_mztab(write(HEAD + COLUMNS + ROWS))
    assert list(adata.var_names) == ["P01584", "O43927;P1;P2"]
    # Assay 1 is of run 2, and the other way round.
    assert list(adata.obs_names) == ["TN02", "TN01"]
    expected = np.log2([[1024, 2048], [np.nan, 4096.5]])
    np.testing.assert_allclose(adata.X, expected)
    np.testing.assert_array_equal(adata.layers["intensity"], [[1024, 2048], [np.nan, 4096.5]])
    assert list(adata.var["uniprot"]) == ["P01584", "O43927"]
    assert list(adata.var["gene"]) == ["IL1B", None]
    about = adata.uns["precisionpain"]
    assert about["removed"] == {"member_of_group": 2, "decoy": 2, "contaminant": 1}
    assert (about["kind"], about["product"], about["level"]) == ("lfq", "mzTab", "protein")


def test_samples_and_keep(write):
    whose = pd.DataFrame({"sample_id": ["TN01", "TN02"], "subject_id": ["a", "b"]})
    adata = read_mztab(write(HEAD + COLUMNS + ROWS), samples=whose, keep=["contaminant"])
    assert list(adata.obs["subject_id"]) == ["b", "a"]
    assert adata.var["contaminant"].tolist() == [False, False, True]


def test_means_of_groups_are_taken_only_when_asked_for(write):
    path = write(HEAD + COLUMNS + ROWS)
    adata = read_mztab(path, quantity="study_variable")
    assert list(adata.obs_names) == ["before"]
    np.testing.assert_allclose(adata.X, np.log2([[512, 3000]]))
    only = COLUMNS.replace("protein_abundance_assay", "opt_global_other")
    with pytest.raises(FormatError, match=r"those of each study_variable.*means of groups"):
        read_mztab(write(HEAD + only + ROWS))
    with pytest.raises(FormatError, match=r"expected one of 'assay', 'study_variable'"):
        read_mztab(path, quantity="peptide")


def test_channels_of_one_run_are_called_by_their_number(write):
    head = HEAD.replace("assay[2]-ms_run_ref|ms_run[1]", "assay[2]-ms_run_ref|ms_run[2]")
    adata = read_mztab(write(head + COLUMNS + ROWS))
    assert list(adata.obs_names) == ["assay[1]", "assay[2]"]


def test_packed_and_with_a_mark(write):
    expected = read_mztab(write(HEAD + COLUMNS + ROWS)).X
    marked = write(HEAD + COLUMNS + ROWS, "marked.mzTab", "utf-8-sig")
    np.testing.assert_array_equal(read_mztab(marked).X, expected)
    packed = marked.with_suffix(".gz")
    packed.write_bytes(gzip.compress(marked.read_bytes()))
    np.testing.assert_array_equal(read_mztab(packed).X, expected)


def test_identification_only(write):
    without = COLUMNS.replace("protein_abundance", "opt_global")
    head = HEAD.replace("Quantification", "Identification")
    with pytest.raises(FormatError, match=r"found no abundances.*mzTab-type is Identification"):
        read_mztab(write(head + without + ROWS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a|b\n1|2\n", r"expected mzTab 1\.0.*first line 'a\\tb'"),
        (HEAD.replace("1.0.0", "2.0.0-M") + COLUMNS + ROWS, r"version '2\.0\.0-M'"),
        (HEAD, "section of proteins"),
        (HEAD + COLUMNS + ROWS.replace("|4096.5|", "|4096.5|1|"), r"line 13.*9 cells .*found 10"),
        (HEAD + COLUMNS + ROWS.replace("|4096.5|", "|about 4000|"), r"line 13.*about 4000"),
        (HEAD + COLUMNS + ROWS.replace("4096.5", "11").replace("1024", "9").replace("2048", "8")
         .replace("100|", "7|"), "look like logarithms"),
    ],
)  # fmt: skip
def test_files_that_are_something_else(write, text, message):
    with pytest.raises(FormatError, match=message):
        read_mztab(write(text))


def test_logarithms(write):
    text = (HEAD + COLUMNS + ROWS).replace("4096.5", "12").replace("1024", "9").replace("2048", "8")
    adata = read_mztab(write(text.replace("100|", "7|")), log2=True)
    # The 0 of a logarithm is a value.
    np.testing.assert_array_equal(adata.X, [[9, 8], [0, 12]])


def test_a_group_twice(write):
    twice = ROWS.replace("PRT|P6|x|null|100|100|100|1|single_protein|1",
                         "PRT|P01584|x|null|100|100|100|1|single_protein|0")  # fmt: skip
    with pytest.raises(AlignmentError, match="come twice: 'P01584'"):
        read_mztab(write(HEAD + COLUMNS + twice))


def test_real_file_of_identifications(shared_data):
    path = shared_data / "lfq" / "alphapeptstats" / "mzTab" / "test.mztab"
    with pytest.raises(FormatError, match="found no abundances"):
        read_mztab(path)


# -- genes of DIA-NN -----------------------------------------------------------------------------


def test_matrix_of_genes(write):
    adata = read_diann(write(GENES, "report.gg_matrix.tsv"))
    assert adata.var.index.name == "gene_group"
    assert list(adata.var_names) == ["IL1B", "APOE;APOC1"]
    assert list(adata.obs_names) == ["S1", "S2"]
    np.testing.assert_allclose(adata.X, [[10, np.nan], [np.nan, 9]])
    assert adata.var["gene"].tolist() == ["IL1B", "APOE;APOC1"]
    assert adata.var["uniprot"].isna().all()
    assert adata.var["n_peptides"].tolist() == [3, 2]
    assert adata.uns["precisionpain"]["level"] == "gene"
    assert adata.uns["precisionpain"]["product"] == "DIA-NN genes"


def test_genes_are_found_by_panels(write):
    adata = read_diann(write(GENES))
    found = panels["trigeminal"].find(adata).set_index("analyte")
    assert found.loc["IL1B", "assay"] == "IL1B"
    assert found.loc["IL1B", "matched_by"] == "gene"


def test_matrix_of_unique_genes_without_counts(write):
    text = GENES.replace("\tN.Sequences", "").replace("\t3\t", "\t").replace("\t2\t", "\t")
    adata = read_diann(write(text))
    assert adata.shape == (2, 2)
    assert "n_peptides" not in adata.var


def test_genes_have_no_ions(write):
    with pytest.raises(FormatError, match="expected peptides or ions"):
        read_diann(write(GENES), level="ion")


def test_a_gene_twice(write):
    with pytest.raises(AlignmentError, match="gene_group come twice: 'IL1B'"):
        read_diann(write(GENES.replace("APOE;APOC1", "IL1B")))
