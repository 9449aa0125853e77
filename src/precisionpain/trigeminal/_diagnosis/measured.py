"""What measures of the nerve say of contact and of morphological change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...errors import FormatError
from .facts import SLACK_MM, WORDING, Known

# Measure → lowest and highest value that makes sense.
LIMITS = {
    "gap_mm": (-20.0, np.inf),
    "contact_area_mm2": (0.0, np.inf),
    "n_contacts": (0.0, np.inf),
    "displacement_mm": (0.0, np.inf),
    "indentation_mm": (0.0, np.inf),
    "area_loss_percent": (-100.0, 100.0),
    "asymmetry": (-np.inf, 1.0),
    "sindou_grade": (0.0, 3.0),
}
AREA = "min_area_mm2"
TEXTS = ("vessel",)
MEASURES = (*LIMITS, AREA, *TEXTS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EtiologyThresholds:
    """From where on a measure counts, for `classify_etiology`.

    ICHD-3 asks for compression "with morphological changes", typically atrophy or
    displacement, and gives no numbers. The distances are about the error of a measure at
    0.5 mm voxels, the area loss is a choice of this library; no publication fixes them.

    Parameters
    ----------
    gap_mm : float, default 0.5
        A vessel at this distance from the root, or nearer, touches it (mm).
    displacement_mm : float, default 0.3
        The root is displaced from here on (mm).
    indentation_mm : float, default 0.2
        The root is indented from here on (mm).
    area_loss_percent : float, default 20
        The root is thinned at the vessel from here on (% of the section area expected
        from its neighbours along the nerve).
    asymmetry : float, optional
        Smallest section, (unaffected − affected) / unaffected, from which on the root counts
        as atrophic. By default asymmetry isn't used: the thinner side is often the healthy
        one, and the difference didn't follow the vessel (Urgosik et al., Neuro Endocrinol
        Lett 2014;35:285-289).
    sindou_grade : int, default 2
        Grade from which on the compression counts as one with morphological change: 1 is
        contact, 2 displacement or distortion, 3 marked indentation (Sindou et al., Acta
        Neurochir 2002;144:1-12). Asked for where displacement or indentation are unknown.

    Examples
    --------
    >>> EtiologyThresholds(displacement_mm=0.5).displacement_mm
    0.5
    """

    gap_mm: float = 0.5
    displacement_mm: float = 0.3
    indentation_mm: float = 0.2
    area_loss_percent: float = 20.0
    asymmetry: float | None = None
    sindou_grade: int = 2

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise FormatError(
                    f"expected a threshold above 0, found {value!r}", where=field.name
                )
        if self.sindou_grade not in (1, 2, 3):
            raise FormatError(f"expected a grade of 1, 2 or 3, found {self.sindou_grade!r}")


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the measures say, with the evidence in words."""

    contact: Known = None
    morphological_change: Known = None
    touching: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def as_measures(row: Mapping[str, Any] | pd.Series | None, where: str) -> dict[str, Any]:
    """Take the measures that the rules use, as floats (and text); the rest is left alone."""
    taken: dict[str, Any] = {}
    if row is None:
        return taken
    for name in MEASURES:
        value = row.get(name)
        if value is None or pd.isna(value):
            continue
        if name in TEXTS:
            taken[name] = str(value)
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise FormatError(
                f"expected a number, found {value!r}", where=f"{where}, {name}"
            ) from None
        low, high = LIMITS.get(name, (0.0, np.inf))
        if not low <= number <= high or (name == "sindou_grade" and number % 1):
            expected = "a grade 0, 1, 2 or 3" if name == "sindou_grade" else f"{low:g} to {high:g}"
            raise FormatError(f"expected {expected}, found {number:g}", where=f"{where}, {name}")
        taken[name] = number
    return taken


def findings(
    measures: Mapping[str, Any],
    other: Mapping[str, Any],
    limits: EtiologyThresholds,
    stated_contact: Known = None,
) -> Findings:
    """Judge the measures of the painful side against the thresholds.

    Displacement or thinning counts only where a vessel touches, measured or stated.
    """
    seen = dict(measures)
    if limits.asymmetry is not None and "asymmetry" not in seen and AREA in seen:
        reference = other.get(AREA, 0.0)
        if reference > 0:
            seen["asymmetry"] = (reference - seen[AREA]) / reference
    measured, touching = _contact(seen, limits)
    contact = stated_contact if measured is None else measured
    change, changed = _change(seen, limits)
    remarks = []
    if contact is False and change:
        remarks.append(
            f"The root looks changed ({_joined(changed)}) though no vessel touches it, so it "
            "isn't vascular compression; look for another reason."
        )
    if contact is False:
        change, changed = (None if measured is None else False), ()
    elif contact is None and change:
        # Without a vessel that is known to touch, the change has no known author.
        remarks.append(
            f"The root looks changed ({_joined(changed)}), but whether a vessel touches it "
            "isn't known."
        )
        change = None
    if change and seen.get("vessel") == "vein":
        remarks.append(
            "The vessel is a vein; compression by an artery is more clearly associated with "
            "symptoms (ICHD-3 13.1.1.1, comments)."
        )
    return Findings(measured, change, touching, changed, tuple(remarks))


