"""One line of a published table of classifiers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .printed import Printed

__all__ = ["KINDS", "Found", "Line"]

KINDS = ("pooled", "mean of folds", "best fold")
# Check, severity, message, implied values.
Found = tuple[str, str, str, dict[str, object]]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table of classifiers.

    Parameters
    ----------
    row : str
        Its name.
    figures : mapping of str to Printed
        Measures that were printed, by name.
    kind : {"pooled", "mean of folds", "best fold"}
        What they were computed over.
    n, n_positive, n_folds : int or None
        People, those with the event, and folds of the whole study.
    stratified : bool
        Whether the folds share out the people with the event evenly.
    """

    row: str
    figures: Mapping[str, Printed]
    kind: str
    n: int | None
    n_positive: int | None
    n_folds: int | None
    stratified: bool

    @property
    def prevalence(self) -> float | None:
        """Share with the event, where it is known."""
        if self.n is None or self.n_positive is None:
            return None
        return self.n_positive / self.n
