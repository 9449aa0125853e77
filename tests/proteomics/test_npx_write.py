"""What is written comes back."""

from __future__ import annotations

import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from precisionpain.datasets import sample_tn
from precisionpain.errors import FormatError
from precisionpain.proteomics import read_npx, write_npx
from precisionpain.proteomics._layout import make_adata


def same(one, two, *, types=True):
    """All but the source."""
    assert two.obs_names.tolist() == one.obs_names.tolist()
    assert two.var_names.tolist() == one.var_names.tolist()
    np.testing.assert_array_equal(two.X, one.X)
    assert set(two.layers) == set(one.layers)
    for name in one.layers:
        np.testing.assert_array_equal(two.layers[name], one.layers[name], err_msg=name)
    for axis in ("obs", "var"):
        a, b = getattr(one, axis), getattr(two, axis)
        pd.testing.assert_frame_equal(a.sort_index(axis=1), b.sort_index(axis=1), check_dtype=types)
    assert set(two.obsm) == set(one.obsm)
    for name in one.obsm:
        pd.testing.assert_frame_equal(two.obsm[name], one.obsm[name])
    a, b = one.uns["precisionpain"], two.uns["precisionpain"]
    assert a.get("categories") == b.get("categories")
    assert (a["kind"], a["unit"]) == (b["kind"], b["unit"])


words = st.text(string.ascii_letters + string.digits + " _.äß;,\"'-", min_size=1, max_size=8).map(
    lambda text: "w" + text.strip()
)
values = st.floats(-40, 40, width=64).map(lambda x: round(x, 12)) | st.just(np.nan)


