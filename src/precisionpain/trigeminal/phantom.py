"""A synthetic cistern: both trigeminal nerves, the pons and the vessels, with known truth."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import FormatError, GeometryError, list_some
from ._phantom.anatomy import Scene, sample_scene
from ._phantom.appearance import render
from ._phantom.options import (
    Contrast,
    Scan,
    Spacing,
    Triple,
    as_appearance,
    as_fov,
    as_oversample,
    as_spacing,
    as_triple,
)
from ._phantom.parameters import read_overrides
from ._phantom.raster import class_fractions, grid_of, nerve_direction
from ._phantom.surgery import decompress
from ._phantom.tissue import to_label_fractions
from ._phantom.truth import measure_scene
from .anatomy import SIDES, Label

if TYPE_CHECKING:
    from ._phantom.dti import DiffusionScan

__all__ = ["Cistern", "simulate_cistern"]

RandomState = int | np.random.Generator | None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cistern:
    """A scan of a synthetic cerebellopontine cistern, and what is true of it.

    Parameters
    ----------
    image : nibabel.Nifti1Image of float32
        The scan, CSF at about 1 (artery at about 1 for ``"tof"``).
    labels : nibabel.Nifti1Image of uint8
        The tissue that fills most of each voxel, as `Label`.
    fractions : nibabel.Nifti1Image of float32
        Four-dimensional: share of each `Label` in each voxel, summing to 1.
    truth : pandas.DataFrame
        One row per side (index ``side``); columns in Notes.
    profile : pandas.DataFrame
        Sections along both nerves: ``side``, ``s_mm``, ``area_mm2``, ``undented_area_mm2``,
        semi-axes ``major_mm`` and ``minor_mm`` by second moments, ``curvature_per_mm``.
    anatomy : dict
        What was drawn: ``shared``, ``left``, ``right``. Plain numbers and text.
    scan : dict
        What was drawn for the image and the grid. Plain numbers and text.
    synthetic : bool
        Always true.

    Notes
    -----
    Positions along the nerve are arc length s of the (displaced) centreline, 0 where it leaves
    the pons and L at the flat end, the porus of Meckel's cave. All is measured on the surfaces
    themselves, none of it on voxels. Columns of ``truth``, lengths in mm:

    volume_mm3
        Of the nerve outside the pons, up to L.
    length_mm
        L.
    mean_area_mm2, min_area_mm2, min_area_position_mm
        Sections normal to the centreline, over s from 0 to L. Near the pons they are counted
        whole, as if the nerve went on inside it.
    flattening
        Mean of 1 − b/a, where a and b are the semi-axes of the ellipse that has the second
        moments of the section.
    angle_deg
        Trigemino-pontine angle, between the tangent at s = 0 and the pons surface.
    gap_mm
        Smallest signed distance between the nerve and a vessel. NaN, like all that tells of
        the vessel, when there is none within 6 mm.
    contact_area_mm2, contact_area_0_mm2, contact_area_1_mm2
        Nerve surface within 0.5 mm (0, 1.0 mm) of a vessel. That of 0 is the floor of a groove
        in which the vessel lies without a gap, less up to half a cell of the mesh (0.05 mm)
        along its rim.
    contact_length_mm, contact_position_mm, contact_proximal_mm, contact_arc_fraction, n_contacts
        The patch of 0.5 mm: length of s that it covers, its centroid and its least s, the
        largest share of a section's perimeter, and its connected parts.
    vessel, vessel_diameter_mm, crossing_angle_deg
        "artery" or "vein", of the vessel with the largest patch, else the nearest; calibre and
        angle between the tangents where it comes closest.
    displacement_mm
        Largest distance of the centreline from its undeformed course.
    indentation_mm, area_loss_percent
        Largest depth of the dented below the undented surface, and largest share of a section
        that the dent takes.
    sindou_grade
        0 for a gap above 0.5 mm; 3 for an indentation of at least 0.2 mm, 2 for a displacement
        of at least 0.3 mm, else 1.
    curvature_per_mm, tortuosity
        Mean curvature of the centreline; its length over its chord.
    """

    image: nib.Nifti1Image
    labels: nib.Nifti1Image
    fractions: nib.Nifti1Image
    truth: pd.DataFrame
    profile: pd.DataFrame
    anatomy: dict[str, Any]
    scan: dict[str, Any]
    synthetic: bool = True
    _scene: Scene | None = None
    _how: Scan | None = None

    def __repr__(self) -> str:
        size = " × ".join(str(n) for n in self.labels.shape)
        spacing = " × ".join(f"{z:g}" for z in self.labels.header.get_zooms()[:3])
        lines = [f"Cistern (synthetic): {size} voxels of {spacing} mm, {self.scan['contrast']}"]
        for side in SIDES:
            own = self.truth.loc[side]
            what = "no vessel near"
            if own["vessel"] is not None:
                what = (
                    f"{own['vessel']} at {round(own['gap_mm'], 2) + 0.0:.2f} mm, contact "
                    f"{own['contact_area_mm2']:.1f} mm², Sindou {own['sindou_grade']}"
                )
            lines.append(
                f"  {side}: {own['length_mm']:.1f} mm, {own['volume_mm3']:.0f} mm³; {what}"
            )
        return "\n".join(lines)

    def rescan(
        self,
        random_state: RandomState = None,
        *,
        spacing: Spacing | None = None,
        contrast: Contrast | None = None,
        snr: float | Literal["same"] | None = "same",
        rotation_deg: Triple | None = None,
        fov_mm: Triple | None = None,
        oversample: int | None = None,
        appearance: Mapping[str, Any] | None = None,
    ) -> Cistern:
        """Scan the same anatomy again: another pose of the grid, another noise.

        Parameters
        ----------
        random_state : int, numpy.random.Generator or None
            Of the pose and the image.
        spacing, contrast, snr, fov_mm, oversample, appearance : optional
            As in `simulate_cistern`; what isn't given stays as it was (``snr="same"``).
        rotation_deg : tuple of three floats, optional
            Drawn within 8 degrees about each axis when it isn't given.

        Returns
        -------
        Cistern
            With the same ``truth`` and ``anatomy``.

        Examples
        --------
        >>> first = simulate_cistern(0, spacing=1.0, oversample=2)
        >>> second = first.rescan(1)
        >>> first.truth.equals(second.truth), bool((first.labels.affine == second.labels.affine).all())
        (True, False)
        """  # noqa: E501
        scene, how = self._parts()
        rng = np.random.default_rng(random_state)
        pose = rotation_deg
        if pose is None:
            a, b, c = (float(v) for v in rng.uniform(-8, 8, 3))
            pose = (a, b, c)
        new = dataclasses.replace(
            how,
            spacing=how.spacing if spacing is None else as_spacing(spacing),
            contrast=contrast or how.contrast,
            snr=how.snr if snr == "same" else snr,
            rotation_deg=as_triple(pose, "rotation_deg"),
            fov_mm=how.fov_mm if fov_mm is None else as_fov(fov_mm),
            oversample=how.oversample if oversample is None else as_oversample(oversample),
            appearance=how.appearance if appearance is None else as_appearance(appearance),
        )
        return _scan(scene, new, rng, self.truth, self.profile)

    def decompressed(self, random_state: RandomState = None) -> Cistern:
        """Return the cistern after a microvascular decompression of every compressed nerve.

        The vessel lies 1.5 to 4 mm off, held by a pad of Teflon; the nerve is back on its
        undeformed course, and its dent has partly filled. The pose is a new one.

        Parameters
        ----------
        random_state : int, numpy.random.Generator or None
            Of how far the vessel is moved, how much the dent recovers, pose and image.

        Returns
        -------
        Cistern
            With its own ``truth``; ``anatomy[side]["decompression"]`` says what was done.

        Raises
        ------
        GeometryError
            When no nerve is compressed, or there is no room for the vessel.

        Examples
        --------
        >>> before = simulate_cistern(3, spacing=1.0, oversample=2, compression="indented")
        >>> after = before.decompressed(0)
        >>> bool((after.truth["gap_mm"] > 1).all()), after.truth["sindou_grade"].tolist()
        (True, [0, 0])
        """
        scene, how = self._parts()
        rng = np.random.default_rng(random_state)
        operated = decompress(scene, rng)
        truth, profile = measure_scene(operated)
        return _scan(operated, how, rng, truth, profile)

    def diffusion(self, random_state: RandomState = None, **options: Any) -> DiffusionScan:
        """Return a diffusion scan of the same anatomy, with known tensors.

        Parameters
        ----------
        random_state : int, numpy.random.Generator or None
            Of the drawn tensors and of the noise.
        **options
            ``spacing`` (default 2.0 mm), ``b_value`` (1000 s/mm²), ``n_directions`` (32),
            ``n_b0`` (4), ``fa`` and ``md`` (µm²/ms) of the nerves, a number or by side,
            ``s0`` by tissue, ``snr`` of the pons (25; None for no noise), ``epi_shift_mm`` (0)
            along ``phase_axis`` (1).

        Returns
        -------
        DiffusionScan
            ``image`` (4-D), ``gradients``, ``fractions`` of the tissues in its voxels,
            ``truth`` (FA, MD, AD and RD by side), ``drawn``.

        Raises
        ------
        FormatError
            For an unknown option, or one out of range.

        Examples
        --------
        >>> cistern = simulate_cistern(0, spacing=1.0, oversample=2)
        >>> scan = cistern.diffusion(0, fa=0.5, n_directions=12)
        >>> scan.image.shape[3]
        16
        """
        from ._phantom.dti import simulate_dwi

        parameters = inspect.signature(simulate_dwi).parameters.values()
        known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "rng"]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise FormatError(
                f"unknown option {list_some(unknown)}", remedy=f"known are {', '.join(known)}"
            )
        return simulate_dwi(
            self.tissue_fractions(),
            self.labels.affine,
            self.nerve_direction(),
            rng=np.random.default_rng(random_state),
            **options,
        )

    def tissue_fractions(self) -> NDArray[np.float32]:
        """Return the share of every tissue, distractors included, in each voxel.

        Returns
        -------
        numpy.ndarray of float32, shape (nx, ny, nz, 12)
            Last axis: CSF, pons, left and right nerve, artery, vein, CN VII/VIII, Meckel's
            cave, tumour, plaque, Teflon, bone. Computed anew at every call.

        Examples
        --------
        >>> cistern = simulate_cistern(0, spacing=2.0, oversample=2)
        >>> cistern.tissue_fractions().shape
        (30, 22, 18, 12)
        """
        scene, how = self._parts()
        return class_fractions(scene, self.labels.affine, self.labels.shape, how.oversample)

    def nerve_direction(self) -> NDArray[np.float32]:
        """Return the direction of the nerve in the voxels at and around it.

        Returns
        -------
        numpy.ndarray of float32, shape (nx, ny, nz, 3)
            Unit tangent of the nearest nerve's centreline, in RAS+; zero far from the nerves.

        Examples
        --------
        >>> cistern = simulate_cistern(0, spacing=2.0, oversample=2)
        >>> cistern.nerve_direction().shape
        (30, 22, 18, 3)
        """
        scene, _ = self._parts()
        return nerve_direction(scene, self.labels.affine, self.labels.shape)

    def _parts(self) -> tuple[Scene, Scan]:
        if self._scene is None or self._how is None:
            raise GeometryError(
                "this cistern doesn't know its surfaces", remedy="make it with simulate_cistern"
            )
        return self._scene, self._how


def simulate_cistern(
    random_state: RandomState = 0,
    spacing: Spacing = (0.5, 0.5, 0.5),
    *,
    contrast: Contrast = "ciss",
    snr: float | None = 30.0,
    rotation_deg: Triple = (0.0, 0.0, 0.0),
    fov_mm: Triple = (60.0, 44.0, 36.0),
    oversample: int = 4,
    appearance: Mapping[str, Any] | None = None,
    **anatomy: Any,
) -> Cistern:
    """Simulate a scan of both trigeminal nerves whose anatomy is known exactly.

    Parameters
    ----------
    random_state : int, numpy.random.Generator or None, default 0
        The same one gives the same cistern.
    spacing : float or tuple of three floats, default 0.5
        Voxel size, mm.
    contrast : {"ciss", "space", "tof"}, default "ciss"
        Kind of scan.
    snr : float, optional
        Signal of the CSF over the noise, default 30; None for no noise.
    rotation_deg : tuple of three floats, default (0, 0, 0)
        Turns the grid about x, then y, then z (an oblique scan). The anatomy stays.
    fov_mm : tuple of three floats, default (60, 44, 36)
        Size of the box, which is centred on the nerves and shifted by less than a voxel.
    oversample : int, default 4
        Points along each edge of a voxel that a surface passes; half as many again at nerves.
    appearance : mapping, optional
        Further options of the image: bias, banding, motion, ghost, zero_fill, blood, levels.
    **anatomy
        Overrides of what is drawn, one value for both sides or a dict by side. For each nerve
        ``length_mm`` (of the undeformed course), ``semi_major_mm``, ``semi_minor_mm``,
        ``taper``, ``curvature_per_mm``, ``curvature_plane_deg``, ``roll_deg``, ``angle_deg``,
        ``atrophy`` (share of the area), ``compression`` ("none", "contact", "displaced",
        "indented"), ``vessel`` ("sca", "aica", "vein" or None), ``vessel_diameter_mm``,
        ``crossing_position_mm``, ``position_angle_deg`` (from superior towards medial),
        ``crossing_angle_deg``, ``vessel_curvature_per_mm``, ``gap_mm`` (negative: how far the
        vessel presses into the nerve), ``displacement_mm``, ``indentation_mm``, ``blend_mm``,
        ``second_vessel``, ``petrosal_vein``, ``plaque``; for both together
        ``pons_radii_mm``, ``nerve_distance_mm``, ``basilar_diameter_mm``, ``tumour`` (a side or
        None), ``cn78``, ``bone``.

    Returns
    -------
    Cistern
        Image, labels, partial volumes and truth.

    Raises
    ------
    FormatError
        For an unknown parameter, one out of its range, or some that contradict each other.
    GeometryError
        When no anatomy fits the overrides, or the grid makes no sense.

    Notes
    -----
    Every structure is a signed distance function in RAS+ mm. The nerve is an elliptical tube
    (rotation-minimising frame) round a circular arc; a vessel pushes the arc aside by a raised
    cosine, or carves the surface by a smooth maximum. Ranges follow published morphometry:
    Peker et al., Neurosurgery 59, 354 (2006), for the root; Sindou et al., J Neurosurg 107,
    1144 (2007), for the grades.

    Examples
    --------
    >>> cistern = simulate_cistern(0, spacing=1.0, oversample=2, compression="contact", gap_mm=0.2)
    >>> cistern.truth["gap_mm"].round(2).tolist(), cistern.truth["sindou_grade"].tolist()
    ([0.2, 0.2], [1, 1])
    >>> cistern.labels.shape
    (60, 44, 36)
    """
    how = Scan(
        spacing=as_spacing(spacing),
        contrast=contrast,
        snr=snr,
        rotation_deg=as_triple(rotation_deg, "rotation_deg"),
        fov_mm=as_fov(fov_mm),
        oversample=as_oversample(oversample),
        appearance=as_appearance(appearance or {}),
    )
    shared, sides = read_overrides(anatomy)
    rng = np.random.default_rng(random_state)
    scene = sample_scene(rng, shared, sides)
    truth, profile = measure_scene(scene)
    return _scan(scene, how, rng, truth, profile)


def _scan(
    scene: Scene,
    how: Scan,
    rng: np.random.Generator,
    truth: pd.DataFrame,
    profile: pd.DataFrame,
) -> Cistern:
    shift = rng.uniform(-0.5, 0.5, 3) * how.spacing
    shape, affine = grid_of(scene, how.spacing, how.fov_mm, how.rotation_deg, shift)
    tissues = class_fractions(scene, affine, shape, how.oversample)
    pixels, drawn = render(
        tissues, affine, contrast=how.contrast, rng=rng, snr=how.snr, **how.appearance
    )
    fractions = to_label_fractions(tissues)
    scan = {
        "spacing_mm": list(how.spacing),
        "rotation_deg": list(how.rotation_deg),
        "shift_mm": [float(v) for v in shift],
        "oversample": how.oversample,
        **drawn,
    }
    return Cistern(
        image=_nifti(pixels, affine),
        labels=_nifti(_most(fractions), affine),
        fractions=_nifti(fractions, affine),
        truth=truth.copy(),
        profile=profile.copy(),
        anatomy=copy.deepcopy(scene.params),
        scan=scan,
        _scene=scene,
        _how=how,
    )


def _nifti(voxels: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    return image


def _most(fractions: np.ndarray) -> np.ndarray:
    """Return the label with the largest share; where it ties with background, the structure."""
    order = [*(int(label) for label in Label if label != Label.BACKGROUND), int(Label.BACKGROUND)]
    winner = np.argmax(fractions[..., order], axis=-1)
    return np.asarray(order, dtype=np.uint8)[winner]
