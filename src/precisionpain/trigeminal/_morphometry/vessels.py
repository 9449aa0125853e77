"""Vessels near a nerve: their courses through the label image, and their walls."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import ndtr

from ..anatomy import Label
from .curve import Curve, smooth_curve
from .scan import Scan
from .settings import Weights
from .tube import Tube, Voxels, fit_tube

__all__ = [
    "LEAST",
    "SEEN",
    "Crowded",
    "Vessel",
    "fit_vessels",
    "mask_threshold",
    "paths",
    "tube_share",
]


SEEN = 0.35  # share of a voxel in which a vessel is looked for
LEAST = 3  # voxels of a structure that a network sees; fewer are noise of a border
_REACH_MM = 6.0  # vessels farther from the nerve are not traced
_MOST_PIECES = 24  # a nerve has one to five near it; noise has hundreds
_MOST_CRUMBS = 3000
_RUNAWAY = 3.0  # times the radius that the volume of the voxels tells


class Crowded(ValueError):
    """More pieces of vessels near a nerve than any anatomy has."""


@dataclasses.dataclass(frozen=True)
class Vessel:
    """A piece of a vessel.

    Parameters
    ----------
    kind : {"artery", "vein"}
        As the label says.
    tube : Tube
        Centreline and wall.
    """

    kind: str
    tube: Tube

    def distance(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the signed distance of points to the wall with its ends closed, s and θ."""
        d, s, theta = self.tube.distance(x)
        curve = self.tube.curve
        beyond = np.maximum(np.maximum(curve.start - s, s - curve.end), 0)
        return np.where(beyond > 0, np.hypot(np.maximum(d, 0), beyond), d), s, theta


