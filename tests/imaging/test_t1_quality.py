"""Quality of T1 scans: analytic phantoms, and who stands out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import FormatError, GeometryError
from precisionpain.imaging import quality_flags, t1_quality

SHAPE = (60, 40, 40)
LEVELS = {"air": 0.0, "csf": 200.0, "gm": 500.0, "wm": 800.0}


def phantom(sigma=20.0, bias=0.0, seed=0):
    """Four slabs of known level, with Gaussian noise in tissue and Rayleigh noise in air."""
    part = np.arange(SHAPE[0])[:, None, None] // 15 * np.ones(SHAPE, int)
    masks = {name: part == i for i, name in enumerate(LEVELS)}
    rng = np.random.default_rng(seed)
    clean = np.array(list(LEVELS.values()))[part] * (
        1 + bias * np.linspace(-1, 1, SHAPE[1])[:, None]
    )
    data = np.hypot(clean + rng.normal(0, sigma, SHAPE), rng.normal(0, sigma, SHAPE))
    air = masks.pop("air")
    return data, {**masks, "head": ~air, "air": air}


def test_measures_of_a_phantom_are_what_its_levels_and_noise_say():
    found = t1_quality(*phantom()[:1], **phantom()[1])
    for name in ("csf", "gm", "wm"):
        assert found[f"snr_{name}"] == pytest.approx(LEVELS[name] / 20, rel=0.03)
    assert found["snr"] == pytest.approx(500 / 20, rel=0.03)
    # The deviation of Rayleigh noise is sigma · sqrt(2 − π/2).
    air = 20 * np.sqrt(2 - np.pi / 2)
    dietrich = 500 / (air * np.sqrt(2 / (4 - np.pi)))
    assert found["snr_dietrich"] == pytest.approx(dietrich, rel=0.03)
    assert found["snr_dietrich"] == pytest.approx(500 / 20, rel=0.03)  # what it is made for
    assert found["cnr"] == pytest.approx(300 / np.sqrt(air**2 + 2 * 20**2), rel=0.03)
    assert found["cjv"] == pytest.approx(40 / 300, rel=0.03)
    assert found["wm2max"] == pytest.approx(800 / (800 + 3 * 20), rel=0.03)
    # Medians: of the head that of grey matter, of a squared Rayleigh 2 σ² ln 2.
    assert found["fber"] == pytest.approx(500**2 / (2 * 20**2 * np.log(2)), rel=0.05)
    assert found["qi1"] == 0


def test_gain_changes_nothing():
    data, masks = phantom()
    assert t1_quality(data * 37.0, **masks) == pytest.approx(t1_quality(data, **masks))


def test_worse_scans_measure_worse():
    good, masks = phantom()
    found = t1_quality(good, **masks)
    noisy = t1_quality(phantom(sigma=60)[0], **masks)
    assert noisy["snr"] < found["snr"] / 2
    assert noisy["cjv"] > 2 * found["cjv"]
    assert noisy["cnr"] < found["cnr"] / 2
    shaded = t1_quality(phantom(bias=0.3)[0], **masks)
    assert shaded["cjv"] > 2 * found["cjv"]


def test_the_entropy_runs_from_a_point_to_a_flat_image():
    _, masks = phantom()
    point = np.zeros(SHAPE)
    point[50, 20, 20] = 7
    rest = {name: masks[name] for name in ("csf", "gm", "wm", "head")}
    assert t1_quality(point, **rest)["efc"] == pytest.approx(0)
    assert t1_quality(np.full(SHAPE, 3.0), **rest)["efc"] == pytest.approx(1)
    # Half of the voxels have all the energy, evenly: closed form.
    n = point.size
    half = (np.arange(n) % 2).reshape(SHAPE)
    expected = np.sqrt(n / 2) * np.log(np.sqrt(n / 2)) / (np.sqrt(n) * np.log(np.sqrt(n)))
    assert t1_quality(half, **rest)["efc"] == pytest.approx(expected)


def test_ghosts_in_the_air_are_counted_and_single_voxels_are_not():
    data, masks = phantom()
    single = data.copy()
    single[7, ::8, ::8] = 900
    assert t1_quality(single, **masks)["qi1"] == 0
    data[2:12, 10:20, 10:20] = 400
    # Opening a cube of 10³ with the cross takes its 12 edges: 12 · 8 voxels and 8 corners.
    assert t1_quality(data, **masks)["qi1"] == pytest.approx(896 / masks["air"].sum())


def test_zeroed_air_is_missing_and_not_perfect():
    data, masks = phantom()
    data[masks["air"]] = 0
    found = t1_quality(data, **masks)
    for name in ("snr_dietrich", "fber", "qi1"):
        assert np.isnan(found[name])
    assert found["cnr"] == pytest.approx(300 / np.sqrt(2 * 20**2), rel=0.03)
    without = {**masks, "air": np.zeros(SHAPE, bool)}
    assert np.isnan(t1_quality(data, **without)["qi1"])


def test_masks_that_do_not_fit_are_refused():
    data, masks = phantom()
    with pytest.raises(GeometryError, match="gm: expected shape"):
        t1_quality(data, **{**masks, "gm": np.ones((2, 2, 2), bool)})
    with pytest.raises(FormatError, match="wm: expected two voxels or more, found 0"):
        t1_quality(data, **{**masks, "wm": np.zeros(SHAPE, bool)})
    data[0, 0, 0] = np.nan
    with pytest.raises(FormatError, match="finite"):
        t1_quality(data, **masks)


def cohort(n=40, seed=0):
    rng = np.random.default_rng(seed)
    values = {"cjv": rng.normal(0.4, 0.02, n), "snr": rng.normal(12, 1, n),
              "wm2max": rng.normal(0.6, 0.03, n), "age": rng.normal(40, 10, n)}  # fmt: skip
    return pd.DataFrame(values, index=[f"p{i}" for i in range(n)])


def test_only_bad_ends_are_flagged():
    table = cohort()
    table.loc["p3", "cjv"], table.loc["p5", "cjv"] = 0.8, 0.1
    table.loc["p7", "snr"], table.loc["p9", "snr"] = 2, 30
    table.loc["p1", "wm2max"], table.loc["p2", "wm2max"] = 0.1, 1.5
    table.loc["p4", "cjv"] = np.nan
    table.loc["p6", "age"] = 4000
    flags = quality_flags(table)
    assert set(flags.index[flags["flagged"]]) == {"p3", "p7", "p1", "p2"}
    assert flags.loc["p3", "reasons"].startswith("cjv (z ")
    assert flags.loc["p4", "reasons"] == ""
    shuffled = quality_flags(table.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled.loc[flags.index], flags)


def test_z_is_median_and_mad():
    table = pd.DataFrame({"cjv": [1.0, 2.0, 3.0, 4.0, 100.0]})
    flags = quality_flags(table)
    np.testing.assert_allclose(flags["cjv"], (table["cjv"] - 3) / 1.4826)
    assert flags["flagged"].tolist() == [False] * 4 + [True]


def test_a_measure_without_spread_judges_nobody():
    flags = quality_flags(pd.DataFrame({"cjv": [0.4] * 5 + [0.9], "age": range(6)}))
    assert not flags["flagged"].any()
    with pytest.raises(FormatError, match="found none"):
        quality_flags(pd.DataFrame({"age": [1]}))
    with pytest.raises(FormatError, match="above 0"):
        quality_flags(pd.DataFrame({"cjv": [1.0]}), 0)
