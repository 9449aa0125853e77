"""Read the drugs and daily doses that clinicians write into one cell."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from types import MappingProxyType

from ...errors import FormatError, list_some

__all__ = [
    "CARBAMAZEPINE_PER_MG",
    "DRUGS",
    "Dose",
    "carbamazepine_equivalent",
    "daily_dose",
    "parse_drugs",
]

#: Abbreviation → full name. TZD stands beside "(4)" in the one cell that has it: 4 mg is a
#: dose of tizanidine, not of trazodone; NPX beside "(550)": a tablet of naproxen sodium.
DRUGS = MappingProxyType(
    {
        "AMT": "amitriptyline",
        "CBZ": "carbamazepine",
        "DLX": "duloxetine",
        "GBP": "gabapentin",
        "LMTG": "lamotrigine",
        "NPX": "naproxen",
        "OXCBZ": "oxcarbazepine",
        "PGB": "pregabalin",
        "TPM": "topiramate",
        "TZD": "tizanidine",
    }
)

#: Full name → mg of carbamazepine that 1 mg replaces. Only oxcarbazepine has an established
#: ratio: overnight switch at carbamazepine : oxcarbazepine = 1 : 1.5 [Smith 2001].
CARBAMAZEPINE_PER_MG = MappingProxyType({"carbamazepine": 1.0, "oxcarbazepine": 1 / 1.5})

_FULL = {name.casefold(): name for name in DRUGS.values()}
_SHORT = {short.casefold(): name for short, name in DRUGS.items()}
_ENTRY = re.compile(
    r"(?P<drug>[^\W\d_]+)\s*(?:\(\s*(?P<dose>\d+(?:[.,]\d+)?)\s*(?:mg)?\s*\))?", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Dose:
    """One drug of one person.

    Parameters
    ----------
    drug : str
        Full name in lower case.
    mg_day : float
        Daily dose in mg; NaN when it isn't stated.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.drugs import Dose
    >>> Dose("gabapentin", 900.0).mg_day
    900.0
    """

    drug: str
    mg_day: float


def parse_drugs(text: str | None, *, where: str | None = None) -> tuple[Dose, ...] | None:
    r"""Read a cell such as ``"CBZ (1200) + AMT (12,5)"``.

    Parameters
    ----------
    text : str or None
        Drugs joined by ``+``, each an abbreviation of `DRUGS` or a full name, with the
        daily dose in mg in brackets where it is known. A comma in a dose is a decimal
        comma. Line breaks count as spaces.
    where : str, optional
        What to name in messages.

    Returns
    -------
    tuple of Dose or None
        Empty for ``"No"``: no drug is taken. None for an empty cell or ``"NA"``: unknown.

    Raises
    ------
    FormatError
        At an unknown drug, at a dose that isn't a number, and at a comma before three
        digits, which may be a decimal comma or a thousands mark.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.drugs import parse_drugs
    >>> parse_drugs("CBZ (700) +\nAMT (12,5)")
    (Dose(drug='carbamazepine', mg_day=700.0), Dose(drug='amitriptyline', mg_day=12.5))
    >>> parse_drugs("CBZ+ LMTG")
    (Dose(drug='carbamazepine', mg_day=nan), Dose(drug='lamotrigine', mg_day=nan))
    >>> parse_drugs("No"), parse_drugs("NA")
    ((), None)
    """
    cell = "" if text is None else " ".join(text.split())
    if cell.casefold() in ("", "na", "n/a"):
        return None
    if cell.casefold() in ("no", "none"):
        return ()
    doses = []
    for entry in cell.split("+"):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise FormatError(
                f"expected drugs such as 'CBZ (600) + GBP (900)', found {entry.strip()!r} "
                f"in {cell!r}",
                where=where,
            )
        drug = match["drug"].casefold()
        name = _SHORT.get(drug, _FULL.get(drug))
        if name is None:
            raise FormatError(
                f"unknown drug {match['drug']!r} in {cell!r}; known are {list_some(DRUGS, 20)} "
                "and their full names",
                where=where,
            )
        dose = match["dose"]
        if dose is not None and re.search(r",\d{3}$", dose):
            raise FormatError(
                f"the dose {dose!r} in {cell!r} may have a decimal comma or a thousands mark",
                where=where,
                remedy="write it without the comma, or with a decimal point",
            )
        doses.append(Dose(name, math.nan if dose is None else float(dose.replace(",", "."))))
    return tuple(doses)


def daily_dose(doses: Iterable[Dose] | None, drug: str) -> float:
    """Return the daily dose of one drug.

    Parameters
    ----------
    doses : iterable of Dose or None
        What one person takes; None when that is unknown.
    drug : str
        Full name.

    Returns
    -------
    float
        In mg: 0 when the drug isn't taken, NaN when it is taken at an unstated dose or
        when the treatment is unknown.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.drugs import daily_dose, parse_drugs
    >>> daily_dose(parse_drugs("CBZ (600) + PGB"), "carbamazepine")
    600.0
    >>> daily_dose(parse_drugs("CBZ (600) + PGB"), "pregabalin")
    nan
    """
    if doses is None:
        return math.nan
    return math.fsum(dose.mg_day for dose in doses if dose.drug == drug)


def carbamazepine_equivalent(doses: Iterable[Dose] | None) -> float:
    """Return the dose of carbamazepine and oxcarbazepine together, in mg of carbamazepine.

    Oxcarbazepine counts with its dose divided by 1.5, the ratio of the overnight switch
    from carbamazepine (1 : 1.5) [1]_. Other drugs have no established ratio and don't
    count: somebody on gabapentin alone has 0. The ratio is one of clinical practice, which
    the authors advise below 800 mg of carbamazepine only; use the single doses where the
    difference matters.

    Parameters
    ----------
    doses : iterable of Dose or None
        What one person takes; None when that is unknown.

    Returns
    -------
    float
        In mg per day; NaN when a dose of either drug is unstated or the treatment unknown.

    References
    ----------
    .. [1] Smith PE, UK Oxcarbazepine Advisory Board (2001). Clinical recommendations for
       oxcarbazepine. Seizure 10(2):87–91.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.drugs import carbamazepine_equivalent, parse_drugs
    >>> carbamazepine_equivalent(parse_drugs("OXCBZ (600) + GBP (1200)"))
    400.0
    """
    if doses is None:
        return math.nan
    return math.fsum(
        dose.mg_day * CARBAMAZEPINE_PER_MG[dose.drug]
        for dose in doses
        if dose.drug in CARBAMAZEPINE_PER_MG
    )
