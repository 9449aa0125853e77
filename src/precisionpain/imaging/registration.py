"""Scans of the head onto the grid of SPM12 in MNI space, with a check of whether it worked."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..errors import DataWarning, FormatError, GeometryError, list_some
from ._registration.affine import align, rigid_part
from ._registration.ants import ants_register
from ._registration.check import doubts_of, measure, problems_of, rough_brain
from ._registration.spm import spm_normalise
from ._registration.template import load_template
from .files import load_image
from .grids import resample_to_grid, spm_grid

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage

__all__ = ["Registration", "checked_scan", "register_to_template"]

Method = Literal["affine", "rigid", "syn"]
Engine = Literal["auto", "native", "ants", "spm"]


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Registration:
    """A scan in MNI space, and how well it got there.

    Parameters
    ----------
    image : nibabel.nifti1.Nifti1Image
        float32, on the grid.
    brain : nibabel.nifti1.Nifti1Image
        uint8, on the grid: the brain as found without trained weights, see Notes of
        `register_to_template`.
    transform : numpy.ndarray, shape (4, 4), or None
        From mm of the MNI space to mm of the scan; of "syn" the affine part. None for SPM.
    method : str
        "affine", "rigid", "syn", or "spm12".
    engine : str
        What did it: "native", "ants" or "spm".
    quality : dict of str to float
        See `register_to_template`.
    problems : tuple of str
        Why the registration is wrong; empty when nothing refutes it.
    doubts : tuple of str
        What is worse than in most right registrations, so that the scan deserves a look.
    """

    image: Nifti1Image
    brain: Nifti1Image
    transform: np.ndarray | None
    method: str
    engine: str
    quality: Mapping[str, float]
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing refutes the registration."""
        return not self.problems

    def check(self, where: str | None = None) -> None:
        """Raise when the registration is wrong.

        Parameters
        ----------
        where : str, optional
            Name of the scan, for the message.

        Raises
        ------
        GeometryError
            With the `problems`.
        """
        if self.problems:
            raise GeometryError(
                f"the registration failed: {'; '.join(self.problems)}",
                where=where,
                remedy="look at the scan: is it T1-weighted, upright in its header, and a whole "
                "head? on_failure='flag' returns what was found",
            )

    def __repr__(self) -> str:
        size = "×".join(str(n) for n in self.image.shape)
        state = "ok" if self.ok else f"not ok: {'; '.join(self.problems)}"
        if self.doubts:
            state = f"doubtful: {'; '.join(self.doubts)}"
        return f"Registration({self.method} by {self.engine}, {size}, {state})"


