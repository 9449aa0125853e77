"""From the voxels of one nerve to its centreline, wall, ends and pons."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from ..anatomy import Label, Side
from .course import Course, fit_course
from .curve import Curve, knots, smooth_curve
from .dent import dented
from .pons import PonsSurface, edge, fit_pons
from .scan import Scan
from .settings import Weights
from .tube import Tube, Voxels, fit_tube
from .vessels import Vessel

__all__ = ["NerveFit", "fit_nerve", "fit_wall"]

_ELLIPSE = 2  # harmonics of an elliptical section
_DENTED = 6  # harmonics of a dented one


@dataclasses.dataclass(frozen=True)
class NerveFit:
    """A traced nerve.

    Parameters
    ----------
    side : {"left", "right"}
        Anatomical side.
    course : Course
        Centreline as a model.
    tube : Tube
        Elliptical tube: the nerve as it would be without dents.
    wall : Tube
        The wall as it is.
    pons : PonsSurface or None
        Where it leaves the brainstem; None when there is none.
    length : float
        Arc length from the pons (s = 0) to the end, mm.
    """

    side: Side
    course: Course
    tube: Tube
    wall: Tube
    pons: PonsSurface | None
    length: float


@dataclasses.dataclass(frozen=True)
class _Around:
    """The voxels around a nerve, as flat arrays."""

    x: np.ndarray
    share: np.ndarray
    vessel: np.ndarray
    barred: np.ndarray  # brainstem or the other nerve


def _around(scan: Scan, side: Side, away: np.ndarray, reach: float) -> tuple[_Around, np.ndarray]:
    """Return the voxels within reach of the nerve, and their flat indices."""
    chosen = np.flatnonzero(away.ravel() <= reach)
    other = Label.nerve("left" if side == "right" else "right")
    index = np.column_stack(np.unravel_index(chosen, away.shape)).astype(float)
    barred = scan.share(Label.BRAINSTEM, other).ravel()[chosen] > 0.02
    return _Around(
        scan.world(index),
        scan.share(Label.nerve(side)).ravel()[chosen],
        scan.share(Label.ARTERY, Label.VEIN).ravel()[chosen],
        barred,
    ), chosen


def geodesic_points(
    nerve: np.ndarray, seeds: np.ndarray, spacing: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a nerve into slices of equal distance within it from the seeds.

    Parameters
    ----------
    nerve, seeds : numpy.ndarray of bool
        The nerve, and its voxels at the pons.
    spacing : numpy.ndarray of shape (3,)
        Voxel edges, mm.
    step : float
        Thickness of a slice, mm.

    Returns
    -------
    index : numpy.ndarray of shape (n, 3)
        Mean voxel index of each slice.
    place : numpy.ndarray of shape (n,)
        Its distance, mm.
    count : numpy.ndarray of shape (n,)
        Its voxels.
    """
    from skimage.graph import MCP_Geometric

    cost = np.where(nerve, 1.0, -1.0)  # negative costs are never entered
    path = MCP_Geometric(cost, sampling=tuple(spacing))
    distance, _ = path.find_costs(np.argwhere(seeds).tolist())
    reached = nerve & np.isfinite(distance)
    index, along = np.argwhere(reached), distance[reached]
    slot = (along / step).astype(int)
    count = np.bincount(slot)
    used = count > 0
    mean = np.stack([np.bincount(slot, index[:, a])[used] / count[used] for a in range(3)], 1)
    return mean, np.bincount(slot, along)[used] / count[used], count[used]


