"""Vessels cut out of a nerve's wall, against cylinders whose surfaces are known."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.trigeminal._morphometry.curve import Curve, knots
from precisionpain.trigeminal._morphometry.dent import cut, dented
from precisionpain.trigeminal._morphometry.tube import Tube, harmonics
from precisionpain.trigeminal._morphometry.vessels import Vessel

from . import solids

NERVE, VESSEL, DEPTH = 1.5, 0.7, 0.5  # radii and depth of the dent, mm
HEIGHT = NERVE + VESSEL - DEPTH  # of the vessel's axis above the nerve's
THETA = np.arange(96) * (2 * np.pi / 96)
S = np.linspace(0, 10, 101)


def straight(first: tuple, last: tuple, coefficients: list[float], radius: float) -> Tube:
    """Return a straight tube with the same section all along."""
    curve = Curve(np.linspace(first, last, 12))
    t = knots(curve.start, curve.end, 0.5)
    constant = np.tile(coefficients, (len(t) - 4, 1))
    return Tube(curve, t, 2, constant, radius, np.zeros((constant.size, constant.size)))


def nerve(coefficients: list[float] | None = None) -> Tube:
    return straight((0, 0, 0), (10, 0, 0), coefficients or [1.0, 0, 0, 0, 0], NERVE)


def crossing(height: float = HEIGHT) -> Vessel:
    """Return a round vessel that crosses the nerve at a right angle at s = 5."""
    line = ((5, -6, height), (5, 6, height))
    return Vessel("artery", straight(*line, [1.0, 0, 0, 0, 0], VESSEL))


def wall(tube: Tube) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return radius, middles and outward directions on the grid."""
    normal, binormal = tube.curve.frame(S)
    around = np.cos(THETA)[:, None] * normal[:, None] + np.sin(THETA)[:, None] * binormal[:, None]
    return tube.grid(S, THETA), tube.curve.at(S), around


def overlap(r: np.ndarray, middle: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return the depth in the crossing cylinder, by its equation; negative outside."""
    x = middle[:, None] + r[..., None] * around
    return VESSEL - np.hypot(x[..., 0] - 5, x[..., 2] - HEIGHT)


def test_what_ran_into_a_vessel_lies_on_it() -> None:
    r, middle, around = wall(nerve())
    before = overlap(r, middle, around)
    found = cut(r, middle, around, [crossing()])
    assert (before > 0).sum() > 50
    assert overlap(found, middle, around)[before > 0] == pytest.approx(0, abs=0.01)
    assert found[before <= 0] == pytest.approx(NERVE, abs=1e-6)
    assert found.min() == pytest.approx(NERVE - DEPTH, abs=0.01)


def test_a_share_of_the_overlap_may_remain() -> None:
    r, middle, around = wall(nerve())
    before = overlap(r, middle, around)
    found = overlap(cut(r, middle, around, [crossing()], 0.25), middle, around)
    assert found[before > 0] == pytest.approx(0.25 * before[before > 0], abs=0.01)


def test_vessels_that_touch_or_are_missing_cut_nothing() -> None:
    r, middle, around = wall(nerve())
    assert (cut(r, middle, around, []) == r).all()
    assert (cut(r, middle, around, [crossing(NERVE + VESSEL + 1e-6)]) == r).all()


def test_an_ellipse_without_vessels_stays_as_it_is() -> None:
    tube = nerve([1.0, 0.0, 0.0, 0.2, -0.1])
    found = dented(tube, [], tube.knots, 6)
    assert found[:, :5] == pytest.approx(tube.coefficients, abs=1e-9)
    assert found[:, 5:] == pytest.approx(0, abs=1e-9)


def test_splines_and_harmonics_follow_a_groove() -> None:
    tube = nerve()
    t = knots(0, 10, 0.5 * NERVE)
    coefficients = dented(tube, [crossing()], t, 6)
    assert harmonics(THETA, 6).shape[1] == coefficients.shape[1]
    r = Tube(tube.curve, t, 6, coefficients, NERVE, np.zeros((1, 1))).grid(S, THETA)
    area = np.pi * np.mean(r**2, axis=1)
    true = solids.groove(NERVE, VESSEL, DEPTH)
    # Within what the library states for the smallest area, volume and indentation.
    assert area.min() == pytest.approx(true["least_area_mm2"], rel=0.03)
    assert np.trapezoid(area, S) == pytest.approx(
        np.pi * NERVE**2 * 10 - true["lost_mm3"], rel=0.02
    )
    assert NERVE - r.min() == pytest.approx(DEPTH, abs=0.10)