def register_to_template(
    image: SpatialImage | str | Path,
    template: SpatialImage | str | Path | None = None,
    method: Method = "affine",
    engine: Engine = "auto",
    *,
    spacing_mm: float = 2.0,
    orientation: Literal["LAS", "RAS"] = "LAS",
    order: int = 1,
    spm: str | Path | None = None,
    on_failure: Literal["raise", "flag"] = "raise",
) -> Registration:
    """Bring a T1-weighted scan of a head onto the grid of SPM12 in MNI space.

    The scan may show skull and neck, and lie anywhere and tilted up to about 30 degrees. The
    header must tell the sides: no registration can, because brains are nearly symmetric.

    Parameters
    ----------
    image : nibabel image, str or Path
        A T1-weighted scan of three axes.
    template : nibabel image, str or Path, optional
        A brain in MNI space without skull, 0 outside; by default the symmetric ICBM 152
        (2009a) that nilearn brings along.
    method : {"affine", "rigid", "syn"}, default "affine"
        What may change: size and shear too, the pose alone, or every fold ("syn", by ANTs).
    engine : {"auto", "native", "ants", "spm"}, default "auto"
        What does it. "native" is this library's own alignment (affine and rigid); "ants" needs
        the extra ``ants``; "spm" runs the user's SPM12 standalone, which has a method and a
        template of its own. "auto" is "native", or "ants" for "syn": it never depends on what is
        installed, and the result names it.
    spacing_mm : float, default 2.0
        Of the grid, see `spm_grid`.
    orientation : {"LAS", "RAS"}, default "LAS"
        Of the grid.
    order : int, default 1
        Of the spline that resamples with "native".
    spm : str or Path, optional
        The executable of SPM12 standalone; by default what the environment variable
        ``SPM12_STANDALONE`` names.
    on_failure : {"raise", "flag"}, default "raise"
        What to do when the check says that the registration failed, or may have: raise or warn,
        or return the result with its `problems` and `doubts`.

    Returns
    -------
    Registration
        With ``quality``: ``template_correlation`` and ``folds_correlation`` (with the template
        within its brain, plain and after normalising by the surroundings), ``mask_dice`` (of
        the brain as found and the template's), ``fov_clipping`` (share of the brain outside
        of the scan), ``min_stretch`` and ``max_stretch`` (singular values of the affine),
        ``log_jacobian_min`` and ``log_jacobian_max``, ``left_right_gain`` (how much better the
        template fits than its mirror image; missing for a symmetric one).

    Raises
    ------
    GeometryError
        When the registration failed, the image hasn't three axes, or its header doesn't say
        where left is.
    FormatError
        When values aren't finite, the image is constant, or an option is unknown.
    MissingModalityError
        When the engine isn't installed.

    Warns
    -----
    DataWarning
        When the registration is doubtful. Of 23 scans of people from 68 to 96 years three were,
        and all three were right: look at them before leaving them out.

    Notes
    -----
    The native alignment starts below the top of the head, from twelve poses, against the
    template with a synthetic scalp; then the folds are aligned: both images are normalised by
    mean and deviation of their surroundings, and their correlation is maximised by Gauss–Newton
    steps. Where the outline of the brain may have settled on that of the head, a smaller one is
    tried, too. A rigid registration is checked together with the size that the affine one found.
    All engines give the same result on every run: nothing of the native one is random,
    and ANTs runs with one thread and a fixed seed.

    The brain is found by a threshold, by cutting thin bridges, and by the neighbourhood of the
    template's brain; it is for masking and for the check, not for volumes.

    Examples
    --------
    >>> import precisionpain as pp
    >>> done = pp.imaging.register_to_template("sub-01_T1w.nii.gz")  # doctest: +SKIP
    >>> done  # doctest: +SKIP
    Registration(affine by native, 79×95×79, ok)
    """
    if method not in get_args(Method):
        raise FormatError(f"expected one of {list_some(get_args(Method))}, found {method!r}")
    if engine not in get_args(Engine):
        raise FormatError(f"expected one of {list_some(get_args(Engine))}, found {engine!r}")
    if on_failure not in ("raise", "flag"):
        raise FormatError(f"expected on_failure 'raise' or 'flag', found {on_failure!r}")
    used = engine if engine != "auto" else ("ants" if method == "syn" else "native")
    if used == "native" and method == "syn":
        raise FormatError(
            "the native engine has no method 'syn'", remedy="use engine='ants' or 'auto'"
        )
    where = str(image) if isinstance(image, str | Path) else None
    scan = checked_scan(image, where)
    onto = load_template(template)
    grid = spm_grid(spacing_mm, orientation)
    transform: np.ndarray | None = None
    shape = np.eye(4)
    log_jacobian = None
    if used == "spm":
        moved = resample_to_grid(spm_normalise(scan, spacing_mm, spm), *grid, order=0)
    else:
        data = np.asarray(scan.dataobj, dtype=np.float32)
        transform, _ = align(data, np.asarray(scan.affine, float), onto)
        start = rigid_part(transform, onto.centre)
        shape = np.linalg.inv(start) @ transform
        if used == "native" and method == "rigid":
            transform = start
        if used == "ants":
            import nibabel

            values, transform, log_jacobian = ants_register(scan, start, onto, method, grid)
            moved = nibabel.Nifti1Image(values, grid[1])
        else:
            moved = resample_to_grid(scan, *grid, order, transform=transform)
    field = None
    if transform is not None:
        field = _field_of_view(scan, grid, transform)
    quality = measure(moved, field, onto, transform, log_jacobian)
    judged = quality
    if method == "rigid" and transform is not None:
        # A pose can't be judged by folds of another size: with the size that was found.
        sized = transform @ shape
        judged = measure(
            resample_to_grid(scan, *grid, transform=sized),
            _field_of_view(scan, grid, sized), onto, sized, None,
        )  # fmt: skip
    lattice = resample_to_grid(moved, onto.brain.shape, onto.affine)
    brain = onto.like(rough_brain(np.asarray(lattice.dataobj), onto))
    mask = np.asarray(resample_to_grid(brain, *grid).dataobj) > 0.5
    import nibabel

    found = nibabel.Nifti1Image(mask.astype(np.uint8), grid[1])
    name = "spm12" if used == "spm" else method
    done = Registration(
        moved, found, transform, name, used, quality, problems_of(judged), doubts_of(judged)
    )
    if on_failure == "raise":
        done.check(where)
        if done.doubts:
            warnings.warn(
                DataWarning(
                    f"{where or 'scan'}: the registration is doubtful, look at it: "
                    f"{'; '.join(done.doubts)}"
                ),
                stacklevel=2,
            )
    return done


def checked_scan(image: Any, where: str | None) -> Any:
    """Return a scan that has three axes, sides and finite values, or say what it lacks."""
    if isinstance(image, str | Path):
        image = load_image(image)
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[3] == 1:
        image = image.slicer[..., 0]
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < 10:
        raise GeometryError(f"expected a volume of three axes, found shape {shape}", where=where)
    header = image.header
    if "qform_code" in header and not (int(header["qform_code"]) or int(header["sform_code"])):
        raise GeometryError(
            "the header doesn't say where left is: both its qform and its sform code are 0",
            where=where,
            remedy="convert the scan anew from DICOM; no registration can tell the sides",
        )
    if not np.isfinite(np.asarray(image.dataobj, dtype=np.float32)).all():
        raise FormatError("the scan has values that aren't finite", where=where)
    return image


def _field_of_view(scan: Any, grid: tuple[Any, np.ndarray], transform: np.ndarray) -> Any:
    import nibabel

    ones = nibabel.Nifti1Image(np.ones(scan.shape, np.uint8), scan.affine)
    return resample_to_grid(ones, *grid, order=0, transform=transform)
