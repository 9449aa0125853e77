"""What is compared: ``group[TN] - group[control]`` as weights of a design's columns."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .design import Design

__all__ = ["Contrast", "contrast_weights", "parse_contrast", "two_levels"]

Array = NDArray[np.float64]

_CELL = re.compile(r"\s*([^\s\[\]*+:-][^\[\]*+:]*?)\s*\[([^\]]*)\]\s*")
_WEIGHT = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*\*?\s*")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A weighted sum of cells, or the slope of a number.

    Parameters
    ----------
    cells : tuple of (float, dict of str to str)
        Weight, and the level of each column.
    slope : str or None
        The column of numbers whose slope is meant; then there are no cells.
    text : str
        As it is shown.
    """

    cells: tuple[tuple[float, dict[str, str]], ...]
    slope: str | None
    text: str

    @property
    def columns(self) -> list[str]:
        """The columns that it names."""
        if self.slope is not None:
            return [self.slope]
        return sorted({name for _, cell in self.cells for name in cell})

    def mask(self, obs: pd.DataFrame, sign: int) -> NDArray[np.bool_]:
        """Return which samples are in a cell of positive (1) or negative (-1) weight."""
        inside = np.full(len(obs), self.slope is not None and sign > 0)
        for weight, cell in self.cells:
            if np.sign(weight) == sign:
                inside |= np.logical_and.reduce(
                    [(obs[name].astype(str) == level).to_numpy() for name, level in cell.items()]
                )
        return inside


def parse_contrast(contrast: str | tuple[str, str, str], obs: pd.DataFrame) -> Contrast:
    """Read a contrast and check it against the samples.

    Parameters
    ----------
    contrast : str or tuple of (column, level, level)
        ``"group[TN] - group[control]"``, ``"0.5 * group[A] + 0.5 * group[B] - group[C]"``,
        ``"group[TN]:visit[preop] - group[TN]:visit[followup]"``, ``"age"`` (a slope), or
        ``("group", "TN", "control")``.
    obs : pandas.DataFrame
        The samples that are analysed, with the columns of the formula.

    Returns
    -------
    Contrast

    Raises
    ------
    FormatError
        For text that can't be read, or a column or level that isn't there.
    """
    if not isinstance(contrast, str):
        if len(contrast) != 3:
            raise FormatError(
                f"expected (column, level, level), found {contrast!r}", where="contrast"
            )
        column, first, second = (str(part) for part in contrast)
        cells = [(1.0, {column: first}), (-1.0, {column: second})]
        text = f"{column}[{first}] - {column}[{second}]"
    elif "[" not in contrast:
        name = contrast.strip()
        _check_column(name, obs)
        if isinstance(obs[name].dtype, pd.CategoricalDtype):
            levels = list(obs[name].cat.categories)
            raise FormatError(
                f"{name!r} has the levels {list_some(levels)}; which are compared?",
                where="contrast",
                remedy=f"write '{name}[{levels[-1]}] - {name}[{levels[0]}]'",
            )
        return Contrast((), name, name)
    else:
        cells, text = _read_cells(contrast), contrast.strip()
    for _, cell in cells:
        for name, level in cell.items():
            _check_column(name, obs)
            levels = list(obs[name].astype(str).unique())
            if isinstance(obs[name].dtype, pd.CategoricalDtype):
                levels = list(obs[name].cat.categories)
            if level not in levels:
                raise FormatError(
                    f"expected a level of {name!r} among the samples that are used, "
                    f"{list_some(levels)}, found {level!r}",
                    where="contrast",
                )
    total = sum(weight for weight, _ in cells)
    if abs(total) > 1e-9:
        raise FormatError(
            f"the weights of a contrast add up to 0, found {total:g} in {text!r}",
            where="contrast",
            remedy="say what is compared with what: 'group[TN] - group[control]'",
        )
    return Contrast(tuple(cells), None, text)


def _check_column(name: str, obs: pd.DataFrame) -> None:
    if name not in obs:
        raise FormatError(
            f"expected a column of the formula, {list_some(obs.columns)}, found {name!r}",
            where="contrast",
        )


