"""The rules of ICHD-3 and of the grading of certainty, as data.

A rule holds, doesn't hold, or can't be told yet. The first that holds gives the code; nothing
else in this package decides on an etiology.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from ...errors import FormatError
from .facts import WORDING, Facts, Known, all_of, by_ms, completed, criteria_met, not_

Cause = Literal["classical", "secondary", "idiopathic"]
Certainty = Literal["possible", "clinically established", "definite"]

ICHD3 = "ICHD-3 (Cephalalgia 2018;38:1-211)"
CRUCCU = "Cruccu et al., Neurology 2016;87:220-228"


@dataclasses.dataclass(frozen=True)
class Rule:
    """If `holds`, the etiology is `verdict`, coded `code`; `sentence` says so."""

    name: str
    holds: Callable[[Facts], Known]
    verdict: Cause
    code: str
    sentence: str
    source: str


def _no_disease(facts: Facts) -> Known:
    return not_(facts.secondary_cause)


def _unless_excluded(facts: Facts, cause: Known) -> Known:
    # Somebody who excludes every cause at once needn't have named them singly.
    return False if facts.secondary_cause is False else cause


def _no_impairment(facts: Facts) -> Known:
    # ICHD-3 wants normal reflexes; where nobody measured them, MRI alone has to do (and the
    # verdict says so), as Maarbjerg and Benoliel (Headache 2021;61:817-837) argue.
    return facts.reflexes_impaired is not True


RULES: tuple[Rule, ...] = (
    Rule(
        "multiple sclerosis",
        lambda facts: _unless_excluded(facts, by_ms(facts)),
        "secondary",
        "13.1.1.2.1",
        "Multiple sclerosis affects the trigeminal pathway",
        f"{ICHD3}, 13.1.1.2.1 B",
    ),
    Rule(
        "space-occupying lesion",
        lambda facts: facts.space_occupying_lesion,
        "secondary",
        "13.1.1.2.2",
        "A space-occupying lesion touches the nerve",
        f"{ICHD3}, 13.1.1.2.2 B",
    ),
    Rule(
        "arteriovenous malformation",
        lambda facts: facts.av_malformation,
        "secondary",
        "13.1.1.2.3",
        "There is an arteriovenous malformation or dural fistula at the nerve",
        f"{ICHD3}, 13.1.1.2.3 B, note 1",
    ),
    Rule(
        "other cause",
        lambda facts: facts.other_cause,
        "secondary",
        "13.1.1.2.3",
        "There is another disease that is known to cause trigeminal neuralgia",
        f"{ICHD3}, 13.1.1.2.3 B",
    ),
    Rule(
        "underlying disease",
        lambda facts: facts.secondary_cause,
        "secondary",
        "13.1.1.2",
        "There is an underlying disease that explains the neuralgia",
        f"{ICHD3}, 13.1.1.2 B",
    ),
    Rule(
        "compression with morphological change",
        lambda facts: all_of(_no_disease(facts), facts.morphological_change),
        "classical",
        "13.1.1.1",
        "A vessel compresses the root and changes its shape, and no other cause was found",
        f"{ICHD3}, 13.1.1.1 B",
    ),
    Rule(
        "no cause found",
        lambda facts: all_of(
            _no_disease(facts), not_(facts.morphological_change), _no_impairment(facts)
        ),
        "idiopathic",
        "13.1.1.3",
        "Neither an underlying disease nor compression with morphological change was found",
        f"{ICHD3}, 13.1.1.3 B",
    ),
)
CAUSES_IN_ORDER: tuple[Cause, ...] = ("classical", "secondary", "idiopathic")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the rules say of completed facts."""

    etiology: Cause | None
    candidates: tuple[Cause, ...]
    code: str | None
    certainty: Certainty | None
    rules: tuple[Rule, ...]


def judge(facts: Facts) -> Verdict:
    """Apply the rules to completed facts."""
    told = [(rule, rule.holds(facts)) for rule in RULES]
    holding = tuple(rule for rule, holds in told if holds is True)
    met = facts.trigeminal_neuralgia
    candidates = tuple(
        cause
        for cause in CAUSES_IN_ORDER
        if met is not False
        and any(rule.verdict == cause and holds is not False for rule, holds in told)
    )
    etiology: Cause | None = None
    code = "13.1.1" if met else None
    if met and holding:
        # A verdict excludes the others: each rule denies the ones above it.
        etiology, code = holding[0].verdict, holding[0].code
        candidates = (etiology,)
        if etiology != "secondary" and facts.continuous is not None:
            code = f"{code}.{2 if facts.continuous else 1}"
    return Verdict(etiology, candidates, code, certainty(facts, etiology), holding)


def certainty(facts: Facts, etiology: Cause | None) -> Certainty | None:
    """Grade the certainty of the diagnosis (Cruccu et al. 2016)."""
    ruled_out = facts.trigeminal_neuralgia is False and criteria_met(facts) is not False
    if ruled_out or facts.better_explained:
        return None
    if not all_of(facts.in_distribution, facts.paroxysms):
        return None
    if not facts.triggered:
        return "possible"
    return "definite" if etiology in ("classical", "secondary") else "clinically established"


def missing(facts: Facts, verdict: Verdict) -> tuple[str, ...]:
    """Ask for the unknown facts that could change the verdict, each taken alone."""
    asked = []
    for name in facts.unknown():
        if name == "reflexes_impaired" and verdict.etiology is not None:
            continue  # a remark says that they weren't measured
        for value in (True, False):
            try:
                other = judge(completed(_with(facts, name, value)))
            except FormatError:
                continue  # this value is excluded by the others
            if (other.candidates, other.code, other.certainty) != (
                verdict.candidates,
                verdict.code,
                verdict.certainty,
            ):
                asked.append(WORDING[name].question)
                break
    return tuple(asked)


def _with(facts: Facts, name: str, value: bool) -> Facts:
    return dataclasses.replace(facts, **{name: value})