def fit_nerve(
    scan: Scan,
    side: Side,
    nerve: np.ndarray,
    seeds: np.ndarray,
    weights: Weights,
    *,
    joined: bool = True,
) -> NerveFit:
    """Trace one nerve: centreline, elliptical tube, ends.

    The centreline begins as the middles of geodesic slices. Then, in turn, the tube is
    fitted around it, its sections' middles give a better course, and the ends are found:
    s = 0 where the course leaves the fitted surface of the pons, s = L where the axis leaves
    the nerve.

    Parameters
    ----------
    scan : Scan
        Cropped around the nerve.
    side : {"left", "right"}
        Which.
    nerve, seeds : numpy.ndarray of bool
        Its voxels (one piece), and those at the pons.
    weights : Weights
        Of the fits.
    joined : bool, default True
        Whether the nerve begins at the brainstem; else s = 0 at its own beginning.

    Returns
    -------
    NerveFit
        Its wall is the elliptical tube; see `fit_wall`.
    """
    h = scan.size
    noise = weights.noise * h if scan.mask else weights.noise
    index, place, count = geodesic_points(nerve, seeds, scan.spacing, 1.5 * h)
    volume = float(scan.share(Label.nerve(side))[nerve].sum() * scan.voxel_volume)
    length = float(place.max())
    radius = float(np.sqrt(volume / (np.pi * length)))
    points = scan.world(index)
    outward = points[-1] - points[0]
    full = count > 0.25 * np.median(count)
    if full.sum() < 2:
        full[:] = True
    curve = smooth_curve(
        points[full], np.full(full.sum(), 100.0), place[full], spacing=2.0 * radius,
        stiffness=300.0 * radius**3, jerk=0.0, low=float(place[full][0]),
        high=float(place[full][-1]),
    )  # fmt: skip
    pons = None
    if joined:
        entry = scan.world(np.argwhere(seeds)).mean(axis=0)
        pons = fit_pons(scan, entry, reach=4.5 * radius, noise=noise)
    away = ndimage.distance_transform_edt(~nerve, sampling=scan.spacing)
    near, _ = _around(scan, side, away, max(2.5 * radius, 5 * h))
    height = None if pons is None else pons.distance(near.x)

    tube = None
    for turn in range(weights.turns):
        if pons is not None:
            curve = Curve(curve.points, start=curve.start - _crossing(curve, pons, length),
                          reference=outward)  # fmt: skip
        s, u, v = curve.project(near.x)
        rho = np.hypot(u, v)
        if pons is None:
            core = (rho < 0.6 * radius) & (s < 0.5 * length)
            begin = -edge(-s[core], near.share[core], 0.29 * h)
            curve = Curve(curve.points, start=curve.start - begin, reference=outward)
            s = s - begin
        core = (rho < 0.6 * radius) & (s > 0)
        rough = float(s[core & (near.share > 0.5)].max(initial=0.5 * length))
        core &= (s > rough - 2.0 * radius) & (s < rough + 2.0 * radius)
        length = edge(s[core], near.share[core], 0.29 * h)
        low = min(float(s[(near.share > 0.5) & (rho < 3 * radius)].min()), 0.0)
        # The end is cut square to a tangent that the first turns don't know yet.
        margin = 0.75 * h + max(1.2 * 0.4**turn, 0.15) * radius
        used = (s > low) & (s < length - margin) & ~near.barred & (near.vessel < 0.02)
        if height is not None:
            used &= height > 0.9 * h
        else:
            low = 0.0
            used &= s > margin
        if tube is None:
            used &= rho < 3.2 * radius
        else:
            wall = tube.radius(s, np.arctan2(v, u))
            # Where the last wall was far off, what lies between it and the mean counts too.
            used &= rho > np.minimum(wall, radius) - 2.6 * h
            used &= rho < np.maximum(wall, radius) + 2.6 * h
        half = np.full(int(used.sum()), 0.5)
        tube = fit_tube(
            curve, Voxels(near.x[used], near.share[used], half, scan.axes, scan.mask),
            radius=radius, low=low, high=length, order=_ELLIPSE, spacing=weights.knots * radius,
            taper=np.array([1.0, 0, 0, 1, 1]) * weights.taper,
            stiffness=np.array([1.0, 0, 0, 1, 1]) * weights.stiffness
            + np.array([0, 1.0, 1, 0, 0]) * weights.bend,
            roundness=np.array([0, weights.centring, weights.centring, 0.1, 0.1]), noise=noise,
        )  # fmt: skip
        middles, exposed = _middles(tube, pons, low, length, h)
        along = np.linspace(low, length, len(middles))
        at_end = along >= length - 0.7 * margin
        if pons is None:
            at_end |= along <= 0.7 * margin
        first = turn == 0
        course = fit_course(
            middles, np.where(at_end, 0, exposed) + 1e-6,
            push=None if first else _push(near, tube, length), noise=weights.middle * h,
            spacing=1.5 * radius, looseness=(0.4 if first else weights.loose) * radius,
            jerk=weights.jerk / radius**2,
        )  # fmt: skip
        if turn < weights.turns - 1:
            curve = course.curve(curve.at(0.0), curve.at(length), 2.0 - min(low, 0), 1.0, outward)
    assert tube is not None
    return NerveFit(side, course, tube, tube, pons, length)


