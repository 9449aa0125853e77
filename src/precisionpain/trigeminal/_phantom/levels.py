"""Signal levels of the tissues in 3D cisternography, drawn within published ranges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .checks import replace_by_tissue
from .tissue import Tissue

__all__ = ["CONTRASTS", "REFERENCE", "blood_states", "draw_levels"]

# CISS of blood by its state; whether a vessel is dark or bright depends on its flow.
_BLOOD = {"static": (0.28, 0.45), "void": (0.03, 0.20), "inflow": (0.45, 0.90)}

# Ranges relative to CSF (CISS, SPACE) or to the artery (TOF). Nerve, pons, blood and CSF
# follow published images; cave, tumour, plaque, Teflon and bone are plausible guesses, there
# to distract.
CONTRASTS: dict[str, dict[Tissue, tuple[float, float]]] = {
    "ciss": {
        Tissue.CSF: (1.0, 1.0),
        Tissue.PONS: (0.20, 0.33),
        Tissue.NERVE_LEFT: (0.20, 0.33),
        Tissue.CAVE: (0.75, 1.0),
        Tissue.TUMOUR: (0.30, 0.55),
        Tissue.PLAQUE: (0.35, 0.50),
        Tissue.TEFLON: (0.02, 0.15),
        Tissue.BONE: (0.0, 0.08),
    },
    "space": {
        Tissue.CSF: (1.0, 1.0),
        Tissue.PONS: (0.13, 0.20),
        Tissue.NERVE_LEFT: (0.12, 0.16),
        Tissue.ARTERY: (0.0, 0.10),
        Tissue.VEIN: (0.0, 0.15),
        Tissue.CAVE: (0.75, 1.0),
        Tissue.TUMOUR: (0.25, 0.55),
        Tissue.PLAQUE: (0.25, 0.40),
        Tissue.TEFLON: (0.0, 0.10),
        Tissue.BONE: (0.0, 0.05),
    },
    "tof": {
        Tissue.CSF: (0.13, 0.17),
        Tissue.PONS: (0.27, 0.33),
        Tissue.NERVE_LEFT: (0.27, 0.33),
        Tissue.ARTERY: (1.0, 1.0),
        Tissue.VEIN: (0.27, 0.33),
        Tissue.CAVE: (0.15, 0.25),
        Tissue.TUMOUR: (0.22, 0.33),
        Tissue.PLAQUE: (0.22, 0.30),
        Tissue.TEFLON: (0.0, 0.10),
        Tissue.BONE: (0.0, 0.10),
    },
}

# The tissue whose level over the noise is the SNR. CSF is too dark in TOF to be a reference.
REFERENCE = {"ciss": Tissue.CSF, "space": Tissue.CSF, "tof": Tissue.PONS}


def blood_states(contrast: str, blood: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return the state of the blood of arteries and veins; empty where contrast decides.

    Parameters
    ----------
    contrast : str
        A key of `CONTRASTS`.
    blood : str or mapping, optional
        State of the arteries, or of ``"artery"`` and ``"vein"``.

    Returns
    -------
    dict
        ``"artery"`` and ``"vein"`` to ``"static"``, ``"void"`` or ``"inflow"``.

    Raises
    ------
    FormatError
        For an unknown vessel or state, or where the contrast has no such option.
    """
    if contrast != "ciss":
        if blood is not None:
            raise FormatError(
                f"the state of the blood is an option of contrast 'ciss', found {contrast!r}",
                remedy="leave blood=None, or set levels={'ARTERY': ...}",
            )
        return {}
    states = {"artery": "static", "vein": "static"}
    given = {"artery": blood} if isinstance(blood, str) else dict(blood or {})
    odd = [key for key in given if key not in states]
    odd += [value for value in given.values() if value not in _BLOOD]
    if odd:
        raise FormatError(
            "expected blood as 'static', 'void' or 'inflow', or a mapping of 'artery' and "
            f"'vein' to these, found {list_some(odd)}"
        )
    return states | given


def draw_levels(
    contrast: str,
    states: Mapping[str, str],
    given: Mapping[Tissue | str, float] | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return one level per `Tissue`.

    Parameters
    ----------
    contrast : str
        A key of `CONTRASTS`.
    states : mapping
        State of the blood, from `blood_states`.
    given : mapping, optional
        Levels by `Tissue` or its name that replace the drawn ones.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray of shape (n_tissues,)

    Raises
    ------
    FormatError
        For an unknown tissue or a negative level.
    """
    ranges = dict(CONTRASTS[contrast])
    for vessel, state in states.items():
        ranges[Tissue[vessel.upper()]] = _BLOOD[state]
    # The cranial nerves of one head look alike, so they share one draw.
    ranges[Tissue.NERVE_RIGHT] = ranges[Tissue.CN78] = ranges[Tissue.NERVE_LEFT]
    where = rng.random(len(Tissue))
    where[[Tissue.NERVE_RIGHT, Tissue.CN78]] = where[Tissue.NERVE_LEFT]
    low, high = np.array([ranges[tissue] for tissue in Tissue]).T
    return replace_by_tissue(low + where * (high - low), given, "levels")