def _read_cells(text: str) -> list[tuple[float, dict[str, str]]]:
    """Read signs, weights and cells, one after the other."""
    cells: list[tuple[float, dict[str, str]]] = []
    place, rest = 0, text.strip()
    while place < len(rest):
        sign = 1.0
        if rest[place] in "+-":
            sign = -1.0 if rest[place] == "-" else 1.0
            place += 1
        elif cells:
            break
        found = _WEIGHT.match(rest, place)
        if found:
            sign, place = sign * float(found[1]), found.end()
        cell: dict[str, str] = {}
        found = _CELL.match(rest, place)
        while found:
            cell[found[1].strip()] = found[2].strip()
            place = found.end()
            found = _CELL.match(rest, place + 1) if rest[place : place + 1] == ":" else None
        if not cell:
            break
        cells.append((sign, cell))
    if place < len(rest) or not cells:
        raise FormatError(
            f"can't read the contrast {text!r} from {rest[place:]!r} on", where="contrast",
            remedy="write 'group[TN] - group[control]', or ('group', 'TN', 'control')",
        )  # fmt: skip
    return cells


def two_levels(contrast: Contrast, formula: str, method: str) -> tuple[str, str, str]:
    """Return column, first and second level, for a test that compares just two groups."""
    weights = sorted(weight for weight, _ in contrast.cells)
    if weights != [-1.0, 1.0] or len(contrast.columns) != 1:
        raise FormatError(
            f"method={method!r} compares two groups, found the contrast {contrast.text!r}",
            where="contrast",
            remedy="write 'group[TN] - group[control]', or use method='limma'",
        )
    column = contrast.columns[0]
    if formula.replace("~", "").strip() != column:
        raise FormatError(
            f"method={method!r} knows no covariates: expected the formula '~ {column}', "
            f"found {formula!r}",
            where="formula",
            remedy="use method='limma', 'mixed' or 'anova' to adjust for covariates",
        )
    first = next(cell[column] for weight, cell in contrast.cells if weight > 0)
    second = next(cell[column] for weight, cell in contrast.cells if weight < 0)
    return column, first, second


def contrast_weights(design: Design, contrast: Contrast) -> Array:
    """Return the weights of the design's columns that make the contrast.

    Other columns that interact with those of the contrast are averaged over their levels,
    each level counting the same; numbers are held at their mean. Columns that don't interact
    cancel out.

    Parameters
    ----------
    design : Design
        With all columns of the contrast.
    contrast : Contrast
        Of `parse_contrast`.

    Returns
    -------
    numpy.ndarray of shape (columns,)
    """
    named = set(contrast.columns)
    together = set().union(*(used for used in design.factors.values() if used & named), named)
    unknown = named - set().union(*design.factors.values())
    if unknown:
        raise FormatError(
            f"the contrast names {list_some(sorted(unknown))}, which the formula doesn't",
            where="contrast",
        )
    obs = design.obs
    levels: dict[str, list[object]] = {}
    for name in map(str, obs.columns):
        if isinstance(obs[name].dtype, pd.CategoricalDtype):
            every = list(obs[name].cat.categories)
            levels[name] = every if name in together else every[:1]
        else:
            levels[name] = [float(obs[name].mean())]
    grid = pd.DataFrame(list(itertools.product(*levels.values())), columns=list(levels))

    def mean_row(fixed: dict[str, Any]) -> Array:
        chosen = grid
        for name, value in fixed.items():
            if isinstance(obs[name].dtype, pd.CategoricalDtype):
                chosen = chosen[chosen[name] == value]
            else:
                chosen = chosen.assign(**{name: value})
        chosen = chosen.copy()
        for name in map(str, chosen.columns):
            if isinstance(obs[name].dtype, pd.CategoricalDtype):
                chosen[name] = chosen[name].astype(obs[name].dtype)
        return design.rows_for(chosen).mean(axis=0)

    if contrast.slope is not None:
        middle = float(obs[contrast.slope].mean())
        return mean_row({contrast.slope: middle + 0.5}) - mean_row({contrast.slope: middle - 0.5})
    weights = np.zeros(design.matrix.shape[1])
    for weight, cell in contrast.cells:
        fixed: dict[str, Any] = {
            name: level if isinstance(obs[name].dtype, pd.CategoricalDtype) else float(level)
            for name, level in cell.items()
        }
        weights += weight * mean_row(fixed)
    weights[np.abs(weights) < 1e-12] = 0.0
    return weights
