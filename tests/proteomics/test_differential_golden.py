"""`differential` against R, with the reference values of golden/differential.R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from precisionpain.proteomics import differential
from precisionpain.proteomics._layout import make_adata

FOLDER = Path(__file__).parent / "golden" / "differential"
SIMPLE = {"estimate": "log_fc", "statistic": "statistic", "df": "df", "p": "p_value",
          "low": "ci_low", "high": "ci_high"}  # fmt: skip
TN = ("group", "TN", "control")
LATER = ("visit", "followup", "preop")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv", float_precision="round_trip")


def assay(values: str, obs: str = "obs", **obs_columns):
    table = read(values)
    known = read(obs).assign(**obs_columns)
    known.index = [f"s{i}" for i in range(len(known))]
    return make_adata(table.to_numpy(), known, pd.DataFrame(index=table.columns), kind="lfq")


@pytest.fixture(scope="module")
def missing():
    return assay("missing")


@pytest.fixture(scope="module")
def tied():
    adata = assay("complete")
    adata.X = np.round(adata.X)
    return adata


def compare(case: str, found: pd.DataFrame, name: str = "simple", *, keys=("assay",), rtol=1e-9,
            atol=1e-10, columns=SIMPLE) -> None:  # fmt: skip
    golden = read(name)
    golden = golden[golden.case == case].set_index(list(keys))
    assert len(golden) > 10
    if len(keys) > 1:
        found = found.set_index(keys[1], append=True)
    found = found.reindex(golden.index)
    for theirs, ours in columns.items():
        if theirs in golden and ours in found and golden[theirs].notna().any():
            assert_allclose(
                found[ours], golden[theirs], rtol=rtol, atol=atol, err_msg=f"{case}: {ours}"
            )


def test_limma_by_formula():
    adata = assay("missing")
    found = differential(adata, "~ group + age + plate", TN)
    golden = read("limma")
    golden = golden[golden.case == "missing"].set_index("assay").loc[found.index]
    for theirs, ours in {
        "estimate": "log_fc",
        "t": "statistic",
        "p": "p_value",
        "df": "df",
    }.items():
        assert_allclose(found[ours], golden[theirs], rtol=1e-8)
    assert found.attrs["s2_prior"] == pytest.approx(golden["s2_prior"].iloc[0], rel=1e-8)
    assert found.attrs["df_prior"] == pytest.approx(golden["df_prior"].iloc[0], rel=1e-8)


def test_limma_with_blocks_and_weights():
    adata = assay("complete")
    found = differential(adata, "~ visit", LATER, block="person")
    golden = read("limma").set_index("assay")
    expected = golden[golden.case == "complete_block"].loc[found.index]
    assert_allclose(found["statistic"], expected["t"], rtol=1e-6)
    found = differential(adata, "~ group + age + plate", TN, array_weights=True)
    expected = golden[golden.case == "complete_weights"].loc[found.index]
    assert_allclose(found["statistic"], expected["t"], rtol=1e-4)


def test_welch(missing):
    compare("welch", differential(missing, "~ group", TN, "welch"), rtol=1e-10)


def test_paired_t(missing):
    found = differential(missing, "~ visit", LATER, "paired", subject="person")
    compare("paired", found, rtol=1e-10)


def test_mann_whitney(missing, tied):
    compare("rank_exact", differential(missing, "~ group", TN, "mann_whitney"))
    compare("rank_tied", differential(tied, "~ group", TN, "mann_whitney"))


def test_mann_whitney_limits_of_larger_groups():
    """Where the normal approximation is used, against the same test one protein at a time."""
    from precisionpain.stats import rank_sum

    rng = np.random.default_rng(0)
    values = rng.normal(size=(120, 6))
    values[:, 1] = np.round(values[:, 1], 1)
    values[rng.random(values.shape) < 0.1] = np.nan
    obs = pd.DataFrame({"group": np.repeat(["a", "b"], [65, 55])}, index=map(str, range(120)))
    found = differential(
        make_adata(values, obs, pd.DataFrame(index=list("uvwxyz"))), "~ group",
        ("group", "a", "b"), "mann_whitney",
    )  # fmt: skip
    for column, row in zip(values.T, found.itertuples(), strict=True):
        first, second = (part[~np.isnan(part)] for part in (column[:65], column[65:]))
        peer = rank_sum(first, second)
        ours = [row.log_fc, row.ci_low, row.ci_high, row.statistic, row.p_value]
        theirs = [peer.shift, peer.ci_low, peer.ci_high, peer.w, peer.p_value]
        assert_allclose(ours, theirs, rtol=1e-12)


def test_signed_ranks(missing, tied):
    compare("signed_exact", differential(missing, "~ visit", LATER, "wilcoxon", subject="person"))
    compare("signed_tied", differential(tied, "~ visit", LATER, "wilcoxon", subject="person"))


def test_kruskal_wallis(missing, tied):
    found = differential(missing, "~ group", method="kruskal")
    # R compares the groups that are left; here a group without values isn't a test of three.
    assert not found.loc["a003", "testable"]
    golden = read("simple")
    golden = golden[(golden.case == "kruskal") & (golden.assay != "a003")].set_index("assay")
    assert_allclose(found.loc[golden.index, "statistic"], golden["statistic"], rtol=1e-10)
    assert_allclose(found.loc[golden.index, "p_value"], golden["p"], rtol=1e-10)
    compare("kruskal_tied", differential(tied, "~ group", method="kruskal"))


def test_friedman():
    adata = assay("repeated", "repeated_obs")
    compare("friedman", differential(adata, "~ time", method="friedman", subject="person"))
    adata.X = np.round(adata.X)
    compare("friedman_tied", differential(adata, "~ time", method="friedman", subject="person"))


TERMS = {"statistic": "statistic", "df_term": "df_term", "df": "df", "p": "p_value"}


def test_anova_of_type_three(missing):
    found = differential(missing, "~ group * visit + age", method="anova")
    compare("anova", found, "terms", keys=("assay", "term"), columns=TERMS, rtol=1e-8)


def test_marginal_means_by_tukey(missing):
    found = differential(missing, "~ group + age", method="anova", posthoc="group")
    golden = read("contrasts")
    golden = golden[golden.case == "anova"].set_index(["assay", "contrast"])
    # R keeps the order of its levels, control first.
    parts = [c.split(" - ") for c in found["contrast"]]
    swap = np.array([(b, a) == ("control", "MS") or (a, b) == ("TN", "control") for a, b in parts])
    found["contrast"] = [
        f"{b} - {a}" if s else f"{a} - {b}" for (a, b), s in zip(parts, swap, strict=True)
    ]
    found["log_fc"] *= np.where(swap, -1, 1)
    common = set(found.set_index("contrast", append=True).index) & set(golden.index)
    assert len(common) >= 29 * 2
    found = found.set_index("contrast", append=True).loc[sorted(common)]
    golden = golden.loc[sorted(common)]
    assert_allclose(found["log_fc"], golden["estimate"], rtol=1e-9)
    assert_allclose(found["p_adjusted"], golden["p"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", ["mixed", "mixed_unbalanced"])
def test_mixed_model_terms(case):
    adata = assay("repeated", "repeated_obs")
    if case == "mixed_unbalanced":
        adata.X[[1, 16, 29]] = np.nan
    found = differential(adata, "~ time", method="mixed", subject="person")
    # lmerTest's derivatives are numerical.
    compare(case, found, "terms", keys=("assay", "term"), columns=TERMS, rtol=1e-5)


def test_mixed_model_contrast():
    adata = assay("repeated", "repeated_obs")
    adata.X[[1, 16, 29]] = np.nan
    found = differential(adata, "~ time", ("time", "t1", "t0"), "mixed", subject="person")
    compare("mixed_unbalanced", found, "contrasts", rtol=1e-5)


def test_proportional_odds(missing):
    found = differential(missing[:, :12], "~ group + age", TN, "ordinal")
    columns = {"estimate": "log_odds", "statistic": "statistic", "p": "p_value"}
    compare("ordinal", found, "contrasts", columns=columns, rtol=1e-7)
