"""Scalers: analytic truth, and an independent implementation on training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import ConvergenceWarning, DataWarning, FormatError
from precisionpain.proteomics import (
    VSN,
    ComBat,
    ControlZ,
    CyclicLoess,
    MedianScaler,
    QuantileNormalizer,
)
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._normalizers import _log_slope, vsn_fit

GOLDEN = Path(__file__).parent / "golden" / "scaling"


def golden(name: str) -> pd.DataFrame:
    return pd.read_csv(GOLDEN / f"{name}.csv", index_col=0, float_precision="round_trip")


# --- medians ------------------------------------------------------------------------------


def test_medians_become_the_median_of_the_training_medians():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, (9, 31)) + rng.normal(0, 2, (9, 1))
    out = MedianScaler().fit(x[:7]).transform(x)
    reference = np.median(np.median(x[:7], axis=1))
    np.testing.assert_allclose(np.median(out, axis=1), reference, rtol=1e-12)
    # a shift of each sample, and nothing else
    np.testing.assert_allclose(np.ptp(out - x, axis=1), 0, atol=1e-12)


def test_negative_medians_are_shifted_not_scaled():
    x = np.array([[-3.0, -2.0, -1.0], [-6.0, -5.0, -4.0]])
    np.testing.assert_allclose(
        MedianScaler().fit_transform(x), [[-4.5, -3.5, -2.5], [-4.5, -3.5, -2.5]]
    )


def test_panels_are_shifted_apart_and_controls_left_out_of_the_medians():
    rng = np.random.default_rng(1)
    shift = {"Inflammation": rng.normal(0, 1, 5), "Neurology": rng.normal(0, 1, 5)}
    level = rng.normal(6, 2, 40)
    panel = np.repeat(list(shift), 20)
    x = level + np.vstack([shift[p] for p in panel]).T
    kind = np.where(np.arange(40) % 20 == 0, "INCUBATION_CONTROL", "ASSAY")
    x[:, kind != "ASSAY"] = 1000.0 * rng.random((5, 2))
    x = np.minimum(x, 60)
    ids = [f"OID{i:05d}" for i in range(40)]
    var = pd.DataFrame({"panel": panel, "assay_type": kind}, index=ids)
    obs = pd.DataFrame({"sample_type": ["SAMPLE"] * 4 + ["CONTROL"]}, [f"s{i}" for i in range(5)])
    scaler = MedianScaler().fit(make_adata(x, obs, var))
    out = scaler.transform(make_adata(x, obs, var)).X
    for name in shift:
        columns = (panel == name) & (kind == "ASSAY")
        own = np.median(x[:, columns], axis=1)
        assert scaler.reference_[name] == pytest.approx(np.median(own[:4]))
        np.testing.assert_allclose(np.median(out[:, columns], axis=1), np.median(own[:4]))
    # one shift for both panels would leave them apart
    mixed = MedianScaler(by_panel=False).fit_transform(make_adata(x, obs, var)).X
    assert np.ptp(np.median(mixed[:, panel == "Neurology"], axis=1)) > 0.1


def test_faint_proteins_can_be_left_out_of_the_medians():
    rng = np.random.default_rng(2)
    x = np.sort(rng.normal(20, 3, 50)) + np.zeros((6, 1))
    x[:3, :24] = np.nan  # the faint half is seen in half of the samples
    out = MedianScaler(min_observed=0.9).fit_transform(x)
    np.testing.assert_allclose(out, x)  # nothing differed but what was seen
    assert np.nanmax(np.abs(MedianScaler().fit_transform(x) - x)) > 0.5


# --- quantiles ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("complete", "complete_quantile"),
        ("complete", "complete_quantile_core"),
        ("ties", "ties_quantile"),
        ("missing", "missing_quantile"),
    ],
)
def test_quantiles_as_the_reference_implementations(data, expected):
    found = QuantileNormalizer().fit_transform(golden(data))
    np.testing.assert_allclose(found, golden(expected), rtol=0, atol=1e-10)


def test_all_samples_get_one_distribution_in_their_own_order():
    x = np.random.default_rng(0).gamma(2, 2, (8, 30))
    quantiles = QuantileNormalizer().fit(x[:6])
    out = quantiles.transform(x)
    np.testing.assert_allclose(np.sort(out, axis=1), np.tile(np.sort(x[:6]).mean(axis=0), (8, 1)))
    assert (np.argsort(out, axis=1) == np.argsort(x, axis=1)).all()


def test_ties_share_the_value_at_their_mean_rank():
    x = np.array([[1.0, 1.0, 5.0], [0.0, 2.0, 4.0]])
    reference = [0.5, 1.5, 4.5]
    out = QuantileNormalizer().fit_transform(x)
    np.testing.assert_allclose(out[0], [1.0, 1.0, 4.5])  # halfway between the first two
    np.testing.assert_allclose(out[1], reference)


def test_a_sample_with_a_single_value_gets_the_middle():
    x = np.array([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]])
    out = QuantileNormalizer().fit(x).transform(np.array([[np.nan, 7.0, np.nan]]))
    np.testing.assert_array_equal(out, [[np.nan, 2.0, np.nan]])


# --- variance stabilisation ---------------------------------------------------------------


def intensities(seed: int = 0, n: int = 8, p: int = 600, sd: float = 0.15):
    """Draw from the model itself: arsinh(a + b·y) = mean + noise."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.0, 0.4, n), np.exp(rng.normal(0, 0.4, n))
    mean = rng.uniform(1.0, 7.0, p)
    h = mean + sd * rng.normal(size=(n, p))
    return (np.sinh(h) - a[:, None]) / b[:, None], a, b, mean


