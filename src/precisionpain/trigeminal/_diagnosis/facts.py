"""What is known of one painful side, in three values: True, False, and None for unknown."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...errors import FormatError

Known = bool | None

# How far a clear contradiction has to go beyond a threshold, for rounding is none (mm).
SLACK_MM = 0.1


def all_of(*values: Known) -> Known:
    """Say whether all hold (Kleene's strong logic: one False decides)."""
    if False in values:
        return False
    return None if None in values else True


def any_of(*values: Known) -> Known:
    """Say whether any holds (Kleene's strong logic: one True decides)."""
    if True in values:
        return True
    return None if None in values else False


def not_(value: Known) -> Known:
    """Say the opposite; unknown stays unknown."""
    return None if value is None else not value


class Wording(NamedTuple):
    """How a fact is asked for, and what is said when it holds and when it doesn't."""

    question: str
    yes: str
    no: str


WORDING = {
    "trigeminal_neuralgia": Wording(
        "whether criteria A-D of ICHD-3 13.1.1 are met",
        "trigeminal neuralgia is diagnosed",
        "trigeminal neuralgia is ruled out",
    ),
    "in_distribution": Wording(
        "whether the pain stays within the trigeminal divisions (criterion A)",
        "the pain stays within the trigeminal divisions",
        "the pain radiates beyond the trigeminal divisions (criterion A)",
    ),
    "paroxysms": Wording(
        "whether there are recurrent attacks of at most 2 minutes (criteria A, B1)",
        "there are recurrent attacks of at most 2 minutes",
        "there are no recurrent attacks of at most 2 minutes (criteria A, B1)",
    ),
    "severe": Wording(
        "whether the attacks are severe (criterion B2)",
        "the attacks are severe",
        "the attacks aren't severe (criterion B2)",
    ),
    "shock_like": Wording(
        "whether the attacks are shock-like, shooting, stabbing or sharp (criterion B3)",
        "the attacks are shock-like, shooting, stabbing or sharp",
        "the attacks aren't shock-like, shooting, stabbing or sharp (criterion B3)",
    ),
    "triggered": Wording(
        "whether innocuous stimuli trigger the attacks (criterion C)",
        "innocuous stimuli trigger the attacks",
        "innocuous stimuli don't trigger the attacks (criterion C)",
    ),
    "better_explained": Wording(
        "whether another diagnosis explains the pain better (criterion D)",
        "another diagnosis explains the pain better (criterion D)",
        "no other diagnosis explains the pain better",
    ),
    "continuous": Wording(
        "whether there is continuous pain between the attacks",
        "there is continuous pain between the attacks",
        "there is no pain between the attacks",
    ),
    "contact": Wording(
        "whether a vessel touches the root (high-resolution MRI, or surgery)",
        "a vessel touches the root",
        "no vessel touches the root",
    ),
    "morphological_change": Wording(
        "whether a vessel displaces, dents or thins the root (high-resolution MRI, or surgery)",
        "a vessel displaces, dents or thins the root",
        "no vessel displaces, dents or thins the root",
    ),
    "ms": Wording(
        "whether multiple sclerosis is diagnosed",
        "multiple sclerosis is diagnosed",
        "there is no multiple sclerosis",
    ),
    "ms_plaque": Wording(
        "whether MRI shows an MS plaque at the root entry zone or in the pons",
        "MRI shows an MS plaque at the root entry zone or in the pons",
        "MRI shows no MS plaque at the root entry zone or in the pons",
    ),
    "space_occupying_lesion": Wording(
        "whether MRI shows a space-occupying lesion in contact with the nerve",
        "a space-occupying lesion touches the nerve",
        "no space-occupying lesion touches the nerve",
    ),
    "av_malformation": Wording(
        "whether there is an arteriovenous malformation or dural fistula at the nerve",
        "there is an arteriovenous malformation or dural fistula at the nerve",
        "there is no arteriovenous malformation or dural fistula at the nerve",
    ),
    "other_cause": Wording(
        "whether there is another disease that is known to cause trigeminal neuralgia",
        "there is another disease that is known to cause trigeminal neuralgia",
        "there is no other disease that is known to cause trigeminal neuralgia",
    ),
    "secondary_cause": Wording(
        "whether there is any underlying disease that is known to cause trigeminal neuralgia",
        "there is an underlying disease that is known to cause trigeminal neuralgia",
        "there is no underlying disease that is known to cause trigeminal neuralgia",
    ),
    "reflexes_impaired": Wording(
        "whether trigeminal reflexes or evoked potentials are impaired",
        "trigeminal reflexes or evoked potentials are impaired",
        "trigeminal reflexes and evoked potentials are normal",
    ),
}

CRITERIA = ("in_distribution", "paroxysms", "severe", "shock_like", "triggered")
CAUSES = ("ms_plaque", "space_occupying_lesion", "av_malformation", "other_cause")
# These sum up others, so nobody is asked for them.
SUMMARIES = ("trigeminal_neuralgia", "secondary_cause")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Three-valued facts of one painful side; `classify_etiology` says what each means."""

    trigeminal_neuralgia: Known = None
    in_distribution: Known = None
    paroxysms: Known = None
    severe: Known = None
    shock_like: Known = None
    triggered: Known = None
    better_explained: Known = None
    continuous: Known = None
    contact: Known = None
    morphological_change: Known = None
    ms: Known = None
    ms_plaque: Known = None
    space_occupying_lesion: Known = None
    av_malformation: Known = None
    other_cause: Known = None
    secondary_cause: Known = None
    reflexes_impaired: Known = None

    def unknown(self) -> list[str]:
        """Name what isn't known and could be asked for."""
        return [name for name in WORDING if name not in SUMMARIES and getattr(self, name) is None]


# What follows from what, by the meaning of the words.
_FOLLOWS: tuple[tuple[str, bool, str, bool], ...] = (
    ("ms_plaque", True, "ms", True),
    ("ms", False, "ms_plaque", False),
    ("morphological_change", True, "contact", True),
    ("contact", False, "morphological_change", False),
    *(("secondary_cause", False, cause, False) for cause in CAUSES),
    *(("trigeminal_neuralgia", True, criterion, True) for criterion in CRITERIA),
    ("trigeminal_neuralgia", True, "better_explained", False),
)


def underlying_disease(facts: Facts) -> Known:
    """Say whether a disease of the list is demonstrated, by the single facts alone."""
    return any_of(by_ms(facts), *(getattr(facts, cause) for cause in CAUSES[1:]))


def by_ms(facts: Facts) -> Known:
    """ICHD-3 13.1.1.2.1 B: MS, and a plaque on the pathway or impaired reflexes."""
    return all_of(facts.ms, any_of(facts.ms_plaque, facts.reflexes_impaired))


def criteria_met(facts: Facts) -> Known:
    """ICHD-3 13.1.1 A-D, by the single facts alone."""
    return all_of(*(getattr(facts, name) for name in CRITERIA), not_(facts.better_explained))


def completed(given: Facts) -> Facts:
    """Add what follows from the facts, and refuse facts that contradict each other."""
    known = {name: getattr(given, name) for name in WORDING}
    for cause, value, effect, follows in _FOLLOWS:
        if known[cause] is not value:
            continue
        if known[effect] is not None and known[effect] is not follows:
            raise contradiction(cause, value, effect, known[effect])
        known[effect] = follows
    facts = Facts(**known)
    for summary, single, parts in (
        ("secondary_cause", underlying_disease(facts), ("ms", "reflexes_impaired", *CAUSES)),
        ("trigeminal_neuralgia", criteria_met(facts), (*CRITERIA, "better_explained")),
    ):
        if single is None:
            continue
        if known[summary] is not None and known[summary] is not single:
            said = [WORDING[p].yes for p in parts if known[p]] or ["every single cause is excluded"]
            stated = WORDING[summary].yes if known[summary] else WORDING[summary].no
            raise FormatError(
                f"two facts contradict each other: {stated} ({summary}={known[summary]}), "
                f"yet {', '.join(said)}",
                remedy=f"leave {summary} out, or correct the others",
            )
        known[summary] = single
    return Facts(**known)


def contradiction(one: str, value: bool, other: str, found: bool) -> FormatError:
    """Return the error that two facts exclude each other."""

    def said(name: str, holds: bool) -> str:
        return f"{WORDING[name].yes if holds else WORDING[name].no} ({name}={holds})"

    return FormatError(
        f"two facts contradict each other: {said(one, value)}, yet {said(other, found)}",
        remedy="correct one of them, or give None for what isn't known",
    )


def as_known(value: object, name: str) -> Known:
    """Read True, False, 0 or 1; None and NaN are unknown."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.number):
        if np.isnan(value):
            return None
        if value in (0, 1):
            return bool(value)
    raise FormatError(
        f"expected True, False or None for unknown, found {value!r}",
        where=name,
        remedy="turn codes and words into True and False first",
    )
