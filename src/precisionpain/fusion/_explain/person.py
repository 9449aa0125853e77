"""The explanation of one person, in numbers and in words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ...cohort import Cohort
from .mechanisms import unwrapped
from .models import Decomposed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PatientExplanation", "describe_person"]

NOTE = "For research use only: not for diagnosis or treatment."
SYNTHETIC = "SYNTHETIC DATA: this person doesn't exist."
# Measurement tables name the unit at the end of a column.
_UNITS = {
    "mm3": "mm³", "mm2": "mm²", "mm": "mm", "deg": "°", "percent": "%", "years": "years",
    "days": "days", "ms": "ms", "m_s": "m/s", "uv": "µV", "mv": "mV",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, repr=False)
class PatientExplanation:
    """Why a model gives one person that probability.

    Parameters
    ----------
    probability : float
        What the model says.
    base_rate : float
        What it says of an average training person who has the same blocks.
    table : pandas.DataFrame
        Index (block, feature), the largest contribution first: ``value``, ``unit``,
        ``median``, ``low``, ``high`` (the 10th and 90th percentile of the reference people),
        ``percentile`` (of a number among them, ties in the middle), ``n`` (of them, with a
        value), ``contribution`` (log odds), ``mechanism``. The value is missing where it
        wasn't measured; then the model took what is usual.
    blocks : pandas.DataFrame
        Index ``block``: ``contribution`` and ``status`` ("used", "missing" or "unused").
    mechanisms : pandas.Series
        Contribution by mechanism, the largest first, of the blocks that the person has.
    sentences : tuple of str
        The largest contributions in words.
    missing : tuple of str
        Blocks that the person lacks.
    n_reference : int
        People that the values are compared with.
    outcome : str
        What the probability is of.
    synthetic : bool
        Whether the person is made up.
    subject_id : str
        Whom it is about; not shown unless asked for.
    """

    probability: float
    base_rate: float
    table: pd.DataFrame
    blocks: pd.DataFrame
    mechanisms: pd.Series
    sentences: tuple[str, ...]
    missing: tuple[str, ...]
    n_reference: int
    outcome: str
    synthetic: bool
    subject_id: str = dataclasses.field(repr=False)

    def text(self, *, show_id: bool = False) -> str:
        """Return the explanation as plain text.

        Parameters
        ----------
        show_id : bool, default False
            Name the person.

        Returns
        -------
        str
        """
        lines = [self._title(show_id), NOTE]
        if self.synthetic:
            lines.append(SYNTHETIC)
        lines += ["", self._headline(), *(f"  - {sentence}" for sentence in self.sentences)]
        lines += ["", self._lacks()]
        return "\n".join(lines)

    def html(self, *, show_id: bool = False) -> str:
        """Return the explanation as HTML.

        Parameters
        ----------
        show_id : bool, default False
            Name the person.

        Returns
        -------
        str
        """
        marks = [NOTE, SYNTHETIC] if self.synthetic else [NOTE]
        shown = self.table.drop(columns=["low", "high"]).head(10).reset_index()
        parts = [
            f"<h4>{escape(self._title(show_id))}</h4>",
            *(f"<p><strong>{escape(mark)}</strong></p>" for mark in marks),
            f"<p>{escape(self._headline())}</p>",
            "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in self.sentences) + "</ul>",
            shown.to_html(index=False, float_format="{:.3g}".format, na_rep="not measured"),
            f"<p>{escape(self._lacks())}</p>",
        ]
        return f"<div>{''.join(parts)}</div>"

    def plot(self, *, max_rows: int = 10, ax: Any = None) -> Axes:
        """Draw the way from the base rate to the probability, feature by feature.

        Parameters
        ----------
        max_rows : int, default 10
            Features to show, the largest contributions first; the others come as one.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .figures import waterfall

        return waterfall(self, max_rows, ax)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()

    def _title(self, show_id: bool) -> str:
        return f"Why the model says {self.probability:.0%}" + (
            f" of {self.subject_id}" if show_id else ""
        )

    def _headline(self) -> str:
        return (
            f"Probability of {self.outcome}: {self.probability:.2f}, against {self.base_rate:.2f} "
            "for an average training person with the same data."
        )

    def _lacks(self) -> str:
        if not self.missing:
            return "No block of data is missing."
        return (
            f"Missing, and so without a say: {', '.join(self.missing)}. The probability would be "
            "another with them."
        )


