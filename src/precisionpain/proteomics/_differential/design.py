"""Which samples a formula uses, and the matrix that it makes of them."""

from __future__ import annotations

import ast
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .._layout import is_sample

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Design", "Rows", "check_one_sample_each", "choose_rows", "make_design", "variables_of"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Rows:
    """The samples that are analysed.

    Parameters
    ----------
    used : numpy.ndarray of bool, shape (samples,)
        Among all rows of the assay.
    obs : pandas.DataFrame
        What is known of the samples that are used; text as categories without unused levels.
    left_out : dict of str to int
        How many rows were left out, by reason.
    """

    used: NDArray[np.bool_]
    obs: pd.DataFrame
    left_out: dict[str, int]

    def only(self, keep: NDArray[np.bool_], reason: str) -> Rows:
        """Return the rows of which `keep` is True, and count the others."""
        used = self.used.copy()
        used[used] = keep
        obs = self.obs[keep].copy()
        for name in obs:
            if isinstance(obs[name].dtype, pd.CategoricalDtype):
                obs[name] = obs[name].cat.remove_unused_categories()
        dropped = int((~keep).sum())
        left_out = {**self.left_out, **({reason: dropped} if dropped else {})}
        return Rows(used, obs, left_out)


@dataclasses.dataclass(frozen=True)
class Design:
    """A design matrix that knows which columns belong to which term.

    Parameters
    ----------
    matrix : numpy.ndarray of shape (samples, columns)
        Of full rank.
    terms : dict of str to list of int
        Columns of each term, under the term as the user wrote it; without the intercept.
    factors : dict of str to set of str
        Columns of ``obs`` in each term.
    obs : pandas.DataFrame
        The samples.
    spec : formulaic.ModelSpec
        Makes rows for other values of the same columns.
    """

    matrix: Array
    terms: dict[str, list[int]]
    factors: dict[str, set[str]]
    obs: pd.DataFrame
    spec: Any

    def rows_for(self, grid: pd.DataFrame) -> Array:
        """Return the rows of the design matrix for other people."""
        return np.asarray(self.spec.get_model_matrix(grid), dtype=np.float64)


def _parse(formula: str) -> Any:
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        parsed = Formula(formula)
    except FormulaicError as error:
        raise FormatError(
            f"expected a formula such as '~ group + age', found {formula!r}: "
            f"{str(error).splitlines()[0]}",
            where="formula",
        ) from error
    if hasattr(parsed, "lhs"):
        raise FormatError(
            f"expected a formula without a left side, found {formula!r}", where="formula",
            remedy="the proteins are the left side: write '~ group + age'",
        )  # fmt: skip
    return parsed


def variables_of(formula: str) -> list[str]:
    """Return the columns that a formula names, in alphabetical order."""
    return sorted(set().union(*(_names(term) for term in _parse(formula))))


def _names(term: Any) -> set[str]:
    """Return the columns in a term; formulaic's own list leaves out those named as a coding."""
    found: set[str] = set()
    for factor in term.factors:
        try:
            tree = ast.parse(str(factor.expr), mode="eval")
        except SyntaxError:
            found.add(str(factor.expr))
            continue
        # In np.log(age) and C(group, contr.sum) the names np, C and contr are no columns.
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        functions |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found |= {
            node.id for node in ast.walk(tree)
            if isinstance(node, ast.Name) and id(node) not in functions
        }  # fmt: skip
    return found


