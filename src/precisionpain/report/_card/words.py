"""The card in words, composed from its numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._words import p_text, signed

Record = Mapping[str, Any]


def number(x: Any, digits: int = 2) -> str:
    """Return a number with a true minus, or a dash where there is none."""
    if x is None or not np.isfinite(x):
        return "–"
    return f"{x:.{digits}f}".replace("-", "−")


def limits_of(found: Record, digits: int = 2, *, sign: bool = False) -> str:
    """Return ``(low to high)``, or nothing where there is no interval."""
    low, high = found.get("ci_low"), found.get("ci_high")
    if low is None or high is None or not np.isfinite([low, high]).all():
        return ""
    show = (lambda v: signed(v, digits)) if sign else (lambda v: number(v, digits))
    return f" ({show(low)} to {show(high)})"


def better_than_chance(record: Record) -> bool:
    """Whether both the interval and the permutations speak against chance."""
    found = record["performance"]
    return found["auc"]["ci_low"] > 0.5 and found["permutation"]["p_value"] < 0.05


def headline(record: Record) -> list[str]:
    """Say what the model does, what it adds, and what speaks against it."""
    sentences = [
        _result(record), _canary(record), _increment(record), _benefit(record),
        _calibration(record), _size(record), _reach(record), _groups(record),
    ]  # fmt: skip
    return [sentence for sentence in sentences if sentence]


def _result(record: Record) -> str:
    data, found = record["data"], record["performance"]
    a, test = found["auc"], found["permutation"]
    start = "Synthetic people, no finding about patients: in" if data["synthetic"] else "In"
    whom = "of them" if data["unit"] == "subject" else f"of their {data['n_rows']} {data['unit']}s"
    text = (
        f"{start} {data['n_people']} people, {data['n_events']} {whom} with the outcome "
        f"{record['outcome']['name']}, {record['model']['name']} has a pooled out-of-fold AUC of "
        f"{a['auc']:.2f} ({a['confidence']:.0%} CI {a['ci_low']:.2f} to {a['ci_high']:.2f})"
    )
    tested = f"{p_text(test['p_value'])} against {test['n']} runs with permuted labels"
    if better_than_chance(record):
        return f"{text}: better than chance ({tested})."
    if a["ci_low"] > 0.5 and test["smallest_p"] >= 0.05:
        return f"{text}; {test['n']} permutations are too few to tell it from chance ({tested})."
    return f"{text}: not shown to be better than chance ({tested})."


def _canary(record: Record) -> str:
    test = record["performance"]["permutation"]
    if test["passed"]:
        return ""
    return (
        f"WARNING: with permuted labels the same procedure still reaches a mean AUC of "
        f"{test['mean']:.2f}, so something leaks and no figure here is to be believed."
    )


def _increment(record: Record) -> str:
    found = record["performance"]["increment"]
    if found is None and any("ClinicalFeatures" in step for step in record["model"]["steps"]):
        return "It sees the clinic alone: it is a baseline for others, and was compared with none."
    if found is None:
        return (
            "It was compared with no clinical baseline, so this card can't say whether it adds "
            "anything to what the clinic knows."
        )
    c = found["corrected"]
    text = (
        f"Over the {found['baseline']} (AUC {found['baseline_auc']['auc']:.2f}) it changes the AUC "
        f"by {signed(c['mean'])} per fold{limits_of(c, sign=True)}"
    )
    if not np.isfinite(c["ci_low"]):
        return f"{text}: without an interval, no gain is shown."
    if c["ci_low"] > 0:
        return f"{text}: a gain ({p_text(c['p_value'])})."
    if c["ci_high"] < 0:
        return f"{text}: it is worse ({p_text(c['p_value'])})."
    return f"{text}: no gain is shown ({p_text(c['p_value'])})."


def _benefit(record: Record) -> str:
    found = record["performance"]["net_benefit"]
    d, t = found["over_default"], found["threshold"]
    text = (
        f"At a threshold of {t:g}, acting on it changes net benefit by "
        f"{signed(d['difference'], 3)} per person{limits_of(d, 3, sign=True)} over the better of "
        "treating everybody and nobody"
    )
    if not (np.isfinite(d["ci_low"]) and d["ci_low"] > 0):
        text += ": no use is shown there"
    elif d["difference"] > 0:
        text += ": of use there"
    return f"{text}."


def _calibration(record: Record) -> str:
    c = record["performance"]["calibration"]
    text = (
        f"Calibration: slope {number(c['slope'])} "
        f"({number(c['slope_low'])} to {number(c['slope_high'])}; ideal 1), observed / expected "
        f"{number(c['observed_expected'])}"
    )
    if not np.isfinite(c["slope_low"]):
        return f"{text}; the slope can't be judged."
    fits = c["slope_low"] <= 1 <= c["slope_high"]
    return f"{text}." if fits else f"{text}: its probabilities are not to be taken at face value."


def _size(record: Record) -> str:
    verdict = record["performance"]["sample_size"]
    if verdict is None:
        return (
            "How many parameters were learned isn't known, so whether there are enough people "
            "can't be judged here."
        )
    return str(verdict["sentence"])


def _reach(record: Record) -> str:
    sites = record["other_sites"]
    if sites is None:
        n = len([s for s in record["data"]["sites"] if s["site"] != "unknown"])
        where = f"the same {n} sites" if n > 1 else "the same source"
        return f"It was tested on people of {where} as it was trained on, and nowhere else."
    if sites["auc"] is None:
        return f"Each of {len(sites['rows'])} sites was left out in turn; see the table."
    a = sites["auc"]
    return (
        f"With each of {len(sites['rows'])} sites left out in turn, the AUC is {a['auc']:.2f}"
        f"{limits_of(a)}."
    )


def _groups(record: Record) -> str:
    if record["subgroups"] is None:
        return "How it does in subgroups was not examined."
    rows = judged_groups(record)
    if not rows:
        return "No subgroup is large enough to be judged."
    worst = min(rows, key=lambda row: float(row["auc"]))
    return (
        f"Of the {len(rows)} subgroups that can be judged, the lowest AUC is {worst['auc']:.2f}"
        f"{limits_of(worst)}, in {worst['name']}."
    )


def judged_groups(record: Record) -> list[dict[str, Any]]:
    """Return the subgroups with an AUC, as ``name``, ``auc``, ``ci_low``, ``ci_high``, ``n``."""
    found = []
    for row in (record["subgroups"] or {}).get("rows", []):
        limits = [row.get(f"auc_{end}", row.get(f"ci_{end}")) for end in ("low", "high")]
        values = [row.get("auc"), *limits]
        if row.get("judged", True) is False or None in values or not np.isfinite(values).all():
            continue
        if row.get("by") == "all":
            continue
        name = " ".join(str(row[k]) for k in ("by", "variable", "group", "level") if k in row)
        found.append({"name": name, "auc": values[0], "ci_low": limits[0], "ci_high": limits[1],
                      "n": row.get("n")})  # fmt: skip
    return found


def limits(record: Record) -> list[str]:
    """List what limits the model, as far as the numbers tell."""
    data, found, how = record["data"], record["performance"], record["evaluation"]
    told = []
    if data["synthetic"]:
        told.append("The people are made up: nothing here is evidence about patients.")
    told.append(
        "Evaluation is internal (cross-validation): other hospitals, scanners, assays and times "
        "were not tried."
        if record["other_sites"] is None
        else "Sites left out in turn belong to the same study; no separate study was tried."
    )
    told += [
        f"Not met: {row['check']} ({row['finding']})."
        for row in found["checks"]
        if not row["ok"] and row["check"] != "enough people"
    ]
    if found["sample_size"] is not None and not found["sample_size"]["ok"]:
        told.append(found["sample_size"]["sentence"])
    lacking = [b for b in data["has"] if b["share_lacking"] >= 0.3]
    told += [
        f"{b['block']}: {b['lack']} of {b['have'] + b['lack']} people lack it, and who lacks it "
        "may differ from who has it."
        for b in lacking
    ]
    if how["n_permutations"] < 100:
        told.append(
            f"{how['n_permutations']} runs with permuted labels look for gross leaks; they are too "
            "few for a p-value."
        )
    if how["allowed_late"]:
        told.append(
            f"Allowed by name although recorded after the index event: "
            f"{', '.join(how['allowed_late'])}."
        )
    told.append(
        f"The threshold of {how['threshold']:g} was set beforehand, not chosen for a clinical "
        "decision."
    )
    told.append("Intervals take the folds as given and leave out doubt about the choice of model.")
    return told
