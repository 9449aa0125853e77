"""Proteins in standard deviations of the controls."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..errors import DataWarning, FormatError, list_some
from ._normalizers import nanmean
from ._scaler import Scaler
from ._transformer import Array, Matrix

__all__ = ["ControlZ"]


class ControlZ(Scaler):
    """Express every protein in standard deviations of the training controls.

    z = (x − mean) / SD of the controls. A control of the training is compared with the other
    controls, because its own value would draw mean and SD towards it.

    Parameters
    ----------
    group : str, default "diagnosis"
        Column of ``obs`` (or of the DataFrame) that tells who is a control.
    control : object, default "control"
        Its value for controls.
    confidence : float, default 0.95
        Of `limits_`.

    Attributes
    ----------
    mean_, sd_ : numpy.ndarray of shape (n_proteins,)
        Of the training controls, log2.
    n_controls_ : numpy.ndarray of shape (n_proteins,)
        Controls with a value.
    limits_ : pandas.DataFrame
        Columns ``low`` and ``high`` by protein: where z of one more person of the controls'
        kind would lie, ± t(n − 1)·√(1 + 1/n); for few controls far wider than ± 1.96.

    Raises
    ------
    FormatError
        When training has fewer than two controls.

    Warns
    -----
    DataWarning
        When a protein has fewer than two control values (its z are missing), or doesn't vary
        among controls (its z are differences, as if the SD were 1).

    References
    ----------
    Crawford JR, Howell DC. Comparing an individual's test score against norms derived from
    small samples. Clin Neuropsychol 1998;12:482-486.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.proteomics import ControlZ
    >>> table = pd.DataFrame({"NEFL": [1.0, 2.0, 3.0, 5.0],
    ...                       "diagnosis": ["control", "control", "control", "TN"]})
    >>> z = ControlZ().fit(table)
    >>> float(z.transform(table)["NEFL"].iloc[3])
    3.0
    >>> z.limits_.round(2).loc["NEFL"].tolist()
    [-4.97, 4.97]
    """

    _columns: ClassVar[tuple[str, ...]] = ("group",)

    def __init__(
        self, group: str = "diagnosis", *, control: Any = "control", confidence: float = 0.95
    ) -> None:
        self.group = group
        self.control = control
        self.confidence = confidence

    def _fit(self, matrix: Matrix) -> None:
        from scipy.stats import t

        chosen = matrix.sample & (matrix.obs[self.group] == self.control).fillna(False).to_numpy(
            dtype=bool
        )
        if chosen.sum() < 2:
            raise FormatError(
                f"expected two controls or more ({self.group!r} is {self.control!r}), found "
                f"{int(chosen.sum())} among {int(matrix.sample.sum())} samples",
                where="X",
                remedy=f"values are {list_some(matrix.obs[self.group].dropna().unique())}",
            )
        values = matrix.values[chosen]
        n = np.isfinite(values).sum(axis=0)
        self.n_controls_ = n
        self.mean_ = nanmean(values)
        rest = np.where(np.isfinite(values), values - self.mean_, 0.0)
        self._squares = (rest * rest).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.sd_ = np.where(n > 1, np.sqrt(self._squares / (n - 1)), np.nan)
            width = t.ppf(0.5 + self.confidence / 2, n - 1) * np.sqrt(1 + 1 / n)
        names = self.feature_names_in_
        self.limits_ = pd.DataFrame({"low": -width, "high": width}, index=list(names))
        self._controls: dict[str, list[Array]] = {}
        for name, row in zip(matrix.obs.index[chosen], values, strict=True):
            self._controls.setdefault(str(name), []).append(row)
        few, flat = n < 2, self.sd_ <= 1e-12 * np.abs(self.mean_)
        if few.any() or flat.any():
            found = []
            if few.any():
                found.append(
                    f"{int(few.sum())} have fewer than two values ({list_some(names[few])})"
                )
            if flat.any():
                found.append(f"{int(flat.sum())} don't vary ({list_some(names[flat])})")
            warnings.warn(
                f"among the controls, of the proteins {' and '.join(found)}",
                DataWarning, stacklevel=4,
            )  # fmt: skip

    def _transform(self, matrix: Matrix) -> Array:
        x = matrix.values
        with np.errstate(invalid="ignore"):
            result: Array = (x - self.mean_) / _positive(self.sd_, self.mean_)
        own = [
            i
            for i, (name, row) in enumerate(zip(matrix.obs.index, x, strict=True))
            if any(_same(row, known) for known in self._controls.get(str(name), ()))
        ]
        if own:
            n = self.n_controls_
            d = x[own] - self.mean_
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = self.mean_ - d / (n - 1)
                squares = np.maximum(self._squares - d * d * n / (n - 1), 0.0)
                sd = np.where(n > 2, np.sqrt(squares / (n - 2)), np.nan)
                result[own] = (x[own] - mean) / _positive(sd, mean)
        return result


def _same(row: Array, known: Array) -> bool:
    """Know a training sample again by its values too: a name alone, such as 0, may repeat."""
    return bool(np.allclose(row, known, rtol=1e-9, atol=1e-12, equal_nan=True))


def _positive(sd: Array, mean: Array) -> Array:
    return np.where(sd <= 1e-12 * np.abs(mean), 1.0, sd)
