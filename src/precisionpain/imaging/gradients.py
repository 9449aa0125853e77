"""The gradient table of a diffusion scan: b-values, directions, and the frame they stand in."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError, GeometryError, MissingModalityError, StorageError, list_some

__all__ = ["Gradients", "read_gradients"]

Array = NDArray[np.float64]

# Files are written with two to six decimals; a length off by more has another meaning, for
# example a b-value coded into the vector.
_LENGTH_TOLERANCE = 0.02
# Scanners repeat a direction, or its opposite, with small differences of rounding.
_SAME_DIRECTION = np.cos(np.deg2rad(2.0))


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Gradients:
    """b-values and directions of the volumes of one diffusion scan.

    Parameters
    ----------
    bvals : array_like of shape (n,)
        b-values, s/mm².
    bvecs : array_like of shape (n, 3)
        Unit vectors in FSL's convention: along the voxel axes of the image, the first one
        mirrored when the affine's determinant is positive (a right-handed array). Volumes
        without diffusion weighting may hold anything, also NaN; they become zero vectors
        unless they are unit vectors.
    b0_threshold : float, default 50
        Volumes with a b-value up to this count as not diffusion-weighted, s/mm²: scanners
        write 1.25, 5 or 15 where they apply no weighting that matters.
    source : str, optional
        Where the table comes from, for messages.

    Raises
    ------
    FormatError
        When numbers are missing or negative, the counts differ, or a diffusion-weighted
        volume has no unit vector.

    Examples
    --------
    >>> table = Gradients([1.25, 1000, 1000], [[np.nan] * 3, [1, 0, 0], [0, 0.6, 0.8]])
    >>> table
    Gradients(3 volumes: 1 b0, 2 at b = 1000)
    >>> table.world(np.diag([2, 2, 2, 1]))[1].tolist()  # right-handed: the first axis turns
    [-1.0, 0.0, 0.0]
    """

    bvals: Array
    bvecs: Array
    b0_threshold: float = 50.0
    source: str | None = None

    def __post_init__(self) -> None:
        bvals = np.array(self.bvals, dtype=float)
        bvecs = np.array(self.bvecs, dtype=float)
        if bvals.ndim != 1 or bvals.size == 0:
            raise FormatError(
                f"expected b-values of shape (n,), found {bvals.shape}", where=self.source
            )
        if bvecs.shape != (len(bvals), 3):
            raise FormatError(
                f"{len(bvals)} b-values need directions of shape ({len(bvals)}, 3), found "
                f"{bvecs.shape}",
                where=self.source,
            )
        bad = np.flatnonzero(~(np.isfinite(bvals) & (bvals >= 0)))
        if bad.size:
            raise FormatError(
                f"expected b-values of 0 s/mm² and above, found {bvals[bad[0]]:g} (volume "
                f"{bad[0]}, counted from 0)",
                where=self.source,
            )
        weighted = bvals > self.b0_threshold
        length = np.linalg.norm(bvecs, axis=1)
        unit = np.abs(length - 1) <= _LENGTH_TOLERANCE  # False for NaN
        bad = np.flatnonzero(weighted & ~unit)
        if bad.size:
            raise _no_unit_vector(bad, bvals, bvecs, self.source)
        bvecs[unit] /= length[unit, None]
        bvecs[~unit] = 0.0
        bvals.setflags(write=False)
        bvecs.setflags(write=False)
        object.__setattr__(self, "bvals", bvals)
        object.__setattr__(self, "bvecs", bvecs)

    def __len__(self) -> int:
        return len(self.bvals)

    def __repr__(self) -> str:
        parts = [f"{int(self.is_b0.sum())} b0"]
        parts += [f"{count} at b = {value:.0f}" for value, count in self.shells.items()]
        return f"Gradients({len(self)} volumes: {', '.join(parts)})"

    @property
    def is_b0(self) -> NDArray[np.bool_]:
        """Which volumes count as not diffusion-weighted, shape (n,)."""
        return self.bvals <= self.b0_threshold

    @property
    def shells(self) -> dict[float, int]:
        """Mean b-value (s/mm²) and number of volumes of each shell, b0 apart.

        b-values that differ by less than 10% of the larger one, or by 100 s/mm², are one shell.
        """
        values = np.sort(self.bvals[~self.is_b0])
        if values.size == 0:
            return {}
        steps = np.diff(values)
        starts = np.flatnonzero(steps > np.maximum(100.0, 0.1 * values[1:])) + 1
        return {float(group.mean()): len(group) for group in np.split(values, starts)}

    @property
    def n_directions(self) -> int:
        """Number of different directions; a direction and its opposite are one."""
        vectors = self.bvecs[~self.is_b0]
        alike = np.abs(vectors @ vectors.T) > _SAME_DIRECTION
        # A direction counts unless an earlier one is the same.
        return int(sum(not alike[i, :i].any() for i in range(len(vectors))))

    @property
    def condition_number(self) -> float:
        """How much the directions magnify noise in the tensor; infinite without six of them.

        The condition number of the matrix that takes the six elements of the tensor to the
        diffusivities along the directions (Skare et al., Journal of Magnetic Resonance 147,
        340, 2000). Schemes in use lie between 1.3 and 10.
        """
        x, y, z = self.bvecs[~self.is_b0].T
        rows = np.column_stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z])
        if len(rows) < 6:
            return np.inf
        singular = np.linalg.svd(rows, compute_uv=False)
        return float(singular[0] / singular[-1]) if singular[-1] > 1e-12 else np.inf

    def world(self, affine: ArrayLike) -> Array:
        """Return the directions in the frame of the world (RAS+).

        Parameters
        ----------
        affine : array_like of shape (4, 4)
            Voxel to world, mm, of the image that the directions belong to.

        Returns
        -------
        numpy.ndarray of shape (n, 3)
            Unit vectors, zero where `bvecs` are.

        Raises
        ------
        GeometryError
            When the affine isn't invertible.
        """
        turn, flip = _frame(affine)
        return (self.bvecs * flip) @ turn.T

    @classmethod
    def from_world(
        cls,
        bvals: ArrayLike,
        directions: ArrayLike,
        affine: ArrayLike,
        *,
        b0_threshold: float = 50.0,
        source: str | None = None,
    ) -> Gradients:
        """Make a table from directions in the frame of the world.

        Parameters
        ----------
        bvals : array_like of shape (n,)
            b-values, s/mm².
        directions : array_like of shape (n, 3)
            Unit vectors, RAS+.
        affine : array_like of shape (4, 4)
            Voxel to world, mm, of the image.
        b0_threshold, source
            As for the class.

        Returns
        -------
        Gradients

        Raises
        ------
        FormatError, GeometryError
            As the class and `world` do.

        Examples
        --------
        >>> affine = np.diag([-2.0, 2, 2, 1])
        >>> Gradients.from_world([0, 1000], [[0, 0, 0], [1, 0, 0]], affine).bvecs[1].tolist()
        [-1.0, 0.0, 0.0]
        """
        turn, flip = _frame(affine)
        bvecs = (np.asarray(directions, dtype=float) @ turn) * flip
        return cls(np.asarray(bvals, dtype=float), bvecs, b0_threshold, source)


def _frame(affine: ArrayLike) -> tuple[Array, Array]:
    """Return the rotation from voxel axes to the world, and the signs of FSL's convention."""
    matrix = np.asarray(affine, dtype=float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(f"expected an affine of shape (4, 4), found {matrix.shape}")
    matrix = matrix[:3, :3]
    if np.linalg.matrix_rank(matrix) < 3:
        raise GeometryError("the affine is not invertible: its determinant is zero")
    axes = matrix / np.linalg.norm(matrix, axis=0)
    left, _, right = np.linalg.svd(axes)
    flip = np.array([-1.0 if np.linalg.det(matrix) > 0 else 1.0, 1.0, 1.0])
    return left @ right, flip  # the closest matrix without shear


def _no_unit_vector(
    bad: NDArray[np.intp], bvals: Array, bvecs: Array, source: str | None
) -> FormatError:
    first = int(bad[0])
    found = np.linalg.norm(bvecs[first])
    which = f"volume {first} (counted from 0; b = {bvals[first]:g})"
    others = f", and {len(bad) - 1} more volumes" if len(bad) > 1 else ""
    if found == 0 or not np.isfinite(found):
        return FormatError(
            f"{which} is diffusion-weighted but has no direction{others}",
            where=source,
            remedy="leave it out of the image and of both tables if it is a trace-weighted or "
            "ADC volume; else take the directions from the DICOM files again",
        )
    return FormatError(
        f"{which}: expected a direction of length 1, found {found:.3f}{others}",
        where=source,
        remedy="if the b-value was coded into the vectors, multiply it by the squared length "
        "and divide the vectors by it",
    )


def read_gradients(bval: str | Path, bvec: str | Path, *, b0_threshold: float = 50.0) -> Gradients:
    r"""Read the gradient table of a diffusion scan from FSL's two text files.

    Parameters
    ----------
    bval : str or Path
        b-values (s/mm²) in one row or one column, separated by white space.
    bvec : str or Path
        Directions, 3 rows of n or n rows of 3. Three rows of three are read in FSL's way:
        x, y and z are the rows.
    b0_threshold : float, default 50
        Volumes with a b-value up to this count as not diffusion-weighted, s/mm². Their
        directions may be zero or ``nan``.

    Returns
    -------
    Gradients

    Raises
    ------
    MissingModalityError
        When a file isn't there.
    FormatError
        When a word is no number, the lines differ in length, the counts of the two files
        differ, a b-value is negative or a direction has another length than 1; the message
        names the file and the line.
    StorageError
        When a file can't be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "dwi.bval").write_text("1.25 1000 1000\n")
    >>> _ = (folder / "dwi.bvec").write_text("nan 1 0\nnan 0 0.6\nnan 0 0.8\n")
    >>> read_gradients(folder / "dwi.bval", folder / "dwi.bvec")
    Gradients(3 volumes: 1 b0, 2 at b = 1000)
    """
    bval, bvec = os.fspath(bval), os.fspath(bvec)
    values = _numbers(bval)
    if 1 not in values.shape:
        raise FormatError(
            f"expected one row or one column of b-values, found {_size(values)}", where=bval
        )
    values = values.ravel()
    vectors = _numbers(bvec)
    if vectors.shape[0] == 3:
        vectors = vectors.T
    elif vectors.shape[1] != 3:
        raise FormatError(
            f"expected 3 rows or 3 columns of directions, found {_size(vectors)}", where=bvec
        )
    if len(vectors) != len(values):
        raise FormatError(
            f"{len(vectors)} directions, but {bval} has {len(values)} b-values", where=bvec
        )
    missing = np.flatnonzero(~np.isfinite(values))
    if missing.size:
        raise FormatError(
            f"the b-value of {list_some(missing, 3)} (counted from 0) is missing", where=bval
        )
    if (values < 0).any():
        raise FormatError(f"expected b-values of 0 and above, found {values.min():g}", where=bval)
    return Gradients(values, vectors, b0_threshold, source=bvec)


def _numbers(path: str) -> Array:
    """Read a table of numbers; say where a word is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingModalityError("expected a gradient file, found none", where=path) from error
    except UnicodeDecodeError as error:
        raise FormatError("expected text, found binary data", where=path) from error
    except OSError as error:
        raise StorageError(f"the file can't be read ({error.strerror})", where=path) from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        row = []
        for word in words:
            try:
                row.append(float(word))
            except ValueError:
                raise FormatError(
                    f"expected a number, found {word[:40]!r}", where=f"{path}, line {number}"
                ) from None
        if rows and len(row) != len(rows[0]):
            raise FormatError(
                f"expected {len(rows[0])} numbers as in the line before, found {len(row)}",
                where=f"{path}, line {number}",
            )
        rows.append(row)
    if not rows:
        raise FormatError("the file has no numbers", where=path)
    return np.array(rows)


def _size(table: Array) -> str:
    return f"{table.shape[0]} rows of {table.shape[1]}"
