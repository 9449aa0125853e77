"""Sheets through space on which an image is shown, and where surfaces meet them.

A sheet has coordinates (x, y) in mm, and z away from it. `points` takes (x, y) to the world,
`flatten` takes the world to (x, y, z); a surface meets the sheet where z changes sign.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from .._morphometry.curve import Curve

__all__ = ["ALONG", "Curved", "Flat", "Outline", "Sheet", "letters", "outlines", "unit"]

ALONG = 0.38  # a direction within 68 degrees of an axis goes along it
_AXES = (("R", "L"), ("A", "P"), ("S", "I"))  # of RAS+, positive and negative


class Sheet(Protocol):
    """What both kinds of sheet can do."""

    def points(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return world coordinates (..., 3) of places on the sheet."""

    def flatten(self, world: np.ndarray) -> np.ndarray:
        """Return x, y on the sheet and z off it, for points (n, 3)."""


@dataclasses.dataclass(frozen=True)
class Flat:
    """A plane.

    Parameters
    ----------
    origin : numpy.ndarray of shape (3,)
        World coordinates of (0, 0), mm.
    along, across : numpy.ndarray of shape (3,)
        Unit vectors of x and y, at right angles.
    """

    origin: np.ndarray
    along: np.ndarray
    across: np.ndarray

    def points(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return world coordinates (..., 3) of places on the sheet."""
        return self.origin + x[..., None] * self.along + y[..., None] * self.across

    def flatten(self, world: np.ndarray) -> np.ndarray:
        """Return x, y on the sheet and z off it, for points (n, 3)."""
        frame = np.stack([self.along, self.across, np.cross(self.along, self.across)])
        return (world - self.origin) @ frame.T


@dataclasses.dataclass(frozen=True)
class Curved:
    """The sheet swept by one direction that is carried along a curve without twist.

    Straightened, it is the curved planar reformat of Kanitsar et al., IEEE Visualization 2002.

    Parameters
    ----------
    curve : Curve
        x is its arc length; beyond its ends it goes on straight.
    turn : float
        Angle of the direction in the curve's frames, from normal to binormal, radians.
    """

    curve: Curve
    turn: float

    def across(self, s: np.ndarray) -> np.ndarray:
        """Return the direction of y at arc lengths, shape (..., 3)."""
        normal, binormal = self.curve.frame(s)
        return np.cos(self.turn) * normal + np.sin(self.turn) * binormal

    def points(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return world coordinates (..., 3) of places on the sheet."""
        return self.curve.at(x) + y[..., None] * self.across(x)

    def flatten(self, world: np.ndarray) -> np.ndarray:
        """Return x, y on the sheet and z off it, for points (n, 3)."""
        s, u, v = self.curve.project(world)
        c, d = np.cos(self.turn), np.sin(self.turn)
        return np.stack([s, c * u + d * v, c * v - d * u], axis=-1)


@dataclasses.dataclass(frozen=True)
class Outline:
    """One piece of the line where a surface meets a sheet.

    Parameters
    ----------
    xy : numpy.ndarray of shape (n, 2)
        On the sheet, mm.
    values : numpy.ndarray of shape (n,)
        Of the surface there.
    closed : bool
        Whether the last point joins the first.
    """

    xy: np.ndarray
    values: np.ndarray
    closed: bool


def outlines(
    flat: np.ndarray, faces: np.ndarray, values: np.ndarray, longest_mm: float = 1.0
) -> list[Outline]:
    """Return where a triangle mesh meets z = 0.

    Parameters
    ----------
    flat : numpy.ndarray of shape (n, 3)
        Vertices, flattened.
    faces : numpy.ndarray of shape (m, 3)
        Triangles.
    values : numpy.ndarray of shape (n,)
        Of the vertices; interpolated along the edges.
    longest_mm : float, default 1.0
        Triangles with a longer side are left out: a curved sheet tears far from its curve,
        where one neighbour is nearest to one bend and the other to another.

    Returns
    -------
    list of Outline
    """
    sides = np.linalg.norm(flat[faces] - flat[np.roll(faces, 1, axis=1)], axis=-1)
    faces = faces[sides.max(axis=1, initial=0) <= longest_mm]
    z = np.where(np.abs(flat[:, 2]) < 1e-9, 1e-9, flat[:, 2])  # no vertex lies on the sheet
    above = z[faces] > 0
    count = above.sum(axis=1)
    cut = (count == 1) | (count == 2)
    faces, above, count = faces[cut], above[cut], count[cut]
    if not len(faces):
        return []
    # One corner lies on the other side of the sheet than the two others.
    row = np.arange(len(faces))
    lone = np.argmax(above == (count == 1)[:, None], axis=1)
    tip = faces[row, lone]
    pairs = np.stack([np.stack([tip, faces[row, (lone + k) % 3]], axis=-1) for k in (1, 2)], axis=1)
    edges, link = np.unique(np.sort(pairs, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    a, b = edges.T
    share = z[a] / (z[a] - z[b])
    xy = flat[a, :2] + share[:, None] * (flat[b, :2] - flat[a, :2])
    with np.errstate(invalid="ignore"):
        level = np.where(share < 0.5, values[a], values[b])
        both = np.isfinite(values[a]) & np.isfinite(values[b])
        level[both] = (values[a] + share * (values[b] - values[a]))[both]
    return [
        Outline(xy[chain], level[chain], closed)
        for chain, closed in _chains(link.reshape(-1, 2), len(edges))
    ]


def _chains(links: np.ndarray, n: int) -> list[tuple[list[int], bool]]:
    """Join links between n nodes of at most two links each to open and closed chains."""
    beside: list[list[int]] = [[] for _ in range(n)]
    for a, b in links.tolist():
        beside[a].append(b)
        beside[b].append(a)
    seen = np.zeros(n, dtype=bool)
    found = []
    for start in sorted(range(n), key=lambda node: len(beside[node])):  # open ends come first
        if seen[start]:
            continue
        chain, node = [start], start
        seen[start] = True
        while True:
            following = [other for other in beside[node] if not seen[other]]
            if not following:
                break
            node = following[0]
            seen[node] = True
            chain.append(node)
        found.append((chain, len(chain) > 2 and start in beside[node]))
    return found


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector of length 1."""
    return vector / np.linalg.norm(vector)


def letters(direction: np.ndarray) -> str:
    """Name a direction (RAS+) by the axes of the body that it mostly follows, as "LA"."""
    direction = unit(np.asarray(direction, dtype=float))
    order = np.argsort(-np.abs(direction), kind="stable")
    named = [k for k in order if abs(direction[k]) >= ALONG]
    return "".join(_AXES[k][int(direction[k] < 0)] for k in named)
