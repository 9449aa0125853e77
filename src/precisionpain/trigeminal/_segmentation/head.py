"""Synthetic whole heads round the phantom of the cistern, to learn where in a head it lies.

Shapes and levels are drawn so widely that no head is quite plausible; what all have in common
is where things lie to each other, and that is what a network should learn from them (the idea
of SynthSeg, Billot et al., Med Image Anal 86, 102789, 2023).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .._phantom.anatomy import Scene, sample_scene
from .._phantom.levels import blood_states, draw_levels
from .._phantom.parameters import read_overrides
from .._phantom.raster import class_fractions, grid_of
from .._phantom.tissue import Tissue
from .grids import Grid
from .head_parts import SPACING_MM, Head, Part, slices_of, smooth_noise

__all__ = [
    "SPACING_MM",
    "SyntheticHead",
    "draw_head",
    "draw_scene",
    "scene_centre",
    "simulate_head",
]

Array = NDArray[Any]

# Signal relative to CSF; what lies round the brain is plausible guesswork, wide on purpose.
_LEVELS: dict[Part, tuple[float, float]] = {
    Part.AIR: (0.0, 0.02),
    Part.FAT: (0.1, 1.0),
    Part.MUSCLE: (0.06, 0.25),
    Part.BONE: (0.0, 0.08),
    Part.MARROW: (0.05, 0.6),
    Part.MUCOSA: (0.3, 1.0),
    Part.BLOOD: (0.02, 0.9),
    Part.FLUID: (0.7, 1.1),
    Part.CSF: (1.0, 1.0),
    Part.GREY: (0.22, 0.48),
    Part.WHITE: (0.13, 0.35),
    Part.STEM: (0.13, 0.33),
}
_BRAIN = (Part.CSF, Part.GREY, Part.WHITE, Part.STEM)


class SyntheticHead(NamedTuple):
    """A synthetic head, and where its trigeminal nerves are.

    Parameters
    ----------
    image : numpy.ndarray of float32
        CSF at about 1.
    grid : Grid
        Where its voxels lie.
    centre_mm : numpy.ndarray of shape (3,)
        Centre of the box round both nerves, RAS+.
    courses_mm : tuple of two ndarrays of shape (n, 3)
        Points along the left and the right nerve.
    """

    image: NDArray[np.float32]
    grid: Grid
    centre_mm: Array
    courses_mm: tuple[Array, Array]


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw the anatomy of a cistern."""
    return sample_scene(rng, *read_overrides({}))


def scene_centre(scene: Scene) -> Array:
    """Return the centre of the box round both nerves in the phantom's space, mm."""
    _, affine = grid_of(scene, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.zeros(3))
    centre: Array = affine[:3, 3]
    return centre


def simulate_head(
    rng: np.random.Generator, **options: Any
) -> tuple[NDArray[np.float32], Grid, Array]:
    """Return image, grid and centre of a synthetic head; options as in `draw_head`."""
    head = draw_head(rng, **options)
    return head.image, head.grid, head.centre_mm