def fit_wall(
    scan: Scan,
    fit: NerveFit,
    vessels: list[Vessel],
    weights: Weights,
    away: np.ndarray,
    threshold: np.ndarray | None = None,
) -> NerveFit:
    """Fit the wall as it is.

    It is drawn to the elliptical tube with the vessels cut out of it: what presses into a
    nerve leaves its own shape, which a mask alone shows too blurred. From that it may depart
    near vessels, and hardly elsewhere.

    Parameters
    ----------
    scan : Scan
        Cropped around the nerve.
    fit : NerveFit
        Of `fit_nerve`.
    vessels : list of Vessel
        Near the nerve.
    weights : Weights
        Of the fits.
    away : numpy.ndarray
        Distance of each voxel to the nerve's, mm.
    threshold : numpy.ndarray, optional
        The share at which a mask flips, for each voxel; by default a half.

    Returns
    -------
    NerveFit
    """
    h, tube, end = scan.size, fit.tube, fit.length
    curve, radius, low = tube.curve, tube.scale, float(tube.knots[3])
    near, flat = _around(scan, fit.side, away, max(2.5 * radius, 5 * h))
    s, u, v = curve.project(near.x)
    rho, theta = np.hypot(u, v), np.arctan2(v, u)
    used = (s > low) & (s < end - 0.75 * h - 0.15 * radius) & ~near.barred
    used &= np.abs(rho - tube.radius(s, theta)) < 3.0 * h
    if fit.pons is not None:
        used &= fit.pons.distance(near.x) > 0.9 * h
    else:
        used &= s > 0.75 * h + 0.15 * radius
    at = np.full(int(used.sum()), 0.5) if threshold is None else threshold.ravel()[flat][used]
    voxels = Voxels(near.x[used], near.share[used], at, scan.axes, scan.mask)

    spacing = weights.dent_knots * radius
    t = knots(low, end, spacing)
    places = t[2:-2]  # the middle of each spline
    ring = tube.surface(places, np.arange(24) * (np.pi / 12)).reshape(-1, 3)
    apart = np.full(len(ring), np.inf)
    for vessel in vessels:
        apart = np.minimum(apart, vessel.distance(ring)[0])
    free = apart.reshape(len(places), -1).min(axis=1) < 1.0
    free = ndimage.binary_dilation(free, iterations=max(int(np.ceil(1.0 / (t[4] - t[3]))), 1))
    k = np.r_[0, np.repeat(np.arange(1, _DENTED + 1), 2)]
    # A mask whose slices are thicker than the nerve's radius can't tell a dent from its size.
    telling = not scan.mask or scan.spacing.max() < radius
    rest = dented(tube, vessels if telling else [], t, _DENTED)
    wall = fit_tube(
        curve, voxels, radius=radius, low=low, high=end, order=_DENTED, spacing=spacing,
        taper=np.zeros(len(k)), stiffness=np.full(len(k), weights.dent_stiffness),
        roundness=(1 + k / 2.0) ** 2, noise=weights.noise * h if scan.mask else weights.noise,
        rest=rest, firmness=np.where(free, weights.free, weights.firm),
    )  # fmt: skip
    return dataclasses.replace(fit, wall=wall)


def _crossing(curve: Curve, pons: PonsSurface, length: float) -> float:
    """Return the arc length, near 0, where the centreline leaves the pons."""
    s = np.linspace(-0.6 * length, 0.6 * length, 600)
    height = pons.distance(curve.at(s))
    leaves = np.flatnonzero((height[:-1] < 0) & (height[1:] >= 0))
    if len(leaves) == 0:
        return float(s[np.argmin(np.abs(height))])
    i = leaves[np.argmin(np.abs(s[leaves]))]
    return float(s[i] - height[i] * (s[i + 1] - s[i]) / (height[i + 1] - height[i]))


def _middles(
    tube: Tube, pons: PonsSurface | None, low: float, high: float, h: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of the sections, and how much of each is exposed (0 to 1)."""
    s = np.linspace(low, high, max(int((high - low) / (0.5 * h)), 8))
    theta = np.arange(48) * (2 * np.pi / 48)
    r = tube.grid(s, theta)
    area = 0.5 * np.mean(r**2, axis=1)
    cu = np.mean(r**3 * np.cos(theta), axis=1) / 3 / area
    cv = np.mean(r**3 * np.sin(theta), axis=1) / 3 / area
    weight = np.ones(len(s))
    if pons is not None:
        wall = tube.surface(s, theta, r)
        weight = np.mean(pons.distance(wall.reshape(-1, 3)).reshape(r.shape) > h, axis=1) ** 2
    # How far a middle moves in one go is bounded, so that a bad section can't run away.
    bound = np.minimum(1.0, h / np.maximum(np.hypot(cu, cv), 1e-9))
    normal, binormal = tube.curve.frame(s)
    middle = tube.curve.at(s) + (bound * cu)[:, None] * normal + (bound * cv)[:, None] * binormal
    return middle, weight


def _push(near: _Around, tube: Tube, end: float) -> np.ndarray | None:
    """Return where on the centreline a vessel comes nearest, if it comes near at all."""
    taken = near.vessel > 0.5
    if not taken.any():
        return None
    d, s, _ = tube.distance(near.x[taken])
    d = np.where((s > 0) & (s < end), d, np.inf)
    i = int(np.argmin(d))
    return tube.curve.at(s[i]) if d[i] < 1.0 else None