def _contact(
    seen: Mapping[str, float], limits: EtiologyThresholds
) -> tuple[Known, tuple[str, ...]]:
    """Ask the gap; where it is unknown, the contact area, the number of contacts, the grade."""
    grade = seen.get("sindou_grade")
    said: tuple[bool, str]
    if "gap_mm" in seen:
        gap = seen["gap_mm"]
        said = gap <= limits.gap_mm, f"gap {gap:.1f} mm, contact up to {limits.gap_mm:g}"
        default = limits == EtiologyThresholds()
        if default and gap > limits.gap_mm + SLACK_MM and seen.get("contact_area_mm2", 0) > 0:
            raise _odd(f"the gap is {gap:.2f} mm, yet there is a contact area")
        if gap > limits.gap_mm + SLACK_MM and grade == 1:
            raise _odd(f"the gap is {gap:.2f} mm, yet Sindou grade 1 says contact")
    elif "contact_area_mm2" in seen:
        area = seen["contact_area_mm2"]
        said = area > 0, f"contact area {area:.1f} mm²"
    elif "n_contacts" in seen:
        said = seen["n_contacts"] > 0, f"{seen['n_contacts']:.0f} contacts"
    elif grade is not None:
        said = grade >= 1, f"Sindou grade {grade:.0f}"
    else:
        return None, ()
    near = said[0] and seen.get("gap_mm", 0.0) <= limits.gap_mm - SLACK_MM
    if near and grade == 0 and limits == EtiologyThresholds():
        raise _odd(f"a vessel touches the root ({said[1]}), yet Sindou grade 0 says none does")
    return said[0], (said[1],)


def _change(seen: Mapping[str, float], limits: EtiologyThresholds) -> tuple[Known, tuple[str, ...]]:
    """Say whether any measure reaches its threshold, and which."""
    votes: dict[str, bool] = {}
    evidence = []
    for name, noun, unit, digits in (
        ("displacement_mm", "displaced by", " mm", 1),
        ("indentation_mm", "indented by", " mm", 1),
        ("area_loss_percent", "thinned by", "%", 0),
        ("asymmetry", "smaller than the other side by", "", 2),
    ):
        limit = getattr(limits, name)
        if name not in seen or limit is None:
            continue
        votes[name] = seen[name] >= limit
        if votes[name]:
            evidence.append(f"{noun} {seen[name]:.{digits}f}{unit}, counted from {limit:g}")
    grade = seen.get("sindou_grade")
    in_mm = ("displacement_mm", "indentation_mm")
    measured = all(name in votes for name in in_mm)
    if grade is not None and limits == EtiologyThresholds():
        _check_grade(grade, seen, limits)
    if grade is not None and not measured:
        votes["sindou_grade"] = grade >= limits.sindou_grade
        if votes["sindou_grade"]:
            evidence.append(f"Sindou grade {grade:.0f}")
    if any(votes.values()):
        return True, tuple(evidence)
    # A reader who gives grade 0 or 1 has looked for thinning too.
    complete = "sindou_grade" in votes or (measured and "area_loss_percent" in votes)
    return (False if complete else None), ()


def _check_grade(grade: float, seen: Mapping[str, float], limits: EtiologyThresholds) -> None:
    clear = {
        name: seen[name] - getattr(limits, name)
        for name in ("displacement_mm", "indentation_mm")
        if name in seen
    }
    touching = seen.get("gap_mm", 0.0) <= limits.gap_mm
    for name, excess in clear.items():
        if grade < 2 and excess >= SLACK_MM and touching:
            what = name.removesuffix("_mm")
            raise _odd(f"the {what} is {seen[name]:.2f} mm, yet Sindou grade {grade:.0f} says none")
    if grade >= 2 and len(clear) == 2 and all(excess <= -SLACK_MM for excess in clear.values()):
        raise _odd(
            f"Sindou grade {grade:.0f} says displacement or indentation, yet they measure "
            f"{seen['displacement_mm']:.2f} and {seen['indentation_mm']:.2f} mm"
        )


def _odd(what: str) -> FormatError:
    return FormatError(
        f"two measures contradict each other: {what}",
        remedy="correct one of them, or leave out the one that you trust less",
    )


def check_against(facts: Mapping[str, Known], found: Findings) -> dict[str, Known]:
    """Join stated facts with measured ones; one that contradicts the measures is an error."""
    joined = dict(facts)
    for name, evidence in (("contact", found.touching), ("morphological_change", found.changed)):
        stated, measured = joined.get(name), getattr(found, name)
        if measured is None:
            continue
        if stated is not None and stated is not measured:
            wording = WORDING[name].yes if stated else WORDING[name].no
            why = f" ({_joined(evidence)})" if evidence else ""
            raise FormatError(
                f"a stated fact contradicts the measures: {wording} ({name}={stated}), yet they "
                f"say {name}={measured}{why}",
                remedy="leave one of the two out, or change the thresholds",
            )
        joined[name] = measured
    return joined


def _joined(parts: tuple[str, ...]) -> str:
    return "; ".join(parts)
