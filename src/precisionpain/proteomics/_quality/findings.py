"""What checks find, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...errors import FormatError

__all__ = ["COLUMNS", "Findings", "check_report", "listed"]

COLUMNS = ("check", "severity", "where", "item", "n", "share", "message", "action")


class Findings:
    """Collects findings; `frame` gives them with the gravest first."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(
        self,
        check: str,
        severity: str,
        where: str,
        item: object,
        message: str,
        *,
        n: int = 0,
        share: float = np.nan,
        action: str = "none",
    ) -> None:
        """Add a finding; see `check_npx` for the columns."""
        row = (check, severity, where, str(item), int(n), float(share), message, action)
        self._rows.append(row)

    def frame(self) -> pd.DataFrame:
        """Return the table: errors, warnings, notes; else in the order of the checks."""
        table = pd.DataFrame(self._rows, columns=list(COLUMNS))
        rank = table["severity"].map({"error": 0, "warning": 1, "note": 2})
        table = table.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)
        return table.astype({"n": np.int64, "share": np.float64})


def check_report(report: pd.DataFrame) -> None:
    """Refuse what isn't a report.

    Raises
    ------
    FormatError
        When it isn't a table, or lacks columns.
    """
    wanted = ["check", "where", "item"]
    if not isinstance(report, pd.DataFrame) or not set(wanted) <= set(report.columns):
        found = list(report.columns) if isinstance(report, pd.DataFrame) else type(report).__name__
        raise FormatError(
            f"expected a report with the columns {wanted}, found {found}",
            where="report",
            remedy="pass what check_npx or check_lfq returned, or some of its rows",
        )


def listed(report: pd.DataFrame, where: str, checks: Iterable[str]) -> set[str]:
    """Return the items (samples, assays or data) that a report holds for some checks."""
    rows = (report["where"] == where) & report["check"].isin(list(checks))
    return set(report.loc[rows, "item"].astype(str))
