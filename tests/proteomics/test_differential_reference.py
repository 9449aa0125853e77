"""`differential` on a real Olink project, against stored results of the vendor's package."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from precisionpain.proteomics import differential
from precisionpain.proteomics._differential.design import choose_rows, make_design
from precisionpain.proteomics._differential.ordinal import fit_ordinal
from precisionpain.proteomics._layout import make_adata

TREATED = ("Treatment", "Treated", "Untreated")
TIME = ("Time", "Baseline", "Week.6")


@pytest.fixture(scope="module")
def project(shared_data):
    path = shared_data / "olink" / "reference_results" / "npx1.csv.gz"
    if not path.exists():
        pytest.skip(f"real data absent: {path}")
    long = pd.read_csv(path)
    long = long[long["Subject"].notna()]
    wide = long.pivot(index="SampleID", columns="OlinkID", values="NPX")
    obs = long.drop_duplicates("SampleID").set_index("SampleID").loc[wide.index]
    obs = obs[["Subject", "Treatment", "Site", "Time"]].rename(columns={"Subject": "subject_id"})
    return make_adata(wide.to_numpy(), obs, pd.DataFrame(index=wide.columns), kind="npx")


@pytest.fixture(scope="module")
def unpaired(project):
    """Without the person: the stored results take all samples for independent."""
    adata = project.copy()
    del adata.obs["subject_id"]
    return adata


@pytest.fixture(scope="module")
def stored(shared_data):
    path = shared_data / "olink" / "reference_results" / "olink_tests.csv.gz"
    table = pd.read_csv(path, float_precision="round_trip")
    return lambda test: table[table["test"] == test]


def align(found, golden, key=None):
    index = ["OlinkID"] if key is None else ["OlinkID", key]
    golden = golden.set_index(index)
    found = found if key is None else found.set_index(key, append=True)
    return found.reindex(golden.index), golden


def check(found, golden, *, rtol=1e-10, q=True, key=None):
    found, golden = align(found, golden, key)
    assert_allclose(found["statistic"], golden["statistic"], rtol=rtol)
    assert_allclose(found["p_value"], golden["p"], rtol=rtol)
    if q:
        assert_allclose(found["q_value"], golden["adjusted"], rtol=rtol)
    return found, golden


def test_welch(unpaired, stored):
    found, golden = check(differential(unpaired, "~ Treatment", TREATED, "welch"), stored("welch"))
    assert_allclose(found["log_fc"], golden["estimate"], rtol=1e-10)


def test_paired(project, stored):
    found, golden = check(differential(project, "~ Time", TIME, "paired"), stored("paired"))
    assert_allclose(found["log_fc"], golden["estimate"], rtol=1e-10)


def test_mann_whitney(unpaired, stored):
    found = differential(unpaired, "~ Treatment", TREATED, "mann_whitney")
    found, golden = check(found, stored("wilcoxon"))
    # The stored shifts come from a search that stops within 1e-4.
    assert_allclose(found["log_fc"], golden["estimate"], atol=1e-4)


def test_wilcoxon(project, stored):
    found = differential(project, "~ Time", TIME, "wilcoxon")
    found, golden = check(found, stored("wilcoxon_paired"))
    # Of an even number of Walsh averages the stored shift lies between the middle two.
    assert_allclose(found["log_fc"], golden["estimate"], atol=0.02)


@pytest.mark.parametrize(
    ("formula", "name"),
    [("~ Site", "anova_site"), ("~ Time", "anova_time"), ("~ Site * Time", "anova_site_time")],
)
def test_anova(unpaired, stored, formula, name):
    # With several terms the stored q-values are over all of them; here they are per term.
    one = name != "anova_site_time"
    check(differential(unpaired, formula, method="anova"), stored(name), key="term", q=one)


@pytest.mark.parametrize("term", ["Site", "Time"])
def test_tukey(unpaired, stored, term):
    found = differential(unpaired, f"~ {term}", method="anova", posthoc=term)
    found, golden = align(found, stored(f"anova_posthoc_{term.lower()}"), "contrast")
    assert_allclose(found["log_fc"], golden["estimate"], rtol=1e-9)
    assert_allclose(found["p_adjusted"], golden["adjusted"], atol=1e-9)


def test_kruskal_and_dunn(unpaired, stored):
    check(differential(unpaired, "~ Site", method="kruskal"), stored("kruskal"), key="term")
    found = differential(unpaired, "~ Site", method="kruskal", posthoc="Site")
    found, golden = align(found, stored("kruskal_posthoc"), "contrast")
    # Dunn's z stands as the estimate there. Its adjusted p isn't monotonous in p, so that only
    # the raw one can be compared: adjusted = p · 10 / rank.
    assert_allclose(found["statistic"], golden["estimate"], rtol=1e-10)
    rank = found["p_value"].groupby(level=0).rank()
    assert_allclose(np.minimum(found["p_value"] * 10 / rank, 1), golden["adjusted"], rtol=1e-9)


def test_friedman(project, stored):
    check(differential(project, "~ Time", method="friedman"), stored("friedman"), key="term")
    found = differential(project, "~ Time", method="friedman", posthoc="Time")
    found, golden = align(found, stored("friedman_posthoc"), "contrast")
    # Stored to three digits.
    assert_allclose(found["p_adjusted"], golden["adjusted"], atol=6e-4)


def test_mixed_model(project, stored):
    # The stored fits are by maximum likelihood, and end where their search stopped.
    found = differential(project, "~ Treatment * Time", method="mixed", reml=False)
    found, golden = align(found, stored("lmer"), "term")
    assert_allclose(found["statistic"], golden["statistic"], rtol=1e-4)
    assert_allclose(found["p_value"], golden["p"], rtol=1e-3, atol=1e-5)
    pairs = differential(
        project, "~ Treatment * Time", method="mixed", reml=False, posthoc="Treatment:Time"
    )
    # A pair may be stored the other way round.
    turned = pairs.assign(
        contrast=[" - ".join(reversed(text.split(" - "))) for text in pairs["contrast"]],
        log_fc=-pairs["log_fc"],
    )
    pairs = pd.concat([pairs, turned])
    pairs, golden = align(pairs, stored("lmer_posthoc"), "contrast")
    assert_allclose(pairs["log_fc"], golden["estimate"], rtol=1e-9)
    assert_allclose(pairs["p_adjusted"], golden["adjusted"], atol=1e-6)


def test_ordinal(unpaired, stored):
    """The stored tests are Wald's, with each factor at the first level of the other."""
    rows = choose_rows(unpaired, "~ Treatment * Time", None)
    design = make_design(rows, "~ Treatment * Time")
    golden = stored("ordinal").set_index(["OlinkID", "term"])["statistic"]
    for name in unpaired.var_names[:25]:
        fitted = fit_ordinal(unpaired[:, name].X.ravel(), design.matrix[:, 1:])
        assert fitted is not None
        for term, columns in design.terms.items():
            place = np.array(columns) - 1
            beta, covariance = fitted[0][place], fitted[1][np.ix_(place, place)]
            wald = beta @ np.linalg.solve(covariance, beta)
            assert wald == pytest.approx(golden[name, term], rel=1e-5)
