"""The traps of protein data, each met as a user meets it: files and tables in, public names only.

What the parts do in detail stands in their own tests; here every trap has one test from end to
end, so that none can come back unseen where two parts meet.
"""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import precisionpain as pp
from precisionpain import proteomics as pr
from precisionpain.cohort import Cohort
from precisionpain.errors import AlignmentError, DataWarning, FormatError, LeakageError
from precisionpain.evaluation import check_splits, cross_validate


def assay(
    values: np.ndarray, obs: pd.DataFrame | None = None, var: pd.DataFrame | None = None, **layers
) -> anndata.AnnData:
    """NPX of samples s0, s1… of the people p0, p1…, with assays OID00000…"""
    n, p = values.shape
    about = pd.DataFrame(
        {"subject_id": [f"p{i}" for i in range(n)], "sample_type": "SAMPLE"},
        index=[f"s{i}" for i in range(n)],
    )
    named = pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(p)],
            "uniprot": [f"P{i:05d}" for i in range(p)],
            "panel": "Inflammation",
            "assay_type": "ASSAY",
        },
        index=[f"OID{i:05d}" for i in range(p)],
    )
    for name in () if obs is None else obs:
        about[name] = obs[name].to_numpy()
    for name in () if var is None else var:
        named[name] = var[name].to_numpy()
    adata = anndata.AnnData(np.array(values, dtype=float), about, named)
    for name, layer in layers.items():
        adata.layers[name] = np.array(layer, dtype=float)
    adata.uns["precisionpain"] = {"kind": "npx", "unit": "NPX"}
    return adata


def noise(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 1, (n, p))


def cohort_of(adata: anndata.AnnData, **columns) -> Cohort:
    ids = pd.Index(adata.obs["subject_id"].dropna().unique(), name="subject_id")
    return Cohort(pd.DataFrame(columns, index=ids)).with_assay("pea", adata)


def with_controls(adata: anndata.AnnData, level: float = -50.0, n: int = 4) -> anndata.AnnData:
    """Add control samples and control assays that would spoil any median."""
    rows = adata[:n].copy()
    rows.obs_names = [f"control{i}" for i in range(n)]
    rows.obs["subject_id"] = None
    rows.obs["sample_type"] = "CONTROL"
    rows.X[:] = level
    both = anndata.concat([adata, rows], merge="same", uns_merge="same")
    columns = both[:, :5].copy()
    columns.var_names = [f"OID9999{i}" for i in range(5)]
    columns.var["gene"] = [f"Incubation control {i}" for i in range(5)]
    columns.var["assay_type"] = "INCUBATION_CONTROL"
    # Above, below and amid the proteins, as batches and people would have it.
    rng = np.random.default_rng(9)
    columns.X[:] = rng.normal([3 * level, -level, 4, 5, 6], 2, columns.shape)
    out = anndata.concat([both, columns], axis=1, merge="first", uns_merge="same")
    out.obs = both.obs
    return out


LONG = {
    "SampleID": ["S1", "S1", "S2", "S2"],
    "OlinkID": ["OID00001", "OID00002"] * 2,
    "UniProt": ["P01584", "O43927"] * 2,
    "Assay": ["IL1B", "CXCL13"] * 2,
    "Panel": ["Inflammation"] * 4,
    "PlateID": ["P1"] * 4,
    "NPX": ["1.5", "-2.25", "3.0", "4.125"],
}
TRUTH = [[1.5, -2.25], [3.0, 4.125]]


def export(tmp_path, *, encoding="utf-8", sep=";", edit=str, name="export.csv", **changes):
    """Write a long export; `changes` are columns."""
    table = LONG | changes
    lines = [sep.join(table), *(sep.join(row) for row in zip(*table.values(), strict=True))]
    path = tmp_path / name
    path.write_bytes(edit("\n".join(lines) + "\n").encode(encoding))
    return path


# --- leaks ----------------------------------------------------------------------------------------


