"""Planes through a volume in MNI space, by mm."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._plot_style import DASHED, INK, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PLANES", "Volume", "draw_plane", "spm_grid"]

# Across, right and up of each picture, as axes of the space.
_AXES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
PLANES = tuple(_AXES)
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
_STEP_MM = 1.0


def spm_grid(spacing_mm: float) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and affine of scans that SPM12 normalised, in its own orientation."""
    start, end = np.array([78.0, -112, -70]), np.array([-78.0, 76, 85])
    affine = np.diag([*(np.sign(end - start) * spacing_mm), 1.0])
    affine[:3, 3] = start
    lengths = np.floor(np.abs(end - start) / spacing_mm + 0.5).astype(int) + 1
    return tuple(lengths.tolist()), affine


@dataclasses.dataclass(frozen=True)
class Volume:
    """Values on a grid of any orientation.

    Parameters
    ----------
    data : numpy.ndarray of three axes
        Values.
    affine : numpy.ndarray of shape (4, 4)
        From voxels to mm.
    """

    data: np.ndarray
    affine: np.ndarray

    def world(self, voxels: np.ndarray) -> np.ndarray:
        """Return mm of voxels (n, 3)."""
        return voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest mm of voxel centres."""
        corners = np.array(list(itertools.product(*[(0, n - 1) for n in self.data.shape])))
        points = self.world(corners.astype(float))
        return points.min(axis=0), points.max(axis=0)

    def at(self, points: np.ndarray, order: int) -> np.ndarray:
        """Return values at mm (..., 3); NaN outside."""
        from scipy.ndimage import map_coordinates

        back = np.linalg.inv(self.affine)
        voxel = points @ back[:3, :3].T + back[:3, 3]
        limit = np.asarray(self.data.shape) - 0.5
        inside = ((voxel >= -0.5) & (voxel < limit)).all(axis=-1)
        found = map_coordinates(
            self.data.astype(np.float64), np.moveaxis(voxel, -1, 0), order=order, mode="nearest"
        )
        return np.where(inside, found, np.nan)


def draw_plane(
    ax: Axes, plane: str, scan: Volume, overlay: Volume, place: np.ndarray, shades: Any,
    norm: Any, *, flip: bool,
) -> None:  # fmt: skip
    """Draw one plane of the scan with the map over it."""
    from matplotlib.patches import Rectangle

    across, right, up = _AXES[plane]
    low, high = scan.box()
    u = np.arange(low[right], high[right] + _STEP_MM / 2, _STEP_MM)
    v = np.arange(low[up], high[up] + _STEP_MM / 2, _STEP_MM)
    points = np.empty((len(v), len(u), 3))
    points[..., across] = place[across]
    points[..., right], points[..., up] = u[None, :], v[:, None]
    half = _STEP_MM / 2
    options: dict[str, Any] = {
        "extent": (u[0] - half, u[-1] + half, v[0] - half, v[-1] + half), "origin": "lower",
        "interpolation": "nearest", "aspect": "equal",
    }  # fmt: skip
    ax.set_facecolor("black")
    black, white = np.quantile(scan.data, [0.005, 0.995])
    ax.imshow(scan.at(points, 1), cmap="gray", vmin=black, vmax=max(white, black + 1e-6),
              zorder=1, **options)  # fmt: skip
    # As it is, voxel by voxel: interpolation would show more detail than there is.
    values = overlay.at(points, 0)
    hidden = np.isnan(values) | (values < norm.vmin) | (values <= 0)
    ax.imshow(np.ma.masked_array(values, hidden), cmap=shades, norm=norm, alpha=0.85, zorder=2,
              gid="map", **options)  # fmt: skip
    first, last = overlay.box()
    voxel = np.abs(overlay.affine[:3, :3]).sum(axis=1)  # its extent along x, y and z
    corner = (first - voxel / 2)[[right, up]]
    size = (last - first + voxel)[[right, up]]
    ax.add_patch(
        Rectangle(
            (float(corner[0]), float(corner[1])), float(size[0]), float(size[1]), fill=False,
            ec="white", lw=0.7, ls=DASHED, alpha=0.6, zorder=3, gid="slab",
        )
    )  # fmt: skip
    ax.axvline(place[right], color="white", lw=0.6, alpha=0.55, zorder=3)
    ax.axhline(place[up], color="white", lw=0.6, alpha=0.55, zorder=3)
    ax.set(xlim=(u[0], u[-1]), ylim=(v[0], v[-1]), xticks=[], yticks=[])
    ends = list(_LETTERS[right])
    if flip and right == 0:
        ax.invert_xaxis()
        ends.reverse()
    tag = {"boxstyle": "round,pad=0.2", "fc": INK, "ec": "none", "alpha": 0.6}
    text: dict[str, Any] = {
        "transform": ax.transAxes, "color": "white", "fontsize": SMALL + 1, "bbox": tag,
        "zorder": 5, "va": "center", "fontweight": "bold",
    }  # fmt: skip
    ax.text(0.035, 0.5, ends[0], ha="left", gid="left end", **text)
    ax.text(0.965, 0.5, ends[1], ha="right", gid="right end", **text)
    name = "xyz"[across]
    ax.set_xlabel(f"{plane}, {name} = {place[across]:.0f} mm", fontsize=SMALL, color=INK)
