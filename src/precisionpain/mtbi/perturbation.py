"""Deletion and insertion: whether the score rests on the voxels that a map names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import FormatError, list_some
from ._saliency.values import as_maps

if TYPE_CHECKING:
    import torch

__all__ = ["PerturbationCurves", "deletion_insertion"]

Reference = Literal["blur", "mean", "noise"]
_BLUR_VOXELS = 4.0


@dataclasses.dataclass(frozen=True)
class PerturbationCurves:
    """How the score changes when the brightest voxels go, or come, first.

    Parameters
    ----------
    share : numpy.ndarray of shape (steps + 1,)
        Of the voxels replaced, 0 to 1.
    deletion, insertion : numpy.ndarray of shape (n, steps + 1)
        Score of each person: beginning with the volume, and with the reference.
    """

    share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def deletion_auc(self) -> np.ndarray:
        """Area under each deletion curve; small when the map names what the score rests on."""
        return np.trapezoid(self.deletion, self.share, axis=1)

    @property
    def insertion_auc(self) -> np.ndarray:
        """Area under each insertion curve; large when the map names what the score rests on."""
        return np.trapezoid(self.insertion, self.share, axis=1)

    def __repr__(self) -> str:
        return (
            f"PerturbationCurves({len(self.deletion)} people; mean AUC: deletion "
            f"{self.deletion_auc.mean():.3f}, insertion {self.insertion_auc.mean():.3f})"
        )


def deletion_insertion(
    model: Any,
    X: Any,
    maps: ArrayLike,
    reference: Reference | ArrayLike = "blur",
    steps: int = 20,
    *,
    of: Literal["probability", "logit"] = "probability",
    batch_size: int = 4,
    device: str | torch.device = "auto",
    random_state: int = 0,
    progress: bool = True,
) -> PerturbationCurves:
    """Replace voxels in the order of a map, and watch the score.

    Parameters
    ----------
    model : fitted classifier or torch.nn.Module
        As in `saliency_map`.
    X : Cohort or array of shape (n, n_channels, depth, height, width)
        As in `saliency_map`.
    maps : array-like of shape (n, depth, height, width)
        One map per person; the brightest voxel goes first, ties in random order.
    reference : {"blur", "mean", "noise"} or array, default "blur"
        What voxels are replaced with: the volume under a Gaussian of 4 voxels; its mean;
        normal noise with its mean and standard deviation; or volumes like `X`. Try several:
        no replaced volume is one that the network has seen, so part of each curve is about
        that.
    steps : int, default 20
        From 0 to all voxels.
    of : {"probability", "logit"}, default "probability"
        The score.
    batch_size : int, default 4
        Volumes at a time.
    device : str or torch.device, default "auto"
        Where to compute.
    random_state : int, default 0
        Of ties and noise.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    PerturbationCurves
        To be read beside those of random maps, ``rng.random(maps.shape)``: a map is of use
        only where it beats them.

    Raises
    ------
    FormatError
        When maps and volumes don't fit, or an option makes no sense.
    TrainingError
        When memory runs out.

    References
    ----------
    .. [1] Petsiuk V, et al. RISE: randomized input sampling for explanation. BMVC 2018.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(10, stem="medicalnet", width=4, random_state=0)
    >>> volumes = np.random.default_rng(0).normal(size=(2, 1, 12, 24, 20))
    >>> maps = pp.mtbi.saliency_map(network, volumes)
    >>> pp.mtbi.deletion_insertion(network, volumes, maps, "mean", steps=4).deletion.shape
    (2, 5)
    """
    import torch

    from ._saliency.inputs import batches, memory_explained, prepare

    subject = prepare(model, X, of=of, device=device)
    order = as_maps(maps)
    volumes = subject.volumes.numpy()
    if order.shape != (len(volumes), *volumes.shape[2:]):
        raise FormatError(
            f"expected one map for each volume, {(len(volumes), *volumes.shape[2:])}, found "
            f"{order.shape}",
            where="maps",
        )
    if steps < 1:
        raise FormatError(f"expected steps of at least 1, found {steps}")
    n_voxels = order[0].size
    counts = np.round(np.linspace(0, n_voxels, steps + 1)).astype(int)
    curves = np.empty((2, len(volumes), steps + 1))
    # Each person has a generator, so that the result doesn't depend on who else is there.
    for part in batches(len(volumes), 1, progress):
        row, rng = part.start, np.random.default_rng(random_state)
        rank = np.empty(n_voxels, dtype=int)
        rank[np.lexsort((rng.random(n_voxels), -order[row].ravel()))] = np.arange(n_voxels)
        rank = rank.reshape(order[row].shape)
        other = _reference(reference, volumes, row, rng)
        for kind, (start, end) in enumerate(((volumes[row], other), (other, volumes[row]))):
            for first in range(0, steps + 1, batch_size):
                some = [
                    np.where(rank < count, end, start)
                    for count in counts[first : first + batch_size]
                ]
                with torch.no_grad(), memory_explained(batch_size):
                    score = subject.score(torch.from_numpy(np.stack(some)).to(subject.device))
                curves[kind, row, first : first + batch_size] = score.double().cpu().numpy()
    return PerturbationCurves(counts / n_voxels, curves[0], curves[1])


def _reference(
    reference: Any, volumes: np.ndarray, row: int, rng: np.random.Generator
) -> np.ndarray:
    volume = volumes[row]
    if not isinstance(reference, str):
        given = np.asarray(reference, dtype=np.float32)
        if given.shape != volumes.shape or not np.isfinite(given).all():
            raise FormatError(
                f"expected finite volumes of shape {volumes.shape}, found {given.shape}",
                where="reference",
            )
        return given[row]
    if reference == "blur":
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(volume, (0, *[_BLUR_VOXELS] * 3), mode="nearest")
    across = tuple(range(1, volume.ndim))
    mean = volume.mean(axis=across, keepdims=True, dtype=np.float64)
    if reference == "mean":
        return np.broadcast_to(mean, volume.shape).astype(np.float32)
    if reference == "noise":
        spread = volume.std(axis=across, keepdims=True, dtype=np.float64)
        return (mean + spread * rng.standard_normal(volume.shape)).astype(np.float32)
    raise FormatError(
        f"expected {list_some(get_args(Reference))} or volumes, found {reference!r}",
        where="reference",
    )
