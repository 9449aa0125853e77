"""The model card: what a model is, how well it does, for whom, and what speaks against it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, StorageError, list_some
from ..evaluation import CVResult
from ._card.data import describe_data, describe_outcome
from ._card.figures import draw_card
from ._card.model import describe_model
from ._card.results import (
    describe_evaluation,
    describe_other_sites,
    describe_performance,
    describe_subgroups,
)
from ._card.words import headline, limits
from ._files import as_json, make_writable, plain, write_whole
from ._output import versions
from ._page import redacted, redactor
from .checklists import fill, names, questions_to_authors

if TYPE_CHECKING:
    from .study import Study

__all__ = ["ModelCard", "model_card", "read_model_card"]

Pictures = dict[str, tuple[bytes, str]]

FORMAT, VERSION = "precisionpain model card", 1
_NOT_FOR = (
    "decisions about any person",
    "people unlike those of the table of characteristics",
    "causes: a predictor that carries weight need not be one",
)
# Fields that no item of a checklist asks for.
_MORE_FIELDS = {
    "authors": "Who wrote the card?",
    "contact": "Whom to ask?",
    "licence": "Under what terms may the model be used?",
    "model_version": "Which version is this?",
}


@dataclasses.dataclass(frozen=True, repr=False)
class ModelCard:
    """What `model_card` found; `save` writes it down, `read_model_card` reads it again.

    Parameters
    ----------
    record : dict
        Everything, as plain JSON values.
    draw : callable, optional
        Draws the `pictures` when they are first asked for.
    """

    record: dict[str, Any]
    draw: Callable[[], Pictures] | None = None

    @cached_property
    def pictures(self) -> Pictures:
        """PNG and alternative text by name."""
        return {} if self.draw is None else self.draw()

    @property
    def headline(self) -> list[str]:
        """The card in a few sentences, composed from the numbers."""
        return list(self.record["headline"])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values, without predictions of people.

        Returns
        -------
        dict
        """
        found: dict[str, Any] = plain(self.record)
        return found

    def to_html(self) -> str:
        """Return the card as one HTML page, styles and pictures inside.

        Returns
        -------
        str
        """
        from ._card.page import render_card

        return render_card(self)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the card.

        Parameters
        ----------
        folder : str or Path
            Made when absent. Each file is replaced as a whole.

        Returns
        -------
        dict of str to Path
            ``model_card.html``, ``figures/*.png`` and ``model_card.json``.

        Raises
        ------
        StorageError
            When the folder can't be written.
        """
        path = make_writable(folder, ["figures"])
        written = {
            f"figures/{name}.png": write_whole(path / "figures" / f"{name}.png", image)
            for name, (image, _) in self.pictures.items()
        }
        html = "model_card.html"
        written[html] = write_whole(path / html, self.to_html().encode())
        # Last, so that its presence means that all the rest is there.
        record = {**self.to_dict(), "pictures": {n: alt for n, (_, alt) in self.pictures.items()}}
        written["model_card.json"] = write_whole(path / "model_card.json", as_json(record))
        return written

    def __repr__(self) -> str:
        return "\n".join([self.record["title"], *(f"  {text}" for text in self.headline)])


def model_card(
    source: CVResult | Study,
    *,
    model: Any = None,
    subgroups: Any = None,
    other_sites: Any = None,
    site: str = "site",
    intended_use: str | None = None,
    not_for: str | None = None,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    **author_fields: str,
) -> ModelCard:
    """Write the card of a model from what its evaluation found.

    Parameters
    ----------
    source : CVResult or Study
        The evaluation. Of a study, its primary model.
    model : estimator, optional
        The fitted model that is handed on, for its blocks, weights and coefficients.
    subgroups : FairnessTable, pandas.DataFrame or False, optional
        Performance by subgroup: anything with a DataFrame ``.table``. By default computed by
        `precisionpain.evaluation.subgroups`; False leaves it out.
    other_sites : CVResult, DataFrame or object with ``.table``, optional
        The same model with each site left out in turn; by default that of the study.
    site : str, default "site"
        Column with the site.
    intended_use, not_for : str, optional
        What the model is meant for, and what it isn't.
    answers : mapping, optional
        Checklist → item → the author's answer, see `checklist`.
    **author_fields : str
        What only the authors know, such as ``funding``, ``ethics``, ``registration``,
        ``protocol``, ``eligibility``, ``dates``, ``limitations`` or ``authors``; marked as theirs.
        An unknown name is refused with the list of the others.

    Returns
    -------
    ModelCard
        With ``save(folder)``, ``to_dict()`` and ``headline``. No person is named.

    Raises
    ------
    FormatError
        When the source isn't an evaluation, or an author's field is unknown.
    ComparisonError
        When the sites left out are those of another model or outcome.

    Notes
    -----
    The headline is composed from the numbers by fixed rules: a gain is called one only when its
    interval excludes zero, and a failed canary stands above all. The permutations of the
    evaluation run now, if they haven't yet.

    References
    ----------
    .. [1] Mitchell M, et al. Model cards for model reporting. FAT* 2019:220-229.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120)
    >>> result = pp.evaluation.cross_validate(
    ...     pp.evaluation.clinical_model("logistic"), cohort, "mvd_response", n_permutations=5,
    ...     n_bootstrap=20, name="the ridge")
    >>> card = pp.report.model_card(result, subgroups=False, funding="none")
    >>> card.record["data"]["n_people"], len(card.record["checklists"]["claim"])
    (58, 44)
    """
    result, study = _evaluation(source)
    author = _author({"intended_use": intended_use, "not_for": not_for, **author_fields})
    given = {str(name): dict(items) for name, items in (answers or {}).items()}
    unknown = sorted(set(given) - set(names()))
    if unknown:
        raise FormatError(f"answers name {list_some(unknown)}", remedy=f"known: {names()}")
    site = site if study is None else study.settings["site"]
    described = describe_model(result, model)
    coefficients = (described["learned"] or {}).get("n_coefficients")
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": VERSION,
        "title": f"{result.name}: {result.outcome} in {result.cohort.name}"
        + (" – SYNTHETIC DATA" if result.cohort.synthetic else ""),
        "synthetic": result.cohort.synthetic,
        "author": author,
        "answers": given,
        "data": describe_data(result, site, None if study is None else study.table_one),
        "outcome": describe_outcome(result),
        "model": described,
        "evaluation": describe_evaluation(result),
        "performance": describe_performance(result, study, coefficients),
        "subgroups": describe_subgroups(result, subgroups),
        "other_sites": describe_other_sites(result, study, other_sites),
        "not_for": list(_NOT_FOR),
        "notes": [] if study is None else list(study.notes),
        "versions": versions(),
    }
    # Settings and logs may name people: who the controls are, whose age was corrected.
    # Those who left are among them, so everybody in the tables behind the cohort counts.
    clean = redactor(result.cohort._store.subjects.index)
    kept = ("format", "format_version", "versions")
    record = {k: v if k in kept else redacted(v, clean) for k, v in record.items()}
    record["headline"] = headline(record)
    record["limits"] = limits(record)
    record["checklists"] = {}
    for name in names():
        table = fill(record, name)
        record["checklists"][name] = table.reset_index().to_dict("records")
    return ModelCard(record, partial(draw_card, result, record))


def read_model_card(path: str | Path) -> ModelCard:
    """Read a card that was saved.

    Parameters
    ----------
    path : str or Path
        The folder, or its ``model_card.json``.

    Returns
    -------
    ModelCard
        Its pictures, where they lie beside it.

    Raises
    ------
    StorageError
        When there is no such file.
    FormatError
        When it isn't a card, or one of a later version of the library.

    Examples
    --------
    >>> import tempfile
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120)
    >>> result = pp.evaluation.cross_validate(
    ...     pp.evaluation.clinical_model("logistic"), cohort, "mvd_response", n_permutations=5,
    ...     n_bootstrap=20)
    >>> card, folder = pp.report.model_card(result, subgroups=False), tempfile.mkdtemp()
    >>> _ = card.save(folder)
    >>> pp.report.read_model_card(folder).headline == card.headline
    True
    """
    path = Path(path).expanduser()
    file = path / "model_card.json" if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(
            f"no model card can be read ({error.strerror or error})", where=str(file)
        ) from error
    except ValueError as error:
        raise FormatError(f"expected JSON: {error}", where=str(file)) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FormatError("this isn't a model card of precisionpain", where=str(file))
    if record.get("format_version") != VERSION:
        raise FormatError(
            f"a card of version {record.get('format_version')!r}; this library reads {VERSION}",
            where=str(file),
            remedy="read it with the library that wrote it, or a later one",
        )
    pictures = {}
    for name, alt in record.pop("pictures", {}).items():
        image = file.parent / "figures" / f"{Path(name).name}.png"
        if image.is_file():
            pictures[name] = (image.read_bytes(), str(alt))
    return ModelCard(record, partial(dict, pictures))


def _evaluation(source: Any) -> tuple[CVResult, Study | None]:
    if isinstance(source, CVResult):
        return source, None
    from .study import Study

    if isinstance(source, Study):
        return source.primary, source
    raise FormatError(
        f"a card is written from a CVResult or a Study, found {type(source).__name__}",
        remedy="evaluate the model first: precisionpain.evaluation.cross_validate(...)",
    )


def _author(given: Mapping[str, Any]) -> dict[str, str]:
    known = {**questions_to_authors(), **_MORE_FIELDS, "not_for": "What is it not for?"}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise FormatError(
            f"a card has no field {list_some(unknown)}",
            remedy=f"an author can tell {list_some(sorted(known), 60)}",
        )
    wrong = sorted(name for name, text in given.items() if not isinstance(text, str | None))
    if wrong:
        raise FormatError(f"an author's field is a text: {list_some(wrong)}")
    return {name: text.strip() for name, text in given.items() if text and text.strip()}