def describe_person(
    part: Decomposed,
    others: pd.DataFrame,
    *,
    mechanisms: pd.Series,
    cohort: Cohort,
    subject_id: str,
    outcome: str,
    n_sentences: int = 5,
) -> PatientExplanation:
    """Put the explanation of one person together.

    Parameters
    ----------
    part : Decomposed
        Of this person alone.
    others : pandas.DataFrame
        The features of the reference people, as ``part.data``.
    mechanisms : pandas.Series
        By (block, feature).
    cohort : Cohort
        Whose columns have units.
    subject_id, outcome : str
        Who, and what the probability is of.
    n_sentences : int, default 5
        How many contributions to put in words.

    Returns
    -------
    PatientExplanation
    """
    contributions = part.values.iloc[0]
    values = part.data.iloc[0]
    rows = []
    for key in part.values.columns:
        block, feature = key[0], key[1]
        known = others[key].dropna()
        rows.append({
            "value": values[key],
            "unit": unit_of(str(feature), part.sources.get(block), cohort),
            **_place(values[key], known, is_level="=" in str(feature)),
            "contribution": contributions[key],
            "mechanism": mechanisms[key],
        })  # fmt: skip
    frame = pd.DataFrame(rows, index=part.values.columns)
    has = part.status.iloc[0] == "used"
    order = frame["contribution"].abs().sort_values(ascending=False, kind="stable").index
    table = frame.loc[[key for key in order if has[key[0]]]]
    summed = table["contribution"].groupby(table["mechanism"]).sum()
    score = float(part.base[0] + contributions.sum())
    return PatientExplanation(
        probability=float(expit(score)),
        base_rate=float(expit(part.base[0])),
        table=table,
        blocks=pd.DataFrame(
            {
                "contribution": frame["contribution"]
                .groupby(level="block")
                .sum()
                .reindex(part.status.columns, fill_value=0.0),
                "status": part.status.iloc[0],
            }
        ).rename_axis("block"),
        mechanisms=summed.reindex(summed.abs().sort_values(ascending=False).index),
        sentences=tuple(
            _sentence(str(key[0]), str(key[1]), row)
            for key, row in zip(
                table.index[:n_sentences], table.head(n_sentences).to_dict("records"), strict=True
            )
            if abs(row["contribution"]) > 0
        ),
        missing=tuple(map(str, part.status.columns[part.status.iloc[0] == "missing"])),
        n_reference=len(others),
        outcome=outcome,
        synthetic=cohort.synthetic,
        subject_id=subject_id,
    )


def _place(value: float, known: pd.Series, *, is_level: bool) -> dict[str, float]:
    if not len(known):
        return {"median": np.nan, "low": np.nan, "high": np.nan, "percentile": np.nan, "n": 0}
    low, median, high = np.quantile(known, [0.1, 0.5, 0.9])
    below = float((known < value).mean() + (known == value).mean() / 2)
    return {
        "median": float(median),
        "low": float(low),
        "high": float(high),
        "percentile": np.nan if np.isnan(value) or is_level else 100 * below,
        "n": len(known),
    }


def unit_of(feature: str, source: Any, cohort: Cohort) -> str:
    """Return the unit of a feature, or an empty text where it isn't known.

    Parameters
    ----------
    feature : str
        Its name.
    source : object
        The transformer that made it.
    cohort : Cohort
        With a data dictionary, and assays that know their unit.

    Returns
    -------
    str
    """
    source = unwrapped(source)
    assay = getattr(source, "assay", None)
    if assay is not None:
        known = cohort.assays[assay].uns.get("precisionpain", {}) if assay in cohort.assays else {}
        return str(known.get("unit", ""))
    if "=" in feature:
        return ""
    if feature in cohort.columns and getattr(source, "table", None) is None:
        return cohort.columns[feature].unit or ""
    part, _, measure = feature.rpartition(":")
    if part == "asymmetry":
        return ""  # a share of the other side
    found = re.search(r"_(" + "|".join(_UNITS) + r")$", measure.lower())
    return _UNITS[found.group(1)] if found else ""


def _sentence(block: str, feature: str, row: Mapping[Any, Any]) -> str:
    odds = np.exp(abs(row["contribution"]))
    verb = "raises" if row["contribution"] > 0 else "lowers"
    effect = f"{verb} the odds by a factor of {odds:.2f}"
    value = row["value"]
    if block == feature:
        return f"{block} {effect}."
    name = f"{feature} ({block})"
    if np.isnan(value):
        return f"{name} wasn't measured and was taken as usual; this {effect}."
    column, _, level = feature.rpartition("=")
    if column:
        return f"{column} is {'' if value == 1 else 'not '}{level} ({block}): {effect}."
    where = ""
    if not np.isnan(row["percentile"]):
        share = row["percentile"]
        word, share = ("higher", share) if share >= 50 else ("lower", 100 - share)
        where = f", {word} than in {share:.0f}% of {row['n']} people (median {row['median']:.3g})"
    return f"{name} is {with_unit(value, row['unit'])}{where}: {effect}."


def with_unit(value: float, unit: str) -> str:
    """Write a value with its unit; that of a questionnaire is its range.

    Parameters
    ----------
    value : float
        Three digits of it are shown.
    unit : str
        Or an empty text.

    Returns
    -------
    str
    """
    if re.fullmatch(r"[\d.]+[-–][\d.]+", unit):
        return f"{value:.3g} (of {unit})"
    return f"{value:.3g} {unit}".strip()
