"""Imputation: what each method promises, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.impute import KNNImputer

from precisionpain.errors import DataWarning, FormatError
from precisionpain.proteomics import QRILC, KNNProteins, LODImputer, MinProb
from precisionpain.proteomics._layout import make_adata

ALL = {
    "lod": lambda **k: LODImputer(dict.fromkeys(range(60), 15.0), **k),
    "minprob": MinProb,
    "qrilc": QRILC,
    "knn": KNNProteins,
}


def censored(n: int = 12, p: int = 60, seed: int = 0, cut: float = 20.0) -> np.ndarray:
    """Proteins of levels 24 ± 3 with what lies below `cut` missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(24, 3, p) + rng.normal(0, 0.6, (n, p))
    x[x < cut] = np.nan
    x[0, np.isnan(x).all(axis=0)] = cut + 0.1
    return x


# --- all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_what_was_measured_stays_and_gaps_are_filled(name):
    x = censored()
    out = ALL[name]().fit_transform(x)
    assert np.isnan(x).sum() > 20
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[np.isfinite(x)], x[np.isfinite(x)])


@pytest.mark.parametrize("name", ["lod", "minprob", "qrilc"])
def test_faint_proteins_get_faint_values(name):
    x = censored()
    out = ALL[name]().fit_transform(x)
    gaps = np.isnan(x)
    # The truth is below 20. A draw may lie a little above, but not by the spread of the rest.
    assert np.mean(out[gaps]) < np.nanquantile(x, 0.05)
    assert out[gaps].max() < np.nanquantile(x, 0.25)


@pytest.mark.parametrize("name", ALL)
def test_a_protein_never_observed_is_refused_or_flagged(name):
    x = censored()
    x[:, 7] = np.nan
    with pytest.raises(FormatError, match=r"1 proteins have no value in any training sample: 7"):
        ALL[name]().fit(x)
    kept = ALL[name](never_observed="keep").fit(x)
    out = kept.transform(x)
    assert kept.never_observed_.tolist() == [7]
    assert np.isnan(out[:, 7]).all()
    assert np.isfinite(np.delete(out, 7, axis=1)).all()
    if name == "knn":
        with pytest.raises(FormatError, match="never_observed is one of"):
            ALL[name](never_observed="fill").fit(x)
    else:
        assert np.isfinite(ALL[name](never_observed="fill").fit_transform(x)).all()


@pytest.mark.parametrize("name", ALL)
def test_a_sample_that_was_not_measured_stays_missing(name):
    x = censored()
    imputer = ALL[name]().fit(x)
    new = x[:2].copy()
    new[1] = np.nan
    with pytest.warns(DataWarning, match="1 samples have no value at all"):
        out = imputer.transform(new)
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1]).all()


@pytest.mark.parametrize("name", ALL)
def test_a_sample_is_filled_the_same_in_any_company(name):
    x = censored()
    imputer = ALL[name]().fit(x)
    together = imputer.transform(x)
    for i in (0, 5, 11):
        np.testing.assert_array_equal(imputer.transform(x[[i]])[0], together[i])
    np.testing.assert_array_equal(imputer.transform(x[::-1])[::-1], together)


@pytest.mark.parametrize("make", [MinProb, QRILC])
def test_draws_hang_on_the_seed_and_on_the_sample(make):
    x = censored()
    gaps = np.isnan(x)
    one, again, other = (make(random_state=s).fit_transform(x) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one[gaps] != other[gaps]).all()
    assert len(np.unique(one[gaps])) == gaps.sum()
    named = pd.DataFrame(x, columns=[f"g{i}" for i in range(60)])
    np.testing.assert_array_equal(
        make(random_state=1).fit(named).transform(named[named.columns[::-1]]), one
    )


# --- limits of detection ------------------------------------------------------------------


def test_half_a_log2_below_the_limit_is_lod_over_root_two():
    out = LODImputer({0: 3.0, 1: 1.0}).fit_transform(np.array([[np.nan, 5.0], [4.0, np.nan]]))
    assert 2 ** out[0, 0] == pytest.approx(2**3.0 / np.sqrt(2))
    assert 2 ** out[1, 1] == pytest.approx(2**1.0 / np.sqrt(2))


def test_what_is_replaced_is_a_choice():
    x = np.array([[np.nan, 0.2], [4.0, 5.0]])
    limits = {0: 1.0, 1: 1.0}
    found = {
        way: LODImputer(limits, shift=0, replace=way).fit_transform(x)[0].tolist()
        for way in ("missing", "both")
    }
    assert found == {"missing": [1.0, 0.2], "both": [1.0, 1.0]}
    below = LODImputer(limits, shift=0, replace="below").fit_transform(x)
    assert np.isnan(below[0, 0])
    assert below[0, 1] == 1.0
    with pytest.raises(FormatError, match="replace is one of"):
        LODImputer(limits, replace="all").fit(x)


def test_each_sample_has_its_own_limit_else_that_of_training():
    x = np.array([[np.nan, 2.0], [np.nan, 2.5], [3.0, 2.0], [3.0, 2.0]])
    lod = np.array([[1.0, 0.1], [np.nan, 0.1], [2.0, 0.1], [4.0, 0.1]])
    obs = pd.DataFrame(
        {"sample_type": ["SAMPLE", "SAMPLE", "SAMPLE", "CONTROL"]}, index=list("abcd")
    )
    var = pd.DataFrame(index=["P1", "P2"])
    adata = make_adata(x, obs, var, layers={"lod": lod})
    imputer = LODImputer(shift=0).fit(adata)
    assert imputer.lod_["P1"] == 1.5  # the control's 4.0 has no part in it
    np.testing.assert_array_equal(imputer.transform(adata).X[:, 0], [1.0, 1.5, 3.0, 3.0])


