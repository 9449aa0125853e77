"""Scores of a panel: how far each person's proteins lie from the controls', axis by axis."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import AlignmentError, DataWarning, FormatError, MissingModalityError, list_some
from ._layout import as_adata, check_log2, is_sample, lod_of, values_of
from ._people import Who, choose, one_specimen, people_of
from ._reference import Layout, distances, mean_z, z_against
from .panel import Panel, panels

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["PanelScores", "score_panel"]

Array = NDArray[np.float64]
# Controls have no outcome, so that a cross-validation of patients trains without them.
_REMEDY = (
    "the samples of training must hold the controls. Where they are patients alone (a fold, people "
    "with an outcome), pass control samples from elsewhere: controls=adata[is_control].copy()"
)


class PanelScores(TransformerMixin, BaseEstimator):
    """Scores of a panel against controls that were seen in training.

    A score is the mean of z over the proteins of an axis, with the signs of the panel; see
    `score_panel` for all that can be told of one. The mean and SD of the controls are learned
    in `fit`. A control that was learned from is scored against the others, whenever it is
    transformed, so that its score is comparable with that of a new person.

    Parameters
    ----------
    panel : Panel or str, default "trigeminal"
        A panel, or the name of one of `panels`.
    controls : mapping, ids, boolean Series or AnnData
        Who is a control: ``{"group": "control"}`` names columns of ``obs`` (for a Cohort also
        columns of ``subjects``); else ids of samples or of subjects, or flags by sample id.
        An AnnData is a fixed set of control samples from elsewhere, of the same assay; a
        cross-validation of patients alone needs one.
    assay : str, optional
        For a Cohort: which assay.
    visit : str, optional
        For a Cohort: which visit; needed where several lie before the landmark.
    specimen : str, optional
        For a Cohort: which specimen, needed where an assay has several.
    allow : sequence of str, default ()
        For a Cohort: visits, or the assay, allowed by name although they lie after the
        landmark.

    Attributes
    ----------
    panel_ : Panel
        The panel.
    matches_ : pandas.DataFrame
        Which assays were taken, see `Panel.find`.
    controls_ : pandas.DataFrame
        Values of the controls: samples × assays.
    not_found_ : list of str
        Analytes without an assay.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn()
    >>> scores = pp.proteomics.PanelScores(
    ...     controls={"diagnosis": "control"}, assay="csf_pea", visit="preop"
    ... ).fit(cohort)
    >>> scores.get_feature_names_out().tolist()
    ['inflammatory', 'autoimmune_like', 'stress', 'glial_wnt', 'axonal', 'overall']
    >>> scores.transform(cohort).shape
    (40, 6)
    """

    def __init__(
        self,
        panel: Panel | str = "trigeminal",
        *,
        controls: Who | AnnData | None = None,
        assay: str | None = None,
        visit: str | None = None,
        specimen: str | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        self.panel = panel
        self.controls = controls
        self.assay = assay
        self.visit = visit
        self.specimen = specimen
        self.allow = allow

    def fit(self, X: AnnData | Cohort, y: Any = None) -> Self:
        """Learn the level and spread of the controls.

        Parameters
        ----------
        X : anndata.AnnData or Cohort
            Training people.
        y : object
            Ignored.

        Returns
        -------
        PanelScores

        Raises
        ------
        FormatError
            When no analyte is measured, fewer than 3 of the training people are controls (none,
            where people without an outcome were left out: then pass an AnnData of controls),
            one of them has several samples, or specimens are mixed.
        AlignmentError
            When an id or column is unknown, or the controls lack an assay.
        MissingModalityError
            When there is no such assay, visit or panel.
        LeakageError
            When the visit, or the whole assay, lies after the landmark.

        Warns
        -----
        DataWarning
            When a protein doesn't vary among the controls; it gets no score.
        """
        self.panel_ = panels[self.panel] if isinstance(self.panel, str) else self.panel
        if self.controls is None:
            raise FormatError(
                "expected controls, found none",
                where="controls",
                remedy="for example controls={'group': 'control'}",
            )
        adata = self._samples(X)
        self.matches_ = self.panel_.find(adata)
        found = self.matches_.dropna(subset=["assay"])
        self.not_found_ = [a.name for a in self.panel_ if a.name not in set(found["analyte"])]
        if found.empty:
            raise FormatError(
                f"none of the {len(self.panel_)} analytes of panel {self.panel_.name!r} is "
                f"among the {adata.n_vars} assays",
                where="adata.var",
                remedy="check the columns 'uniprot' and 'gene', or choose another panel",
            )
        self.controls_ = self._control_values(adata, list(found["assay"]))
        own = self.controls_.to_numpy()
        flat = ~np.isfinite(z_against(own, own)).any(axis=0)
        if flat.any():
            warnings.warn(
                DataWarning(
                    "among the controls these are constant, or measured in fewer than 3: "
                    f"{list_some(found['analyte'].to_numpy()[flat])}; they get no score"
                ),
                stacklevel=2,
            )
        order = {analyte.name: i for i, analyte in enumerate(self.panel_)}
        self._columns = np.array([order[name] for name in found["analyte"]], dtype=np.intp)
        self.n_features_in_ = len(found)
        return self

    def transform(self, X: AnnData | Cohort) -> pd.DataFrame:
        """Return the scores.

        Parameters
        ----------
        X : anndata.AnnData or Cohort
            People.

        Returns
        -------
        pandas.DataFrame
            One row per sample (for a Cohort: per person, in its order; missing where nothing
            was measured), one column per axis, and ``overall``.
        """
        check_is_fitted(self)
        adata = self._samples(X)
        table = self._table(adata, 0.95)[list(self.get_feature_names_out())]
        if not isinstance(X, Cohort):
            return table
        people = people_of(adata, np.ones(adata.n_obs, dtype=bool), "the assay")
        return table.set_axis(people.to_numpy(), axis=0).reindex(X.index)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns: the axes of the panel, and ``overall``.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self)
        return np.array([*self.panel_.axes, "overall"], dtype=object)

    def _samples(self, X: Any) -> AnnData:
        """Return the samples of people, one specimen, and for a cohort one visit."""
        if not isinstance(X, Cohort):
            adata = as_adata(X, what="X")
            check_log2(adata)
            rows = is_sample(adata)
            one_specimen(adata, rows)
            return adata[rows]
        if X.unit != "subject":
            raise FormatError(f"X is a Cohort of subjects, found a cohort of {X.unit}s")
        if self.assay is None:
            raise MissingModalityError(
                "a cohort needs the name of an assay", remedy=f"assay= one of {list(X.assays)}"
            )
        view = X.known_at_index(allow=self.allow)
        if self.visit is not None:
            view = view.at_visit(self.visit)
        adata = view.assays[self.assay]
        rows = is_sample(adata)
        if self.specimen is not None:
            rows &= (adata.obs["specimen"] == self.specimen).to_numpy()
        one_specimen(adata, rows)
        adata = adata[rows].copy()
        people_of(adata, np.ones(adata.n_obs, dtype=bool), f"assays[{self.assay!r}]")
        # So that a control can be named by what the subjects table says.
        whose = adata.obs["subject_id"]
        for column in view.subjects.columns.difference(adata.obs.columns):
            adata.obs[column] = view.subjects[column].reindex(whose).to_numpy()
        check_log2(adata)
        return adata

    def _control_values(self, adata: AnnData, assays: list[str]) -> pd.DataFrame:
        chosen: Any = self.controls
        self._elsewhere = hasattr(chosen, "obs") and hasattr(chosen, "var")
        if self._elsewhere:
            source = chosen
            rows = is_sample(source)
            check_log2(source, where="controls")
            mine = one_specimen(adata, is_sample(adata))
            theirs = one_specimen(source, rows, "controls")
            if mine and theirs and mine != theirs:
                raise FormatError(
                    f"expected controls of {mine!r} as the samples are, found {theirs!r}",
                    where="controls",
                    remedy="levels of two specimens aren't comparable: take controls of the same",
                )
            absent = [name for name in assays if name not in source.var_names]
            if absent:
                raise AlignmentError(f"the controls lack {list_some(absent)}", where="controls")
        else:
            source, rows = adata, choose(adata, chosen, "controls", _REMEDY)
        people_of(source, rows, "controls")
        if rows.sum() < 3:
            raise FormatError(
                f"expected at least 3 controls, found {int(rows.sum())} among the "
                f"{source.n_obs} samples",
                where="controls",
                remedy=None if self._elsewhere else _REMEDY,
            )
        part = source[rows][:, assays]
        return pd.DataFrame(values_of(part), part.obs_names, assays)

    def _table(self, adata: AnnData, confidence: float) -> pd.DataFrame:
        """Return the scores, their limits, and what they rest on."""
        assays = list(self.controls_.columns)
        absent = [name for name in assays if name not in adata.var_names]
        if absent:
            raise AlignmentError(
                f"{len(absent)} of the {len(assays)} assays of `fit` are not in X: "
                f"{list_some(absent)}",
                remedy="one that wasn't measured is a column of NaN",
            )
        part = adata[:, assays]
        values, limit = values_of(part), lod_of(part)
        low = np.zeros(values.shape, bool) if limit is None else values < limit
        known = self.controls_.index.get_indexer(part.obs_names)
        # Samples of two studies may share a name; the same sample has the same values as well.
        own = self.controls_.to_numpy()[known]
        same = ((values == own) | (np.isnan(values) & np.isnan(own))).all(axis=1)
        known = np.where(same, known, -1) if self._elsewhere else known
        blocks = [self._block(values, low, np.flatnonzero(known < 0), None, confidence)]
        for row in np.flatnonzero(known >= 0):
            blocks.append(self._block(values, low, np.array([row]), known[row], confidence))
        rows = np.concatenate([np.flatnonzero(known < 0), np.flatnonzero(known >= 0)])
        columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        table = pd.DataFrame(columns, index=part.obs_names[rows]).iloc[np.argsort(rows)]
        table.insert(0, "control", known >= 0)
        return table

    def _block(
        self, values: Array, low: NDArray[np.bool_], rows: NDArray[np.intp],
        left_out: int | None, confidence: float,
    ) -> dict[str, NDArray[Any]]:  # fmt: skip
        """Score rows against all controls, or all but one."""
        controls = self.controls_.to_numpy()
        if left_out is not None:
            controls = np.delete(controls, left_out, axis=0)
        z, own = z_against(values[rows], controls), z_against(controls, controls)
        low = low[rows] & np.isfinite(z)
        analytes = self.panel_.analytes
        sign = np.array([analytes[i].sign for i in self._columns], dtype=float)
        scored = np.array([a.axis is not None for a in analytes], dtype=bool)
        axes = {axis: np.array([a.axis == axis for a in analytes]) for axis in self.panel_.axes}
        scores: dict[str, NDArray[Any]] = {}
        details: dict[str, NDArray[Any]] = {}
        for name, members in {**axes, "overall": scored}.items():
            mine = members[self._columns]
            layout = Layout(self._columns[mine], sign[mine])
            result = mean_z(z[:, mine], own[:, mine], layout, confidence)
            scores[name] = result.score
            n = _n_analytes(np.isfinite(z[:, mine]), layout.analyte)
            below = n - _n_analytes(np.isfinite(z[:, mine]) & ~low[:, mine], layout.analyte)
            details |= {
                f"{name}_low": result.low,
                f"{name}_high": result.high,
                f"{name}_n_controls": result.n_controls,
                f"{name}_n_measured": n,
                f"{name}_n_missing": int(members.sum()) - n,
                f"{name}_n_below_lod": below,
            }
        away, p_value = distances(z, own, Layout(self._columns, sign))
        return {**scores, "distance": away, "distance_p": p_value, **details}


def _n_analytes(flags: NDArray[np.bool_], analyte: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the analytes of which any assay is flagged."""
    total = np.zeros(len(flags), dtype=np.intp)
    for name in np.unique(analyte):
        total += flags[:, analyte == name].any(axis=1)
    return total


