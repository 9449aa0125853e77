"""Many tests at once: false discovery rate and family-wise error."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError

__all__ = ["adjust_p"]


def adjust_p(
    p_values: ArrayLike, method: Literal["bh", "by", "holm", "bonferroni"] = "bh"
) -> NDArray[np.float64]:
    """Adjust p-values for the number of tests.

    A p-value of NaN stands for a test that couldn't be done: it stays NaN, and isn't counted
    among the tests.

    Parameters
    ----------
    p_values : array-like
        Between 0 and 1, of any shape; all of them are one family.
    method : {"bh", "by", "holm", "bonferroni"}, default "bh"
        Benjamini & Hochberg's false discovery rate; Benjamini & Yekutieli's, for any
        dependence; Holm's or Bonferroni's family-wise error.

    Returns
    -------
    numpy.ndarray of float64
        Of the same shape. For "bh" and "by" often called q-values.

    Raises
    ------
    FormatError
        For a value outside 0 to 1 or an unknown method.

    References
    ----------
    Benjamini & Hochberg, JRSS B 57, 289 (1995); Benjamini & Yekutieli, Annals of Statistics
    29, 1165 (2001); Holm, Scandinavian Journal of Statistics 6, 65 (1979).

    Examples
    --------
    >>> adjust_p([0.01, 0.04, float("nan"), 0.03]).round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    >>> adjust_p([0.01, 0.04, 0.03], "holm").round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    done = ~np.isnan(p)
    found = p[done]
    if ((found < 0) | (found > 1)).any():
        raise FormatError(
            f"a p-value lies between 0 and 1, found {found.min():g} to {found.max():g}",
            where="p_values",
        )
    m = len(found)
    order = np.argsort(found, kind="stable")
    ordered, rank = found[order], np.arange(1, m + 1)
    if method in ("bh", "by"):
        factor = float((1 / rank).sum()) if method == "by" else 1.0
        stepped = np.minimum.accumulate((ordered * m * factor / rank)[::-1])[::-1]
    elif method == "holm":
        stepped = np.maximum.accumulate(ordered * (m - rank + 1))
    elif method == "bonferroni":
        stepped = ordered * m
    else:
        raise FormatError(
            f"expected 'bh', 'by', 'holm' or 'bonferroni', found {method!r}", where="method"
        )
    adjusted = np.full(p.shape, np.nan)
    back = np.empty(m)
    back[order] = np.minimum(stepped, 1.0)
    adjusted[done] = back
    return adjusted