@st.composite
def assays(draw):
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    ids = draw(st.lists(words, min_size=n, max_size=n))
    panels = draw(st.lists(words, min_size=1, max_size=2, unique=True))
    panel = [panels[j * len(panels) // p] for j in range(p)]
    cells = hnp.arrays(np.float64, (n, p), elements=values)
    obs = pd.DataFrame({"sample_id": ids}, index=[f"{name}@{k}" for k, name in enumerate(ids)])
    kinds = st.sampled_from(["SAMPLE", "SAMPLE", "CONTROL", "NEGATIVE_CONTROL", "PLATE_CONTROL"])
    obs["sample_type"] = draw(st.lists(kinds, min_size=n, max_size=n))
    person = (obs["sample_type"] == "SAMPLE").to_numpy()
    who = draw(st.lists(words, min_size=n, max_size=n))
    obs["subject_id"] = [w if s else None for w, s in zip(who, person, strict=True)]
    obs["visit"] = [draw(st.sampled_from(["preop", "followup"])) if s else None for s in person]
    obs["specimen"] = None
    obs["note"] = draw(st.lists(words | st.none(), min_size=n, max_size=n))
    obs["age"] = draw(st.lists(st.integers(18, 90), min_size=n, max_size=n))
    obs["plate"] = draw(st.lists(words, min_size=n, max_size=n))
    var = pd.DataFrame(index=pd.Index([f"OID{j:05d}" for j in range(p)], name="olink_id"))
    var["gene"] = draw(st.lists(words, min_size=p, max_size=p))
    var["uniprot"] = [f"P{j:05d}" if j % 3 else f"P{j:05d},Q{j:05d}" for j in range(p)]
    var["panel"] = panel
    var["assay_type"] = "ASSAY"
    var["missing_freq"] = draw(st.lists(st.floats(0, 1), min_size=p, max_size=p))
    layers = {"lod": draw(cells), "count": np.round(np.abs(np.nan_to_num(draw(cells))))}
    return make_adata(draw(cells), obs, var, layers=layers, kind="npx", unit="NPX")


@given(assays())
@settings(max_examples=25)
def test_parquet_keeps_everything(tmp_path_factory, adata):
    folder = tmp_path_factory.mktemp("npx")
    again = read_npx(write_npx(adata, folder / "a.parquet"))
    same(adata, again)


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@given(adata=assays())
@settings(max_examples=12)
def test_text_keeps_what_it_says(tmp_path_factory, ending, adata):
    """Text has no types: what its words were read as once, they are read as again."""
    folder = tmp_path_factory.mktemp("npx")
    once = read_npx(write_npx(adata, folder / f"a{ending}"))
    np.testing.assert_array_equal(once.X, adata.X)
    for name in ("lod", "count"):
        np.testing.assert_array_equal(once.layers[name], adata.layers[name])
    assert once.obs_names.tolist() == adata.obs_names.tolist()
    columns = ["sample_id", "subject_id", "visit", "sample_type", "plate", "note"]
    for name in columns:
        assert once.obs[name].tolist() == adata.obs[name].tolist(), name
    for name in ("gene", "uniprot", "panel", "missing_freq"):
        assert once.var[name].tolist() == adata.var[name].tolist(), name
    same(once, read_npx(write_npx(once, folder / f"b{ending}")))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("name", ["csf_pea", "plasma_pea"])
def test_sample_cohort(tmp_path, ending, name):
    assay = sample_tn().assays[name]
    again = read_npx(write_npx(assay, tmp_path / f"a{ending}"))
    np.testing.assert_array_equal(again.X, assay.X)
    assert again.obs_names.tolist() == assay.obs_names.tolist()
    assert again.var_names.tolist() == assay.var_names.tolist()
    for column in ("subject_id", "visit", "specimen", "plate", "sample_type"):
        mine = assay.obs[column].astype(object)
        assert again.obs[column].tolist() == mine.where(mine.notna(), None).tolist()
    np.testing.assert_array_equal(again.layers["lod"][0], assay.var["lod"])


def rich(tmp_path):
    """An export with panels on their own plates, flags of values, and unknown columns."""
    rng = np.random.default_rng(3)
    lines = ["SampleID;Index;SampleType;OlinkID;UniProt;Assay;Panel;PlateID;SampleQC;AssayQC;"
             "MaxLOD;PlateLOD;NPX;Mark;Site"]  # fmt: skip
    for i in range(6):
        name, kind = (f"S{i}", "SAMPLE") if i < 4 else ("IPC", "PLATE_CONTROL")
        for j in range(5):
            panel = "I" if j < 3 else "N"
            flag = rng.choice(["PASS", "WARN", "EXCLUDED", "NA"])
            lines.append(
                f"{name};{i + 1};{kind};OID{j};P{j};G{j};{panel};{panel}{i % 2};"
                f"{'WARN' if i == 2 and panel == 'N' else 'PASS'};{flag};"
                f"{j / 4};{(i % 2) / 8};{rng.normal():.5f};{rng.choice(['x', 'y'])};B{i % 3}"
            )
    path = tmp_path / "rich.csv"
    path.write_text("\n".join(lines))
    return read_npx(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_export_with_everything(tmp_path, ending):
    npx = rich(tmp_path)
    assert {"plate", "qc"} <= set(npx.obsm)
    assert {"lod", "max_lod", "plate_lod", "sample_qc", "assay_qc", "assay_qc_words",
            "Mark"} <= set(npx.layers)  # fmt: skip
    same(npx, read_npx(write_npx(npx, tmp_path / f"again{ending}")))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_part_of_an_assay(tmp_path, ending):
    """Rows keep their names, although the one that made them need a number is gone."""
    npx = rich(tmp_path)
    part = npx[["IPC#2", "S1"], ["OID4", "OID0"]].copy()
    again = read_npx(write_npx(part, tmp_path / f"part{ending}"))
    assert again.obs_names.tolist() == ["IPC#2", "S1"]
    assert again.obs["sample_id"].tolist() == ["IPC", "S1"]
    np.testing.assert_array_equal(again.X, part.X)


def test_concentrations(tmp_path):
    path = tmp_path / "quant.csv"
    path.write_text("SampleID;OlinkID;Assay;Quantified_value;Unit;PlateLOD\n"
                    "A;OID1;IL1B;7.3;pg/mL;0.3\nB;OID1;IL1B;0;pg/mL;0.3\n")  # fmt: skip
    npx = read_npx(path)
    again = read_npx(write_npx(npx, tmp_path / "again.csv"))
    np.testing.assert_array_equal(again.X, npx.X)
    np.testing.assert_array_equal(again.layers["quantified"], npx.layers["quantified"])
    np.testing.assert_allclose(again.layers["lod"], npx.layers["lod"], rtol=1e-15)


def test_wide_sheet(tmp_path):
    """Values, plates, flags and limits come back; a limit per plate has no room there."""
    npx = rich(tmp_path)
    with pytest.raises(FormatError, match="several limits"):
        write_npx(npx, tmp_path / "a.xlsx")
    npx.layers["lod"] = npx.layers["max_lod"]
    again = read_npx(write_npx(npx, tmp_path / "a.xlsx"))
    assert again.obs_names.tolist() == npx.obs_names.tolist()
    np.testing.assert_array_equal(again.X, npx.X)
    np.testing.assert_array_equal(again.layers["lod"], npx.layers["max_lod"])
    np.testing.assert_array_equal(again.layers["sample_qc"], npx.layers["sample_qc"])
    assert again.obsm["plate"].to_dict() == npx.obsm["plate"].to_dict()
    for name in ("gene", "uniprot", "panel"):
        assert again.var[name].tolist() == npx.var[name].tolist()


def test_refusals(tmp_path):
    npx = rich(tmp_path)
    with pytest.raises(FormatError, match=r"ends in \.csv"):
        write_npx(npx, tmp_path / "a.json")
    both = npx.copy()
    both.var["Site"] = "x"
    with pytest.raises(FormatError, match="obs and var both have 'Site'"):
        write_npx(both, tmp_path / "a.csv")
    word = npx.copy()
    word.obs["Site"] = "NA"
    with pytest.raises(FormatError, match="stand for missing"):
        write_npx(word, tmp_path / "a.csv")
    linear = npx.copy()
    linear.X[0, 0] = 4e6
    with pytest.raises(FormatError, match="log2 scale"):
        write_npx(linear, tmp_path / "a.csv")
    with pytest.raises(FormatError, match="expected an AnnData"):
        write_npx(np.zeros((2, 2)), tmp_path / "a.csv")
    assert not list(tmp_path.glob("a.*"))
