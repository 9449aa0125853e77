"""Proteins of the people of a Cohort, as features of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ._features import (
    as_pipeline,
    by_sample,
    column_of,
    columns_of,
    feature_names,
    matches,
    specimens_of,
)
from ._layout import as_adata, is_assay, is_sample, values_of

if TYPE_CHECKING:
    from anndata import AnnData

    from .panel import Panel

__all__ = ["ProteinFeatures"]


class ProteinFeatures(TransformerMixin, BaseEstimator):
    """Proteins of each person of a Cohort, with normalisation and imputation learned in the fold.

    Joins by key: one row per person of the cohort, in its order; people without a sample are
    missing, never dropped. Only samples up to the landmark are seen, also when the cohort holds
    later ones. Control samples take part in the steps, which know them by ``sample_type``, and
    aren't in the result.

    Parameters
    ----------
    assay : str
        Which of the cohort's assays, for example ``"csf_pea"``.
    proteins : sequence of str, Panel or str, optional
        Which proteins: ids, genes or accessions; a panel, or its name; by default all that
        measure a protein. They are chosen after the steps, which see all of them.
    visit : str, optional
        Which visit; by default all up to the landmark.
    specimen : str, optional
        Which specimen; needed where the assay has several, as their levels aren't comparable.
    steps : estimator, sequence of estimators or Pipeline, optional
        What to do first, AnnData in and AnnData out: `MedianScaler`, `ComBat`, `MinProb`… A
        column that a step names (a site, a diagnosis) is taken from ``obs``, or joined from
        ``subjects`` when it may predict.
    names : {"gene", "id"}, default "gene"
        How features are called. A gene with several assays has the id added.
    repeats : {"error", "mean"}, default "error"
        What to do with several samples of a person: refuse them, or average what comes out
        of the steps.
    allow : sequence of str, default ()
        Visits, columns, or the assay, allowed by name although they lie after the landmark.
    as_frame : bool, default True
        Return a DataFrame; an array spares a pipeline the conversion.

    Attributes
    ----------
    pipeline_ : sklearn.pipeline.Pipeline or None
        The fitted steps.
    proteins_ : numpy.ndarray
        Ids of the proteins taken.
    specimens_ : list of str
        Specimen of the training samples.
    feature_names_in_, n_features_in_
        As scikit-learn has them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> from precisionpain.proteomics import MedianScaler, ProteinFeatures
    >>> cohort = pp.datasets.sample_tn()
    >>> csf = ProteinFeatures("csf_pea", proteins=["NEFL", "SFRP1"], steps=[MedianScaler()])
    >>> table = csf.fit_transform(cohort)
    >>> table.shape, list(table), int(table["NEFL"].isna().sum())
    ((40, 2), ['NEFL', 'SFRP1'], 14)
    """

    def __init__(
        self,
        assay: str,
        *,
        proteins: Sequence[str] | Panel | str | None = None,
        visit: str | None = None,
        specimen: str | None = None,
        steps: Any = None,
        names: Literal["gene", "id"] = "gene",
        repeats: Literal["error", "mean"] = "error",
        allow: Sequence[str] = (),
        as_frame: bool = True,
    ) -> None:
        self.assay = assay
        self.proteins = proteins
        self.visit = visit
        self.specimen = specimen
        self.steps = steps
        self.names = names
        self.repeats = repeats
        self.allow = allow
        self.as_frame = as_frame

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Fit the steps on the samples of these people, and choose the proteins.

        Parameters
        ----------
        X : Cohort
            Training people.
        y : array-like of shape (n,), optional
            Outcome, handed to the steps by person. Those of this library only use it to
            refuse what would give it away.

        Returns
        -------
        ProteinFeatures

        Raises
        ------
        MissingModalityError
            When the assay, a protein or the visit is missing, or nobody has a sample.
        LeakageError
            When the visit, the assay, or a column that a step needs lies after the landmark
            or is an outcome, or a covariate gives `y` away.
        FormatError
            When `X` isn't a cohort of subjects, specimens are mixed, people have several
            samples, or a setting is unknown.
        """
        self._learn(X, y)
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame | np.ndarray:
        """Fit, and return the features of the same people.

        Parameters
        ----------
        X : Cohort
            Training people, n rows.
        y : array-like of shape (n,), optional
            See `fit`.
        **options
            Ignored.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            As `transform` gives it.
        """
        return self._by_person(X, self._learn(X, y))

    def transform(self, X: Cohort) -> pd.DataFrame | np.ndarray:
        """Return the features.

        Parameters
        ----------
        X : Cohort
            People, n rows.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            Float, index as ``X.index``; missing for people without a sample.

        Raises
        ------
        AlignmentError
            When a step meets what training didn't have, for example a new batch.
        FormatError
            When samples are of another specimen than those of training.
        """
        check_is_fitted(self, "proteins_")
        adata = self._samples(X)
        if not is_sample(adata).any():
            return self._by_person(X, None)
        new = [kind for kind in specimens_of(adata) if kind not in self.specimens_]
        if new and self.specimens_:
            raise FormatError(
                f"training samples are {list_some(self.specimens_)}, found {list_some(new)}",
                where=f"assay {self.assay!r}",
                remedy="say which: specimen=",
            )
        if self.pipeline_ is not None:
            adata = as_adata(self.pipeline_.transform(adata), what="what the steps return")
        return self._by_person(X, adata)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features: genes, or ids.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "proteins_")
        return self._names

    # --- samples ---------------------------------------------------------------------

    def _samples(self, X: Any) -> AnnData:
        """Return the samples that may be seen, with the columns that the steps name."""
        if not isinstance(X, Cohort) or X.unit != "subject":
            found = f"a cohort of {X.unit}s" if isinstance(X, Cohort) else type(X).__name__
            raise FormatError(f"X is a Cohort of subjects, found {found}")
        seen = X.known_at_index(allow=self.allow)
        adata = seen.assays[self.assay]
        real = is_sample(adata)
        kept = np.ones(adata.n_obs, dtype=bool)
        for column, wanted in (("visit", self.visit), ("specimen", self.specimen)):
            if wanted is None:
                continue
            there = (
                adata.obs[column] if column in adata.obs else pd.Series(None, adata.obs_names, str)
            )
            fits = (there == wanted).fillna(False).to_numpy(dtype=bool)
            # A control of the method belongs to no visit, and often to no specimen.
            kept &= fits | (~real & there.isna().to_numpy())
        if self.visit is not None and not (kept & real).any():
            seen.at_visit(self.visit)  # says so when it is hidden, or unknown
        adata = adata[kept].copy()
        for name in columns_of(self.steps):
            adata.obs[name] = column_of(seen, adata, name, self.allow)
        return adata

    def _learn(self, X: Any, y: Any) -> AnnData:
        for name, value, known in (
            ("names", self.names, ("gene", "id")),
            ("repeats", self.repeats, ("error", "mean")),
        ):
            if value not in known:
                raise FormatError(f"{name} is one of {list_some(known)}, found {value!r}")
        adata = self._samples(X)
        if not is_sample(adata).any():
            of = "".join(f" of {v!r}" for v in (self.visit, self.specimen) if v is not None)
            raise MissingModalityError(
                f"none of the {len(X)} training people has a sample{of} in assay {self.assay!r}",
                remedy="see cohort.assays[...].obs for visits and specimens",
            )
        self.specimens_ = specimens_of(adata)
        if len(self.specimens_) > 1:
            raise FormatError(
                f"specimens are mixed: {list_some(self.specimens_)}",
                where=f"assay {self.assay!r}",
                remedy=f"choose one, for example specimen={self.specimens_[0]!r}",
            )
        self._check_repeats(adata)
        self.pipeline_ = as_pipeline(self.steps)
        if self.pipeline_ is not None:
            outcome = None if y is None else by_sample(y, X.index, adata)
            adata = as_adata(
                self.pipeline_.fit_transform(adata, outcome), what="what the steps return"
            )
        chosen = self._chosen(adata)
        self.proteins_ = np.array(adata.var_names[chosen], dtype=object)
        self._names = feature_names(adata.var.iloc[chosen], self.names)
        self.feature_names_in_, self.n_features_in_ = self.proteins_, len(self.proteins_)
        return adata

    def _check_repeats(self, adata: AnnData) -> None:
        who = adata.obs["subject_id"][is_sample(adata)]
        twice = who[who.duplicated()]
        if self.repeats == "error" and len(twice):
            visits = adata.obs["visit"].dropna().unique() if "visit" in adata.obs else []
            raise FormatError(
                f"{twice.nunique()} people have several samples, for example "
                f"{list_some(twice.astype(str).unique(), 1)}",
                where=f"assay {self.assay!r}",
                remedy="average them with repeats='mean'"
                + (f", or say which visit: {list_some(visits)}" if len(visits) > 1 else ""),
            )

    def _chosen(self, adata: AnnData) -> np.ndarray:
        """Return the columns of the proteins asked for, in the order asked."""
        real = is_assay(adata)
        if self.proteins is None:
            return np.flatnonzero(real)
        asked: Any = self.proteins
        if isinstance(asked, str):
            from .panel import panels

            asked = panels[asked]
        if hasattr(asked, "find"):
            found = asked.find(adata)["assay"].dropna().drop_duplicates()
            if found.empty:
                raise MissingModalityError(f"assay {self.assay!r} has no protein of {asked!r}")
            return adata.var_names.get_indexer(found)
        places: list[int] = []
        absent = []
        for name in asked:
            columns = matches(adata.var, str(name)) & real
            places += np.flatnonzero(columns).tolist()
            if not columns.any():
                absent.append(name)
        if absent or not places:
            raise MissingModalityError(
                f"assay {self.assay!r} has no protein {list_some(absent)}",
                remedy="name ids, genes or accessions of its `var`",
            )
        return np.array(list(dict.fromkeys(places)), dtype=np.intp)

    # --- people ----------------------------------------------------------------------

    def _by_person(self, X: Cohort, adata: AnnData | None) -> pd.DataFrame | np.ndarray:
        block = np.full((len(X), len(self.proteins_)), np.nan)
        if adata is not None:
            self._check_repeats(adata)
            columns = adata.var_names.get_indexer(self.proteins_)
            if (columns < 0).any():
                raise AlignmentError(
                    f"{int((columns < 0).sum())} proteins of `fit` are not among the samples: "
                    f"{list_some(self.proteins_[columns < 0])}",
                    where=f"assay {self.assay!r}",
                )
            real = is_sample(adata)
            table = pd.DataFrame(
                values_of(adata)[np.ix_(real, columns)], adata.obs["subject_id"][real].to_numpy()
            )
            if not table.index.is_unique:
                table = table.groupby(level=0).mean()
            block = table.reindex(X.index).to_numpy(dtype=float)
        return pd.DataFrame(block, X.index, self._names) if self.as_frame else block
