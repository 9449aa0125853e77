"""One question to one assay: which values, which samples, which test."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import DataWarning, FormatError, list_some
from .contrast import Contrast
from .design import Rows, check_one_sample_each, variables_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Study"]


@dataclasses.dataclass(frozen=True)
class Study:
    """What a test needs to know.

    Parameters
    ----------
    adata : anndata.AnnData
        The assay.
    assays : numpy.ndarray of bool
        Columns that measure a protein.
    rows : Rows
        Samples that are used.
    formula : str
    contrast : Contrast or None
    method : str
    subject : str
        Column of the person.
    confidence : float
    reml : bool
        For mixed models.
    """

    adata: AnnData
    assays: NDArray[np.bool_]
    rows: Rows
    formula: str
    contrast: Contrast | None
    method: str
    subject: str
    confidence: float
    reml: bool = True

    @functools.cached_property
    def values(self) -> NDArray[np.float64]:
        """The values of these samples and proteins, a copy."""
        part = self.adata.X[self.rows.used]
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        return np.array(part if self.assays.all() else part[:, self.assays], dtype=np.float64)

    @property
    def obs(self) -> pd.DataFrame:
        """What is known of these samples."""
        return self.rows.obs

    @property
    def names(self) -> pd.Index:
        """Names of the proteins."""
        return self.adata.var_names[self.assays]

    def only(self, keep: NDArray[np.bool_], reason: str) -> Study:
        """Return the study of fewer samples."""
        return dataclasses.replace(self, rows=self.rows.only(keep, reason))

    def people(self) -> NDArray[np.intp]:
        """Return the person of each sample as a number."""
        return np.unique(self.obs[self.subject].astype(str), return_inverse=True)[1]

    def check_independent(self) -> None:
        """Refuse several samples of a person."""
        ways = "method='paired' or 'mixed'"
        if self.method == "limma":
            ways = f"block={self.subject!r}, or '+ {self.subject}' in the formula"
        check_one_sample_each(
            self.adata, self.rows, self.subject, self.formula,
            f"choose one sample of each, for example of one visit, or use {ways}",
        )  # fmt: skip

    def repeated(self) -> NDArray[np.intp]:
        """Return the person of each sample; refuse people with one sample each.

        Raises
        ------
        FormatError
            When nobody has several samples, so that people can't be told from chance.
        """
        people = self.people()
        if len(people) and np.bincount(people).max() < 2:
            raise FormatError(
                f"method={self.method!r} needs people with several samples; each of the "
                f"{len(people)} people has one",
                where=f"adata.obs[{self.subject!r}]",
                remedy="use 'limma', 'anova' or 'welch' for one sample each; else look whether "
                f"{self.subject!r} holds samples instead of people",
            )
        return people

    def warn_constant(self, constant: NDArray[np.bool_]) -> None:
        """Warn of proteins that don't vary."""
        if constant.any():
            warnings.warn(
                f"{int(constant.sum())} proteins don't vary within the groups: "
                f"{list_some(self.names[constant])}. Their variance is taken as that of rounding "
                "(limma: from the prior)",
                DataWarning,
                stacklevel=4,
            )

    def warn_equal(self, equal: NDArray[np.bool_]) -> None:
        """Warn of proteins that a rank test can't order."""
        if equal.any():
            warnings.warn(
                f"{int(equal.sum())} proteins don't vary: {list_some(self.names[equal])}. Without "
                "an order of the values p is 1",
                DataWarning,
                stacklevel=4,
            )

    def only_factor(self) -> tuple[str, list[str]]:
        """Return the one category of the formula and its levels, for tests that know no more."""
        names = variables_of(self.formula)
        plain = self.formula.replace("~", "").strip()
        if names != [plain] or not isinstance(self.obs[plain].dtype, pd.CategoricalDtype):
            raise FormatError(
                f"method={self.method!r} compares the levels of one column, found the formula "
                f"{self.formula!r}",
                where="formula",
                remedy="write '~ group'; to adjust for covariates use 'anova' or 'mixed'",
            )
        levels = list(self.obs[plain].cat.categories)
        if len(levels) < 2:
            raise FormatError(
                f"expected at least two levels of {plain!r}, found {levels}", where="adata.obs"
            )
        return plain, levels

    def by_person(self, column: str, levels: list[str]) -> tuple[Study, NDArray[np.float64]]:
        """Return the values as people × levels × proteins, of people with all levels.

        Returns
        -------
        study, values : Study, numpy.ndarray
            The study of the samples that are used, and their values.
        """
        study = self.only(
            self.obs[column].astype(str).isin(levels).to_numpy(), f"another level of {column}"
        )
        place = pd.Index(levels).get_indexer(pd.Index(study.obs[column].astype(str)))
        person = study.people()
        count = np.zeros((person.max(initial=-1) + 1, len(levels)), dtype=int)
        np.add.at(count, (person, place), 1)
        if (count > 1).any():
            raise FormatError(
                f"{int((count > 1).any(axis=1).sum())} people have more than one sample at one "
                f"level of {column!r}",
                where=f"adata.obs[{self.subject!r}]",
                remedy="choose one of them, or use method='mixed'",
            )
        whole = (count == 1).all(axis=1)
        if not whole.any():
            raise FormatError(
                f"nobody has a sample at each of {list_some(levels)}",
                where=f"adata.obs[{self.subject!r}]",
                remedy="is it the column of the person? compare different people by "
                "method='welch' or 'mann_whitney'",
            )
        keep = whole[person]
        study = study.only(keep, f"person without all levels of {column}")
        row = np.empty(count.shape, dtype=int)
        row[person[keep], place[keep]] = np.arange(int(keep.sum()))
        return study, study.values[row[whole]]
