"""Measure the nerves of everybody in a Cohort from their label images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort, map_subjects
from ..errors import DataWarning, FormatError, list_some
from ._nerve_scans import KEYS, Scans, find_scans
from ._segmenters import (
    Portable,
    Segmenter,
    add_flags,
    flag_known_people,
    further_channels,
    label_scan,
    portable,
)
from .anatomy import SIDES
from .morphometry import EXTRA_MEASURES, INTERVAL_MEASURES, MEASURES, measure_compression

if TYPE_CHECKING:
    from ..cohort import Subject

__all__ = ["NerveFeatures", "Segmenter", "measure_nerves"]


class NerveFeatures(TransformerMixin, BaseEstimator):
    """Measures of compression of both nerves, from the label image of every scan of a Cohort.

    Nothing is learned: each scan is measured by itself with `measure_compression`, so that
    measuring before a cross-validation leaks nothing. What can't be measured is listed in
    `failures_`; every person is in the table or in that list.

    `measure_nerves` puts the table into the cohort, where `NerveMeasures` makes features of the
    painful nerve from it.

    Parameters
    ----------
    labels : str, default "dseg"
        Contrast of the label images in ``cohort.images``: the suffix of their BIDS names
        (read the tree with ``derivatives=``).
    probabilities : str, optional
        Contrast of the partial volumes or probabilities that go with them, such as
        ``"probseg"``; measures are then more exact.
    image : str, default "T2w"
        Contrast of the scans themselves. One without a label image is listed as a failure.
    segmenter : Segmenter, optional
        Labels each scan by its method ``segment`` or else ``predict``; label images in the
        cohort are then not read. It has been fitted before, and clones of these features share
        it. Where it has several ``channels``, `image` is the first, and the others are the
        contrasts that it names.
    visit : str or sequence of str, optional
        Which visits; by default all.
    run : int, optional
        Which run; images without one count as well. By default every run is measured, and the
        table has a key ``run`` where images have one.
    entities : mapping, optional
        Further columns of ``cohort.images`` and their values, such as
        ``{"acq": "ciss", "derivative": "truth"}``, where several images match.
    intervals : bool, default False
        Whether to add 95% intervals, see `measure_compression`.
    max_spacing_mm : float, default 1.2
        Coarser voxels are refused.
    n_jobs : int, optional
        Processes, as joblib takes it.
    checkpoint : str or Path, optional
        A folder that keeps the measures of each scan, see `map_subjects`.
    progress : bool, default True
        Show a bar on a terminal.

    Attributes
    ----------
    failures_ : pandas.DataFrame
        What `transform` couldn't measure: columns ``subject_id``, ``visit``, ``run``,
        ``error`` (its kind), ``message``. People without any scan have no visit.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nibabel, pandas as pd
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3, spacing=1.0, oversample=2)  # synthetic
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p1_dseg.nii.gz"
    >>> nibabel.save(cistern.labels, path)
    >>> cohort = pp.Cohort(
    ...     pd.DataFrame({"age": [61, 48]}, index=["p1", "p2"]),
    ...     images=pd.DataFrame({"subject_id": ["p1"], "visit": ["preop"],
    ...                          "contrast": ["dseg"], "path": [path]}))
    >>> features = pp.trigeminal.NerveFeatures(progress=False)
    >>> features.fit_transform(cohort)[["length_mm", "sindou_grade"]].index.tolist()
    [('p1', 'preop', 'left'), ('p1', 'preop', 'right')]
    >>> features.failures_[["subject_id", "error"]].values.tolist()
    [['p2', 'MissingModalityError']]
    """

    failures_: pd.DataFrame

    def __init__(
        self,
        labels: str = "dseg",
        *,
        probabilities: str | None = None,
        image: str = "T2w",
        segmenter: Segmenter | None = None,
        visit: str | Sequence[str] | None = None,
        run: int | None = None,
        entities: Mapping[str, Any] | None = None,
        intervals: bool = False,
        max_spacing_mm: float = 1.2,
        n_jobs: int | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        self.labels = labels
        self.probabilities = probabilities
        self.image = image
        self.segmenter = segmenter
        self.visit = visit
        self.run = run
        self.entities = entities
        self.intervals = intervals
        self.max_spacing_mm = max_spacing_mm
        self.n_jobs = n_jobs
        self.checkpoint = checkpoint
        self.progress = progress

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Check that the cohort has what is to be measured; nothing is learned.

        Parameters
        ----------
        X : Cohort
            People.
        y : object
            Ignored.

        Returns
        -------
        NerveFeatures

        Raises
        ------
        FormatError
            When `X` isn't a cohort of subjects, or the settings contradict each other.
        sklearn.exceptions.NotFittedError
            When the segmenter isn't fitted.
        MissingModalityError
            When the cohort has none of the images, or no such visit or column.
        """
        self._scans(X)
        self.feature_names_ = self._names()
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Measure every scan.

        Parameters
        ----------
        X : Cohort
            People.

        Returns
        -------
        pandas.DataFrame
            One row per nerve: index ``subject_id``, ``visit``, ``side`` (and ``run`` before it
            where images have runs); columns as `measure_compression` returns them. A scan
            that failed has no row, a nerve that its label image lacks has missing values. The
            flags of a segmenter stand in the rows of both nerves, and so does that it learned
            from scans of this very person.

        Raises
        ------
        FormatError, MissingModalityError
            As `fit`.
        """
        check_is_fitted(self, "feature_names_")
        scans = self._scans(X)
        measured, failures = self._measured(scans)
        keys = ["subject_id", "visit", *(["run"] if scans.has_runs else []), "side"]
        self.failures_ = failures
        table = flag_known_people(measured, self.segmenter)
        return table[[*keys, *self.feature_names_]].set_index(keys)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "feature_names_")
        return np.array(self.feature_names_, dtype=object)

    def __sklearn_clone__(self) -> Self:
        """Share the segmenter, which a usual clone would make one that has learned nothing."""
        parameters = self.get_params(deep=False)
        segmenter = parameters.pop("segmenter")
        copies = {name: clone(value, safe=False) for name, value in parameters.items()}
        return type(self)(**copies, segmenter=segmenter)

    def _names(self) -> list[str]:
        ends = [f"{name}_{end}" for name in INTERVAL_MEASURES for end in ("low", "high")]
        return [*MEASURES, *EXTRA_MEASURES, *(ends if self.intervals else []), "flags"]

    def _scans(self, X: Any) -> Scans:
        if not isinstance(X, Cohort) or X.unit != "subject":
            found = f"a cohort of {X.unit}s" if isinstance(X, Cohort) else type(X).__name__
            raise FormatError(f"X is a Cohort of subjects, found {found}")
        if self.segmenter is not None:
            if not callable(getattr(self.segmenter, "predict", None)):
                raise FormatError(
                    f"a segmenter has a method predict, found {type(self.segmenter).__name__}"
                )
            if isinstance(self.segmenter, BaseEstimator):
                check_is_fitted(self.segmenter)
            if self.probabilities is not None:
                raise FormatError(
                    "probabilities in the cohort don't belong to what a segmenter labels anew",
                    remedy="give one of `segmenter` and `probabilities`",
                )
        return find_scans(
            X,
            labels=None if self.segmenter is not None else self.labels,
            probabilities=self.probabilities,
            image=self.image,
            visit=self.visit,
            run=self.run,
            entities=self.entities or {},
            channels=further_channels(self.segmenter),
        )

    def _measured(self, scans: Scans) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows of all nerves, and the failures, both in the order of the scans."""
        from .. import __version__

        done = map_subjects(
            scans.cohort,
            _measure_scan,
            kwargs={
                "segmenter": portable(self.segmenter),
                "intervals": self.intervals,
                "max_spacing_mm": self.max_spacing_mm,
                # What is kept in a checkpoint was measured by this version.
                "version": __version__,
            },
            n_jobs=self.n_jobs,
            checkpoint=self.checkpoint,
            progress=self.progress,
        )
        parts = [table.assign(**scans.keys(one)) for one, table in done.results.items()]
        if parts:
            measured = pd.concat(parts, ignore_index=True)
        else:
            measured = pd.DataFrame(columns=[*KEYS, "side", *self._names()])
            text = (*KEYS, "side", "vessel", "flags")
            measured = measured.astype({c: float for c in measured if c not in text})
        return measured, scans.failures(done.failures)


