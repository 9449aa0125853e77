"""The sentences of an etiology: why, and what deserves a look."""

from __future__ import annotations

from typing import Any

from ...errors import FormatError
from .facts import CRITERIA, WORDING, Facts, Known, all_of, by_ms, criteria_met
from .measured import Findings
from .rules import Verdict

YOUNG = 40.0


def reasons(facts: Facts, verdict: Verdict, found: Findings) -> tuple[str, ...]:
    """Say why the verdict is what it is: the clinic first, then the cause."""
    if facts.trigeminal_neuralgia is False:
        return (f"Not trigeminal neuralgia by ICHD-3 13.1.1: {_failing(facts)}.",)
    sentences = [_clinic(facts, verdict)]
    rules = verdict.rules
    # The general rule adds nothing to the cause that fulfils it.
    specific = [rule for rule in rules if rule.name != "underlying disease"]
    evidence = _in_brackets(found.changed)
    for rule in specific or rules:
        shown = evidence if rule.verdict == "classical" else ""
        sentences.append(f"{rule.sentence}{shown}.")
    if not rules:
        sentences.append(_open(facts, verdict))
    if "idiopathic" in verdict.candidates and facts.contact and not facts.morphological_change:
        sentences.append(
            f"A vessel touches the root{_in_brackets(found.touching)}; mere contact is common in "
            "healthy people and doesn't make the neuralgia classical (ICHD-3 13.1.1.3, comments)."
        )
    return tuple(sentences)


def _in_brackets(parts: tuple[str, ...]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def _failing(facts: Facts) -> str:
    wrong = [WORDING[name].no for name in CRITERIA if getattr(facts, name) is False]
    if facts.better_explained:
        wrong.append(WORDING["better_explained"].yes)
    return "; ".join(wrong) or WORDING["trigeminal_neuralgia"].no


def _clinic(facts: Facts, verdict: Verdict) -> str:
    if facts.trigeminal_neuralgia:
        return "The pain meets criteria A-D of ICHD-3 13.1.1, trigeminal neuralgia."
    text = "Whether the pain meets criteria A-D of ICHD-3 13.1.1 isn't known, so no etiology is"
    if len(verdict.candidates) == 1:
        return f"{text} given; if it does, only {verdict.candidates[0]} is left."
    return f"{text} given."


def _open(facts: Facts, verdict: Verdict) -> str:
    if not verdict.candidates:
        return (
            "Trigeminal reflexes or evoked potentials are impaired and no cause was found, which "
            "ICHD-3 13.1.1.3 doesn't call idiopathic."
        )
    if len(verdict.candidates) == 1:
        return f"Only {verdict.candidates[0]} is left, but it isn't demonstrated."
    *some, last = verdict.candidates
    return f"What is known leaves open whether it is {', '.join(some)} or {last}."


def remarks(facts: Facts, verdict: Verdict) -> tuple[str, ...]:
    """Say what deserves a look beside the verdict."""
    sentences = []
    if all_of(facts.ms, facts.morphological_change):
        sentences.append(
            "Multiple sclerosis and vascular compression occur together; MS is thought to make "
            "the root more susceptible to compression (ICHD-3 13.1.1.2.1, comments)."
        )
    elif facts.morphological_change and verdict.etiology == "secondary":
        sentences.append("A vessel compresses the root as well; the underlying disease goes first.")
    if facts.ms and by_ms(facts) is False:
        sentences.append(
            "Multiple sclerosis is diagnosed, but neither MRI nor reflexes show that it affects "
            "the trigeminal pathway."
        )
    if verdict.etiology == "idiopathic" and facts.reflexes_impaired is None:
        sentences.append(
            "Trigeminal reflexes weren't measured; ICHD-3 13.1.1.3 asks for them beside MRI."
        )
    if facts.reflexes_impaired and verdict.etiology == "classical":
        sentences.append(
            "Trigeminal reflexes or evoked potentials are impaired, which is more common with an "
            "underlying disease; look again for one."
        )
    if criteria_met(facts) is False and verdict.certainty == "clinically established":
        sentences.append(
            "Cruccu et al. 2016 grade the diagnosis by territory, paroxysms and triggers alone; "
            "ICHD-3 asks for more, which isn't met."
        )
    return tuple(sentences)


def context(bilateral: Known, sensory_deficit: Known, age: Any) -> tuple[str, ...]:
    """Say what age, sensation and the other side hint at; none of it decides."""
    sentences = []
    if bilateral:
        sentences.append(
            "Bilateral pain is unusual: check for a secondary cause such as multiple sclerosis "
            "(Cruccu et al., Eur J Neurol 2008;15:1013-1028)."
        )
    if sensory_deficit:
        sentences.append(
            "A sensory deficit hints at a secondary cause, or at painful trigeminal neuropathy "
            "(ICHD-3 13.1.2)."
        )
    if age is not None and not 0 <= age <= 120:
        raise FormatError(f"expected 0 to 120 years, found {age:g}", where="age")
    if age is not None and age < YOUNG:
        sentences.append(
            f"Onset before {YOUNG:g} is more common with a secondary cause, but tells little by "
            "itself (Cruccu et al., Eur J Neurol 2008;15:1013-1028)."
        )
    return tuple(sentences)