def test_the_likelihood_finds_the_parameters_it_was_drawn_from():
    y, a, b, mean = intensities(p=2000)
    found_a, log_b, found_mean, sigma2, _ = vsn_fit(y, robust=1.0)
    # The means are estimated too, so the variance is short of the degrees of freedom.
    assert sigma2 == pytest.approx(0.15**2 * (1 - 1 / len(y)), rel=0.08)
    np.testing.assert_allclose(log_b - log_b.mean(), np.log(b) - np.log(b).mean(), atol=0.05)
    np.testing.assert_allclose(found_a - found_a.mean(), a - a.mean(), atol=0.15)
    assert np.corrcoef(found_mean, mean)[0, 1] > 0.999


def test_the_fit_is_a_maximum():
    """The likelihood, written out anew, falls in every direction away from the fit."""
    y, *_ = intensities(p=150)
    a, log_b, *_ = vsn_fit(y, robust=1.0)

    def likelihood(a, log_b):
        h, _, slope = _log_slope(y, a[:, None], log_b[:, None])
        rest = h - h.mean(axis=0)
        return -0.5 * h.size * np.log((rest**2).mean()) + slope.sum()

    b = np.exp(log_b)[:, None]
    z = a[:, None] + b * y
    np.testing.assert_allclose(
        _log_slope(y, a[:, None], log_b[:, None])[2], np.log(b / np.hypot(1, z))
    )
    best = likelihood(a, log_b)
    rng = np.random.default_rng(0)
    for _ in range(50):
        d = rng.normal(size=(2, len(a))) * 1e-3
        assert likelihood(a + d[0], log_b + d[1]) < best


def test_variance_no_longer_follows_the_mean():
    y, *_ = intensities(1)
    x = np.log2(np.where(y > 0.01, y, np.nan))
    out = VSN(robust=1.0).fit_transform(x)
    seen = np.isfinite(x).all(axis=0)

    def faint_to_bright(values):
        """Ratio of the spread in the faintest tenth to that in the brighter half."""
        spread, level = np.std(values[:, seen], axis=0), np.mean(values[:, seen], axis=0)
        faint, bright = level < np.quantile(level, 0.1), level > np.median(level)
        return np.median(spread[faint]) / np.median(spread[bright])

    # d log2(y) = cosh(h) / (sinh(h) − a) · dh / log 2 is the larger, the smaller h.
    assert faint_to_bright(out) == pytest.approx(1, abs=0.15)
    assert faint_to_bright(MedianScaler().fit_transform(x)) > 1.2