def measure_nerves(cohort: Cohort, *, table: str = "nerve_measures", **options: Any) -> Cohort:
    """Measure both nerves in every scan, and put the measures into the cohort.

    Parameters
    ----------
    cohort : Cohort
        People with label images, or with scans for a segmenter.
    table : str, default "nerve_measures"
        Name of the measurement table; one of this name is replaced.
    **options
        Parameters of `NerveFeatures`, such as ``probabilities``, ``segmenter``, ``visit``,
        ``n_jobs``, ``checkpoint``.

    Returns
    -------
    Cohort
        With two measurement tables, keyed by ``subject_id``, ``visit``, ``side`` (and ``run``
        where images have runs). ``nerve_measures`` holds the measures. ``nerve_quality`` has a
        row for every nerve that was expected, measured or not: ``measured``, ``error`` (kind,
        missing when nothing failed), ``message`` (what a reader should know, missing when
        nothing is amiss) and the intervals.

    Raises
    ------
    FormatError, MissingModalityError
        As `NerveFeatures.fit`.

    Warns
    -----
    DataWarning
        When there are scans that couldn't be measured.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nibabel, pandas as pd
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3, spacing=1.0, oversample=2)  # synthetic
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p1_dseg.nii.gz"
    >>> nibabel.save(cistern.labels, path)
    >>> cohort = pp.Cohort(
    ...     pd.DataFrame({"affected_side": ["left"]}, index=["p1"]),
    ...     images=pd.DataFrame({"subject_id": ["p1"], "visit": ["preop"],
    ...                          "contrast": ["dseg"], "path": [path]}))
    >>> cohort = pp.trigeminal.measure_nerves(cohort, progress=False)
    >>> pp.trigeminal.NerveMeasures(measures=["length_mm"]).fit_transform(cohort).columns.tolist()
    ['affected:length_mm', 'asymmetry:length_mm']
    """
    features = NerveFeatures(**options).fit(cohort)
    measured = features.transform(cohort).reset_index()
    failures = features.failures_
    names = [str(name) for name in measured]
    ends = [name for name in names if name.endswith(("_low", "_high"))]
    keys = ["subject_id", "visit", *(["run"] if "run" in names else []), "side"]

    quality = measured[[*keys, *ends]].copy()
    quality["measured"] = measured["length_mm"].notna()
    quality["error"] = None
    quality["message"] = measured["flags"].where(measured["flags"] != "", None)
    if len(failures):
        both = failures.merge(pd.DataFrame({"side": list(SIDES)}), how="cross")
        both = both.assign(measured=False)
        quality = pd.concat([quality, both], ignore_index=True) if len(quality) else both
    quality = quality.reindex(columns=[*keys, "measured", "error", "message", *ends])

    lost = failures[failures["visit"].notna()]
    if len(lost):
        kinds = lost["error"].value_counts()
        warnings.warn(
            DataWarning(
                f"{len(lost)} scans couldn't be measured "
                f"({', '.join(f'{n} {kind}' for kind, n in kinds.items())}; people: "
                f"{list_some(lost['subject_id'].unique(), 3)}); measurements['nerve_quality'] "
                "says why"
            ),
            stacklevel=2,
        )
    values = [name for name in names if name not in ("flags", *ends)]
    cohort = cohort.with_measurements(table, measured[values])
    return cohort.with_measurements("nerve_quality", quality)


def _measure_scan(
    scan: Subject,
    *,
    segmenter: Segmenter | Portable | None,
    intervals: bool,
    max_spacing_mm: float,
    version: str,
) -> pd.DataFrame:
    """Measure one scan; `version` only tells results in a checkpoint apart."""
    roles = set(scan.images["contrast"])
    image = None
    flags: Sequence[str] = ()
    if segmenter is None:
        labels = scan.image("labels")
        shares = scan.image("probabilities") if "probabilities" in roles else None
    else:
        used = segmenter.segmenter if isinstance(segmenter, Portable) else segmenter
        image = scan.image("image")
        more = [scan.image(f"channel_{k}") for k in range(len(further_channels(used)))]
        labels, shares, flags = label_scan(used, [image, *more] if more else image)
    with warnings.catch_warnings():
        # They are in the column `flags`.
        warnings.simplefilter("ignore", DataWarning)
        table = measure_compression(
            labels,
            image,
            probabilities=shares,
            predicted=None if segmenter is None else True,  # else the files tell
            intervals=intervals,
            max_spacing_mm=max_spacing_mm,
        )
    return add_flags(table, flags).reset_index()