def test_selection_before_cross_validation():
    """Picking 20 of 1000 noise proteins inside the folds finds nothing; before them it would."""
    inside, before = [], []
    for seed in range(8):
        y = np.random.default_rng(100 + seed).permutation(np.repeat([0, 1], 30))
        cohort = cohort_of(assay(noise(60, 1000, seed)))
        tail = (StandardScaler(), LogisticRegression())
        honest = make_pipeline(pr.ProteinFeatures("pea"), SelectKBest(k=20), *tail)
        inside.append(cross_validate(honest, cohort, y, baseline=None).auc.auc)
        best = SelectKBest(k=20).fit(cohort.assays["pea"].X, y).get_support(indices=True)
        names = list(cohort.assays["pea"].var_names[best])
        leaky = make_pipeline(pr.ProteinFeatures("pea", proteins=names), *tail)
        before.append(cross_validate(leaky, cohort, y, baseline=None).auc.auc)
    assert 0.40 <= np.mean(inside) <= 0.60
    assert np.mean(before) > 0.9  # the trap is there


@pytest.mark.parametrize("where", ["subjects", "obs"])
def test_combat_that_keeps_the_outcome(where):
    """Two plates, classes 5:1 and 1:5: an adjustment that knows the class would write it down."""
    y = np.repeat([0, 1], 30)
    plate = np.where(np.arange(60) % 6 == 0, 1 - y, y)
    obs = pd.DataFrame({"plate": np.array(["A", "B"])[plate]})
    group = np.array(["control", "TN"])[y]
    if where == "obs":
        obs["group"] = group
    adata = assay(noise(60, 30), obs)
    cohort = cohort_of(adata, **({"group": group} if where == "subjects" else {"age": 50.0}))
    model = make_pipeline(
        pr.ProteinFeatures("pea", steps=[pr.ComBat("plate", covariates="group")]),
        LogisticRegression(),
    )
    with pytest.raises(LeakageError, match="'group' gives the outcome away"):
        cross_validate(model, cohort, y, baseline=None)


@pytest.mark.parametrize("kind", ["predict", "covariate", "formula", "report"])
def test_batch_equals_class(kind):
    group = np.repeat(["control", "TN"], 10)
    obs = pd.DataFrame({"plate": np.repeat(["A", "B"], 10), "group": group})
    adata = assay(noise(20, 8), obs)
    if kind == "report":
        report = pr.check_npx(adata, group="group", batch="plate")
        found = report[report["check"] == "confounded"]
        assert len(found) == 1
        assert "plate" in found["message"].item()
        assert "group" in found["message"].item()
    elif kind == "predict":
        model = make_pipeline(
            pr.ProteinFeatures("pea", steps=pr.ComBat("plate")), LogisticRegression()
        )
        with pytest.raises(FormatError, match="'plate' and the outcome are confounded"):
            cross_validate(model, cohort_of(adata), (group == "TN").astype(int), baseline=None)
    elif kind == "covariate":
        with pytest.raises(FormatError, match="'plate' and covariates 'group' are confounded"):
            pr.ComBat("plate", covariates="group").fit(adata)
    else:
        with pytest.raises(FormatError, match=r"'plate\[.*'group\[.*confounded"):
            pr.differential(adata, "~ group + plate", ("group", "TN", "control"))


def test_unseen_site():
    adata = assay(noise(30, 8), pd.DataFrame({"site": np.tile(["Leeds", "Lund", "Lyon"], 10)}))
    seen = adata.obs["site"] != "Lyon"
    combat = pr.ComBat("site").fit(adata[seen])
    with pytest.raises(AlignmentError, match="'Lyon', which training didn't see"):
        combat.transform(adata)
    cohort = cohort_of(adata)
    features = pr.ProteinFeatures("pea", steps=pr.ComBat("site")).fit(cohort[seen.to_numpy()])
    with pytest.raises(AlignmentError, match="'Lyon', which training didn't see"):
        features.transform(cohort)


