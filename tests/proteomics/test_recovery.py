"""After surgery: the index without a false return, its interval, and equivalence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import equivalence, normalization_index
from precisionpain.proteomics._layout import make_adata

CONTROLS = {"group": "control"}


def operated(rng, returned, m=28, c=20, p=150, size=0.5, person=0.2, noise=0.6):
    """Patients before and after, of whose difference a share went away, and controls."""
    shift = np.where(rng.permutation(p) < 0.2 * p, rng.normal(0, size, p), 0)
    own = rng.normal(0, person, (m, p))
    pre = shift + own + rng.normal(0, noise, (m, p))
    post = shift * (1 - returned) + own + rng.normal(0, noise, (m, p))
    healthy = rng.normal(0, np.hypot(person, noise), (c, p))
    patients = [f"t{i}" for i in range(m)]
    obs = pd.DataFrame(
        {
            "subject_id": patients * 2 + [f"c{i}" for i in range(c)],
            "visit": ["preop"] * m + ["followup"] * m + ["preop"] * c,
            "group": ["TN"] * 2 * m + ["control"] * c,
        },
        index=[f"s{i}" for i in range(2 * m + c)],
    )
    var = pd.DataFrame(index=[f"P{i}" for i in range(p)])
    return make_adata(np.vstack([pre, post, healthy]), obs, var)


@pytest.mark.parametrize("returned", [0.0, 0.5, 1.0])
def test_the_index_is_unbiased_and_the_naive_one_isn_t(returned):
    rng = np.random.default_rng(int(10 * returned))
    found = [
        normalization_index(
            operated(rng, returned), CONTROLS, n_splits=4, n_boot=2, random_state=rng
        )
        for _ in range(40)
    ]
    ratio = np.array([one.change / one.difference for one in found])
    # The standard error of a median is 1.25 times that of a mean.
    assert abs(np.median(ratio) - returned) < 3 * 1.25 * ratio.std(ddof=1) / np.sqrt(40)
    if returned == 0:
        # What looked extreme by chance looks less so the next time: a return of nothing.
        naive = np.array([one.naive for one in found])
        assert np.median(naive) > 3 * 1.25 * naive.std(ddof=1) / np.sqrt(40)


def test_the_interval_covers():
    rng = np.random.default_rng(77)
    covered, false_alarm = [], []
    for _ in range(20):
        found = normalization_index(
            operated(rng, 0.5, size=1.5, p=60), CONTROLS, n_splits=4, n_boot=60, random_state=rng
        )
        assert not found.suppressed
        covered.append(found.ci_low <= 0.5 <= found.ci_high)
        false_alarm.append(found.ci_low > 1 or found.ci_high < 0)
    # Fewer than 16 of 20 would have a probability of 0.3% at 95%.
    assert sum(covered) >= 16
    assert sum(false_alarm) == 0


def test_small_denominators_are_suppressed():
    rng = np.random.default_rng(5)
    found = normalization_index(
        operated(rng, 0.5, size=0.0, p=50), CONTROLS, n_boot=50, random_state=0
    )
    assert found.suppressed
    assert np.isnan([found.estimate, found.ci_low, found.ci_high]).all()
    assert "suppressed" in repr(found)
    assert found.proteins["index"].isna().mean() > 0.8


def test_patients_are_paired_by_who_they_are():
    rng = np.random.default_rng(3)
    adata = operated(rng, 1.0, person=3.0, noise=0.05, size=6.0, p=20)
    shuffled = adata[rng.permutation(adata.n_obs)].copy()
    one, two = (
        normalization_index(a, CONTROLS, n_boot=5, random_state=0).proteins
        for a in (adata, shuffled)
    )
    pd.testing.assert_frame_equal(
        one.drop(columns="selected"), two.drop(columns="selected"), rtol=1e-8
    )


def test_per_protein_numbers_agree_with_textbook_ones():
    rng = np.random.default_rng(11)
    adata = operated(rng, 0.6, p=15, size=2.0)
    adata.X[3, 4] = np.nan
    found = normalization_index(adata, CONTROLS, n_boot=5, random_state=0).proteins
    pre, post, healthy = adata.X[:28], adata.X[28:56], adata.X[56:]
    both = np.isfinite(pre) & np.isfinite(post)
    for k in range(15):
        a, b = pre[both[:, k], k], post[both[:, k], k]
        row = found.iloc[k]
        assert row["n"] == both[:, k].sum()
        assert row["change"] == pytest.approx((a - b).mean())
        assert row["difference"] == pytest.approx(a.mean() - healthy[:, k].mean())
        welch = stats.ttest_ind(a, healthy[:, k], equal_var=False)
        assert row["difference_p"] == pytest.approx(welch.pvalue)
        assert np.isnan(row["index"]) == (welch.pvalue >= 0.05)
        if np.isfinite(row["index"]):
            # At Fieller's limits the ratio is just refuted.
            for limit in (row["ci_low"], row["ci_high"]):
                off = (a - b) - limit * a
                var = off.var(ddof=1) / len(a)
                var += limit**2 * healthy[:, k].var(ddof=1) / len(healthy)
                gap = (a - b).mean() - limit * (a.mean() - healthy[:, k].mean())
                t = abs(gap) / np.sqrt(var)
                assert t == pytest.approx(stats.t.ppf(0.975, welch.df), rel=1e-6)


def test_named_proteins_are_those_measured():
    adata = operated(np.random.default_rng(2), 0.5, size=3.0, p=20)
    names = adata.var_names[:4].tolist()
    found = normalization_index(adata, CONTROLS, proteins=names, n_boot=5, random_state=0)
    assert found.n_proteins == 4
    assert found.proteins.index[found.proteins["selected"] > 0].tolist() == names
    with pytest.raises(AlignmentError, match="no protein 'X9'"):
        normalization_index(adata, CONTROLS, proteins=["X9"])


def test_bad_visits_and_people():
    adata = operated(np.random.default_rng(2), 0.5, p=5)
    with pytest.raises(FormatError, match="visits are 'preop', 'followup'"):
        normalization_index(adata, CONTROLS, post="month12")
    with pytest.raises(FormatError, match="patients and controls"):
        normalization_index(adata, CONTROLS, patients={"visit": ["preop", "followup"]})
    with pytest.raises(FormatError, match="at least 6"):
        normalization_index(adata[:60].copy(), CONTROLS)
    twice = adata.copy()
    twice.obs["subject_id"] = ["t1" if s == "t0" else s for s in adata.obs["subject_id"]]
    with pytest.raises(FormatError, match="several samples"):
        normalization_index(twice, CONTROLS)
    mixed = adata.copy()
    mixed.obs["specimen"] = ["CSF"] * 56 + ["plasma"] * 20
    with pytest.raises(FormatError, match="specimens are mixed"):
        normalization_index(mixed, CONTROLS)


@pytest.fixture
def groups():
    rng = np.random.default_rng(12)
    values = np.vstack([rng.normal(0.2, 1.0, (25, 6)), rng.normal(0, 0.6, (40, 6))])
    values[:, 5] = np.nan
    obs = pd.DataFrame(
        {"subject_id": [f"p{i}" for i in range(65)], "group": ["TN"] * 25 + ["control"] * 40},
        index=[f"s{i}" for i in range(65)],
    )
    return make_adata(values, obs, pd.DataFrame(index=list("abcdef")))


def test_equivalence_agrees_with_statsmodels(groups):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    table = equivalence(groups, {"group": "TN"}, CONTROLS, margin=0.6)
    for k, name in enumerate("abcde"):
        x, y = groups.X[:25, k], groups.X[25:, k]
        p, *_ = weightstats.ttost_ind(x, y, -0.6, 0.6, usevar="unequal")
        assert table.loc[name, "p_value"] == pytest.approx(p, rel=1e-9)
        interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.90)
        np.testing.assert_allclose(
            table.loc[name, ["ci_low", "ci_high"]].to_numpy(float), list(interval)
        )
        # The test and the interval say the same.
        inside = interval.low > -0.6 and interval.high < 0.6
        assert (p < 0.05) == inside
    assert np.isnan(table.loc["f", "p_value"])
    assert not table.loc["f", "equivalent"]


def test_a_margin_in_sd(groups):
    table = equivalence(groups, {"group": "TN"}, CONTROLS, margin=1.0, unit="sd")
    assert table.loc["a", "margin"] == pytest.approx(groups.X[25:, 0].std(ddof=1))


def test_no_difference_isn_t_equivalence():
    rng = np.random.default_rng(0)
    few = make_adata(
        rng.normal(size=(8, 1)), pd.DataFrame({"group": ["TN"] * 4 + ["control"] * 4},
                                              index=list("abcdefgh")),
        pd.DataFrame(index=["x"]),
    )  # fmt: skip
    table = equivalence(few, {"group": "TN"}, CONTROLS, margin=0.3)
    assert stats.ttest_ind(few.X[:4, 0], few.X[4:, 0], equal_var=False).pvalue > 0.05
    assert not table["equivalent"].any()


def test_bad_equivalence(groups):
    with pytest.raises(FormatError, match="margin above 0"):
        equivalence(groups, {"group": "TN"}, CONTROLS, margin=0)
    with pytest.raises(FormatError, match="in both groups"):
        equivalence(groups, ["p1", "p30"], CONTROLS)
