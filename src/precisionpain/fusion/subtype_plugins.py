"""Classifiers of subtypes that other packages bring."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import pandas as pd

from ..errors import FormatError, MissingModalityError, list_some
from .subtype_classifier import SubtypeClassifier

__all__ = ["ENTRY_POINTS", "available_subtype_classifiers", "load_subtype_classifier"]

ENTRY_POINTS = "precisionpain.subtype_classifiers"
# The library's own, also where its metadata were written before it had entry points.
_OWN = {
    "mechanism_rules": "precisionpain.fusion.mechanism_rules:MechanismRules",
    "subtype_model": "precisionpain.fusion.subtypes:SubtypeModel",
    "subtype_namer": "precisionpain.fusion.subtype_namer:SubtypeNamer",
}


def available_subtype_classifiers() -> pd.DataFrame:
    """List the classifiers of subtypes that are installed.

    A package brings one by the entry point group ``precisionpain.subtype_classifiers``.

    Returns
    -------
    pandas.DataFrame
        Index ``name``: ``package``, ``version``, ``value`` (where it is), and ``problem``: why
        it can't be loaded, or empty. One that is broken stops no other.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.available_subtype_classifiers().loc["mechanism_rules", "package"]
    'precisionpain'
    """
    rows = []
    found = _found()
    for name, points in found.items():
        for package, version, point in points:
            rows.append({
                "name": name, "package": package, "version": version, "value": point.value,
                "problem": _problem(points, point),
            })  # fmt: skip
    names = ["name", "package", "version", "value", "problem"]
    return pd.DataFrame(rows, columns=names).set_index("name").sort_index()


def load_subtype_classifier(name: str) -> type[SubtypeClassifier]:
    """Return an installed classifier of subtypes by its name.

    Parameters
    ----------
    name : str
        As `available_subtype_classifiers` lists it.

    Returns
    -------
    type
        The class, to be built with its own arguments.

    Raises
    ------
    MissingModalityError
        When none is called so.
    FormatError
        When it can't be loaded, is no `SubtypeClassifier`, or two packages have one of that name.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.load_subtype_classifier("mechanism_rules").__name__
    'MechanismRules'
    """
    found = _found()
    if name not in found:
        raise MissingModalityError(
            f"no classifier of subtypes is called {name!r}",
            remedy=f"installed are {list_some(sorted(found), 20)}",
        )
    points = found[name]
    problem = _problem(points, points[0][2])
    if problem:
        raise FormatError(
            f"the classifier {name!r} of package {points[0][0]!r} can't be used: {problem}",
            remedy="mend or remove that package",
        )
    return _load(points[0][2])


def _found() -> dict[str, list[tuple[str, str, EntryPoint]]]:
    from .. import __version__

    found: dict[str, list[tuple[str, str, EntryPoint]]] = {
        name: [("precisionpain", __version__, EntryPoint(name, value, ENTRY_POINTS))]
        for name, value in _OWN.items()
    }
    for point in entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist is not None else "?"
        version = point.dist.version if point.dist is not None else "?"
        if package != "precisionpain":
            found.setdefault(point.name, []).append((package, version, point))
    return found


def _problem(points: list[tuple[str, str, EntryPoint]], point: EntryPoint) -> str:
    if len(points) > 1:
        return f"packages {list_some([package for package, _, _ in points])} use the same name"
    try:
        _load(point)
    except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
        return f"{type(error).__name__}: {error}"
    return ""


def _load(point: EntryPoint) -> type[SubtypeClassifier]:
    module, _, attribute = point.value.partition(":")
    found = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, SubtypeClassifier)):
        raise FormatError(f"{point.value} is no SubtypeClassifier")
    return found
