"""Mechanisms of trigeminal neuralgia, and what speaks for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, overload

import pandas as pd

from ..errors import FormatError, list_some

__all__ = ["MECHANISMS", "Mechanism", "MechanismEvidence", "MechanismTable"]

_REVIEW = "Abikenari et al., Med Res Arch 2025;13(5), a review"
_CONFLICT = "Maarbjerg et al., Brain 2015;138:311"


@dataclasses.dataclass(frozen=True)
class MechanismEvidence:
    """One thing that speaks for a mechanism.

    Parameters
    ----------
    columns : tuple of str
        Where it is: "protein:GENE" (every assay that has it), "TABLE:COLUMN" of a measurement
        table (of the painful nerve, where there are two) or "clinical:COLUMN". Several are
        measures of one thing, and averaged.
    sign : {1, -1}, default 1
        1 where more of it speaks for the mechanism.
    sentence : str, default ""
        What it is, as the reasons say it.
    source : str, default ""
        Who says so.
    """

    columns: tuple[str, ...]
    sign: Literal[1, -1] = 1
    sentence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        columns = (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)
        object.__setattr__(self, "columns", columns)
        if self.sign not in (1, -1):
            raise FormatError(f"expected a sign of 1 or -1, found {self.sign!r}")
        if not columns or not all(":" in name for name in columns):
            raise FormatError(
                f"evidence names columns as 'source:column', found {list_some(columns)}"
            )


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """A mechanism, and what speaks for it.

    Parameters
    ----------
    name : str
        Short name.
    evidence : tuple of MechanismEvidence
        At least one.
    sentence : str, default ""
        What the mechanism is.
    """

    name: str
    evidence: tuple[MechanismEvidence, ...]
    sentence: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", tuple(self.evidence))
        if not self.evidence:
            raise FormatError(f"mechanism {self.name!r} has no evidence")


class MechanismTable(Sequence[Mechanism]):
    """A table of mechanisms.

    Parameters
    ----------
    mechanisms : iterable of Mechanism
        Their names differ.

    Examples
    --------
    >>> import precisionpain as pp
    >>> [mechanism.name for mechanism in pp.fusion.MECHANISMS]
    ['compression', 'axonal', 'inflammatory', 'autoimmune_like', 'stress']
    >>> pp.fusion.MECHANISMS.to_frame().loc["axonal", ["columns", "sign"]].values.tolist()[0]
    ['diffusion:fa', -1]
    """

    def __init__(self, mechanisms: Iterable[Mechanism]) -> None:
        self._items = tuple(mechanisms)
        names = [item.name for item in self._items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise FormatError(
                f"mechanisms are given twice: {list_some(twice)}" if twice else "no mechanism"
            )

    @overload
    def __getitem__(self, index: int) -> Mechanism: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mechanism]: ...
    def __getitem__(self, index: int | slice) -> Mechanism | Sequence[Mechanism]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Mechanism]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"MechanismTable({', '.join(item.name for item in self._items)})"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each piece of evidence.

        Returns
        -------
        pandas.DataFrame
            Index ``mechanism``; ``columns`` (joined with "; "), ``sign``, ``sentence``,
            ``source``.
        """
        rows = [
            {
                "mechanism": item.name,
                "columns": "; ".join(one.columns),
                "sign": one.sign,
                "sentence": one.sentence,
                "source": one.source,
            }
            for item in self._items
            for one in item.evidence
        ]
        return pd.DataFrame(rows).set_index("mechanism")


def _protein(gene: str, sentence: str, source: str = _REVIEW) -> MechanismEvidence:
    return MechanismEvidence((f"protein:{gene}",), 1, sentence, source)


MECHANISMS = MechanismTable([
    Mechanism(
        "compression",
        (
            # These jump together where a vessel displaces or dents the nerve: one thing.
            MechanismEvidence(
                (
                    "nerve_measures:contact_area_mm2",
                    "nerve_measures:displacement_mm",
                    "nerve_measures:indentation_mm",
                    "nerve_measures:area_loss_percent",
                    "nerve_measures:sindou_grade",
                    "clinical:sindou_grade",
                ),
                1,
                "neurovascular conflict (contact, displacement, indentation, loss of area)",
                _CONFLICT,
            ),
            _protein("VWF", "von Willebrand factor, raised at the neurovascular contact"),
        ),
        "a vessel presses on the root of the nerve",
    ),
    Mechanism(
        "axonal",
        (
            MechanismEvidence(
                ("diffusion:fa",), -1, "fractional anisotropy of the painful nerve",
                "Leal et al., Pain 2011;152:2357",
            ),
            _protein("NEFL", "neurofilament light chain, released by injured axons"),
            _protein("TBCB", "TBCB, of the skeleton of axons"),
            _protein(
                "MAPT", "tau, released by injured axons", "Öst et al., Neurology 2006;67:1600"
            ),
        ),
        "the axons of the nerve are injured",
    ),
    Mechanism(
        "inflammatory",
        (
            _protein("IL1B", "interleukin-1β"),
            _protein("IL6", "interleukin-6", "panel 'crps'"),
            _protein("TNF", "tumour necrosis factor", "panel 'crps'"),
            _protein("CXCL1", "CXCL1"),
        ),
        "cytokines activate glia",
    ),
    Mechanism(
        "autoimmune_like",
        (
            _protein("CXCL13", "CXCL13, which attracts B cells"),
            _protein(
                "CXCL10", "CXCL10, which attracts T cells", "Sørensen et al., JCI 1999;103:807"
            ),
        ),
        "B and T cells are called to the meninges",
    ),
    Mechanism(
        "stress",
        (
            _protein("FKBP5", "FKBP5, of glucocorticoid signalling"),
            _protein("PRDX1", "PRDX1, of the defence against oxidative stress"),
            *(
                MechanismEvidence((f"clinical:{column}",), 1, text, source)
                for column, text, source in (
                    ("hads_anxiety", "anxiety (HADS)", "Zigmond & Snaith, 1983"),
                    ("hads_depression", "depression (HADS)", "Zigmond & Snaith, 1983"),
                    ("pcs_total", "catastrophizing (PCS)", "Sullivan et al., 1995"),
                )
            ),
        ),
        "signalling of stress, and distress",
    ),
])  # fmt: skip
"""What speaks for each mechanism: directions that others published, and no weights.

SFRP1 isn't among them: the review has it raised in trigeminal neuralgia as such, so that it tells
no mechanism from another.
"""
