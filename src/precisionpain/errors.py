"""Errors and warnings that say what was expected, what was found, where, and what to do.

Every error that this library raises on purpose is a `PrecisionPainError`, so one
``except`` catches them all; each kind also derives from the built-in exception that
a caller would guess.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AlignmentError",
    "ComparisonError",
    "ConvergenceWarning",
    "DataWarning",
    "FormatError",
    "GeometryError",
    "LeakageError",
    "MissingModalityError",
    "PrecisionPainError",
    "PrecisionPainWarning",
    "SampleSizeWarning",
    "StorageError",
    "TrainingError",
    "list_some",
]


class PrecisionPainError(Exception):
    """Base class of all errors that the library raises on purpose.

    Parameters
    ----------
    what : str
        What was expected and what was found.
    where : str, optional
        File, line, column or subject key.
    remedy : str, optional
        What the user can do about it.

    Examples
    --------
    >>> from precisionpain.errors import FormatError
    >>> print(FormatError("expected a number, found 'n.d.'", where="t.csv, line 3, column 'age'",
    ...                   remedy="list the code in Column(missing=['n.d.'])"))
    t.csv, line 3, column 'age': expected a number, found 'n.d.'. To fix: list the code in Column(missing=['n.d.']).
    """  # noqa: E501

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        text = what if where is None else f"{where}: {what}"
        if remedy is not None:
            text = f"{text.rstrip('.')}. To fix: {remedy.rstrip('.')}."
        super().__init__(text)

    def __str__(self) -> str:
        # KeyError would show the repr of the text.
        return Exception.__str__(self)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions travel between processes; the default would lose the keywords.
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(
    kind: type[PrecisionPainError], what: str, where: str | None, remedy: str | None
) -> PrecisionPainError:
    return kind(what, where=where, remedy=remedy)


class AlignmentError(PrecisionPainError, ValueError):
    """Keys that do not match: duplicate, unknown or misspelt subjects, visits or samples."""


class LeakageError(PrecisionPainError, ValueError):
    """Something of the test data, or of the outcome, would reach the model."""


class ComparisonError(PrecisionPainError, ValueError):
    """Two results that can't be compared, because their folds or their people differ."""


class MissingModalityError(PrecisionPainError, KeyError):
    """A scan, assay, table or outcome was asked for that this cohort or subject lacks."""


class GeometryError(PrecisionPainError, ValueError):
    """An affine, orientation, spacing or side that makes no sense."""


class FormatError(PrecisionPainError, ValueError):
    """A file or table that can't be read as what it claims to be."""


class StorageError(PrecisionPainError, OSError):
    """Files that can't be written or read: permissions, space, checksums, downloads."""


class TrainingError(PrecisionPainError, RuntimeError):
    """A training of a network that can't begin, go on, or be taken up again."""


class PrecisionPainWarning(UserWarning):
    """Base class of all warnings of the library."""


class DataWarning(PrecisionPainWarning):
    """The data were read, but something in them deserves a look."""


class SampleSizeWarning(PrecisionPainWarning):
    """Fewer people than the model needs."""


class ConvergenceWarning(PrecisionPainWarning):
    """A numerical method stopped before it converged."""


def list_some(items: Iterable[object], most: int = 5) -> str:
    """List a few items and count the rest, for messages.

    Parameters
    ----------
    items : iterable
        What to list.
    most : int, default 5
        How many to name.

    Returns
    -------
    str
        For example ``"'a', 'b' and 3 more"``.

    Examples
    --------
    >>> list_some(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    # NumPy's scalars would show their type.
    everything = [repr(item.item() if hasattr(item, "item") else item) for item in items]
    shown = ", ".join(everything[:most])
    rest = len(everything) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
