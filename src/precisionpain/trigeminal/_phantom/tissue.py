"""What a point of the phantom is made of, which tissue wins, and which label it carries."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from ..anatomy import Label

__all__ = ["LABEL_OF", "PRIORITY", "Tissue"]


class Tissue(IntEnum):
    """Tissue classes: the last axis of the array of fractions."""

    CSF = 0
    PONS = 1
    NERVE_LEFT = 2
    NERVE_RIGHT = 3
    ARTERY = 4
    VEIN = 5
    CN78 = 6
    CAVE = 7
    TUMOUR = 8
    PLAQUE = 9
    TEFLON = 10
    BONE = 11


PRIORITY: tuple[Tissue, ...] = (
    Tissue.CSF,
    Tissue.BONE,
    Tissue.CAVE,
    Tissue.TUMOUR,
    Tissue.CN78,
    Tissue.TEFLON,
    Tissue.NERVE_LEFT,
    Tissue.NERVE_RIGHT,
    Tissue.PONS,
    Tissue.PLAQUE,
    Tissue.VEIN,
    Tissue.ARTERY,
)
"""Painted in this order: where two overlap, the later one wins."""

LABEL_OF: dict[Tissue, Label] = {
    Tissue.PONS: Label.BRAINSTEM,
    Tissue.PLAQUE: Label.BRAINSTEM,
    Tissue.NERVE_LEFT: Label.NERVE_LEFT,
    Tissue.NERVE_RIGHT: Label.NERVE_RIGHT,
    Tissue.ARTERY: Label.ARTERY,
    Tissue.VEIN: Label.VEIN,
}
"""Label of each tissue; those not named are background."""


def to_label_fractions(fractions: np.ndarray) -> np.ndarray:
    """Sum tissue fractions (..., n_tissues) into label fractions (..., n_labels)."""
    merged = np.zeros((*fractions.shape[:-1], len(Label)), np.float32)
    for tissue in Tissue:
        merged[..., LABEL_OF.get(tissue, Label.BACKGROUND)] += fractions[..., tissue]
    return merged
