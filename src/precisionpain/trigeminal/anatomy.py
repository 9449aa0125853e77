"""Names of what is seen: labels, sides, and the bins of the root entry zone."""

from __future__ import annotations

import itertools
from enum import IntEnum
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import FormatError

__all__ = ["REZ_BINS", "SIDES", "Label", "Side", "rez_bin"]

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

REZ_BINS: tuple[float, ...] = (0.0, 3.0, 5.0, 7.0)
"""Edges (mm of arc length from the pons) of the default bins: 0-3, 3-5, 5-7, > 7."""


class Label(IntEnum):
    """Values of a label image of the cerebellopontine cistern.

    Sides are anatomical: left is the patient's left, wherever it lies in the array.

    Examples
    --------
    >>> Label.NERVE_LEFT
    <Label.NERVE_LEFT: 2>
    >>> Label.nerve("right").value
    3
    """

    BACKGROUND = 0
    BRAINSTEM = 1
    NERVE_LEFT = 2
    NERVE_RIGHT = 3
    ARTERY = 4
    VEIN = 5

    @classmethod
    def nerve(cls, side: Side) -> Label:
        """Return the label of one nerve.

        Parameters
        ----------
        side : {"left", "right"}
            Anatomical side.

        Returns
        -------
        Label

        Raises
        ------
        FormatError
            When `side` is something else.
        """
        if side not in SIDES:
            raise FormatError(f"expected side 'left' or 'right', found {side!r}")
        return cls.NERVE_LEFT if side == "left" else cls.NERVE_RIGHT


def rez_bin(position_mm: ArrayLike, bins: ArrayLike = REZ_BINS) -> pd.Categorical:
    """Put positions along the nerve into bins of the root entry zone.

    The root entry zone (REZ, where the nerve joins the pons) and the transition zone from
    central to peripheral myelin are distinct (Peker et al., Neurosurgery 2006), and papers
    draw the REZ at 2-6, < 7 or 3-7 mm; so the bins are a parameter.

    Parameters
    ----------
    position_mm : array_like of shape (n,)
        Arc length from the pons surface, mm.
    bins : array_like, default (0, 3, 5, 7)
        Rising edges, mm. The last bin is open.

    Returns
    -------
    pandas.Categorical of shape (n,)
        Ordered: ``"0-3"``, ``"3-5"``, ``"5-7"``, ``">7"``; missing below the first edge and
        where the position is missing.

    Raises
    ------
    FormatError
        When the edges don't rise.

    Examples
    --------
    >>> list(rez_bin([0.2, 3.4, 8.4]))
    ['0-3', '3-5', '>7']
    """
    edges = np.asarray(bins, dtype=float)
    if edges.ndim != 1 or len(edges) == 0 or np.any(np.diff(edges) <= 0):
        raise FormatError(f"expected rising edges in mm, found {edges.tolist()}")
    names = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    names.append(f">{edges[-1]:g}")
    position = np.asarray(position_mm, dtype=float)
    code = np.searchsorted(edges, position, side="right") - 1
    code[~np.isfinite(position)] = -1
    return pd.Categorical.from_codes(
        code.tolist(), categories=pd.Index(names, dtype=object), ordered=True
    )
