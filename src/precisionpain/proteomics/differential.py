"""Which proteins differ: moderated t-tests, rank tests, mixed models, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from ..errors import FormatError, list_some
from ..stats._checks import check_fraction
from ._differential import frames
from ._differential.by_contrast import CONTRAST_TESTS, limma
from ._differential.by_term import PAIR_TESTS, TERM_TESTS
from ._differential.contrast import parse_contrast
from ._differential.design import choose_rows, variables_of
from ._differential.study import Study
from ._layout import as_adata, check_log2, is_assay

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["differential"]

Method = Literal[
    "limma", "welch", "paired", "mann_whitney", "wilcoxon",
    "anova", "kruskal", "friedman", "mixed", "ordinal",
]  # fmt: skip

_OF_PEOPLE = ("paired", "wilcoxon", "friedman", "mixed")


def differential(
    adata: AnnData,
    formula: str,
    contrast: str | tuple[str, str, str] | None = None,
    method: Method = "limma",
    *,
    posthoc: str | None = None,
    subject: str = "subject_id",
    block: str | None = None,
    specimen: str | None = None,
    trend: bool | str = False,
    robust: bool = False,
    array_weights: bool = False,
    prior: Literal["moments", "likelihood"] = "moments",
    reml: bool = True,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test each protein for a difference.

    Control samples and control assays are left out, rows without a value of a covariate too;
    missing values are not imputed. Nothing is filtered: a protein mostly below its limit of
    detection is marked, and one that can't be tested has ``testable`` False, no p-value, and
    no part in the false discovery rate.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × proteins on the log2 scale.
    formula : str
        Columns of ``adata.obs``, for example ``"~ group + age + plate"``. Text and flags are
        categories.
    contrast : str or tuple of (column, level, level), optional
        What is compared: ``"group[TN] - group[control]"`` or ``("group", "TN", "control")``;
        with several columns ``"group[TN]:visit[preop] - group[control]:visit[preop]"``; with
        weights ``"0.5 * group[A] + 0.5 * group[B] - group[C]"``; or a column of numbers, for
        its slope. Left out with tests of whole terms.
    method : str, default "limma"
        ``"limma"``: moderated t of a linear model.
        ``"welch"``, ``"mann_whitney"``: two groups of different people, by means (first −
        second) or by ranks (Hodges–Lehmann shift).
        ``"paired"``, ``"wilcoxon"``: two samples of the same people, by means or by signed
        ranks (median of the Walsh averages).
        ``"anova"``: linear model; with a contrast its t-test, else F-tests of type III per
        term (sum-to-zero coding).
        ``"kruskal"``, ``"friedman"``: several groups, or several samples of the same people,
        by ranks.
        ``"mixed"``: linear model with a random intercept per person (REML), degrees of
        freedom by Satterthwaite; a contrast, else F-tests of type III.
        ``"ordinal"``: proportional odds; a contrast (Wald, ``log_odds`` in place of
        ``log_fc``), else likelihood ratio tests of type II.
    posthoc : str, optional
        A term, for example ``"group"`` or ``"group:visit"``: all pairs of its levels instead
        of the terms. "anova", "mixed": differences of marginal means, p and limits by Tukey.
        "kruskal": Dunn. "friedman": signed ranks.
    subject : str, default "subject_id"
        Column of the person.
    block : str, optional
        "limma" only: column of samples that belong together, such as ``"subject_id"``; their
        common correlation is estimated and allowed for.
    specimen : str, optional
        Use only samples of this specimen.
    trend : bool or str, default False
        "limma" only: the prior variance follows the mean abundance, or (the idea of DEqMS)
        the logarithm of a positive column of ``adata.var``, such as ``"n_peptides"``.
    robust : bool, default False
        "limma" only: proteins of extreme variance don't spoil the prior of the others.
    array_weights : bool, default False
        "limma" only: samples of poor quality weigh less.
    prior : {"moments", "likelihood"}, default "moments"
        "limma" only: how the prior is estimated; see `precisionpain.stats.squeeze_variance`.
    reml : bool, default True
        "mixed" only: False for maximum likelihood, which other software for Olink data uses;
        its variances are too small.
    confidence : float, default 0.95
        Level of the limits, of each protein by itself. Of pairs, ``ci_low`` and ``ci_high``
        hold for one pair by itself, ``ci_low_adjusted`` and ``ci_high_adjusted`` (Tukey's) for
        all pairs of a protein together; they leave out 0 where ``p_adjusted`` is below 1 −
        `confidence`.

    Returns
    -------
    pandas.DataFrame
        Index: ``var_names``. Columns ``gene``, ``uniprot`` (where known), ``log_fc`` (log2),
        ``ci_low``, ``ci_high``, ``statistic``, ``df``, ``p_value``, ``q_value`` (Benjamini &
        Hochberg over the testable proteins), ``n_1``, ``n_2`` (measured samples of the two
        sides of the contrast; of a slope, all and 0), ``testable``, ``below_lod`` (share of the
        measured values).
        Tests of terms: a row for each term and protein, with ``term``, ``df_term`` and ``n``;
        q per term. Pairs: ``contrast`` and ``p_adjusted`` (over the pairs of a protein),
        with "anova" and "mixed" ``ci_low_adjusted`` and ``ci_high_adjusted``.
        ``attrs`` says what was done, and how many rows were left out and why.

    Raises
    ------
    FormatError
        For columns, levels or formulas that don't fit; confounded columns; pooled specimens;
        several samples of a person in a test that takes them for independent; values that
        aren't on the log2 scale.

    Warns
    -----
    DataWarning
        When a protein doesn't vary.

    References
    ----------
    Smyth, Statistical Applications in Genetics and Molecular Biology 3, 3 (2004); Smyth,
    Michaud & Scott, Bioinformatics 21, 2067 (2005); Ritchie et al., BMC Bioinformatics 7, 261
    (2006); Zhu et al., Molecular & Cellular Proteomics 19, 1047 (2020); Hollander & Wolfe,
    Nonparametric Statistical Methods (1999); Kuznetsova et al., JSS 82, 13 (2017); Kramer,
    Biometrics 12, 307 (1956); Dunn, Technometrics 6, 241 (1964).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn()
    >>> csf = cohort.assays["csf_pea"]
    >>> result = pp.proteomics.differential(
    ...     csf, "~ visit", "visit[followup] - visit[preop]", method="paired")
    >>> result.attrs["left_out"]["not a sample of a person"]
    16
    >>> csf.obs["age"] = csf.obs["subject_id"].map(cohort.subjects["age"])
    >>> result = pp.proteomics.differential(csf[csf.obs["visit"] == "preop"], "~ age", "age")
    >>> list(result.columns[2:8])
    ['log_fc', 'ci_low', 'ci_high', 'statistic', 'df', 'p_value']
    """
    only_limma: dict[str, Any] = {
        "block": block,
        "trend": trend,
        "robust": robust,
        "array_weights": array_weights,
    }
    _check_options(method, contrast, posthoc, {**only_limma, "prior": prior != "moments"}, reml)
    check_fraction(confidence, "confidence")
    adata = as_adata(adata)
    check_log2(adata)
    people = subject if method in _OF_PEOPLE else None
    rows = choose_rows(adata, formula, specimen, (people, block))
    parsed = None
    if contrast is not None:
        parsed = parse_contrast(contrast, rows.obs[variables_of(formula)])
    assays = is_assay(adata)
    study = Study(adata, assays, rows, formula, parsed, method, subject, confidence, reml)
    made: dict[str, Any] = {}
    if parsed is not None:
        if method == "limma":
            table, study, made = limma(study, prior=prior, **only_limma)
        else:
            table, study, made = CONTRAST_TESTS[method](study)
    elif posthoc is not None:
        tables, study = PAIR_TESTS[method](study, posthoc)
    else:
        tables, study = TERM_TESTS[method](study)
    below = frames.share_below_lod(adata, study.rows.used, assays, study.values)
    if parsed is not None:
        frame = frames.contrast_frame(adata.var[assays], table, below)
    elif posthoc is not None:
        frame = frames.posthoc_frame(adata.var[assays], tables, below)
    else:
        frame = frames.terms_frame(adata.var[assays], tables, below)
    done: dict[Any, Any] = {
        "method": method, "formula": formula, "contrast": parsed.text if parsed else None,
        "posthoc": posthoc, "n_samples": len(study.obs), "left_out": study.rows.left_out,
        "control_assays_left_out": int((~assays).sum()), "confidence": confidence, **made,
    }  # fmt: skip
    frame.attrs = done
    return frame


