"""From an export to a prediction and back to a file, as a user goes; on real exports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from precisionpain import proteomics as pr
from precisionpain.cohort import Cohort, load_cohort
from precisionpain.errors import FormatError
from precisionpain.evaluation import cross_validate


def found(path):
    if not path.exists():
        pytest.skip(f"real data absent: {path}")
    return path


@pytest.fixture(scope="module")
def serum(shared_data):
    """NPX of 63 samples of 57 dialysis patients, 46 of them with COVID-19."""
    folder = found(shared_data / "olink" / "gisby2021_serum")
    sheet = pd.read_csv(folder / "serum_sample_level.csv")
    sheet = sheet.rename(columns={"Individual_ID": "subject_id", "Plate_ID": "plate"})
    return pr.read_npx(folder / "serum_npx_level.csv", samples=sheet)


# What the authors' script prints for this file: mixed models of case and control, adjusted for
# sex, age and ethnicity, by maximum likelihood (Gisby et al., eLife 2021;10:e64827, repository
# longitudinal_olink_proteomics, scripts/example_script.md). Gene: F, p.
PUBLISHED = {
    "EIF4G1": (226, 1.21e-21),
    "DDX58": (133, 3.56e-17),
    "TRIM21": (122, 6.60e-16),
    "CASP8": (115, 1.92e-15),
    "IL6": (82.8, 7.19e-13),
    "TRIM5": (79.8, 8.47e-13),
}


def test_published_mixed_models_of_covid(serum):
    """The six strongest proteins, in their order, to the digits that were printed."""
    table = pr.differential(
        serum, "~ Case_Control + Sex + Age + Ethnicity", method="mixed", reml=False
    )
    table = table[table["term"] == "Case_Control"].sort_values("p_value").head(6)
    genes = serum.var["GeneID"].reindex(table.index)
    assert genes.tolist() == list(PUBLISHED)
    for gene, f, p in zip(genes, table["statistic"], table["p_value"], strict=True):
        assert f == pytest.approx(PUBLISHED[gene][0], rel=5e-3)
        assert p == pytest.approx(PUBLISHED[gene][1], rel=5e-3)


@pytest.mark.parametrize("method", ["limma", "mixed", "welch", "mann_whitney"])
def test_known_signals_of_covid_differ(serum, method):
    """The same six, and chemokines of monocytes that the paper names, by whatever test."""
    adata = serum
    options = {}
    if method == "limma":
        options = {"block": "subject_id"}
    elif method != "mixed":
        adata = serum[~serum.obs["subject_id"].duplicated().to_numpy()]
    contrast = ("Case_Control", "POSITIVE", "NEGATIVE")
    table = pr.differential(adata, "~ Case_Control", contrast, method=method, **options)
    table = table.set_axis(serum.var["GeneID"].reindex(table.index))
    for gene in [*PUBLISHED, "CCL7", "CXCL10"]:
        assert table.loc[gene, "q_value"] < 0.05
        assert table.loc[gene, "log_fc"] > 0


def test_from_an_npx_export_to_a_prediction_and_back(serum, tmp_path):
    report = pr.check_npx(serum, group="Case_Control")
    assert "error" not in set(report["severity"])
    tidy = pr.clean(serum, report)
    level = pr.plate_normalize(tidy)
    with pytest.raises(FormatError, match="6 people have more than one sample"):
        pr.differential(level, "~ Case_Control", ("Case_Control", "POSITIVE", "NEGATIVE"))
    people = level.obs.drop_duplicates("subject_id").set_index("subject_id")[["Case_Control"]]
    one = level[~level.obs["subject_id"].duplicated().to_numpy()]
    # None of the six proteins is on these panels; some of the wider set are.
    with pytest.raises(FormatError, match="none of the 6 analytes"):
        pr.score_panel(one, "trigeminal", {"Case_Control": "NEGATIVE"})
    scores = pr.score_panel(one, "trigeminal_wide", {"Case_Control": "NEGATIVE"})
    assert len(scores) == 57
    assert scores["control"].sum() == (people["Case_Control"] == "NEGATIVE").sum()

    cohort = Cohort(people).with_assay("serum", level)
    cohort = cohort.with_outcome("covid", column="Case_Control", positive="POSITIVE")
    model = make_pipeline(
        pr.ProteinFeatures("serum", steps=[pr.MedianScaler()], repeats="mean"),
        SimpleImputer(), SelectKBest(k=20), StandardScaler(), LogisticRegression(C=0.1),
    )  # fmt: skip
    result = cross_validate(model, cohort, "covid", 4, n_bootstrap=50)
    assert result.auc.auc > 0.95  # 205 proteins differ

    again = load_cohort(cohort.save(tmp_path / "cohort")).assays["serum"]
    same(again, level)
    for path in ("serum.csv", "serum.parquet"):
        back = pr.read_npx(pr.write_npx(again, tmp_path / path))
        pd.testing.assert_frame_equal(back.to_df(), level.to_df(), check_names=False)
        assert back.obs["subject_id"].tolist() == level.obs["subject_id"].tolist()
        assert back.obs["Case_Control"].tolist() == level.obs["Case_Control"].tolist()


def same(back, adata):
    """All that is known survives: values, layers, obs, var, obsm, varm, and how it came to be."""
    pd.testing.assert_frame_equal(back.to_df(), adata.to_df())
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    pd.testing.assert_frame_equal(back.var, adata.var)
    assert set(back.layers) == set(adata.layers)
    for kind in ("obsm", "varm"):
        assert set(getattr(back, kind)) == set(getattr(adata, kind))
        for name, table in getattr(adata, kind).items():
            pd.testing.assert_frame_equal(getattr(back, kind)[name], table)
    before, after = adata.uns["precisionpain"], back.uns["precisionpain"]
    assert set(after) == set(before)
    assert after["summary"] == before["summary"]
    pd.testing.assert_frame_equal(after["flow"], before["flow"])


def test_two_bridged_projects_survive_a_cohort(shared_data, tmp_path):
    """Panels with plates and QC of their own, bridged, cleaned, saved, and used once more."""
    folder = found(shared_data / "olink" / "reference_results")
    one, two = (pr.read_npx(folder / f"npx{i}.csv.gz") for i in (1, 2))
    bridges = one.obs_names[(one.obs["sample_type"] == "SAMPLE").to_numpy()]
    bridges = bridges.intersection(two.obs_names)
    both = pr.clean(pr.bridge_normalize(one, two, bridges))
    people = pd.DataFrame(index=pd.Index(both.obs["subject_id"].unique(), name="subject_id"))
    cohort = Cohort(people).with_assay("pea", both)
    back = load_cohort(cohort.save(tmp_path / "cohort")).assays["pea"]
    same(back, both)
    assert set(back.obsm) == {"plate", "qc"}
    pd.testing.assert_frame_equal(pr.check_npx(back), pr.check_npx(both))
    np.testing.assert_array_equal(pr.plate_normalize(back).X, pr.plate_normalize(both).X)
    again = pr.read_npx(pr.write_npx(back, tmp_path / "both.parquet"))
    pd.testing.assert_frame_equal(again.to_df(), both.to_df(), check_names=False)


def test_from_a_mass_spectrometry_export_to_a_prediction_and_back(shared_data, tmp_path):
    path = found(shared_data / "lfq" / "small_exports" / "lfq_maxquant_proteinGroups.txt.gz")
    names = pr.read_maxquant(path).obs_names
    sheet = tmp_path / "samples.csv"
    rows = [f"{name};p{i};{'ab'[i % 2]};{40 + i},5" for i, name in enumerate(names)]
    sheet.write_text("\n".join(["SampleID;subject_id;group;age", *rows]))
    lfq = pr.read_maxquant(path, samples=sheet)
    tidy = pr.clean(lfq, pr.check_lfq(lfq, group="group"), missing_assay=0.5)
    assert 0 < tidy.n_vars < lfq.n_vars
    level = pr.MedianScaler(min_observed=0.5).fit_transform(tidy)
    table = pr.differential(level, "~ group + age", ("group", "b", "a"), trend="n_peptides")
    assert np.isfinite(table.loc[table["testable"], "p_value"]).all()

    people = tidy.obs.set_index("subject_id")[["group"]]
    cohort = Cohort(people).with_assay("lfq", tidy)
    cohort = cohort.with_outcome("b", column="group", positive="b")
    model = make_pipeline(
        pr.ProteinFeatures("lfq", steps=[pr.MedianScaler(), pr.MinProb()]),
        SelectKBest(k=5), StandardScaler(), LogisticRegression(),
    )  # fmt: skip
    assert len(cross_validate(model, cohort, "b", 2, baseline=None).frame()) == 2

    back = load_cohort(cohort.save(tmp_path / "cohort")).assays["lfq"]
    same(back, tidy)
    with pytest.raises(FormatError, match="'lfq', which would be read back as NPX"):
        pr.write_npx(back, tmp_path / "lfq.csv")