def test_pre_and_post_of_one_patient_in_different_folds():
    visits = pp.datasets.sample_tn().per_visit()
    splits = list(KFold(3, shuffle=True, random_state=0).split(np.zeros(len(visits))))
    with pytest.raises(LeakageError, match=r"on both sides|both train and test|in several|subject"):
        check_splits(splits, visits.groups)
    model = pp.evaluation.clinical_model("logistic")
    outcome = (np.arange(len(visits)) % 2).astype(float)
    with pytest.raises(LeakageError):
        cross_validate(model, visits, outcome, splits, baseline=None)


@pytest.mark.parametrize("method", ["limma", "welch", "mann_whitney", "anova"])
def test_pre_and_post_of_one_patient_as_independent_samples(method):
    csf = pp.datasets.sample_tn().assays["csf_pea"]
    with pytest.raises(FormatError, match="more than one sample"):
        pr.differential(csf, "~ visit", ("visit", "followup", "preop"), method=method)


def test_a_mixed_model_of_one_sample_each_is_refused():
    """People can't be told from chance then, as where subject_id holds samples."""
    adata = assay(noise(20, 4), pd.DataFrame({"group": ["a", "b"] * 10}))
    for contrast in (("group", "a", "b"), None):
        with pytest.raises(FormatError, match="each of the 20 people has one"):
            pr.differential(adata, "~ group", contrast, method="mixed")


@pytest.mark.parametrize("kind", ["features", "scores"])
def test_post_operative_protein_as_predictor(kind):
    cohort = pp.datasets.sample_tn()
    if kind == "features":
        late = pr.ProteinFeatures("csf_pea", visit="followup")
    else:
        late = pr.PanelScores(controls={"diagnosis": "control"}, assay="csf_pea", visit="followup")
    with pytest.raises(LeakageError, match="'followup' can't be a predictor"):
        late.fit(cohort)
    model = make_pipeline(late, SimpleImputer(), LogisticRegression())
    with pytest.raises(LeakageError, match="'followup' can't be a predictor"):
        cross_validate(model, cohort, "mvd_response", baseline=None)


# --- who is a control -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CANCER_01", "NC_07", "ANCA-2", "TNC CONTROL", "Plate7_S1"])
def test_a_name_is_no_evidence_of_a_control(tmp_path, name):
    npx = pr.read_npx(export(tmp_path, SampleID=[name, name, "S2", "S2"]))
    assert npx.obs["sample_type"].tolist() == ["SAMPLE", "SAMPLE"]
    assert pr.clean(npx).n_obs == 2
    kinds = ["NEGATIVE_CONTROL"] * 2 + ["SAMPLE"] * 2
    told = pr.read_npx(export(tmp_path, SampleType=kinds, SampleID=["S9", "S9", name, name]))
    assert told.obs["sample_type"].to_dict() == {"S9": "NEGATIVE_CONTROL", name: "SAMPLE"}
    assert pr.clean(told).obs_names.tolist() == [name]


SPOILT = {
    "median": lambda a: pr.MedianScaler().fit_transform(a),
    "quantile": lambda a: pr.QuantileNormalizer().fit_transform(a),
    "vsn": lambda a: pr.VSN().fit_transform(a),
    "loess": lambda a: pr.CyclicLoess().fit_transform(a),
    "combat": lambda a: pr.ComBat("plate").fit_transform(a),
    "plates": lambda a: pr.plate_normalize(a),
    "reference": lambda a: pr.reference_median_normalize(
        a, dict.fromkeys([n for n in a.var_names if not n.startswith("OID9999")], 4.0)
    ),
    "z": lambda a: pr.ControlZ("group", control="MS").fit_transform(a),
}


