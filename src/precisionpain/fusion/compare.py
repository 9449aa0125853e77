"""Deep fusions beside what they have to beat, in the same folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort, Outcome
from ..errors import FormatError, list_some
from ..evaluation import clinical_model, cross_validate
from .early import early_fusion
from .late import late_fusion

__all__ = ["compare_fusions"]


def compare_fusions(
    cohort: Cohort,
    outcome: str | Outcome | pd.Series | Sequence[float] | np.ndarray,
    blocks: Mapping[str, Any],
    *,
    deep: Sequence[str] | Mapping[str, Any] = ("attention",),
    cv: Any = None,
    allow: Sequence[str] = (),
    random_state: int = 0,
) -> pd.DataFrame:
    """Show deep fusions beside the clinic, early fusion and stacking, in the same folds.

    A deep fusion is worth its cost where it beats stacking; the table never shows one alone.

    Parameters
    ----------
    cohort : Cohort
        The people.
    outcome : str, Outcome, pandas.Series or array-like
        As `precisionpain.evaluation.cross_validate` takes it.
    blocks : mapping of str to object
        As `late_fusion` and `attention_fusion` take them both.
    deep : sequence of str or mapping of str to estimator, default ("attention",)
        Which: any of "attention", "vae" and "graph", or estimators by name.
    cv : int, splitter or iterable of (train, test), optional
        Default ``SubjectKFold(5)``.
    allow : sequence of str, default ()
        Names of columns, visits, assays or tables that may predict although they come after
        the index event.
    random_state : int, default 0
        Of the models that are made here.

    Returns
    -------
    pandas.DataFrame
        Index ``model``: "clinic" (a ridge on all clinical predictors), "early", "stacking"
        (`late_fusion`), then the deep ones. Columns: ``auc``, ``ci_low``, ``ci_high`` (pooled
        out of fold, DeLong, 95%); ``vs_stacking``, ``p_vs_stacking``, ``vs_clinic``,
        ``p_vs_clinic`` (mean difference of the AUC per fold, and p of Nadeau and Bengio's
        corrected test); ``slope`` (of calibration; below 1 too sure); ``seconds`` (of the
        whole cross-validation). Nothing is corrected for how many models are compared.

    Raises
    ------
    FormatError
        For an unknown name; else as `cross_validate`.

    References
    ----------
    .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 2003;52:239.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> network = pp.fusion.attention_fusion({"clinic": "clinical", "scan": "diffusion"},
    ...                                      n_epochs=2, n_members=2)
    >>> table = pp.fusion.compare_fusions(
    ...     cohort, "mvd_response", network.blocks, deep={"attention": network}, cv=2)
    >>> table.index.tolist()
    ['clinic', 'early', 'stacking', 'attention']
    """
    models: dict[str, Any] = {
        "clinic": clinical_model("logistic"),
        "early": early_fusion(blocks),
        "stacking": late_fusion(blocks, random_state=random_state),
    }
    for name, model in _deep(deep, blocks, random_state).items():
        if name in models:
            raise FormatError(f"there is a model called {name!r} already", where="deep")
        models[name] = model
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, model in models.items():
        start = time.perf_counter()
        results[name] = cross_validate(
            model, cohort, outcome, results.get("clinic", cv), name=name, baseline=None,
            allow=allow, random_state=random_state,
        )  # fmt: skip
        seconds[name] = time.perf_counter() - start
    rows = {}
    for name, result in results.items():
        row = {"auc": result.auc.auc, "ci_low": result.auc.ci_low, "ci_high": result.auc.ci_high}
        for other in ("stacking", "clinic"):
            row[f"vs_{other}"] = row[f"p_vs_{other}"] = np.nan
            if name != other:
                corrected = result.compare(results[other]).corrected
                row[f"vs_{other}"] = corrected.mean
                row[f"p_vs_{other}"] = corrected.p_value
        rows[name] = row | {"slope": result.calibration.slope, "seconds": seconds[name]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _deep(
    deep: Sequence[str] | Mapping[str, Any], blocks: Mapping[str, Any], random_state: int
) -> dict[str, Any]:
    """Return the deep models by name."""
    if isinstance(deep, Mapping):
        return dict(deep)
    from .attention import attention_fusion
    from .graph import graph_fusion
    from .vae import vae_fusion

    made = {"attention": attention_fusion, "vae": vae_fusion, "graph": graph_fusion}
    names = [deep] if isinstance(deep, str) else list(deep)
    unknown = [name for name in names if name not in made]
    if unknown:
        raise FormatError(
            f"no deep fusion is called {list_some(unknown)}",
            where="deep",
            remedy=f"there are {list_some(made)}; or give estimators by name",
        )
    return {name: made[name](blocks, random_state=random_state) for name in names}
