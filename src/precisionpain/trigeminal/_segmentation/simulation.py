"""Scans to learn from that nobody had to annotate: phantoms under many looks."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from ...errors import FormatError
from .._phantom.anatomy import sample_scene
from .._phantom.appearance import draw_options, render
from .._phantom.levels import blood_states, draw_levels
from .._phantom.parameters import read_overrides
from .._phantom.raster import class_fractions, grid_of
from .._phantom.tissue import LABEL_OF, Tissue
from ..anatomy import SIDES, Label, Side
from .grids import Grid, normalise, resample

__all__ = ["SimulatedCisterns"]

Array = NDArray[Any]

# What may lie about in the cistern of a patient and isn't asked for.
_CLUTTER = (Tissue.BONE, Tissue.TUMOUR, Tissue.CAVE, Tissue.CN78, Tissue.TEFLON)
_CLEARANCE_MM = 2.0


class SimulatedCisterns:
    """Phantoms of the cistern with randomised contrast, resolution, noise and surroundings.

    Anatomies are drawn once and kept as tissue fractions; every `draw` scans one of them
    anew. Everything is synthetic. Half of them look like a good scan, with an SNR from 20 to
    60 and mild artefacts: borders are learned from these. The others are wider than any good
    scan: levels of each tissue off by 20%, thick slices along any axis, noise to an SNR of 10,
    bias, bands, motion, ghosts, blur, and clutter where a real head has bone, cerebellum and
    other nerves.

    Parameters
    ----------
    n_scans : int, default 160
        Anatomies.
    random_state : int, default 0
        Their seed. The phantom of `simulate_cistern` with the same number is another one.
    spacing_mm : float, default 0.5
        Voxel size of what is drawn.
    contrasts : sequence of sequences of str, default (("ciss", "space"),)
        For each channel the kinds of scan that it may be.
    good : float, default 0.5
        Share of the draws that look like a good scan.
    thin : float, default 0
        Share of the anatomies whose vessels at the nerves are thin, 0.5 to 1.2 mm, and mostly
        touch or nearly do: these are the hardest to find.
    n_jobs : int, optional
        Processes that draw the anatomies, as joblib takes it.

    Examples
    --------
    >>> scans = SimulatedCisterns(1, spacing_mm=1.5)
    >>> image, target = scans.draw(0, np.random.default_rng(0), classes=[(0,), (2, 3)])
    >>> image.shape[1:] == target.shape[1:], target.shape[0]
    (True, 2)
    """

    def __init__(
        self,
        n_scans: int = 160,
        random_state: int = 0,
        *,
        spacing_mm: float = 0.5,
        contrasts: Sequence[Sequence[str]] = (("ciss", "space"),),
        good: float = 0.5,
        thin: float = 0.0,
        n_jobs: int | None = None,
    ) -> None:
        if n_scans < 1:
            raise FormatError(f"expected at least one anatomy, found n_scans={n_scans}")
        for where, share in (("good", good), ("thin", thin)):
            if not 0 <= share <= 1:
                raise FormatError(f"expected a share from 0 to 1, found {share!r}", where=where)
        from joblib import Parallel, delayed

        self.n_scans = n_scans
        self.random_state = random_state
        self.spacing_mm = spacing_mm
        self.contrasts = tuple(tuple(kinds) for kinds in contrasts)
        self.good = good
        self.thin = thin
        seeds = np.random.SeedSequence([_STREAM, random_state]).spawn(n_scans)
        self._anatomies: list[_Packed] = Parallel(n_jobs=n_jobs)(
            delayed(_anatomy)(seed, spacing_mm, thin) for seed in seeds
        )

    def __len__(self) -> int:
        return self.n_scans

    @property
    def subject_ids(self) -> list[str]:
        """Names of the anatomies."""
        return [f"simulated-{self.random_state}-{i}" for i in range(self.n_scans)]

    @property
    def grids(self) -> list[Grid]:
        """Where the voxels of each anatomy lie."""
        return [anatomy.grid for anatomy in self._anatomies]

    @property
    def usual(self) -> SimulatedCisterns:
        """The same anatomies, all of them in good scans."""
        good = copy.copy(self)
        good.good = 1.0
        return good

    @property
    def fingerprint(self) -> str:
        """What the scans depend on."""
        of_anatomies = (self.n_scans, self.random_state, self.spacing_mm, self.thin)
        return f"simulated {(*of_anatomies, self.contrasts, self.good)}"

    def draw(
        self, index: int, rng: np.random.Generator, *, classes: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scan one of the anatomies.

        Parameters
        ----------
        index : int
            Which.
        rng : numpy.random.Generator
            Of the look.
        classes : sequence of sequences of int
            Values of `Label` that make up each class of the target; the first is background,
            and takes what the others leave.

        Returns
        -------
        image : numpy.ndarray of float32, shape (channels, x, y, z)
            Normalised.
        target : numpy.ndarray of float32, shape (classes, x, y, z)
            Share of each class in each voxel.
        """
        shares, grid = self._anatomies[index].shares(), self._anatomies[index].grid
        good = rng.random() < self.good
        if rng.random() < (0.3 if good else 0.6):
            _add_clutter(shares, rng, self.spacing_mm)
        pooled, coarse = shares, grid
        if not good and rng.random() < 0.6:
            axis = int(rng.choice(3, p=(0.2, 0.2, 0.6)))
            pooled, coarse = _thick_slices(shares, grid, axis, int(rng.integers(2, 4)))
        look = _good_scan if good else _any_scan
        channels = [
            normalise(resample(look(pooled, coarse, kinds, rng), coarse, grid))
            for kinds in self.contrasts
        ]
        target = np.empty((len(classes), *grid.shape), dtype=np.float32)
        for k, values in enumerate(classes[1:], start=1):
            own = [t for t in Tissue if LABEL_OF.get(t, Label.BACKGROUND) in values]
            target[k] = shares[..., own].sum(axis=-1)
        # Also the structures that nobody asks for.
        target[0] = np.maximum(1 - target[1:].sum(axis=0), 0)
        # What else is in the field of view moves mean and spread.
        moved = [
            channel * np.float32(np.exp(rng.normal(0, 0.15))) + np.float32(rng.normal(0, 0.2))
            for channel in channels
        ]
        return np.stack(moved), target