@pytest.mark.parametrize("how", SPOILT)
def test_controls_have_no_part_in_medians(how):
    obs = pd.DataFrame({"plate": np.tile(["A", "B"], 12), "group": np.repeat(["TN", "MS"], 12)})
    clean = assay(noise(24, 30), obs)
    spoilt = with_controls(clean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of proteins that don't vary: the controls
        got = SPOILT[how](spoilt)[clean.obs_names, clean.var_names].X
    np.testing.assert_allclose(got, SPOILT[how](clean).X, rtol=1e-9, atol=1e-9)


def test_controls_are_counted():
    obs = pd.DataFrame({"plate": np.tile(["A", "B"], 12), "group": np.repeat(["TN", "MS"], 12)})
    adata = with_controls(assay(noise(24, 30), obs))
    report = pr.check_npx(adata).set_index(["check", "item"])["n"]
    assert report["control_sample", "CONTROL"] == 4
    assert report["control_assay", "INCUBATION_CONTROL"] == 5
    cleaned = pr.clean(adata)
    assert cleaned.shape == (24, 30)
    assert sum(cleaned.uns["precisionpain"]["removed"].values()) == 9
    said = pr.differential(adata, "~ group", ("group", "TN", "MS")).attrs
    assert said["left_out"] == {"not a sample of a person": 4}
    assert said["control_assays_left_out"] == 5


# --- assays and their names -----------------------------------------------------------------------


def test_medians_go_by_panel():
    """A sample that ran high on one panel is shifted on that panel alone."""
    panel = np.repeat(["Neurology", "Inflammation"], 10)
    level = noise(12, 20)
    shift = np.zeros((12, 20))
    shift[:, :10] = np.linspace(-3, 3, 12)[:, None]
    scaler = pr.MedianScaler()
    moved = scaler.fit_transform(assay(level + shift, var=pd.DataFrame({"panel": panel}))).X
    for columns in (panel == "Neurology", panel == "Inflammation"):
        assert np.ptp(np.median(moved[:, columns], axis=1)) < 1e-9
    still = scaler.fit_transform(assay(level, var=pd.DataFrame({"panel": panel}))).X
    np.testing.assert_allclose(moved[:, 10:], still[:, 10:])


def test_one_protein_on_two_panels_is_two_assays(tmp_path):
    path = export(
        tmp_path, UniProt=["P01584"] * 4, Assay=["IL1B"] * 4,
        Panel=["Inflammation", "Neurology"] * 2,
    )  # fmt: skip
    npx = pr.read_npx(path)
    assert npx.var_names.tolist() == ["OID00001", "OID00002"]
    np.testing.assert_array_equal(npx.X, TRUTH)
    table = pr.ProteinFeatures("pea", proteins=["IL1B"]).fit_transform(cohort_of(npx))
    assert list(table) == ["IL1B (OID00001)", "IL1B (OID00002)"]
    table = pr.panels["trigeminal"].find(npx)
    assert table.loc[table["analyte"] == "IL1B", "assay"].tolist() == ["OID00001", "OID00002"]


@pytest.mark.parametrize("joined", ["Q14213,Q8NEV9", "Q14213_Q8NEV9", "Q14213;Q8NEV9"])
def test_one_assay_of_two_accessions(tmp_path, joined):
    npx = pr.read_npx(export(tmp_path, sep="\t", UniProt=[joined, "O43927"] * 2))
    assert npx.shape == (2, 2)
    assert npx.var["uniprot"].tolist() == ["Q14213,Q8NEV9", "O43927"]
    for one in ("Q14213", "Q8NEV9"):
        found = pr.ProteinFeatures("pea", proteins=[one]).fit(cohort_of(npx)).proteins_
        assert found.tolist() == ["OID00001"]
    assert pr.clean(npx, pr.check_npx(npx)).n_vars == 2


def test_groups_of_proteins(tmp_path):
    """``P1;P2`` is one column, mapped to its leading protein, and counts once."""
    table = pd.DataFrame(
        {
            "Protein": ["P01584;P01583", "P01583", "Q13451-2;Q13451"],
            "a": [800.0, 400, 200],
            "b": 1600.0,
        }
    )
    lfq = pr.read_matrix(table, log2=False, columns=["a", "b"], protein="Protein")
    assert lfq.var_names.tolist() == ["P01584;P01583", "P01583", "Q13451-2;Q13451"]
    assert [u.split("-")[0] for u in lfq.var["uniprot"]] == ["P01584", "P01583", "Q13451"]
    found = pr.panels["trigeminal"].find(lfq).dropna(subset=["assay"])
    assert found.set_index("analyte")["assay"].to_dict() == {
        "IL1B": "P01584;P01583",
        "FKBP5": "Q13451-2;Q13451",
    }
    assert found["assay"].is_unique


# --- bridges and scales ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (["s0", "s1", "X7", "X9"], "absent: 'X7', 'X9'"),
        (["s0", "s1", "s1", "s2"], "twice: 's1'"),
    ],
)
@pytest.mark.parametrize("normalize", [pr.bridge_normalize, pr.cross_product_normalize])
def test_bridge_ids_absent_or_duplicated(ids, named, normalize):
    first = assay(noise(20, 6))
    with pytest.raises(AlignmentError, match=named):
        normalize(first, assay(noise(20, 6, 1)), ids)