def score_panel(
    adata: AnnData,
    panel: Panel | str = "trigeminal",
    controls: Who | AnnData | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Score every sample on the axes of a panel, against controls.

    z = (x − mean of the controls) / SD of the controls, on the log2 scale; the score of an
    axis is the mean of z over its proteins, each with the sign that the panel gives it. A
    control is scored against the other controls (leave one out).

    The limits are those in which a further control lies: mean ± t(n − 1) · s ·
    √(1 + 1/n) of the same score among the n controls that have the same proteins measured.
    They are exact for one protein of a normal population, and near for several.

    Where a protein has several assays (the same on two panels), each has its own z, and their
    mean counts as one protein.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × proteins, log2 scale, one specimen. Control samples of the method are left
        out.
    panel : Panel or str, default "trigeminal"
        A panel, or the name of one of `panels`.
    controls : mapping, ids, boolean Series or AnnData
        Who is a control: ``{"group": "control"}`` (columns of ``obs`` and their values), ids
        of samples or of subjects, flags by sample id; or control samples from elsewhere.
    confidence : float, default 0.95
        Level of the limits.

    Returns
    -------
    pandas.DataFrame
        One row per sample. ``subject_id`` and ``visit`` where known; ``control``; one column
        per axis; ``overall`` (all proteins that have an axis); ``distance`` (Mahalanobis, over
        all measured analytes) and ``distance_p`` (Hotelling's T² for one observation; both
        missing where the controls aren't more than the analytes). Then for every score
        ``…_low``, ``…_high`` (limits), ``…_n_controls`` (that they rest on), ``…_n_measured``,
        ``…_n_missing`` and ``…_n_below_lod`` (analytes; NPX below the limit is kept as
        measured). ``attrs`` has ``panel``, ``n_controls``, ``confidence``, ``not_found``
        (analytes without an assay), ``no_axis`` and ``assays`` (those of each analyte).

    Raises
    ------
    FormatError, AlignmentError, MissingModalityError
        As `PanelScores.fit`.

    Notes
    -----
    These are distances from the controls that were given, in their SDs. No threshold of
    diagnosis has been validated for them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn()
    >>> adata = cohort.assays["csf_pea"]
    >>> healthy = cohort.subjects.query("diagnosis == 'control'").index
    >>> scores = pp.proteomics.score_panel(adata, "trigeminal", {"subject_id": healthy})
    >>> patients = scores[~scores["control"]]
    >>> bool(patients["axonal"].mean() > scores.loc[scores["control"], "axonal"].mean())
    True
    >>> scores.attrs["not_found"]
    []
    """
    if not 0 < confidence < 1:
        raise FormatError(f"confidence lies between 0 and 1, found {confidence!r}")
    model = PanelScores(panel, controls=controls).fit(adata)
    samples = model._samples(adata)
    table = model._table(samples, confidence)
    for column in ("visit", "subject_id"):
        if column in samples.obs:
            table.insert(0, column, samples.obs[column].to_numpy())
    found = model.matches_.dropna(subset=["assay"])
    table.attrs = {
        "panel": model.panel_.name,
        "n_controls": len(model.controls_),
        "confidence": confidence,
        "not_found": model.not_found_,
        "no_axis": [a.name for a in model.panel_ if a.axis is None],
        "assays": {str(k): list(v) for k, v in found.groupby("analyte", sort=False)["assay"]},
    }
    return table