def draw_head(
    rng: np.random.Generator,
    *,
    scene: Scene | None = None,
    inside: bool = True,
    bare: bool = False,
) -> SyntheticHead:
    """Simulate a T2-weighted scan of a head, or of part of one, with the cistern in its place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of all that is drawn.
    scene : Scene, optional
        Anatomy of the cistern; drawn when it isn't given.
    inside : bool, default True
        Whether the centre of the cistern lies in the field of view. Otherwise it lies at
        least 15 mm outside.
    bare : bool, default False
        The phantom alone, in CSF without end, as `simulate_cistern` makes it.

    Returns
    -------
    SyntheticHead
        At 2 mm, axes nearest to RAS+ and up to about 30 degrees off.
    """
    scene = draw_scene(rng) if scene is None else scene
    grid, pose = _view(rng, scene, inside, bare)
    centre = pose[:3, :3] @ scene_centre(scene) + pose[:3, 3]
    to_head = np.linalg.solve(pose, grid.affine).astype(np.float64)
    levels, tissue_levels = _draw_levels(rng)
    if bare:
        image = class_fractions(scene, to_head, grid.shape, 2) @ tissue_levels
    else:
        head = Head(rng, scene, to_head, grid.shape)
        image = levels[head.parts] * (1 + rng.uniform(0, 0.15) * head.noise(6.0))
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.6))
        _insert(image, scene, to_head, tissue_levels)
    courses = [
        (part.nerve.curve.points[part.nerve.curve.s > -1]) @ pose[:3, :3].T + pose[:3, 3]
        for part in scene.sides.values()
    ]
    # A point every half a millimetre or so will do.
    sparse = [course[:: max(1, len(course) // 30)] for course in courses]
    return SyntheticHead(_scan(rng, image), grid, centre, (sparse[0], sparse[1]))


def _view(
    rng: np.random.Generator, scene: Scene, inside: bool, bare: bool
) -> tuple[Grid, NDArray[np.float64]]:
    """Draw a field of view and the pose (phantom's space to world) of the head in it."""
    kind = (
        "box" if bare else str(rng.choice(["head", "slab", "box", "any"], p=(0.15, 0.3, 0.3, 0.25)))
    )
    size = {
        "head": rng.uniform((170, 200, 150), (260, 260, 240)),
        "slab": rng.uniform(150, 250, 3),
        "box": rng.uniform((56, 44, 36), (110, 100, 90)),
        "any": rng.uniform(60, 220, 3),
    }[kind]
    if kind == "slab":
        size[rng.choice(3, p=(0.12, 0.12, 0.76))] = rng.uniform(28, 70)
    shape = np.maximum(np.rint(size / SPACING_MM), 1).astype(int)
    size = shape * SPACING_MM

    # The head lies askew in the scanner, and the scan is tilted on top of that.
    turn = Rotation.from_rotvec(np.deg2rad(rng.normal(0, (8, 4, 4))))
    tilt = rng.normal(0, (2, 1, 1), 3)
    tilt *= np.deg2rad(rng.uniform(0, 20)) / np.linalg.norm(tilt)
    axes = Rotation.from_rotvec(tilt).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = turn.as_matrix() * (rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3))
    pose[:3, 3] = rng.uniform(-30, 30, 3)

    # Where the cistern lies from the middle of the field of view, along the scan's axes.
    to_middle = pose[:3, :3] @ (np.array([0, 3, 22]) - scene_centre(scene))
    wanted = -(axes.T @ to_middle) + rng.normal(0, 12, 3) if kind == "head" else np.zeros(3)
    if kind != "head":
        wanted = rng.uniform(-0.5, 0.5, 3) * np.maximum(size - 20, 0)
    margin = 2.0 if rng.random() < 0.25 else 14.0
    off = np.clip(wanted, -size / 2 + margin, size / 2 - margin)
    if not inside:
        axis = int(np.argmin(size)) if kind == "slab" else int(rng.choice(3, p=(0.2, 0.3, 0.5)))
        beyond = rng.uniform(15, 60 if axis == 2 else 45)
        off[axis] = rng.choice([-1, 1]) * (size[axis] / 2 + beyond)
    affine = np.eye(4)
    affine[:3, :3] = axes * SPACING_MM
    centre = pose[:3, :3] @ scene_centre(scene) + pose[:3, 3]
    affine[:3, 3] = centre - axes @ (off + (shape - 1) / 2 * SPACING_MM)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine), pose


def _draw_levels(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the signal of every part, and of the phantom's tissues."""
    low, high = np.array([_LEVELS[part] for part in Part]).T
    levels = rng.uniform(low, high)
    style = rng.random()
    if style < 0.35:
        # Any contrast at all, but for dark air, bright CSF, and a brain darker than that.
        levels = rng.uniform(0, 1, len(levels))
        levels[[Part.GREY, Part.WHITE]] = rng.uniform(0.05, 0.8, 2)
        levels[[Part.AIR, Part.CSF]] = 0, rng.uniform(0.85, 1.1)
    elif style < 0.45:
        levels[[part for part in Part if part not in _BRAIN]] = 0  # the brain alone
    contrast = "ciss" if rng.random() < 0.6 else "space"
    blood = {"artery": rng.choice(["static", "void", "inflow"])} if contrast == "ciss" else None
    tissues = draw_levels(contrast, blood_states(contrast, blood), None, rng)
    tissues *= rng.uniform(0.8, 1.25, len(tissues))
    tissues[Tissue.CSF] = levels[Part.CSF]
    if style < 0.2:
        tissues[[Tissue.PONS, Tissue.NERVE_LEFT]] = rng.uniform(0.05, 0.6, 2)
        tissues[[Tissue.NERVE_RIGHT, Tissue.CN78]] = tissues[Tissue.NERVE_LEFT]
    levels[Part.STEM] = tissues[Tissue.PONS]
    if rng.random() < 0.7:
        levels[Part.WHITE] = tissues[Tissue.PONS] * rng.uniform(0.8, 1.1)
    return levels.astype(np.float32), tissues.astype(np.float32)


def _insert(image: Array, scene: Scene, to_head: Array, levels: NDArray[np.float32]) -> None:
    """Lay the phantom over the head; its CSF and its endless bone stay out."""
    box = slices_of(to_head, image.shape, np.array([0.0, 5.0, 0.0]), np.array([46.0, 36.0, 38.0]))
    grid = Grid(image.shape, to_head).cut(np.array([s.start for s in box]), image[box].shape)
    if 0 in grid.shape:
        return
    shares = class_fractions(scene, grid.affine, grid.shape, 2)
    shares[..., [Tissue.CSF, Tissue.BONE]] = 0
    image[box] = image[box] * (1 - shares.sum(-1)) + shares @ levels


def _scan(rng: np.random.Generator, image: Array) -> NDArray[np.float32]:
    """Blur, shade and spoil an image."""
    sigma = np.full(3, rng.uniform(0, 0.5))
    if rng.random() < 0.3:
        sigma[rng.choice(3, p=(0.2, 0.2, 0.6))] = rng.uniform(0.5, 1.2)  # thick slices
    image = ndimage.gaussian_filter(image, sigma)
    knots = rng.uniform(50, 120)
    image *= np.exp(rng.uniform(0, 0.35) * smooth_noise(rng, image.shape, knots))
    sd = np.exp(rng.uniform(np.log(0.005), np.log(0.08)))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sd)
    found: NDArray[np.float32] = np.abs(image) ** np.float32(np.exp(rng.normal(0, 0.2)))
    return found
