"""The grade of a neurovascular conflict, from measures."""

from __future__ import annotations

__all__ = ["DISPLACED_MM", "INDENTED_MM", "TOUCH_MM", "sindou_grade"]

TOUCH_MM = 0.5
DISPLACED_MM = 0.3
INDENTED_MM = 0.2


def sindou_grade(
    gap_mm: float,
    displacement_mm: float,
    indentation_mm: float,
    *,
    touch_mm: float = TOUCH_MM,
    displaced_mm: float = DISPLACED_MM,
    indented_mm: float = INDENTED_MM,
) -> int:
    """Grade a neurovascular conflict as Sindou et al. do, from measures.

    Parameters
    ----------
    gap_mm : float
        Distance between nerve and vessel; missing when there is no vessel.
    displacement_mm, indentation_mm : float
        Of the nerve.
    touch_mm, displaced_mm, indented_mm : float
        From which distance nerve and vessel count as touching, and from which value the nerve
        counts as displaced or indented. The defaults are a choice of this library: surgeons
        grade by eye.

    Returns
    -------
    int
        0 no conflict, 1 contact, 2 displacement or distortion, 3 marked indentation (Sindou,
        Howeidy and Acevedo, Acta Neurochirurgica 2002).

    Examples
    --------
    >>> sindou_grade(0.2, 0.8, 0.0)
    2
    >>> sindou_grade(float("nan"), 0.0, 0.0)
    0
    """
    if not gap_mm <= touch_mm:
        return 0
    if indentation_mm >= indented_mm:
        return 3
    return 2 if displacement_mm >= displaced_mm else 1