def test_mixed_normalization(tmp_path):
    with pytest.warns(DataWarning, match="normalised in 2 ways"):
        pr.read_npx(export(tmp_path, Normalization=["Intensity", "Plate control"] * 2))


@pytest.mark.parametrize("other", ["Ct", "Quantified_value"])
@pytest.mark.parametrize("where", ["columns", "files"])
def test_npx_beside_other_scales(tmp_path, other, where):
    if where == "columns":
        paths = [export(tmp_path, **{other: ["20"] * 4})]
    else:
        text = export(tmp_path).read_text().replace("NPX", other).replace("S1", "S3")
        second = tmp_path / "second.csv"
        second.write_text(text.replace("S2", "S4"))
        paths = [tmp_path / "export.csv", second]
    with pytest.raises(FormatError, match=f"beside|different scales|{other}"):
        pr.read_npx(paths)


def test_npx_is_not_bridged_with_concentrations():
    one, two = assay(noise(20, 6)), assay(noise(20, 6, 1))
    two.uns["precisionpain"]["unit"] = "log2 concentration"
    with pytest.raises(FormatError, match=r"unit|scale|concentration"):
        pr.bridge_normalize(one, two, one.obs_names[:12])


# --- values ---------------------------------------------------------------------------------------


def test_mostly_below_the_limit_of_detection():
    """Flagged, not dropped; NPX stays as measured."""
    values = noise(20, 6)
    values[:14, 2] = 0.3
    adata = assay(values, pd.DataFrame({"group": ["a", "b"] * 10}), lod=np.ones((20, 6)))
    report = pr.check_npx(adata)
    flagged = report[(report["check"] == "below_lod") & (report["where"] == "assay")]
    assert flagged["item"].tolist() == ["OID00002"]
    assert flagged["share"].item() == 0.7
    table = pr.below_lod(adata)
    assert table.index[table["flagged"]].tolist() == ["OID00002"]
    kept = pr.clean(adata, report)
    np.testing.assert_array_equal(kept.X, values)
    result = pr.differential(kept, "~ group", ("group", "a", "b"))
    assert result.loc["OID00002", "below_lod"] == 0.7
    assert result.loc["OID00002", "testable"]


