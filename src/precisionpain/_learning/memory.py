"""Whom a model was trained on, without their names."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import FormatError

__all__ = ["SubjectMemory"]


@dataclasses.dataclass(frozen=True, repr=False)
class SubjectMemory:
    """Salted hashes of subject ids: a model knows again whom it has seen, and can't tell who.

    This keeps ids out of files and screens. It is no anonymisation: the salt is stored
    beside the hashes, so whoever holds a list of ids can ask which of them are in it.

    Parameters
    ----------
    parts : tuple of (str, tuple of str)
        Salts, each with its sorted SHA-256 digests. Use `SubjectMemory.of` to make one.

    Examples
    --------
    >>> memory = SubjectMemory.of(["p1", "p2"]) | SubjectMemory.of(["p7"])
    >>> memory
    SubjectMemory(3 subjects)
    >>> memory.saw(["p7", "p8"])
    array([ True, False])
    """

    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, subject_ids: Iterable[str], salt: str | None = None) -> SubjectMemory:
        """Remember people.

        Parameters
        ----------
        subject_ids : iterable of str
            Their ids; one that comes twice counts once.
        salt : str, optional
            Fresh random text when None.

        Returns
        -------
        SubjectMemory

        Raises
        ------
        FormatError
            When an id is not text.
        """
        salt = secrets.token_hex(16) if salt is None else salt
        # Sorted, so that the order of the people tells nothing.
        return cls(((salt, tuple(sorted({_digest(salt, i) for i in _as_ids(subject_ids)}))),))

    def saw(self, subject_ids: Iterable[str]) -> np.ndarray:
        """Tell who of these people is remembered.

        Parameters
        ----------
        subject_ids : iterable of str
            Ids, written as they were in `of`.

        Returns
        -------
        numpy.ndarray of bool, shape (n_ids,)

        Raises
        ------
        FormatError
            When an id is not text.
        """
        known = [(salt, set(digests)) for salt, digests in self.parts]
        seen = [any(_digest(s, i) in digests for s, digests in known) for i in _as_ids(subject_ids)]
        return np.array(seen, dtype=bool)

    def __or__(self, other: SubjectMemory) -> SubjectMemory:
        if not isinstance(other, SubjectMemory):
            return NotImplemented
        merged: dict[str, set[str]] = {}
        for salt, digests in self.parts + other.parts:
            merged.setdefault(salt, set()).update(digests)
        return SubjectMemory(tuple((salt, tuple(sorted(merged[salt]))) for salt in merged))

    def __len__(self) -> int:
        # Somebody in two parts counts twice: different salts hide that it is the same person.
        return sum(len(digests) for _, digests in self.parts)

    def __repr__(self) -> str:
        return f"SubjectMemory({len(self)} subjects)"

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` reads: plain mappings, lists and text.

        Returns
        -------
        dict
        """
        return {"parts": [{"salt": salt, "sha256": list(digests)} for salt, digests in self.parts]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SubjectMemory:
        """Read what `to_json` gave.

        Parameters
        ----------
        content : mapping
            As JSON gives it back.

        Returns
        -------
        SubjectMemory

        Raises
        ------
        FormatError
            When it is something else.
        """
        try:
            pairs = [(part["salt"], part["sha256"]) for part in content["parts"]]
            whole = all(isinstance(salt, str) and isinstance(each, list) for salt, each in pairs)
            if not whole or not all(len(bytes.fromhex(d)) == 32 for _, each in pairs for d in each):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise FormatError(
                "expected the memory of subjects, a list of salts with SHA-256 digests",
                remedy="read what SubjectMemory.to_json() gave, unchanged",
            ) from None
        return cls(tuple((salt, tuple(sorted(digests))) for salt, digests in pairs))


def _digest(salt: str, subject_id: str) -> str:
    return hashlib.sha256(f"{salt}{subject_id}".encode()).hexdigest()


def _as_ids(subject_ids: Iterable[str]) -> list[str]:
    """Refuse 7 and 7.0, which would silently never match '7', and one id taken for letters."""
    ids = [subject_ids] if isinstance(subject_ids, str | bytes) else list(subject_ids)
    others = {type(one).__name__ for one in ids if not isinstance(one, str)}
    if isinstance(subject_ids, str | bytes) or others:
        found = "one piece of text" if isinstance(subject_ids, str) else ", ".join(sorted(others))
        raise FormatError(
            f"expected a list of subject ids as text, found {found}",
            remedy="pass cohort.subject_ids, or the ids as a list of str",
        )
    return ids
