"""Scans of a dark stem between two bright blobs, small enough to learn from in a second."""

from __future__ import annotations

import nibabel
import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from precisionpain.trigeminal import TrigeminalSegmenter

STEM, LEFT, RIGHT = 1, 2, 3
LABELS = {"stem": STEM, "blob": (LEFT, RIGHT)}
# Background, stem, blob: a blurred border of the stem doesn't look like a blob.
LEVELS = (0.0, -3.0, 2.0)
# Half sizes and centres of the stem and the left blob, mm from the middle of the field of view.
_BOXES = {STEM: ((0, -3, 0), (4, 3, 5)), LEFT: ((-7.5, 3, 1), (2, 2.5, 3))}
RIGHT_BLOB = ((7.5, 3, 1), (1.5, 2.5, 3))  # not a mirror image of the left one


def oblique(spacing=(1.0, 1.0, 1.0), degrees=(0, 0, 0), shape=(24, 20, 18)) -> np.ndarray:
    """An affine with the middle of the field of view at (5, -10, 20) mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * spacing
    affine[:3, 3] = np.array([5, -10, 20]) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


def small_scan(seed=0, *, affine=None, shape=(24, 20, 18), noise=0.1, right=RIGHT_BLOB):
    """Image and label image; the boxes are upright in the axes of the array."""
    affine = oblique(shape=shape) if affine is None else affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    labels = np.zeros(shape, dtype=np.uint8)
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-0.5, 0.5, 3) if seed else 0
    for value, (center, half) in {**_BOXES, RIGHT: right}.items():
        labels[(np.abs(place - np.array(center) - shift) <= half).all(axis=-1)] = value
    image = np.take((*LEVELS, LEVELS[-1]), labels) + rng.normal(0, noise, shape)
    return (
        nibabel.Nifti1Image(image.astype(np.float32), affine),
        nibabel.Nifti1Image(labels, affine),
    )


def segmenter(**settings) -> TrigeminalSegmenter:
    """One that is as small as can be."""
    defaults = {
        "labels": LABELS, "spacing_mm": 1.0, "network": "unet", "width": 4, "patch": 16,
        "n_steps": 3, "batch_size": 2, "per_scan": 2, "validation": 0, "device": "cpu",
        "amp": False, "progress": False,
    }  # fmt: skip
    return TrigeminalSegmenter(**(defaults | settings))


class ByLevel(nn.Module):
    """A network that has learned everything: the share of each class in a mixture with background.

    With `slope` it sees the first axis of the array as well, so that mirrored passes disagree.
    """

    def __init__(self, image, levels=LEVELS, slope=0.0) -> None:
        super().__init__()
        values = np.asarray(image.dataobj, dtype=float)
        background, *others = ((level - values.mean()) / values.std() for level in levels)
        self.background, self.steps = background, [level - background for level in others]
        self.slope = slope

    def forward(self, image):
        shares = [(image[:, :1] - self.background) / step for step in self.steps]
        shares = torch.cat(shares, dim=1).clamp(0, 1)
        shares = torch.cat([1 - shares.sum(1, keepdim=True), shares], dim=1)
        ramp = torch.linspace(-1, 1, image.shape[2]).view(1, 1, -1, 1, 1)
        logits = shares.clamp(min=1e-3).log()
        return torch.cat([logits[:, :1] + self.slope * ramp, logits[:, 1:]], dim=1)


def knowing(image, *, slope=0.0, **settings) -> TrigeminalSegmenter:
    """A fitted segmenter whose network labels by intensity."""
    fitted = segmenter(n_steps=1, batch_size=1, **settings).fit([small_scan()])
    fitted.network_ = ByLevel(image, slope=slope)
    return fitted


def data(image) -> np.ndarray:
    return np.asarray(image.dataobj)


def weights(fitted) -> dict[str, torch.Tensor]:
    return fitted.network_.state_dict()


def same_weights(one, other) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def dice(found, truth) -> float:
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())