def choose_rows(
    adata: AnnData, formula: str, specimen: str | None, extra: tuple[str | None, ...] = ()
) -> Rows:
    """Return the samples of people for which all columns of a formula are known.

    Parameters
    ----------
    adata : anndata.AnnData
        See `precisionpain.proteomics._layout`.
    formula : str
        Names columns of ``obs``.
    specimen : str or None
        Only samples of this specimen.
    extra : tuple of (str or None)
        Further columns that must be there and known.

    Returns
    -------
    Rows

    Raises
    ------
    FormatError
        For a column or specimen that isn't there, or mixed specimens that aren't modelled.
    """
    wanted = [*variables_of(formula), *(name for name in extra if name is not None)]
    wanted = list(dict.fromkeys(wanted))
    absent = [name for name in wanted if name not in adata.obs]
    if absent:
        raise FormatError(
            f"expected the column {list_some(absent)}, found {list_some(adata.obs.columns, 12)}",
            where="adata.obs",
            remedy="bring it in from the cohort: "
            "adata.obs['group'] = adata.obs['subject_id'].map(cohort.subjects['group'])",
        )
    everyone = np.ones(adata.n_obs, dtype=bool)
    rows = Rows(everyone, adata.obs.copy(), {})
    rows = rows.only(is_sample(adata), "not a sample of a person")
    if specimen is not None:
        found = rows.obs["specimen"].astype(str) if "specimen" in rows.obs else pd.Series(dtype=str)
        if not (found == specimen).any():
            raise FormatError(
                f"expected samples of {specimen!r}, found {list_some(found.unique())}",
                where="adata.obs['specimen']",
            )
        rows = rows.only((found == specimen).to_numpy(), "another specimen")
    rows = rows.only(rows.obs[wanted].notna().all(axis=1).to_numpy(), "missing covariate")
    if "specimen" in rows.obs and "specimen" not in wanted:
        kinds = rows.obs["specimen"].dropna().astype(str).unique()
        if len(kinds) > 1:
            raise FormatError(
                f"found samples of {list_some(sorted(kinds))}, which can't be pooled",
                where="adata.obs['specimen']",
                remedy=f"choose one, specimen={sorted(kinds)[0]!r}, or put it into the formula: "
                "'+ specimen'",
            )
    if not len(rows.obs):
        raise FormatError(
            f"no sample is left: {rows.left_out}", where="adata.obs",
            remedy="see obs['sample_type'] and the missing values of the covariates",
        )  # fmt: skip
    obs = rows.obs[wanted].copy()
    for name in wanted:
        column = obs[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            obs[name] = column.cat.rename_categories(str).cat.remove_unused_categories()
        elif pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            obs[name] = pd.Categorical(column.astype(str))
        else:
            obs[name] = column.astype(np.float64)
    return Rows(rows.used, obs, rows.left_out)


def check_one_sample_each(
    adata: AnnData, rows: Rows, subject: str, formula: str, remedy: str
) -> None:
    """Refuse several samples of a person where the test takes all samples for independent."""
    if subject not in adata.obs or subject in variables_of(formula):
        return
    people = adata.obs.loc[rows.used, subject].dropna().astype(str)
    repeated = people[people.duplicated()].nunique()
    if repeated:
        raise FormatError(
            f"{repeated} people have more than one sample among the {len(people)} that would be "
            "compared, and this test takes samples for independent",
            where=f"adata.obs[{subject!r}]",
            remedy=remedy,
        )


def make_design(rows: Rows, formula: str, *, sum_to_zero: bool = False) -> Design:
    """Make the design matrix of a formula.

    Parameters
    ----------
    rows : Rows
        Of `choose_rows`.
    formula : str
        One-sided.
    sum_to_zero : bool, default False
        Code categories so that effects add up to zero, which tests of type III need.

    Returns
    -------
    Design

    Raises
    ------
    FormatError
        For a formula that can't be evaluated or a design that isn't of full rank: the
        columns that can't be told apart are named.
    """
    from formulaic import model_matrix
    from formulaic.errors import FormulaicError

    parsed = _parse(formula)
    obs = rows.obs
    categories = [n for n in obs if isinstance(obs[n].dtype, pd.CategoricalDtype)]
    single = [n for n in variables_of(formula) if n in categories and obs[n].nunique() < 2]
    if single:
        raise FormatError(
            f"expected at least two levels of {list_some(single)}, found "
            f"{[list(obs[n].cat.categories) for n in single]}",
            where="adata.obs",
            remedy="leave the column out of the formula",
        )
    pieces, terms, factors = [], {}, {}
    for term in parsed:
        names = [str(factor.expr) for factor in term.factors]
        coded = [f"C({n}, contr.sum)" if sum_to_zero and n in categories else n for n in names]
        pieces.append(":".join(coded))
        terms[":".join(coded)] = ":".join(names)
        factors[":".join(names)] = _names(term)
    # A formula without "1" has no intercept; formulaic adds one unless told.
    written = " + ".join(pieces) if "1" in pieces else " + ".join(["0", *pieces])
    try:
        made = model_matrix("~ " + written, obs)
    except FormulaicError as error:
        raise FormatError(
            f"the formula {formula!r} can't be evaluated: {str(error).splitlines()[0]}",
            where="formula",
        ) from error
    matrix = np.asarray(made, dtype=np.float64)
    names = [str(name).replace(", contr.sum", "") for name in made.columns]
    _check_rank(matrix, names)
    where = {
        terms.get(str(term), str(term)): list(columns)
        for term, columns in made.model_spec.term_indices.items()
    }
    return Design(
        matrix,
        {name: columns for name, columns in where.items() if name != "1"},
        {name: used for name, used in factors.items() if name != "1"},
        obs,
        made.model_spec,
    )


def _check_rank(matrix: Array, names: list[str]) -> None:
    """Name the columns that determine each other."""
    n, k = matrix.shape
    for j in range(k):
        before = matrix[:, :j]
        solution = np.linalg.lstsq(before, matrix[:, j])[0] if j else np.empty(0)
        rest = matrix[:, j] - before @ solution
        if np.linalg.norm(rest) <= 1e-7 * max(float(np.linalg.norm(matrix[:, j])), 1e-300):
            others = [
                name for name, share in zip(names, solution, strict=False)
                if abs(share) > 1e-6 and name != "Intercept"
            ]  # fmt: skip
            raise FormatError(
                f"the columns {list_some([names[j], *others])} of the design can't be told "
                f"apart in these {n} samples (confounded)",
                where="formula",
                remedy="leave one of them out; if a batch equals a group, no analysis can "
                "separate them",
            )
    if n <= k:
        raise FormatError(
            f"expected more samples than the {k} columns of the design, found {n}",
            where="formula",
            remedy="leave out covariates",
        )