def test_a_factor_on_a_sample_is_calibrated_away():
    y, *_ = intensities(2)
    x = np.log2(np.where(y > 0.05, y, np.nan))
    moved = x.copy()
    moved[3] += 2.5
    np.testing.assert_allclose(
        VSN().fit_transform(moved)[3], VSN().fit_transform(x)[3], atol=0.7
    )  # the common level moves, as it is of the average sample
    vsn = VSN().fit(x)
    np.testing.assert_allclose(vsn.transform(moved), vsn.transform(x), atol=1e-4)


def test_a_fit_that_stops_early_warns():
    y, *_ = intensities(3, p=100)
    x = np.log2(np.where(y > 0.05, y, np.nan))
    full = VSN().fit(x)
    with pytest.warns(ConvergenceWarning, match="stopped after 3 steps .* max_iter"):
        early = VSN(max_iter=3).fit(x)
    assert abs(early.sigma2_ / full.sigma2_ - 1) > 1e-3
    with pytest.raises(FormatError, match="max_iter"):
        VSN(max_iter=0).fit(x)


def test_training_samples_keep_the_joint_fit():
    """Fitted one by one against the learned means, each sample gives the joint optimum."""
    y, *_ = intensities(3)
    x = np.log2(np.where(y > 0.05, y, np.nan))
    vsn = VSN(robust=1.0).fit(x)
    out = vsn.transform(x)
    joint = vsn.mean_ / np.log(2) + vsn.shift_
    np.testing.assert_allclose(np.nanmean(out, axis=0), joint, atol=1e-4)


def test_proteins_that_differ_do_not_steer_the_fit():
    y, _, b, _ = intensities(4)
    up = np.arange(y.shape[1]) % 10 == 0
    y[:4, up] *= 30  # a tenth is far higher in half of the samples
    truth = np.log(b) - np.log(b).mean()

    def off(robust):
        log_b = vsn_fit(y, robust=robust)[1]
        return np.abs(log_b - log_b.mean() - truth).max()

    assert off(0.8) < 0.12
    assert off(0.8) < off(1.0) / 1.5


def test_high_values_stay_near_log2():
    rng = np.random.default_rng(0)
    x = rng.uniform(18, 30, 400) + rng.normal(0, 0.1, (5, 400))
    out = VSN().fit_transform(x)
    high = x.mean(axis=0) > 24
    np.testing.assert_allclose(out[:, high], x[:, high], atol=0.3)


def test_too_little_for_a_model():
    with pytest.raises(FormatError, match="two samples or more"):
        VSN().fit(np.ones((1, 9)))
    with pytest.raises(FormatError, match="robust is a share"):
        VSN(robust=2).fit(np.ones((3, 9)))


# --- loess --------------------------------------------------------------------------------


def test_fast_cyclic_loess_as_the_reference_implementation():
    found = CyclicLoess("fast").fit_transform(golden("complete"))
    np.testing.assert_allclose(found, golden("complete_fast"), rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["affy", "pairs"])
def test_cyclic_loess_in_pairs_has_the_reference_mean(method):
    """The reference is the mean of the jointly normalised samples."""
    loess = CyclicLoess(method).fit(golden("complete"))
    expected = golden(f"complete_{method}").mean(axis=0)
    np.testing.assert_allclose(loess.references_, expected.to_numpy()[None], rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["fast", "affy", "pairs"])
def test_a_bend_is_straightened_in_new_samples_too(method):
    rng = np.random.default_rng(0)
    level = np.sort(rng.uniform(2, 12, 200))
    x = level + rng.normal(0, 0.05, (4, 200))
    new = level + 1 + 0.15 * (level - 7)
    out = CyclicLoess(method).fit(x).transform(new[None])[0]
    assert np.abs(new - x.mean(axis=0)).max() > 1
    np.testing.assert_allclose(out, x.mean(axis=0), atol=0.15)


def test_gaps_stay_gaps_in_loess():
    x = golden("missing")
    out = CyclicLoess().fit_transform(x)
    assert (out.isna() == x.isna()).all(axis=None)
    with pytest.raises(FormatError, match="method is one of"):
        CyclicLoess("slow").fit(x)


# --- against controls ---------------------------------------------------------------------


def controls(n: int = 8, p: int = 5, seed: int = 0) -> pd.DataFrame:
    frame = pd.DataFrame(np.random.default_rng(seed).normal(5, 2, (n + 6, p)))
    frame.columns = [f"g{i}" for i in range(p)]
    frame.index = [f"s{i}" for i in range(n + 6)]
    frame["diagnosis"] = ["control"] * n + ["TN"] * 6
    return frame