# Keeps these anatomies apart from those of simulate_cistern(0), simulate_cistern(1)…
_STREAM = 20_260


class _Packed(NamedTuple):
    """Tissue fractions of an anatomy (of 255), squeezed: most voxels are of one tissue alone."""

    data: bytes
    grid: Grid

    def shares(self) -> NDArray[np.float32]:
        """Return the fractions (x, y, z, tissues), which sum to 1."""
        flat = np.frombuffer(zlib.decompress(self.data), dtype=np.uint8)
        fractions = flat.reshape(len(Tissue), *self.grid.shape)
        shares = np.ascontiguousarray(np.moveaxis(fractions, 0, -1), dtype=np.float32)
        shares /= shares.sum(axis=-1, keepdims=True)
        return shares


def _anatomy(seed: np.random.SeedSequence, spacing_mm: float, thin: float) -> _Packed:
    """Draw an anatomy in a random pose."""
    rng = np.random.default_rng(seed)
    # Nothing is drawn without thin ones, so that the anatomies of a seed stay as they were.
    fixed = _thin_vessels(rng) if thin > 0 and rng.random() < thin else {}
    scene = sample_scene(rng, *read_overrides(fixed))
    a, b, c = (float(v) for v in rng.normal(0, 8, 3))
    field = tuple(float(v) for v in rng.uniform((54, 36, 30), (70, 52, 44)))
    spacing = (spacing_mm, spacing_mm, spacing_mm)
    shift = rng.uniform(-4, 4, 3)
    shape, affine = grid_of(scene, spacing, field, (a, b, c), shift)  # type: ignore[arg-type]
    fractions = np.rint(255 * class_fractions(scene, affine, shape, 4)).astype(np.uint8)
    squeezed = zlib.compress(np.moveaxis(fractions, -1, 0).tobytes(), 1)
    x, y, z = (int(n) for n in shape)
    return _Packed(squeezed, Grid((x, y, z), affine))


def _thin_vessels(rng: np.random.Generator) -> dict[str, dict[Side, Any]]:
    """Draw what makes the vessels at both nerves thin. Deep dents need thicker ones."""
    kinds = rng.choice(("none", "contact", "displaced"), len(SIDES), p=(0.3, 0.4, 0.3))
    return {
        "compression": {side: str(kind) for side, kind in zip(SIDES, kinds, strict=True)},
        "vessel_diameter_mm": {side: float(rng.uniform(0.5, 1.2)) for side in SIDES},
    }