ZEROS = {
    "maxquant": (
        pr.read_maxquant,
        {
            "Protein IDs": ["P01584", "O43927"],
            "Majority protein IDs": ["P01584", "O43927"],
            "LFQ intensity A": [1024, 0],
            "LFQ intensity B": [0, 64],
        },
    ),
    "diann": (
        pr.read_diann,
        {
            "Protein.Group": ["P01584", "O43927"],
            "Protein.Ids": ["P01584", "O43927"],
            "Protein.Names": ["IL1B_HUMAN", "CXL13_HUMAN"],
            "Genes": ["IL1B", "CXCL13"],
            "First.Protein.Description": ["", ""],
            "A.raw": [1024, 0],
            "B.raw": [0, 64],
        },
    ),
    "fragpipe": (
        pr.read_fragpipe,
        {
            "Protein": ["sp|P01584|IL1B_HUMAN", "sp|O43927|CXL13_HUMAN"],
            "Protein ID": ["P01584", "O43927"],
            "Entry Name": ["IL1B_HUMAN", "CXL13_HUMAN"],
            "Gene": ["IL1B", "CXCL13"],
            "A MaxLFQ Intensity": [1024, 0],
            "B MaxLFQ Intensity": [0, 64],
        },
    ),
    "spectronaut": (
        pr.read_spectronaut,
        {
            "PG.ProteinGroups": ["P01584", "O43927"],
            "PG.Genes": ["IL1B", "CXCL13"],
            "[1] A.raw.PG.Quantity": [1024, 0],
            "[2] B.raw.PG.Quantity": [0, 64],
        },
    ),
    "matrix": (
        lambda table: pr.read_matrix(table, log2=False, columns=["A", "B"], protein="Protein"),
        {"Protein": ["P01584", "O43927"], "A": [1024, 0], "B": [0, 64]},
    ),
}


@pytest.mark.parametrize("program", ZEROS)
def test_an_intensity_of_0_is_missing(program):
    read, table = ZEROS[program]
    lfq = read(pd.DataFrame(table))
    np.testing.assert_array_equal(lfq.X, [[10, np.nan], [np.nan, 6]])


def test_infinite_values_are_refused():
    values = noise(12, 4)
    values[0, 0] = -np.inf
    adata = assay(values, pd.DataFrame({"group": ["a", "b"] * 6}))
    for use in (
        lambda: pr.MedianScaler().fit(adata),
        lambda: pr.differential(adata, "~ group", ("group", "a", "b")),
        lambda: pr.score_panel(adata, controls={"group": "a"}),
    ):
        with pytest.raises(FormatError, match="infinite"):
            use()


def test_contaminants_decoys_and_sites_are_removed_and_counted():
    names = ["P01584", "CON__P02769", "REV__O43927", "Q13451", "P07196;CON__P02768"]
    table = pd.DataFrame(
        {
            "Protein IDs": names,
            "Majority protein IDs": names,
            "Reverse": ["", "", "+", "", ""],
            "Potential contaminant": ["", "+", "", "", ""],
            "Only identified by site": ["", "", "", "+", ""],
            "LFQ intensity A": [1024] * 5,
            "LFQ intensity B": [64] * 5,
        }
    )
    lfq = pr.read_maxquant(table)
    assert lfq.var["uniprot"].tolist() == ["P01584", "P07196"]
    said = lfq.uns["precisionpain"]["removed"]
    assert said == {"contaminant": 1, "decoy": 1, "only_by_site": 1}
    kept = pr.read_maxquant(table, keep=("contaminant", "decoy", "only_by_site"))
    assert kept.n_vars == 5
    cleaned = pr.clean(kept, pr.check_lfq(kept))
    assert cleaned.var_names.tolist() == lfq.var_names.tolist()
    assert sum(cleaned.uns["precisionpain"]["removed"].values()) == 3


TWO_GROUPS = ["limma", "welch", "mann_whitney", "anova", "mixed", "ordinal"]


@pytest.mark.parametrize("method", TWO_GROUPS)
def test_a_group_without_values_is_not_testable(method):
    """No p-value, not even 1, and no part in the false discovery rate."""
    values = noise(24, 6, 3)
    values[12:, 2] = np.nan
    group = np.repeat(["a", "b"], 12)
    obs = pd.DataFrame({"group": group})
    if method == "mixed":  # two samples of each person
        obs["subject_id"] = np.repeat([f"p{i}" for i in range(12)], 2)
    contrast = ("group", "a", "b")
    result = pr.differential(assay(values, obs), "~ group", contrast, method=method)
    row = result.loc["OID00002"]
    assert not row["testable"]
    assert np.isnan(row["p_value"])
    assert np.isnan(row["q_value"])
    rest = np.delete(np.arange(6), 2)
    assert result["testable"].sum() == 5
    p = result["p_value"].to_numpy()[rest]
    by_hand = np.minimum.accumulate((np.sort(p) * 5 / np.arange(1, 6))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(result["q_value"].to_numpy()[rest]), by_hand)


