"""One row after the other: its folds, its model, its cross-validation."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import (
    DataWarning,
    FormatError,
    GeometryError,
    LeakageError,
    MissingModalityError,
    PrecisionPainError,
)
from ...evaluation import CVResult, SubjectKFold, cross_validate
from .._classifier.inputs import find_scans, read_slabs
from ..bedside import BEDSIDE_FEATURES, bedside_model
from ..outcome import study_table
from .measures import COLUMNS, figures, published_figures
from .models import Peeking, Remembered, Vote
from .plan import Folds, Row
from .published import TABLE_ONE
from .store import Store

__all__ = ["DONE", "Study", "check_network", "table_one"]

DONE = "done"
_PLANES = ("axial", "coronal", "sagittal")
_BEDSIDE = {"kind": "random_forest"}
# Which scan is meant, and the defaults of `ChronicPainClassifier`.
_WHICH: dict[str, Any] = {"contrast": "T1w", "visit": None, "run": None, "entities": None}
# Settings of a network that rows, people and folders decide.
_FIXED = ("plane", "weights", "dataset", "checkpoint", "log")


@dataclasses.dataclass(eq=False)
class Study:
    """The people, the folds and the settings that all rows share.

    Parameters
    ----------
    cohort : Cohort
        People, with scans if rows need them.
    outcome : str
    store : Store
    network : mapping
        Settings of the main `ChronicPainClassifier`.
    weights : path, mapping of int to path, or None
        See `run`.
    fine : Cohort, mapping or None
        See `run`.
    n_splits, random_state, n_jobs
        See `run`.
    """

    cohort: Cohort
    outcome: str
    store: Store
    network: Mapping[str, Any]
    weights: Any
    fine: Cohort | Mapping[str, Any] | None
    n_splits: int
    random_state: int
    n_jobs: int | None
    results: dict[str, CVResult] = dataclasses.field(default_factory=dict)
    _computed: dict[Any, CVResult] = dataclasses.field(default_factory=dict)

    def line(self, row: Row) -> dict[str, Any]:
        """Compute a row; what can't be computed says why in its ``status``.

        Raises
        ------
        LeakageError
            When a model knows the people, or asks for what it must not see.
        """
        found: dict[str, Any] = dict.fromkeys(COLUMNS)
        found |= {"table": row.table, "row": row.name, "label": row.label, "note": row.note}
        found |= published_figures(row)
        try:
            result = self._result(row)
            found |= figures(row, result, self._reference(row), self._both(row))
        except LeakageError:
            raise
        except PrecisionPainError as error:
            return found | {"status": f"not computed: {error}"}
        self.results[row.name] = result
        return found | {"status": DONE}

    # -- folds -------------------------------------------------------------------------------

    def _folds(self, folds: Folds) -> SubjectKFold:
        seed = self.random_state if isinstance(folds, str) else folds
        return SubjectKFold(self.n_splits, stratify=folds == "stratified", random_state=seed)

    def _cross_validate(
        self, model: Any, row: Row, name: str, baseline: CVResult | None = None,
        cohort: Cohort | None = None,
    ) -> CVResult:  # fmt: skip
        with warnings.catch_warnings():
            # Once is enough; `run` says it before the work begins.
            warnings.filterwarnings("ignore", "scaling='dataset'", DataWarning)
            return cross_validate(
                model, self.cohort if cohort is None else cohort, self.outcome,
                self._folds(row.folds), name=name, baseline=baseline, n_jobs=self.n_jobs,
                random_state=self.random_state,
            )  # fmt: skip

    # -- models ------------------------------------------------------------------------------

    def _result(self, row: Row) -> CVResult:
        people, model = self._people(row), self._model(row)  # what is lacking shows at once
        reference = self._reference(row)
        if reference is not None and reference.frame()["auc"].notna().sum() < 2:
            reference = None
        return self._cross_validate(model, row, row.label, reference, people)

    def _model(self, row: Row) -> Any:
        if row.kind == "bedside":
            return self._bedside(row.settings)
        if row.kind == "ensemble":
            members = [Remembered(self._classifier({"plane": p}), self.store) for p in _PLANES]
            return Vote(members, **row.settings)
        settings = dict(row.settings)
        if row.fine and isinstance(self.fine, Mapping):
            settings |= self.fine
        model = self._classifier(settings)
        if row.kind == "optimistic":
            labels = pd.Series(self.cohort.outcome(self.outcome).squeeze())
            return Peeking(model, self.store, labels)
        return Remembered(model, self.store)

    def _classifier(self, settings: Mapping[str, Any]) -> Any:
        from ..classifier import ChronicPainClassifier

        chosen = {**self.network, **settings}
        if chosen.get("scaling") == "dataset":
            chosen["dataset"] = self.cohort
        return ChronicPainClassifier(**chosen, weights=self._weights(chosen["depth"]))

    def _bedside(self, settings: Mapping[str, Any]) -> Remembered:
        model = bedside_model(
            settings["kind"], settings.get("features", BEDSIDE_FEATURES),
            random_state=self.random_state,
        )  # fmt: skip
        return Remembered(model, self.store)

    def _weights(self, depth: int) -> Path | None:
        given = self.weights
        if given is None:
            return None
        if isinstance(given, Mapping):
            candidates = [Path(given[depth])] if depth in given else []
        elif Path(given).is_dir() and not (Path(given) / "model.json").exists():
            names = (f"resnet_{depth}_23dataset.pth", f"resnet_{depth}.pth")
            candidates = [Path(given) / name for name in names]
        else:
            candidates = [Path(given)] if depth == self.network["depth"] else []
        for path in candidates:
            if path.exists():
                return path
        raise MissingModalityError(
            f"there are no weights for ResNet-{depth}",
            remedy="give a folder with MedicalNet's files, or a mapping of depths to files",
        )

    # -- people ------------------------------------------------------------------------------

    def _people(self, row: Row) -> Cohort:
        """Return the people of a row, in the order of all others, so that folds are shared."""
        if row.kind == "bedside":
            return self.cohort
        settings = dict(self.network)
        cohort = self.cohort
        if row.fine and self.fine is None:
            raise MissingModalityError(
                "there are no scans at 1 mm",
                remedy="name them: fine=cohort, or fine={'entities': …}",
            )
        if row.fine:
            if isinstance(self.fine, Cohort):
                cohort = self.fine.select(list(self.cohort.index))
            else:
                settings |= self.fine or {}
        chosen = {name: settings.get(name, default) for name, default in _WHICH.items()}
        find_scans(cohort, **chosen)  # says who lacks one before any fold begins
        if row.fine:
            spacing = _spacing(cohort, chosen)
            if abs(spacing - 1) > 0.05:
                raise GeometryError(f"expected scans at 1 mm, found voxels of {spacing:.3g} mm")
        return cohort

    # -- references --------------------------------------------------------------------------

    def _reference(self, row: Row) -> CVResult | None:
        """Return what a row has to beat: neck pain alone at the bedside, else the bedside.

        None where the cohort doesn't have it.
        """
        at_bedside = row.kind == "bedside"
        if row.name.startswith("neck_pain"):
            return None
        features = ("neck_baseline",) if at_bedside else BEDSIDE_FEATURES
        if not set(features) <= set(self.cohort.subjects):
            return None
        return self._neck_pain(row.folds) if at_bedside else self._forest(row.folds)

    def _neck_pain(self, folds: Folds) -> CVResult:
        settings = {"kind": "logistic", "features": ("neck_baseline",)}
        return self._once("neck pain alone", settings, folds)

    def _forest(self, folds: Folds) -> CVResult:
        return self._once("bedside random forest", _BEDSIDE, folds)

    def _once(self, name: str, settings: Mapping[str, Any], folds: Folds) -> CVResult:
        if (name, folds) not in self._computed:
            row = Row(4, name, name, folds=folds)
            self._computed[name, folds] = self._cross_validate(self._bedside(settings), row, name)
        return self._computed[name, folds]

    def _both(self, row: Row) -> CVResult | None:
        """Put the scan and the bedside together: the mean of their probabilities."""
        if row.kind not in ("network", "ensemble") or row.fine or self._reference(row) is None:
            return None
        both = Vote([self._model(row), self._bedside(_BEDSIDE)])
        return self._cross_validate(both, row, f"{row.label} and bedside")


def _spacing(cohort: Cohort, chosen: Mapping[str, Any]) -> float:
    """Return the size of voxels, from the scan of the first person."""
    affine = read_slabs(cohort[[0]], plane="axial", n_slices=1, **chosen)[1]
    return float(np.linalg.norm(affine[:3, 0]))


def table_one(cohort: Cohort, outcome: str) -> pd.DataFrame:
    """Return Table 1 of a cohort with the printed one beside.

    Parameters
    ----------
    cohort : Cohort
    outcome : str

    Returns
    -------
    pandas.DataFrame
        One row per variable and level, in the order of the study. A variable that the cohort
        lacks has a ``status`` that says so.
    """
    lacking = "not computed: "
    keys = pd.MultiIndex.from_tuples(TABLE_ONE, names=["variable", "level"])
    names = ["chronic_pain", "recovery", "overall", "p_value", "w"]
    printed = pd.DataFrame(
        list(TABLE_ONE.values()), index=keys, columns=[f"published_{name}" for name in names]
    )
    try:
        found = study_table(cohort, outcome)
    except LeakageError:
        raise
    except PrecisionPainError as error:
        return printed.reset_index().assign(status=f"{lacking}{error}")
    frame = found.frame.rename(columns={"statistic": "w"})
    groups = [column for column in frame if "(n = " in str(column)]
    frame = frame.rename(columns=dict(zip(groups, names[:3], strict=True)))
    frame["w"] = frame["w"].where(frame["test"].str.startswith("rank-sum"), "")
    own = frame.set_index(["variable", "level"])[[*names, "auc", "missing", "test"]]
    every = keys.append(own.index.difference(keys, sort=False))
    table = own.reindex(every).join(printed)
    there = pd.Series(every.isin(own.index), index=every)
    table["status"] = np.where(there, DONE, f"{lacking}not in this cohort")
    return table.reset_index()


def check_network(settings: Mapping[str, Any]) -> None:
    """Refuse settings of the network that make no sense, before the work begins.

    Raises
    ------
    FormatError
        Naming the setting.
    """
    from .._classifier.settings import check_settings
    from ..classifier import ChronicPainClassifier
    from ..networks import BLOCKS

    fixed = [
        name for name in ("plane", "weights", "dataset", "checkpoint", "log") if name in settings
    ]
    known = set(ChronicPainClassifier().get_params(deep=False))
    unknown = [name for name in settings if name not in known] + fixed
    if unknown:
        raise FormatError(
            f"{unknown[0]!r} is no setting of the network here",
            remedy="see ChronicPainClassifier for the settings",
        )
    model = ChronicPainClassifier(**settings)
    if model.depth not in BLOCKS:
        raise FormatError(f"expected a depth of {list(BLOCKS)}, found {model.depth!r}")
    scaling = "train" if model.scaling == "dataset" else model.scaling
    check_settings({**model.get_params(deep=False), "scaling": scaling})
