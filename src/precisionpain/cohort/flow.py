"""The flow of participants: recruited, excluded (why), analysed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pandas as pd

__all__ = ["Flow", "FlowStep"]


@dataclasses.dataclass(frozen=True)
class FlowStep:
    """One step of the flow.

    Parameters
    ----------
    reason : str
        Why people left, for example ``"no T2w image"``.
    n_before, n_after : int
        Subjects before and after the step.
    """

    reason: str
    n_before: int
    n_after: int

    @property
    def excluded(self) -> int:
        """How many subjects left at this step."""
        return self.n_before - self.n_after


@dataclasses.dataclass(frozen=True)
class Flow:
    """Who was recruited, who left and why, who is analysed.

    Explicit selections (`Cohort.require`, `Cohort.where`, `Cohort.select`) add a step.
    Positional indexing, as cross-validation does it, doesn't: a fold is no exclusion. A
    selection made after it counts the others apart, as "outside this subset".

    Parameters
    ----------
    recruited : int
        Subjects at the start.
    steps : tuple of FlowStep
        What happened since, in order.

    Examples
    --------
    >>> from precisionpain.cohort import Flow
    >>> print(Flow(10).then("no outcome", 8))
    10 recruited → 2 excluded: no outcome → 8 analysed
    """

    recruited: int
    steps: tuple[FlowStep, ...] = ()

    @property
    def analysed(self) -> int:
        """Subjects left after the last step."""
        return self.steps[-1].n_after if self.steps else self.recruited

    def then(self, reason: str, n_after: int) -> Flow:
        """Return the flow with one more step.

        Parameters
        ----------
        reason : str
            Why people left.
        n_after : int
            Subjects that remain.

        Returns
        -------
        Flow
        """
        step = FlowStep(reason, self.analysed, n_after)
        return dataclasses.replace(self, steps=(*self.steps, step))

    def frame(self) -> pd.DataFrame:
        """Return the flow as a table.

        Returns
        -------
        pandas.DataFrame
            Columns ``step``, ``excluded`` and ``remaining``, one row per step.
        """
        rows = [("recruited", 0, self.recruited)]
        rows += [(step.reason, step.excluded, step.n_after) for step in self.steps]
        return pd.DataFrame(rows, columns=["step", "excluded", "remaining"])

    def __iter__(self) -> Iterator[FlowStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        parts = [f"{self.recruited} recruited"]
        parts += [f"{step.excluded} excluded: {step.reason}" for step in self.steps]
        parts.append(f"{self.analysed} analysed")
        return " → ".join(parts)