@pytest.mark.parametrize("method", ["kruskal", "anova"])
def test_a_group_without_values_is_not_testable_in_tests_of_terms(method):
    values = noise(24, 6, 3)
    values[12:, 2] = np.nan
    adata = assay(values, pd.DataFrame({"group": np.repeat(["a", "b"], 12)}))
    result = pr.differential(adata, "~ group", method=method)
    assert result.loc["OID00002", ["p_value", "q_value"]].isna().all()
    assert not result.loc["OID00002", "testable"]


@pytest.mark.parametrize("method", ["limma", "welch", "anova"])
def test_zero_variance(method):
    """A finite result where there is one, or none at all, with a warning; never ±inf."""
    values = noise(24, 6, 3)
    values[:, 2] = 4.0
    adata = assay(values, pd.DataFrame({"group": np.repeat(["a", "b"], 12)}))
    with pytest.warns(DataWarning, match="vary|constant"):
        result = pr.differential(adata, "~ group", ("group", "a", "b"), method=method)
    assert abs(result.loc["OID00002", "log_fc"]) < 1e-12
    numbers = result.select_dtypes("number").drop(columns="below_lod")
    assert not np.isinf(numbers).any(axis=None)
    assert np.isfinite(numbers.drop("OID00002")).all(axis=None)


ESTIMATORS = {
    "combat": lambda: pr.ComBat("plate"),
    "z": lambda: pr.ControlZ("group", control="a"),
}


@pytest.mark.parametrize("which", ESTIMATORS)
def test_zero_variance_in_estimators(which):
    values = noise(24, 6, 3)
    values[:, 2] = 4.0
    obs = pd.DataFrame({"group": np.repeat(["a", "b"], 12), "plate": ["A", "B"] * 12})
    with pytest.warns(DataWarning, match="vary|constant"):
        out = ESTIMATORS[which]().fit_transform(assay(values, obs)).X
    assert not np.isinf(out).any()
    assert np.isfinite(np.delete(out, 2, axis=1)).all()


POOLED = {
    "differential": lambda a: pr.differential(a, "~ group", ("group", "a", "b")),
    "score_panel": lambda a: pr.score_panel(a, controls={"group": "a"}),
    "features": lambda a: pr.ProteinFeatures("pea").fit(cohort_of(a)),
    "recovery": lambda a: pr.normalization_index(a, {"group": "a"}, post="preop"),
}


@pytest.mark.parametrize("use", POOLED)
def test_csf_and_serum_pooled(use):
    obs = pd.DataFrame(
        {"group": np.repeat(["a", "b"], 12), "specimen": ["CSF", "serum"] * 12, "visit": "preop"}
    )
    var = pd.DataFrame({"gene": ["IL1B", "NEFL", "G2", "G3"]})
    adata = assay(noise(24, 4), obs, var)
    with pytest.raises(FormatError, match=r"(?i)'CSF'.*'serum'"):
        POOLED[use](adata)


def test_csf_and_serum_are_compared_where_the_specimen_is_modelled():
    obs = pd.DataFrame({"group": np.repeat(["a", "b"], 12), "specimen": ["CSF", "serum"] * 12})
    adata = assay(noise(24, 4), obs)
    assert pr.differential(adata, "~ group + specimen", ("group", "a", "b"))["testable"].all()
    one = pr.differential(adata, "~ group", ("group", "a", "b"), specimen="CSF")
    assert one.attrs["n_samples"] == 12


# --- text as it comes -----------------------------------------------------------------------------

