"""Panels: what they hold, how files are read, and which assays are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import precisionpain as pp
from precisionpain.errors import DataWarning, FormatError, MissingModalityError
from precisionpain.proteomics import Analyte, Panel, panels, read_panel
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._match import split_names


def assay(**columns):
    n = len(next(iter(columns.values())))
    var = pd.DataFrame(columns, index=[f"OID{i:05d}" for i in range(n)])
    return make_adata(np.zeros((2, n)), pd.DataFrame(index=["a", "b"]), var)


def test_the_registry_is_a_mapping_of_panels():
    assert set(panels) == {
        "trigeminal", "trigeminal_wide", "crps", "crps_cytokines", "diabetic_neuropathy",
        "diabetic_neuropathy_proteins", "sciatica",
    }  # fmt: skip
    assert pp.proteomics.panels is panels
    assert all(isinstance(panel, Panel) and panel.name == name for name, panel in panels.items())
    with pytest.raises(MissingModalityError, match="read_panel"):
        panels["migraine"]


# UniProt of the review's Table 2 and text.
@pytest.mark.parametrize(
    ("name", "accessions"),
    [
        (
            "trigeminal",
            {"IL1B": "P01584", "CXCL13": "O43927", "FKBP5": "Q13451", "SFRP1": "Q8N474",
             "TBCB": "Q99426", "NEFL": "P07196"},
        ),
        (
            "trigeminal_wide",
            {"VWF": "P04275", "ICAM1": "P05362", "S100B": "P04271", "PRDX1": "Q06830",
             "GFAP": "P14136", "CXCL1": "P09341", "EGF": "P01133", "NEFL": "P07196"},
        ),
        (
            "crps",
            {"TNF": "P01375", "IL1B": "P01584", "IL6": "P05231", "C3a": "P01024", "C5a": "P01031"},
        ),
        ("diabetic_neuropathy", {"cytochrome c": "P99999"}),
        (
            "crps_cytokines",
            {"TNF": "P01375", "TNFRSF1A": "P19438", "TNFRSF1B": "P20333", "CXCL8": "P10145",
             "CCL2": "P13500", "IFNG": "P01579", "IL6": "P05231", "IL1B": "P01584",
             "IL1RN": "P18510", "IL2": "P60568", "IL4": "P05112", "IL10": "P22301"},
        ),
        (
            "diabetic_neuropathy_proteins",
            {"NEFL": "P07196", "TNF": "P01375", "IL6": "P05231", "CRP": "P02741",
             "ICAM1": "P05362", "VCAM1": "P19320", "NGF": "P01138"},
        ),
        (
            "sciatica",
            {"IL6": "P05231", "TNF": "P01375", "CXCL8": "P10145", "IL1B": "P01584",
             "CCL2": "P13500", "NEFL": "P07196"},
        ),
    ],
)  # fmt: skip
def test_accessions(name, accessions):
    for analyte, accession in accessions.items():
        assert panels[name][analyte].uniprot == (accession,)


REVIEW = ("trigeminal", "trigeminal_wide", "crps", "diabetic_neuropathy")


def test_every_claim_has_its_source():
    for panel in panels.values():
        for analyte in panel:
            assert analyte.role
            assert analyte.implication
            assert "to test" in " ".join(analyte.source.split())


def test_every_claim_of_the_review_says_whose_it_is():
    for name in REVIEW:
        for analyte in panels[name]:
            assert analyte.implication.startswith("the review says")
            assert "10.18103/mra.v13i6.6605" in analyte.source


def test_axes_of_the_six():
    axes = panels["trigeminal"].to_frame()["axis"]
    assert list(panels["trigeminal"].axes) == [
        "inflammatory", "autoimmune_like", "stress", "glial_wnt", "axonal",
    ]  # fmt: skip
    assert axes.to_dict() == {
        "IL1B": "inflammatory", "CXCL13": "autoimmune_like", "FKBP5": "stress",
        "SFRP1": "glial_wnt", "TBCB": "axonal", "NEFL": "axonal",
    }  # fmt: skip


def test_products_agree_with_the_vendor_s_mapping():
    products = {a.name: dict(a.products) for a in panels["trigeminal_wide"]}
    neurology = {n for n, p in products.items() if p.get("Explore 3072") == "Neurology"}
    assert neurology == {"FKBP5", "SFRP1", "TBCB", "NEFL", "CXCL13", "PRDX1"}
    assert products["S100B"] == {}
    assert products["GFAP"]["Explore 3072"] == "Oncology"


def test_not_everything_is_a_protein():
    kinds = panels["diabetic_neuropathy"].to_frame()["kind"]
    assert kinds["8-isoprostane"] == "lipid"
    assert kinds["malondialdehyde"] == "metabolite"
    assert panels["crps"]["C3a"].kind == "fragment"


def test_a_fragment_isn_t_measured_by_an_assay_of_its_parent():
    found = panels["crps"].find(assay(uniprot=["P01024", "P01375"], gene=["C3", "TNF"]))
    assert found.dropna()["analyte"].tolist() == ["TNF"]


def test_a_complex_is_found_by_any_of_its_chains():
    found = panels["crps"].find(assay(uniprot=["P02747", "P02745"], gene=["C1QC", "C1QA"]))
    assert found.dropna()["assay"].tolist() == ["OID00000", "OID00001"]


def test_uniprot_comes_before_gene_and_groups_keep_all_accessions():
    adata = assay(uniprot=["P99999,P07196", "Q99426-2", "O00000"], gene=["X", "Y", "z"])
    found = panels["trigeminal"].find(adata).set_index("analyte")
    assert found.loc["NEFL", "assay"] == "OID00000"
    assert found.loc["TBCB", "assay"] == "OID00001"
    assert found["matched_by"].dropna().eq("uniprot").all()
    assert found["assay"].isna().sum() == 4


@pytest.mark.parametrize(
    ("joined", "names"),
    [
        ("P1,P2", ["P1", "P2"]), ("P1; P2", ["P1", "P2"]), ("FUT3_FUT5", ["FUT3", "FUT5"]),
        ("SYN_017", ["SYN_017"]), ("P10636-8", ["P10636"]), ("HLA-DRA", ["HLA-DRA"]),
        (None, []), (float("nan"), []), ("", []),
    ],
)  # fmt: skip
def test_joined_names(joined, names):
    assert split_names(joined) == names


def test_a_gene_with_another_accession_is_taken_with_a_warning():
    adata = assay(uniprot=["A0A000"], gene=["nefl"])
    with pytest.warns(DataWarning, match=r"NEFL \(A0A000\)"):
        found = panels["trigeminal"].find(adata).set_index("analyte")
    assert found.loc["NEFL", "matched_by"] == "gene"


def test_a_gene_without_accession_is_taken_in_silence():
    found = panels["trigeminal"].find(assay(uniprot=[None], gene=["NEFL"]))
    assert found.dropna(subset="assay")["analyte"].tolist() == ["NEFL"]


def test_control_assays_are_never_taken():
    adata = assay(uniprot=["P07196", "P07196"], assay_type=["ASSAY", "EXTENSION_CONTROL"])
    assert panels["trigeminal"].find(adata)["assay"].dropna().tolist() == ["OID00000"]


def test_an_assay_without_names_is_refused():
    with pytest.raises(FormatError, match="'uniprot' or 'gene'"):
        panels["trigeminal"].find(assay(length=[1]))


def test_yaml_and_csv_give_the_same_panel(tmp_path):
    yaml, csv = tmp_path / "mine.yaml", tmp_path / "mine.csv"
    yaml.write_text(
        "analytes:\n- {name: NEFL, uniprot: P07196, axis: axonal}\n"
        "- {name: C1q, kind: complex, gene: [C1QA, C1QB], axis: complement, sign: -1}\n"
    )
    csv.write_text(
        "\ufeffname,kind,uniprot,gene,axis,sign\nNEFL,,P07196,,axonal,\n"
        "C1q,complex,,C1QA;C1QB,complement,-1\n",
        encoding="utf-8",
    )
    assert read_panel(yaml) == read_panel(csv)
    assert read_panel(yaml)["C1q"].gene == ("C1QA", "C1QB")
    assert list(read_panel(csv).axes) == ["axonal", "complement"]


def test_a_panel_can_include_another(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("includes: [trigeminal]\nanalytes: [{name: EGF, uniprot: P01133}]\n")
    assert len(read_panel(path)) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("analytes: [{name: A, uniprot: XYZ}]", "analyte 1 .*not an accession"),
        ("analytes: [{name: A, kind: gene}]", "expected kind"),
        ("analytes: [{name: A, sign: 0}]", "sign 1 or -1"),
        ("analytes: [{name: A, axes: b}]", "unknown field 'axes'"),
        ("analytes: [{uniprot: P07196}]", "text 'name'"),
        ("analytes: [{name: A}, {name: A}]", "twice"),
        ("analytes: []", "at least one"),
        ("proteins: [A]", "a list 'analytes'"),
        ("[1, 2", "expected YAML"),
        ("analytes: [{name: A, kind: complex}]", "names its proteins"),
        ("analytes: [{name: !!python/object/apply:os.getcwd []}]", "expected YAML"),
    ],
)
def test_a_bad_file_says_where(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        read_panel(path)
    assert "bad" in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"\.yaml or \.csv"):
        read_panel(tmp_path / "panel.xlsx")
    (tmp_path / "x.csv").write_text("protein\nNEFL\n")
    with pytest.raises(FormatError, match="column 'name'"):
        read_panel(tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError):
        read_panel(tmp_path / "absent.yaml")


def test_a_panel_of_code():
    panel = Panel("two", (Analyte("A", axis="x"), Analyte("B", axis="y")))
    assert list(panel.axes) == ["x", "y"]
    assert "two" in repr(panel)
    assert "<table" in panel._repr_html_()
    with pytest.raises(MissingModalityError, match="no analyte 'C'"):
        panel["C"]


def test_real_serum_has_two_of_the_cytokines(shared_data):
    path = shared_data / "olink" / "gisby2021_serum" / "serum_npx_level.csv"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}")
    long = pd.read_csv(path)
    assert not long.duplicated(["SampleID", "UniProt", "Panel"]).any()
    wide = long.pivot(index="SampleID", columns=["UniProt", "Panel"], values="NPX")
    var = wide.columns.to_frame(index=False).rename(columns={"UniProt": "uniprot"})
    var.index = [f"{p}/{u}" for u, p in wide.columns]
    adata = make_adata(wide.to_numpy(), pd.DataFrame(index=wide.index), var)
    found = panels["crps"].find(adata).dropna(subset="assay")
    assert found["analyte"].tolist() == ["TNF", "IL6"]
    assert found["assay"].tolist() == ["In/P01375", "In/P05231"]
