"""What the imputers share."""

from __future__ import annotations

import hashlib
import warnings
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataWarning, FormatError, list_some
from ._transformer import Array, Matrix, ProteinTransformer

__all__ = ["Imputer", "NeverObserved", "RandomImputer"]

NeverObserved = Literal["error", "keep", "fill"]


class Imputer(ProteinTransformer):
    """What the imputers share: proteins never observed in training, samples without a value."""

    never_observed: NeverObserved
    _choices: ClassVar[tuple[str, ...]] = ("error", "keep", "fill")

    def _fit(self, matrix: Matrix) -> None:
        if self.never_observed not in self._choices:
            raise FormatError(
                f"never_observed is one of {list_some(self._choices)}, "
                f"found {self.never_observed!r}"
            )
        values = matrix.values[matrix.sample]
        absent = ~np.isfinite(values).any(axis=0)
        self.never_observed_ = self.feature_names_in_[absent]
        if absent.any() and self.never_observed == "error":
            ways = " or ".join(repr(way) for way in self._choices[1:])
            raise FormatError(
                f"{int(absent.sum())} proteins have no value in any training sample: "
                f"{list_some(self.never_observed_)}",
                where="X",
                remedy=f"leave them out, or say what to do: never_observed={ways}",
            )
        self._filled = ~absent | (self.never_observed == "fill")
        self._learn(values, matrix)

    def _transform(self, matrix: Matrix) -> Array:
        values = matrix.values
        nothing = ~np.isfinite(values).any(axis=1)
        filled = self._impute(values.copy(), matrix)
        result = np.where(self._filled, filled, values)
        if nothing.any():
            # A sample that wasn't measured isn't one whose proteins were faint.
            result[nothing] = np.nan
            if (nothing & matrix.sample).any():
                warnings.warn(
                    f"{int((nothing & matrix.sample).sum())} samples have no value at all; they "
                    "stay missing", DataWarning, stacklevel=4,
                )  # fmt: skip
        return result

    def _learn(self, values: Array, matrix: Matrix) -> None:
        raise NotImplementedError

    def _impute(self, values: Array, matrix: Matrix) -> Array:
        raise NotImplementedError


class RandomImputer(Imputer):
    """Imputers that draw: every sample has a stream of its own, whoever stands beside it."""

    random_state: int

    def _stream(self, row: Array) -> np.random.Generator:
        # Rounded, so that the last bit of an earlier step doesn't change the stream.
        key = np.where(np.isfinite(row), np.round(row, 6), np.nan) + 0.0
        digest = hashlib.blake2b(key.tobytes(), digest_size=8).digest()
        return np.random.default_rng([int(self.random_state), int.from_bytes(digest, "big")])

    def _counted(self, row: Array) -> NDArray[np.bool_]:
        return self._filled & np.isfinite(row)
