"""Reporting checklists, filled with what the library knows and left open where it doesn't."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import FormatError, list_some
from ._checklists.facts import FILLED, NOT_APPLICABLE, OPEN, PARTLY, Fact, facts

if TYPE_CHECKING:
    from ..evaluation import CVResult
    from .model_card import ModelCard
    from .study import Study

__all__ = ["checklist"]

_FILES = {"tripod+ai": "tripod_ai", "probast+ai": "probast_ai", "claim": "claim"}
STATUSES = (FILLED, PARTLY, OPEN, NOT_APPLICABLE)
_COLUMNS = ["section", "topic", "applies", "asks", "status", "answer", "by", "where"]

Answers = Mapping[str, Any]


def checklist(
    name: str,
    source: ModelCard | Study | CVResult | None = None,
    *,
    answers: Answers | None = None,
) -> pd.DataFrame:
    """Fill a reporting checklist as far as the library knows the answers.

    Parameters
    ----------
    name : {"tripod+ai", "probast+ai", "claim"}
        TRIPOD+AI (27 items in 52 parts), PROBAST+AI (16 and 18 signalling questions) or the
        2024 update of CLAIM (44 items).
    source : ModelCard, Study or CVResult, optional
        What was done. Without one every item is open.
    answers : mapping of str to str or mapping, optional
        Item → the author's answer, or a mapping with ``answer`` and optionally ``status`` and
        ``where``. They go before those of the library.

    Returns
    -------
    pandas.DataFrame
        Index ``item``, numbered as published. ``asks``: the item in our own words, a question
        to the author; ``applies``: to development (D), evaluation (E) or both; ``status``:
        "filled", "partly", "open" or "not applicable"; ``answer``; ``by``: "library", "author" or
        empty; ``where``: the section of the model card. ``attrs`` has ``title``, ``source`` and
        ``note``.

    Raises
    ------
    FormatError
        For an unknown checklist, item or status, or a source of another kind.

    Notes
    -----
    What only people can know (consent, blinding, funding, what the model is for) stays open
    until the author answers. "filled" says that the question is answered, not that the answer
    is a good one. Submit the official forms, not this table.

    References
    ----------
    .. [1] Collins GS, et al. TRIPOD+AI statement. BMJ 2024;385:e078378.
    .. [2] Moons KGM, et al. PROBAST+AI. BMJ 2025;388:e082505.
    .. [3] Tejani AS, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM):
       2024 update. Radiol Artif Intell 2024;6:e240300.

    Examples
    --------
    >>> import precisionpain as pp
    >>> table = pp.report.checklist("tripod+ai", answers={"18a": "No funding."})
    >>> len(table), table.loc["18a", "status"], table.loc["17", "status"]
    (52, 'filled', 'open')
    """
    from .model_card import ModelCard, model_card

    content = content_of(name)
    own = dict(answers or {})
    if source is None:
        return _table(content, {}, {}, own)
    if not isinstance(source, ModelCard):
        source = model_card(source)
    return _table(content, facts(source.record), source.record["author"], _given(source, name, own))


def _given(card: ModelCard, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    return {**card.record["answers"].get(name, {}), **own}


@functools.cache
def content_of(name: str) -> dict[str, Any]:
    """Return a checklist as it is stored; don't change it."""
    if name not in _FILES:
        raise FormatError(f"a checklist is one of {list_some(_FILES)}, found {name!r}")
    import yaml

    path = Path(__file__).parent / "_checklists" / f"{_FILES[name]}.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """Return the names of the checklists."""
    return list(_FILES)


def questions_to_authors() -> dict[str, str]:
    """Return what an author can tell a card: field → question."""
    items = [item for name in _FILES for item in content_of(name)["items"]]
    return {item["author"]: item["asks"] for item in reversed(items) if "author" in item}


def fill(record: Mapping[str, Any], name: str) -> pd.DataFrame:
    """Fill a checklist for the record of a card."""
    given = record["answers"].get(name, {})
    return _table(content_of(name), facts(record), record["author"], given)


def _table(
    content: Mapping[str, Any],
    known: Mapping[str, Fact],
    author: Mapping[str, str],
    answers: Mapping[str, Any],
) -> pd.DataFrame:
    items = content["items"]
    unknown = sorted(set(map(str, answers)) - {item["item"] for item in items})
    if unknown:
        raise FormatError(
            f"{content['title']} has no item {list_some(unknown)}",
            remedy=f"items are {list_some([item['item'] for item in items], 60)}",
        )
    rows = []
    for item in items:
        head = {key: item.get(key, "") for key in ("section", "topic", "applies", "asks")}
        rows.append({**head, **_row(item, known, author, answers.get(item["item"]))})
    index = pd.Index([item["item"] for item in items], name="item")
    table = pd.DataFrame(rows, index=index)[_COLUMNS]
    table.attrs = {key: content[key] for key in ("title", "source", "note")}
    return table


def _row(
    item: Mapping[str, str], known: Mapping[str, Fact], author: Mapping[str, str], answer: Any
) -> dict[str, str]:
    if answer is not None:
        return _from_author(item["item"], answer)
    fact = known.get(item.get("fact", ""))
    told = author.get(item.get("author", ""))
    if told:
        # What the library knows stands beside, so that one can be checked against the other.
        beside = f" [library: {fact.answer}]" if fact is not None and fact.status != OPEN else ""
        status = item.get("told", FILLED)
        return {"status": status, "answer": f"{told}{beside}", "by": "author", "where": "Author"}
    if fact is None or fact.status == OPEN:
        return {"status": OPEN, "answer": "", "by": "", "where": ""}
    status = PARTLY if fact.status == FILLED and item.get("most") == PARTLY else fact.status
    return {"status": status, "answer": fact.answer, "by": "library", "where": fact.where}


def _from_author(item: str, answer: Any) -> dict[str, str]:
    given = dict(answer) if isinstance(answer, Mapping) else {"answer": answer}
    status = str(given.get("status", FILLED))
    if status not in STATUSES or not isinstance(given.get("answer", ""), str):
        raise FormatError(
            f"an answer is a text, or a mapping with answer, status and where: {answer!r}",
            where=f"item {item!r}",
            remedy=f"status is one of {list_some(STATUSES)}",
        )
    return {
        "status": status,
        "answer": str(given.get("answer", "")),
        "by": "author",
        "where": str(given.get("where", "")),
    }