def _check_options(
    method: str, contrast: object, posthoc: str | None, only_limma: dict[str, object], reml: bool
) -> None:
    """Refuse what doesn't go together, before any data are touched."""
    if method not in get_args(Method):
        raise FormatError(
            f"expected one of {list_some(get_args(Method), 12)}, found {method!r}", where="method"
        )
    given = [name for name, value in only_limma.items() if value]
    if given and method != "limma":
        raise FormatError(
            f"{list_some(given)} goes with method='limma' only, found method={method!r}",
            where=given[0],
        )
    if not reml and method != "mixed":
        raise FormatError(f"goes with method='mixed' only, found {method!r}", where="reml")
    if posthoc is not None and (contrast is not None or method not in PAIR_TESTS):
        raise FormatError(
            f"`posthoc` compares all pairs of levels after {list_some(PAIR_TESTS)}, without a "
            f"contrast; found method={method!r}",
            where="posthoc",
        )
    if contrast is None and method not in TERM_TESTS:
        raise FormatError(
            f"method={method!r} tests a contrast, found none", where="contrast",
            remedy="say what is compared: 'group[TN] - group[control]'",
        )  # fmt: skip
    if contrast is not None and method in ("kruskal", "friedman"):
        raise FormatError(
            f"method={method!r} tests all levels together, found the contrast {contrast!r}",
            where="contrast",
            remedy="use posthoc=, or 'mann_whitney' or 'wilcoxon' for two groups",
        )