def test_limits_of_the_assay():
    x = np.array([[np.nan, 2.0], [3.0, 2.5]])
    obs = pd.DataFrame(index=["a", "b"])
    adata = make_adata(x, obs, pd.DataFrame({"lod": [1.0, 0.5]}, index=["P1", "P2"]))
    assert LODImputer().fit_transform(adata).X[0, 0] == 0.5
    with pytest.raises(FormatError, match="found no limits of detection"):
        LODImputer().fit(x)
    with pytest.raises(FormatError, match=r"1 proteins have no limit of detection: 1"):
        LODImputer({0: 1.0}).fit(np.array([[1.0, 2.0], [3.0, 2.5]]))


# --- MinProb ------------------------------------------------------------------------------


def test_minprob_draws_from_what_it_says():
    """Mean: the sample's 1% quantile. SD: the median one of proteins seen in over half."""
    rng = np.random.default_rng(0)
    x = rng.normal(25, 2, 4000) + rng.normal(0, 0.7, (10, 4000))
    x[:, 3000:] = np.nan
    x[0, 3000:] = 30.0  # seen in a tenth: no part in the SD
    imputer = MinProb().fit(x)
    assert imputer.sd_ == pytest.approx(np.median(x[:, :3000].std(axis=0, ddof=1)))
    drawn = imputer.transform(x)[1, 3000:]
    low = np.quantile(x[1, :3000], 0.01)
    assert stats.kstest(drawn, stats.norm(low, imputer.sd_).cdf).pvalue > 0.01
    wide = MinProb(width=2, quantile=0.1).fit(x).transform(x)[1, 3000:]
    far = stats.norm(np.quantile(x[1, :3000], 0.1), 2 * imputer.sd_)
    assert stats.kstest(wide, far.cdf).pvalue > 0.01


def test_minprob_needs_proteins_that_are_often_there():
    x = np.full((6, 3), np.nan)
    x[[0, 1, 2], [0, 1, 2]] = 20.0
    with pytest.raises(FormatError, match="more than 50% of the 6 training samples"):
        MinProb().fit(x)


# --- QRILC --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_qrilc_restores_the_distribution_that_was_cut(share):
    rng = np.random.default_rng(3)
    whole = rng.normal(24, 2, (5, 5000))
    x = np.where(whole < 24 + 2 * stats.norm.ppf(share), np.nan, whole)
    out = QRILC(never_observed="fill").fit_transform(x)
    for row, filled in zip(x, out, strict=True):
        assert filled.mean() == pytest.approx(24, abs=0.15)
        assert filled.std() == pytest.approx(2, abs=0.15)
        # all below the cut, up to the error of the cut itself
        assert filled[np.isnan(row)].max() < np.nanmin(row) + 0.15


def test_qrilc_draws_from_a_normal_distribution_cut_above():
    x = np.random.default_rng(4).normal(24, 2, (1, 20_000))
    x[x < 22] = np.nan
    gaps = np.isnan(x)
    drawn = QRILC(never_observed="fill").fit_transform(x)[gaps]
    expected = stats.truncnorm(-np.inf, -1, loc=24, scale=2)
    assert np.mean(drawn) == pytest.approx(expected.mean(), abs=0.1)
    assert np.std(drawn) == pytest.approx(expected.std(), abs=0.1)


def test_qrilc_leaves_samples_with_next_to_nothing():
    x = censored()
    x[3, 2:] = np.nan
    x[3, :2] = 25.0
    with pytest.warns(DataWarning, match="1 samples have too few values"):
        out = QRILC().fit_transform(x)
    assert np.isnan(out[3, 2:]).all()
    assert np.isfinite(np.delete(out, 3, axis=0)).all()


# --- neighbours ---------------------------------------------------------------------------


def test_neighbours_are_those_of_scikit_learn_on_standardised_proteins():
    x = censored(30)
    scale, mean = np.nanstd(x, axis=0), np.nanmean(x, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    plain = KNNImputer(n_neighbors=4, weights="distance").fit_transform((x - mean) / scale)
    found = KNNProteins(4).fit_transform(x)
    np.testing.assert_allclose(found, plain * scale + mean, rtol=1e-12)


def test_the_unit_of_a_protein_does_not_choose_the_neighbours():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5))
    x[3, 0] = np.nan
    wide = x * [1, 1000, 1, 1, 1]
    one, two = (KNNProteins(3).fit_transform(v)[3, 0] for v in (x, wide))
    assert one == pytest.approx(two, rel=1e-9)
    assert KNNImputer(n_neighbors=3).fit_transform(wide)[3, 0] != pytest.approx(
        KNNImputer(n_neighbors=3).fit_transform(x)[3, 0], rel=1e-3
    )


def test_new_samples_are_filled_from_training_ones_only():
    x = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    imputer = KNNProteins(1).fit(x)
    new = np.array([[2.1, np.nan], [2.1, 99.0]])  # the twin beside it is no training sample
    assert imputer.transform(new)[0, 1] == pytest.approx(20.0)
