"""What counts as a response, and which blocks of a cohort to tell it from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..cohort import Cohort, Outcome
from ..errors import FormatError, MissingModalityError, list_some
from .blocks import FeatureBlock

__all__ = ["recommended_blocks", "response_outcome"]

# Barrow Neurological Institute pain intensity, as numbers or as it is written.
_BNI: dict[str, tuple[Any, ...]] = {
    "bni_1": (1, "I", "1"),
    "bni_1_2": (1, "I", "1", 2, "II", "2"),
    "bni_1_3a": (1, "I", "1", 2, "II", "2", 3, "IIIa", "3a", "3"),
    "bni_1_3b": (1, "I", "1", 2, "II", "2", 3, "IIIa", "3a", "3", 4, "IIIb", "3b", "4"),
}


def response_outcome(
    response: str = "bni_1_2",
    *,
    bni: str = "bni_12mo",
    reduction: str = "pain_reduction_percent",
    surgery: str | None = "index_surgery",
    procedures: Sequence[str] = ("MVD",),
) -> Outcome:
    """Define a response after surgery, in one of the ways that the literature does.

    Parameters
    ----------
    response : str, default "bni_1_2"
        "bni_1" (no pain, no drugs), "bni_1_2" (no drugs), "bni_1_3a", "bni_1_3b" (no pain, or
        controlled by drugs), or "pain_reduction_50" and the like: reduced by at least so many
        per cent.
    bni : str, default "bni_12mo"
        Column of the Barrow pain intensity: 1 to 6, or "I", "II", "IIIa", "IIIb", "IV", "V".
    reduction : str, default "pain_reduction_percent"
        Column of the pain reduction in per cent.
    surgery : str or None, default "index_surgery"
        Column of the procedure. None takes everybody.
    procedures : sequence of str, default ("MVD",)
        For whom the outcome is defined; it is missing for everybody else.

    Returns
    -------
    Outcome

    Raises
    ------
    FormatError
        When there is no such response.

    References
    ----------
    .. [1] Rogers CL, et al. Gamma knife radiosurgery for trigeminal neuralgia: the initial
       experience of the Barrow Neurological Institute. Int J Radiat Oncol 2000;47:1013 (the
       scale).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80)
    >>> y = pp.fusion.response_outcome("bni_1_3b").values(cohort.subjects)
    >>> bool(y.mean() > cohort.outcome("mvd_response").mean())
    True
    """
    where = {} if surgery is None else {surgery: list(procedures)}
    after = "" if surgery is None else f" after {' or '.join(procedures)}"
    if response in _BNI:
        levels = {"1": "I", "2": "I-II", "3a": "I-IIIa", "3b": "I-IIIb"}[response.split("_")[-1]]
        return Outcome(
            column=bni, positive=_BNI[response], where=where, description=f"BNI {levels}{after}"
        )
    found = re.fullmatch(r"pain_reduction_(\d+(?:\.\d+)?)", response)
    if found is None or not 0 < float(found[1]) <= 100:
        raise FormatError(
            f"there is no response {response!r}",
            remedy=f"take one of {list_some(_BNI)}, or pain_reduction_50 and the like; or give "
            "an Outcome of your own",
        )
    return Outcome(
        column=reduction, at_least=float(found[1]), where=where,
        description=f"pain reduced by {found[1]}% or more{after}",
    )  # fmt: skip


def recommended_blocks(cohort: Cohort) -> dict[str, Any]:
    """Choose blocks of a cohort, the clinic first.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    dict of str to object
        As `early_fusion` takes them: "clinical", every measurement table, and of every assay
        the proteins of the trigeminal panel, or three principal components where it has
        fewer than two of them. Tables of truth (of simulated data) are left out.

    Examples
    --------
    >>> import precisionpain as pp
    >>> list(pp.fusion.recommended_blocks(pp.datasets.sample_tn()))
    ['clinical', 'nerve_measures', 'diffusion', 'csf_pea', 'plasma_pea', 'csf_lfq']
    """
    from ..proteomics import ProteinFeatures, panels

    blocks: dict[str, Any] = {"clinical": "clinical"} if cohort.predictors else {}
    for name in cohort.measurements:
        if not str(name).endswith("truth"):
            blocks[str(name)] = str(name)
    for name, adata in cohort.assays.items():
        measured = panels["trigeminal"].find(adata)["analyte"].notna().sum()
        blocks[str(name)] = (
            ProteinFeatures(name, proteins="trigeminal", repeats="mean")
            if measured >= 2
            else FeatureBlock(ProteinFeatures(name, repeats="mean"), reduce="pca")
        )
    if not blocks:
        raise MissingModalityError("the cohort has nothing to predict from")
    return blocks