FORMS = {
    "commas": {"sep": ","},
    "semicolons": {"sep": ";"},
    "decimal commas": {"edit": lambda text: text.replace(".", ",")},
    "decimal commas and tabs": {"sep": "\t", "edit": lambda text: text.replace(".", ",")},
    "byte order mark": {"encoding": "utf-8-sig"},
    "utf-16": {"encoding": "utf-16"},
    "windows": {"encoding": "cp1252", "edit": lambda text: text.replace("\n", "\r\n")},
    "blank rows": {"edit": lambda text: text + ";;;;;;;\n;;;;;;;\n\n"},
}


@pytest.mark.parametrize("form", FORMS)
def test_exports_of_all_forms_are_read_alike(tmp_path, form):
    npx = pr.read_npx(export(tmp_path, Site=["Umeå"] * 4, **FORMS[form]))
    np.testing.assert_array_equal(npx.X, TRUTH)
    assert npx.obs["Site"].tolist() == ["Umeå", "Umeå"]


@pytest.mark.parametrize(
    ("cells", "where"),
    [
        (["1.5", "-2.25", "n.d.", "4.125"], r"line 4, column 'NPX'.*'n\.d\.'"),
        (["1,5", "-2,25", "3.5", "4,125"], r"line 4, column 'NPX'.*'3\.5'"),
    ],
)
def test_a_cell_that_is_no_number_is_named_by_line_and_column(tmp_path, cells, where):
    with pytest.raises(FormatError, match=where):
        pr.read_npx(export(tmp_path, NPX=cells))


def test_mixed_encodings_are_named_by_line(tmp_path):
    path = export(tmp_path, Site=["Umeå"] * 4)
    lines = path.read_text(encoding="utf-8").splitlines()
    coded = [line.encode("cp1252" if i == 3 else "utf-8") for i, line in enumerate(lines)]
    path.write_bytes(b"\n".join(coded))
    with pytest.raises(FormatError, match="line 4, byte"):
        pr.read_npx(path)


SHEET = "SampleID;subject_id;visit;age;site\nS1;007;preop;61,5;Umeå\nS2;TN2;preop ;50,25;Köln\n"
MATRIX = "protein\tS1\tS2\nP01584\t1024,5\t0\nO43927\t64\t32,25\n"
SHEETS = {
    "semicolons and decimal commas": ("utf-8", SHEET),
    "commas": ("utf-8", SHEET.replace(",", ".").replace(";", ",")),
    "byte order mark": ("utf-8-sig", SHEET),
    "utf-16": ("utf-16", SHEET),
    "windows": ("cp1252", SHEET.replace("\n", "\r\n")),
    "blank rows": ("utf-8", SHEET + ";;;;\n;;;;\n\n"),
    "our name of the key": ("utf-8", SHEET.replace("SampleID", "sample_id")),
}


@pytest.mark.parametrize("form", SHEETS)
@pytest.mark.parametrize("kind", ["npx", "lfq"])
def test_sheets_of_samples_of_all_forms_are_read_alike(tmp_path, form, kind):
    encoding, text = SHEETS[form]
    sheet = tmp_path / "samples.csv"
    sheet.write_bytes(text.encode(encoding))
    if kind == "npx":
        adata = pr.read_npx(export(tmp_path), samples=sheet)
    else:
        matrix = tmp_path / "matrix.tsv"
        matrix.write_text(MATRIX)
        adata = pr.read_matrix(
            matrix, log2=False, columns=["S1", "S2"], protein="protein", samples=sheet
        )
        np.testing.assert_allclose(2**adata.X, [[1024.5, 64], [np.nan, 32.25]])
    assert adata.obs["subject_id"].tolist() == ["007", "TN2"]
    assert adata.obs["visit"].tolist() == ["preop", "preop"]
    assert adata.obs["age"].tolist() == [61.5, 50.25]
    assert adata.obs["site"].tolist() == ["Umeå", "Köln"]
