"""The report of a person in a few sentences, composed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .clinic import find_value

Record = Mapping[str, Any]


def summary(record: Record) -> list[str]:
    """Compose the sentences: who, etiology, nerves, proteins, prediction, what lacks."""
    sentences = [_who(record)]
    sentences += _etiology(record)
    sentences += [_nerve(table) for table in record["measures"] if table["rows"]]
    sentences += [_proteins(assay) for assay in record["proteins"] if assay["axes"]]
    sentences += [predicted_sentence(record), _lacks(record)]
    return [sentence for sentence in sentences if sentence]


def _who(record: Record) -> str:
    rows = record["clinic"]["rows"]
    parts = []
    for name, form in (
        ("diagnosis", "{}"), ("affected_side", "pain on the {} side"), ("sex", "{}"),
        ("age", "{} years"),
    ):  # fmt: skip
        value = find_value(rows, name)
        if value is not None:
            parts.append("pain on both sides" if value == "bilateral" else form.format(value))
    start = "A made-up person" if record["synthetic"] else "A person"
    return f"{start}: {', '.join(parts)}." if parts else f"{start}, of whom little is known."


def _etiology(record: Record) -> list[str]:
    found = []
    for row in record["etiology"] or []:
        if row.get("error"):
            continue
        side = f" ({row['side']})" if row.get("side") else ""
        if row.get("etiology"):
            grade = f", {row['certainty']}" if row.get("certainty") else ""
            found.append(f"ICHD-3{side}: {row['etiology']}, {row['ichd3_code']}{grade}.")
        elif row.get("candidates"):
            found.append(f"ICHD-3{side}: undetermined; {row['candidates']} not excluded.")
    return found


def beside(table: Record) -> str:
    """Name those whom a table compares with."""
    names = {
        "published": "published ranges", "controls": f"{table['n_reference']} controls",
        "others": f"{table['n_reference']} other people of the cohort, who aren't healthy controls",
    }  # fmt: skip
    return names[table["reference"]]


def flagged(table: Record) -> tuple[list[str], int]:
    """Return the measures of the first side outside of the reference, and how many were placed."""
    placed = [r for r in table["rows"] if r["affected_place"]["outside"] is not None]
    return [r["measure"] for r in placed if r["affected_place"]["outside"]], len(placed)


def _nerve(table: Record) -> str:
    outside, n = flagged(table)
    which = f", {table['roles'][0]}" if len(table["roles"]) > 1 else ""
    if not n:
        return f"{table['table']}: measured, without a reference to compare with."
    whom = beside(table)
    healthy = whom if table["reference"] == "published" else f"the 95% range of {whom}"
    listed = f": {', '.join(outside)}" if outside else ""
    return (
        f"{table['table']}{which}: {len(outside)} of {n} measures lie outside of {healthy}"
        f"{listed} ({0.05 * n:.1f} would by chance)."
    )


def _proteins(assay: Record) -> str:
    axes = [a for a in assay["axes"] if a["outside"] is not None and a["axis"] != "overall"]
    outside = [
        f"{a['axis']} ({a['score']:+.1f} SD)".replace("-", "−") for a in axes if a["outside"]
    ]
    if not axes:
        return ""
    return (
        f"{assay['assay']}: {len(outside)} of {len(axes)} protein axes lie outside of the 95% "
        f"range of {assay['n_reference']} {'controls' if assay['reference'] == 'controls' else 'others'}"  # noqa: E501
        f"{': ' + ', '.join(outside) if outside else ''}."
    )


def predicted_sentence(record: Record) -> str:
    """Say what the model says, how sure, and whether it knew the person."""
    found = record["prediction"]
    if found is None or found["p"] is None:
        return (
            ""
            if found is None
            else f"The model gives no probability: {found['reason'] or 'no reason given'}."
        )
    text = f"{found['model']} gives a probability of {found['p']:.2f}"
    if found["p_low"] is not None and found["p_high"] is not None:
        text += f" ({found['p_low']:.2f} to {found['p_high']:.2f})"
    text += f" of {found['outcome'] or 'the outcome'}"
    if found["base_rate"] is not None:
        text += f", where {found['base_rate']:.2f} of all had it"
    if found["informed"] is False:
        text = (
            f"{found['model']} has not enough to go by for this person, so its figure "
            f"({found['p']:.2f}) should not be used"
        )
    elif found["answer"]:
        text += f": {found['answer']}"
    text += _ruled_out(found["set"])
    seen = {
        True: " It had not seen this person.",
        False: " This person was among its training people, so the figure is too good.",
        None: " Whether it was trained on this person isn't known.",
    }[found["unseen"]]
    return f"{text}.{seen}"


def _ruled_out(found: list[str] | str | None) -> str:
    if found is None:
        return ""
    if found == "either" or (isinstance(found, list) and len(found) > 1):
        return "; it can rule out neither outcome"
    if found in ("neither", []):
        return "; it finds the person unlike those of either outcome"
    return f"; it rules out all but {found if isinstance(found, str) else found[0]}"


def _lacks(record: Record) -> str:
    absent = [h["block"] for h in record["has"] if not h["has"]]
    unknown = [r["name"] for r in record["clinic"]["rows"] if r["shown"] == "not known"]
    parts = []
    if absent:
        parts.append(f"not measured: {', '.join(absent)}")
    if unknown:
        parts.append(f"not known: {', '.join(unknown)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else "Nothing that others have is missing."