def _add_clutter(shares: Array, rng: np.random.Generator, spacing_mm: float) -> None:
    """Fill part of the CSF that is clear of all structures with other tissue, in place."""
    structure = 1 - shares[..., [Tissue.CSF, *_CLUTTER]].sum(axis=-1)
    reach = 2 * round(_CLEARANCE_MM / spacing_mm) + 1
    clear = ndimage.maximum_filter(structure, size=reach) < 0.01
    shape = np.array(structure.shape)
    for tissue in rng.choice(_CLUTTER, size=int(rng.integers(1, 4)), replace=False):
        # Blobs and sheets: a random field, smooth at 3 to 10 mm, above a threshold.
        size = rng.uniform(3, 10, 3) / spacing_mm
        knots = np.maximum(np.ceil(shape / size).astype(int) + 3, 4)
        coarse = rng.standard_normal(knots)
        zoom = (knots - 1) / np.maximum(shape - 1, 1) * rng.uniform(0.7, 1.0)
        field = ndimage.affine_transform(
            coarse, zoom, output_shape=tuple(shape), order=2, mode="nearest", output=np.float32
        )
        threshold = np.quantile(field.ravel()[::50], rng.uniform(0.5, 0.95))
        edge = expit((field - threshold) * np.float32(rng.uniform(4, 30)))
        taken = shares[..., Tissue.CSF] * edge * clear
        shares[..., tissue] += taken
        shares[..., Tissue.CSF] -= taken


def _thick_slices(shares: Array, grid: Grid, axis: int, factor: int) -> tuple[Array, Grid]:
    """Average neighbours along an axis, as a scan with thicker slices does."""
    n = grid.shape[axis] // factor
    cut = np.take(shares, range(n * factor), axis=axis)
    shape = list(cut.shape)
    shape[axis : axis + 1] = [n, factor]
    pooled = cut.reshape(shape).mean(axis=axis + 1)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
    affine[:3, axis] *= factor
    x, y, z = pooled.shape[:3]
    return pooled, Grid((x, y, z), affine)


def _levels(
    options: dict[str, Any], spread: float, rng: np.random.Generator
) -> dict[Tissue | str, float]:
    """Draw the signal of each tissue, off from the usual by a relative spread."""
    states = blood_states(options["contrast"], options.get("blood"))
    levels = draw_levels(options["contrast"], states, None, rng)
    off = np.exp(rng.normal(0, spread, len(Tissue)))
    off[[Tissue.NERVE_RIGHT, Tissue.CN78]] = off[Tissue.NERVE_LEFT]
    return {tissue.name: float(levels[tissue] * off[tissue]) for tissue in Tissue}


def _good_scan(shares: Array, grid: Grid, kinds: Sequence[str], rng: np.random.Generator) -> Array:
    """Return a scan as a good one is: some noise, mild artefacts."""
    options = draw_options(rng, str(rng.choice(list(kinds))))  # type: ignore[arg-type]
    options |= {
        "snr": float(np.exp(rng.uniform(np.log(20), np.log(60)))),
        "bias": float(rng.uniform(0, 0.2)),
        "ghost": float(rng.uniform(0, 0.08)),
        "zero_fill": 1.0,
        "motion": (float(rng.uniform(0, 0.5)), float(rng.uniform(0, 0.8))),
    }
    if "banding" in options:
        options["banding"] = min(options["banding"], float(rng.uniform(0, 0.15)))
    pixels, _ = render(shares, grid.affine, rng=rng, levels=_levels(options, 0.05, rng), **options)
    return np.maximum(pixels, 0) ** np.float32(np.exp(rng.normal(0, 0.03)))


def _any_scan(shares: Array, grid: Grid, kinds: Sequence[str], rng: np.random.Generator) -> Array:
    """Return a scan that may be worse than any that is used."""
    options = draw_options(rng, str(rng.choice(list(kinds))))  # type: ignore[arg-type]
    if rng.random() < 0.5:  # half of the scans are free of motion, ghosts and bands
        options = {k: v for k, v in options.items() if k not in ("motion", "ghost", "banding")}
    spread = 0.2 if rng.random() < 0.5 else 0.05
    pixels, _ = render(
        shares, grid.affine, rng=rng, levels=_levels(options, spread, rng), **options
    )
    if rng.random() < 0.2:
        pixels = ndimage.gaussian_filter(pixels, rng.uniform(0.3, 0.8))
    # Scanners sharpen and compress: a monotone change of the levels keeps the labels true.
    return np.maximum(pixels, 0) ** np.float32(np.exp(rng.normal(0, 0.15)))