def paths(vessel: np.ndarray, spacing: np.ndarray, size: float) -> list[np.ndarray]:
    """Find centrelines of the branches of one connected vessel.

    The longest way through it comes first (kept to the middle by a cost that falls with the
    distance from the wall); then the longest ways to what lies off those found. This is the
    idea of TEASAR (Sato et al., Pacific Graphics 2000).

    Parameters
    ----------
    vessel : numpy.ndarray of bool
        One connected component.
    spacing : numpy.ndarray of shape (3,)
        Voxel edges, mm.
    size : float
        What counts as a branch sticks out by more than twice this, mm.

    Returns
    -------
    list of numpy.ndarray of shape (n, 3)
        Voxel indices in order.
    """
    from skimage.graph import MCP_Geometric

    padded = np.pad(vessel, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    plain = np.where(vessel, 1.0, -1.0)
    inner = np.where(vessel, 1.0 + 8.0 * (1 - depth / depth.max()) ** 4, -1.0)
    voxels = np.argwhere(vessel)

    def farthest(seeds: np.ndarray) -> np.ndarray:
        cost, _ = MCP_Geometric(plain, sampling=tuple(spacing)).find_costs(seeds.tolist())
        return voxels[np.argmax(cost[tuple(voxels.T)])]

    root = farthest(farthest(voxels[:1])[None])
    found: list[np.ndarray] = []
    open_ = np.ones(len(voxels), dtype=bool)
    seeds = root[None]
    for _ in range(8):
        way = MCP_Geometric(plain, sampling=tuple(spacing))
        cost, _ = way.find_costs(seeds.tolist())
        along = np.where(open_, cost[tuple(voxels.T)], -1)
        goal = voxels[np.argmax(along)]
        middle = MCP_Geometric(inner, sampling=tuple(spacing))
        middle.find_costs(seeds.tolist(), [goal.tolist()])
        path = np.array(middle.traceback(goal.tolist()))
        tree = cKDTree(path * spacing)
        away, near = tree.query(voxels * spacing)
        reach = 1.3 * depth[tuple(path[near].T)] + size
        if found:
            stem = depth[tuple(path[0])]
            if along.max() < 1.5 * stem + 2.0 * size:
                break
        open_ &= away > reach
        found.append(path)
        seeds = np.concatenate(found)
        if not open_.any():
            break
    return found


def fit_vessels(
    scan: Scan,
    near: np.ndarray,
    weights: Weights,
    threshold: np.ndarray | None = None,
    start: list[Vessel] | None = None,
) -> list[Vessel]:
    """Fit the vessels around a nerve.

    Where the shares are a network's, those of artery and vein are fitted as one: a vessel that may
    be either with even odds has half the share in each, and would come out at half its section.
    Its kind is then that which has more of the piece.

    Parameters
    ----------
    scan : Scan
        Cropped around the nerve.
    near : numpy.ndarray
        Distance of each voxel to the nerve, mm.
    weights : Weights
        Of the fits.
    threshold : numpy.ndarray, optional
        The share at which a mask flips, for each voxel; by default a half.
    start : list of Vessel, optional
        Vessels already fitted, to be refined.
    """
    fitted: list[Vessel] = []
    h = scan.size
    x = scan.world(np.argwhere(np.ones(scan.labels.shape, dtype=bool)))
    for labels in ((Label.ARTERY, Label.VEIN),) if scan.predicted else _KINDS:
        share = scan.share(*labels)
        if start is not None:
            kinds = {_name(label) for label in labels}
            pieces = [(v.tube.curve, v.tube.scale) for v in start if v.kind in kinds]
        else:
            vessel = share > (0.5 if scan.mask else SEEN)
            if scan.predicted:
                vessel = _labelled(vessel, np.isin(scan.labels, labels))
            pieces = _pieces(scan, vessel, share, near, h)
        trees = [cKDTree(curve.points) for curve, _ in pieces]
        for i, (curve, radius) in enumerate(pieces):
            own = trees[i].query(x, distance_upper_bound=radius + 4 * h)[0]
            box = np.flatnonzero(np.isfinite(own))
            nearest = np.full(len(box), np.inf)
            for j, tree in enumerate(trees):
                if j != i:
                    nearest = np.minimum(nearest, tree.query(x[box])[0] - pieces[j][1])
            box = box[own[box] - radius < nearest]
            tube = _fit(
                curve, radius, x[box], share.ravel()[box],
                np.full(len(box), 0.5) if threshold is None else threshold.ravel()[box],
                scan, weights,
                4 if start is None else 3,
            )  # fmt: skip
            if tube is not None:
                amounts = [scan.share(label).ravel()[box].sum() for label in labels]
                fitted.append(Vessel(_name(labels[int(np.argmax(amounts))]), tube))
    return fitted


def _labelled(vessel: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Keep what is connected to some voxels with the label.

    A network that calls next to nothing of it a vessel doesn't say that one is there.
    """
    parts, n = ndimage.label(vessel, np.ones((3, 3, 3)))
    kept = np.bincount(parts[vessel & label], minlength=n + 1) >= LEAST
    return kept[parts] & vessel


_KINDS = ((Label.ARTERY,), (Label.VEIN,))


def _name(label: Label) -> str:
    return label.name.lower()


def _pieces(
    scan: Scan, vessel: np.ndarray, share: np.ndarray, near: np.ndarray, h: float
) -> list[tuple[Curve, float]]:
    """Return first centrelines and radii of all branches within reach of the nerve."""
    pieces: list[tuple[Curve, float]] = []
    for voxels, ways in _branches(scan, vessel, near, h):
        owner = cKDTree(np.concatenate(ways) * scan.spacing).query(voxels * scan.spacing)[1]
        starts = np.cumsum([0, *[len(way) for way in ways]])
        weight = share[tuple(voxels.T)]
        for k, way in enumerate(ways):
            mine = (owner >= starts[k]) & (owner < starts[k + 1])
            place = owner[mine] - starts[k]
            world = scan.world(voxels[mine].astype(float))
            line = scan.world(way.astype(float))
            along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
            if along[-1] < 2 * h or mine.sum() < 4:
                continue
            radius = float(np.sqrt(weight[mine].sum() * scan.voxel_volume / np.pi / along[-1]))
            spread = np.bincount(place, weight[mine], minlength=len(way))
            mean = np.stack(
                [np.bincount(place, weight[mine] * world[:, a], minlength=len(way))
                 for a in range(3)], 1,
            )  # fmt: skip
            used = spread > 0
            line[used] = mean[used] / spread[used, None]
            close = near[tuple(way.T)] < _REACH_MM + 0.5
            if not close.any() or near[tuple(way.T)].min() > _REACH_MM:
                continue
            for low, high in _runs(close):
                if along[high - 1] - along[low] < 2 * h:
                    continue
                chosen = slice(low, high)
                curve = smooth_curve(
                    line[chosen],
                    0.3 + spread[chosen],
                    along[chosen],
                    spacing=2 * max(radius, h),
                    stiffness=2.0 * h**3,
                    jerk=0.0,
                    low=along[low],
                    high=along[high - 1],
                )
                pieces.append((curve, radius))
    _check_crowd(len(pieces))
    return pieces


def _check_crowd(n: int) -> None:
    if n > _MOST_PIECES:
        raise Crowded(
            f"the vessel labels near the nerve are in {n} pieces or more, expected a few: look at "
            "the segmentation, and remove what is noise"
        )


def _branches(
    scan: Scan, vessel: np.ndarray, near: np.ndarray, h: float
) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Return the voxels of each vessel within reach, and its ways.

    A mask breaks a vessel that is as thin as a voxel into crumbs. Those that lie in a row
    are taken together, and their way is the longest in their minimum spanning tree.
    """
    parts, n = ndimage.label(vessel, np.ones((3, 3, 3)))
    depth = ndimage.distance_transform_edt(np.pad(vessel, 1), sampling=scan.spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    index = np.arange(1, n + 1)
    thin = ndimage.maximum(depth, parts, index) <= 1.01 * scan.spacing.max() if n else []
    close = ndimage.minimum(near, parts, index) <= _REACH_MM if n else []
    found = []
    crumbs = np.isin(parts, index[np.asarray(thin, dtype=bool)]) if n else vessel
    rows, m = ndimage.label(ndimage.binary_dilation(crumbs, np.ones((3, 3, 3)), 2))
    for row in range(1, m + 1):
        voxels = np.argwhere(crumbs & (rows == row))
        if len(voxels) > _MOST_CRUMBS:
            _check_crowd(len(voxels))
        if len(voxels) >= 4 and near[tuple(voxels.T)].min() <= _REACH_MM:
            found.append((voxels, [_longest_way(voxels, scan.spacing)]))
    thick = index[np.asarray(close, dtype=bool) & ~np.asarray(thin, dtype=bool)]
    _check_crowd(len(thick))
    for part in thick:
        here = parts == part
        box = ndimage.find_objects(here.astype(np.int8))[0]
        offset = np.array([b.start for b in box])
        ways = [way + offset for way in paths(here[box], scan.spacing, h)]
        found.append((np.argwhere(here), ways))
    return found


def _longest_way(voxels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return the longest way through the minimum spanning tree of some voxels."""
    from scipy.sparse.csgraph import breadth_first_order, dijkstra, minimum_spanning_tree
    from scipy.spatial.distance import pdist, squareform

    tree = minimum_spanning_tree(squareform(pdist(voxels * spacing)))
    one = int(np.argmax(dijkstra(tree, directed=False, indices=0)))
    far = dijkstra(tree, directed=False, indices=one)
    _, before = breadth_first_order(tree, one, directed=False)
    way = [int(np.argmax(far))]
    while way[-1] != one:
        way.append(int(before[way[-1]]))
    return voxels[way[::-1]]


def _runs(flag: np.ndarray) -> list[tuple[int, int]]:
    edge = np.diff(np.r_[0, flag.astype(int), 0])
    return list(zip(np.flatnonzero(edge == 1), np.flatnonzero(edge == -1), strict=True))


def _fit(
    curve: Curve,
    radius: float,
    x: np.ndarray,
    share: np.ndarray,
    threshold: np.ndarray,
    scan: Scan,
    weights: Weights,
    turns: int,
) -> Tube | None:
    h = scan.size
    noise = weights.noise * h if scan.mask else weights.noise
    tube = None
    most = _RUNAWAY * radius + h
    for turn in range(turns):
        s, u, v = curve.project(x)
        rho = np.hypot(u, v)
        wall = radius if tube is None else tube.radius(s, np.arctan2(v, u))
        near = (s > curve.start) & (s < curve.end) & (np.abs(rho - wall) < 2.6 * h)
        if near.sum() < 12:
            return tube
        order = 1 if turn < turns - 1 else 2
        centring = np.array([0.0, 0.5, 0.5, 200.0, 200.0])[: 2 * order + 1]
        bend = np.array([weights.vessel_stiffness, *[5.0] * 2, *[50.0] * 2])[: 2 * order + 1]
        even = np.array([weights.vessel_taper, 0, 0, 0, 0])[: 2 * order + 1]
        found = fit_tube(
            curve, Voxels(x[near], share[near], threshold[near], scan.axes, scan.mask),
            radius=radius, low=curve.start, high=curve.end, order=order,
            spacing=max(2.0 * radius, 2 * h), taper=even, stiffness=bend, roundness=centring,
            noise=noise, n_sub=3 if radius < 1.2 * h else 2,
        )  # fmt: skip
        if _radius(found) > most:
            # A crumb beside a vessel that has a tube of its own; what it tells is nothing.
            return tube
        tube = found
        if turn < turns - 1:
            curve, radius = _recentred(tube, weights, h)
    return tube


def _radius(tube: Tube) -> float:
    """Return the largest radius of a tube's typical section, mm; an end may flare."""
    s = np.linspace(tube.curve.start, tube.curve.end, 16)
    return float(np.median(tube.grid(s, np.arange(16) * (np.pi / 8)).max(axis=1)))


def _recentred(tube: Tube, weights: Weights, h: float) -> tuple[Curve, float]:
    curve = tube.curve
    s = np.linspace(curve.start, curve.end, max(int((curve.end - curve.start) / 0.25), 8))
    theta = np.arange(32) * (2 * np.pi / 32)
    r = tube.grid(s, theta)
    area = 0.5 * np.mean(r**2, axis=1)
    cu = np.mean(r**3 * np.cos(theta), axis=1) / 3 / area
    cv = np.mean(r**3 * np.sin(theta), axis=1) / 3 / area
    limit = np.minimum(1.0, 0.5 * h / np.maximum(np.hypot(cu, cv), 1e-9))
    normal, binormal = curve.frame(s)
    points = curve.at(s) + (limit * cu)[:, None] * normal + (limit * cv)[:, None] * binormal
    moved = smooth_curve(
        points, np.full(len(s), 0.25), s, spacing=max(1.5 * tube.scale, 2 * h),
        stiffness=0.0, jerk=weights.vessel_jerk * tube.scale**5,
        low=curve.start, high=curve.end, reference=curve.normals[0],
    )  # fmt: skip
    return moved, float(np.sqrt(2 * np.mean(area)))


def mask_threshold(nerve: np.ndarray, vessel: np.ndarray) -> np.ndarray:
    """Return the share at which a voxel of a mask goes to the nerve, or to a vessel.

    The label goes to the largest share. Where nerve and vessel share a voxel with a part c
    of fluid, either wins above max((1 - c) / 2, c) of it: at a half when they touch, and at a
    third when all three have the same.
    """
    fluid = np.clip(1 - nerve - vessel, 0, 1)
    meeting = (nerve > 0.02) & (vessel > 0.02)
    return np.where(meeting, np.clip(np.maximum((1 - fluid) / 2, fluid), 1 / 3, 0.5), 0.5)


def tube_share(tube: Tube, x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the share of voxels at x (n, 3) that lies in a tube."""
    edge = (np.arange(2) + 0.5) / 2 - 0.5
    parts = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3) @ axes.T
    points = (x[:, None, :] + parts).reshape(-1, 3)
    d, _, _ = tube.distance(points)
    blur = np.linalg.norm(axes) / np.sqrt(3) / 2 / np.sqrt(12)
    return ndtr(-d / blur).reshape(len(x), -1).mean(axis=1)