def test_a_patient_in_standard_deviations_of_the_controls():
    data = controls()
    own = data.iloc[:8, :5]
    out = ControlZ().fit_transform(data)
    expected = (data.iloc[8:, :5] - own.mean()) / own.std()
    np.testing.assert_allclose(out.iloc[8:], expected, rtol=1e-12)


def test_a_control_is_compared_with_the_others():
    data = controls()
    out = ControlZ().fit_transform(data)
    for name in data.index[:8]:
        rest = data.iloc[:8, :5].drop(index=name)
        expected = (data.loc[name].iloc[:5].astype(float) - rest.mean()) / rest.std()
        np.testing.assert_allclose(out.loc[name], expected.astype(float), rtol=1e-10)
    # a new control that happens to have a trained one's name isn't that one
    z = ControlZ().fit(data)
    new = data.iloc[[0]].copy()
    new.iloc[0, :5] = 5.0
    own = data.iloc[:8, :5]
    np.testing.assert_allclose(z.transform(new).iloc[0], (5.0 - own.mean()) / own.std())


@pytest.mark.parametrize("n", [3, 5, 30])
def test_limits_hold_what_they_say_for_few_controls(n):
    """A further control lies outside the 95% limits in 5% of draws; ± 1.96 would be wrong."""
    rng = np.random.default_rng(n)
    x = rng.normal(0, 1, (n + 1, 20_000))
    frame = pd.DataFrame(x).assign(diagnosis=["control"] * n + ["new"])
    z = ControlZ().fit(frame)
    own = z.transform(frame).iloc[n]
    outside = (own < z.limits_["low"].to_numpy()) | (own > z.limits_["high"].to_numpy())
    assert outside.mean() == pytest.approx(0.05, abs=0.006)
    if n < 10:
        assert (own.abs() > 1.96).mean() > 0.1


def test_controls_that_do_not_vary_or_are_missing():
    data = controls()
    data["g1"] = np.where(data["diagnosis"] == "control", 4.0, 6.5)
    data.iloc[:7, 2] = np.nan
    with pytest.warns(DataWarning, match=r"1 have fewer than two values \('g2'\) and 1 don't vary"):
        out = ControlZ().fit_transform(data)
    assert np.isfinite(out[["g0", "g1", "g3", "g4"]].to_numpy()).all()
    np.testing.assert_allclose(out["g1"].iloc[8:], 2.5)
    assert out["g2"].isna().all()


def test_who_is_a_control_must_be_told():
    with pytest.raises(FormatError, match=r"two controls or more.*found 0"):
        ControlZ(control="healthy").fit(controls())
    with pytest.raises(FormatError, match="column 'group'"):
        ControlZ("group").fit(controls())


# --- limits of detection ------------------------------------------------------------------


def test_limits_move_with_the_values_or_are_no_longer_known():
    """After any scaler, no value changes sides of its limit."""
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, (20, 12)) + rng.normal(0, 2, (20, 1))
    obs = pd.DataFrame(
        {"plate": np.tile(["A", "B"], 10), "diagnosis": np.repeat(["control", "TN"], 10)},
        index=[f"s{i}" for i in range(20)],
    )
    var = pd.DataFrame({"lod": rng.normal(4.5, 0.5, 12)}, index=[f"g{i}" for i in range(12)])
    adata = make_adata(x, obs, var)
    below = x < var["lod"].to_numpy()
    exact = 0
    for scaler in (
        MedianScaler(), ComBat(), QuantileNormalizer(), VSN(), CyclicLoess(), ControlZ(),
    ):  # fmt: skip
        out = scaler.fit_transform(adata)
        limits = out.layers["lod"]
        known = np.isfinite(limits)
        assert known.all() or not known.any()
        exact += known.all()
        assert ((limits > out.X) == below)[known].all()
        # limits by sample, given as a layer, are no different
        adata.layers["lod"] = np.tile(var["lod"], (20, 1))
        np.testing.assert_array_equal(scaler.transform(adata).layers["lod"], limits)
        del adata.layers["lod"]
    assert exact == 2
    assert "lod" not in adata.layers
