"""The whole study in one call: its four tables, as published and as they should be."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, StorageError
from ._experiments.result import Experiments

if TYPE_CHECKING:
    from ._experiments.plan import Row

__all__ = ["Experiments", "plan", "run"]


def plan() -> pd.DataFrame:
    """List the rows of Tables 2 to 4 that `run` knows.

    Returns
    -------
    pandas.DataFrame
        Columns ``table``, ``row``, ``label``, ``folds``, ``opt_in`` (computed only when it
        is named), ``note`` and the published figures.

    Examples
    --------
    >>> import precisionpain as pp
    >>> rows = pp.mtbi.experiments.plan()
    >>> rows[rows["opt_in"]]["row"].tolist()
    ['paper_optimistic']
    """
    from ._experiments.plan import ROWS
    from ._experiments.published import MEASURES

    return pd.DataFrame(
        {
            "table": row.table, "row": row.name, "label": row.label, "folds": str(row.folds),
            "opt_in": row.opt_in, "note": row.note,
            **{f"published_{name}": row.published.get(name, np.nan) for name in MEASURES},
        }
        for row in ROWS.values()
    )  # fmt: skip


def run(
    cohort: Cohort,
    tables: Sequence[int] = (1, 2, 3, 4),
    *,
    outcome: str = "chronic_pain",
    rows: Sequence[str] | None = None,
    n_epochs: int = 30,
    depth: int = 18,
    stem: str = "paper",
    n_splits: int = 8,
    random_state: int = 0,
    weights: str | Path | Mapping[int, str | Path] | None = None,
    fine: Cohort | Mapping[str, Any] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = True,
    n_jobs: int | None = None,
    progress: bool = True,
    **network: Any,
) -> Experiments:
    """Run the study of Attias et al. on a cohort: every row of its four tables.

    Tables 2 to 4 have the published figures, the same figures of this cohort (means over the
    folds at a threshold of 0.5), and honest ones beside: the interval of the mean that knows
    that folds overlap, pooled figures with their intervals, and in the same folds what the
    row has to beat and what the scan adds to it. A row that can't be computed stays, and says
    why.

    Parameters
    ----------
    cohort : Cohort
        People with a known outcome; for Tables 2 and 3 with a T1 scan on the grid of SPM12,
        for Table 4 with `BEDSIDE_FEATURES`. Where some have scans, all rows are of them.
    tables : sequence of {1, 2, 3, 4}, default all
        Which tables.
    outcome : str, default "chronic_pain"
        Name of the outcome.
    rows : sequence of str, optional
        Which rows of these tables, see `plan`; by default all but "paper_optimistic", which
        chooses the epoch on the test people and is no result.
    n_epochs : int, default 30
        Of each network. The study doesn't state it.
    depth : {10, 18, 34, 50}, default 18
        Of the network, where the row doesn't say.
    stem : {"paper", "medicalnet"}, default "paper"
        First layers of the network; "medicalnet" takes a sixtieth of the time.
    n_splits : int, default 8
        Folds.
    random_state : int, default 0
        Seed of the folds, where the row doesn't say, and of all models.
    weights : path or mapping of int to path, optional
        MedicalNet's file, a folder with its files, or a file for each depth; rows whose depth
        has none aren't computed. None begins at random.
    fine : Cohort or mapping, optional
        Where scans at 1 mm are: a cohort with the same people, or what chooses them in
        `cohort`, such as ``{"entities": {"res": "1"}}``.
    device : str, default "auto"
        Where networks are trained.
    out : path, optional
        Folder for the tables, and for the predictions of every fold as they are made; each is
        named by all that it depends on (settings, scans, people, labels, versions). A run that
        was killed goes on from there, and finds what it would have found.
    resume : bool, default True
        Whether to use what is there; else it is deleted first.
    n_jobs : int, optional
        Folds in parallel, as joblib takes it.
    progress : bool, default True
        Show bars on a terminal.
    **network
        Further settings of `ChronicPainClassifier`, the same in all rows that don't say
        otherwise. ``scaling="dataset"`` is the study's, and leaks.

    Returns
    -------
    Experiments

    Raises
    ------
    FormatError
        For unknown tables, rows or settings.
    MissingModalityError
        When there is no such outcome.
    LeakageError
        When weights were learned from these people, or a bedside feature comes too late.
    StorageError
        When `out` can't be written.

    Warns
    -----
    DataWarning
        With ``scaling="dataset"``.

    Notes
    -----
    Columns of Tables 2 to 4:

    ``status``
        "done", or why not.
    ``published_…``
        As printed; the interval is what 55 and 73 people give an AUC (Hanley and McNeil).
    ``accuracy``, ``precision``, ``recall``, ``f1``, ``auc``
        Means over folds, as in the study (or the best fold). A precision without predicted
        positives counts 0, as scikit-learn has it: ``silent_folds`` counts such folds. An AUC
        of a fold with one class is left out: ``one_class_folds``. ``auc_low`` and
        ``auc_high`` by Nadeau and Bengio.
    ``pooled_…``
        Of all test people together, the AUC with DeLong's interval. ``ranked_auc`` pools the
        ranks within folds, as networks of different folds have different scales.
    ``majority_accuracy``
        Of giving everybody the larger class.
    ``reference``, ``reference_auc``, ``minus_reference``
        In the same folds: the random forest of the ten bedside features for networks, neck pain
        alone for bedside models; and the mean difference of the AUC per fold, with its
        interval and p (corrected resampled t test).
    ``with_bedside_auc``, ``added``
        Scan and bedside together, as the mean of both probabilities, and what that gains on
        the bedside alone.

    The bedside features were chosen on what are probably the same patients, so their AUC is
    too high on those.

    References
    ----------
    Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587; Nadeau & Bengio, Machine
    Learning 52, 239 (2003).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> found = pp.mtbi.experiments.run(cohort, tables=[4], rows=["neck_pain"], n_splits=4)
    >>> found.tables[4][["row", "status", "n"]].values.tolist()
    [['neck_pain', 'done', 128]]
    """
    from tqdm import tqdm

    from ._experiments.plan import chosen_rows
    from ._experiments.store import Store
    from ._experiments.study import Study, check_network, table_one

    chosen = chosen_rows(tables, rows)
    settings = {
        "n_epochs": n_epochs, "depth": depth, "stem": stem, "random_state": random_state,
        "device": device, **network,
    }  # fmt: skip
    scans = any(row.kind != "bedside" for row in chosen)
    if scans:
        check_network(settings)
        _warn_of_leaks(settings)
    analysed = _analysed(cohort, outcome, settings.get("contrast", "T1w"))
    with contextlib.ExitStack() as undo:
        if out is None:
            place = Path(tempfile.mkdtemp(prefix="precisionpain-"))
            undo.callback(shutil.rmtree, place, ignore_errors=True)
        else:
            place = _made(out)
        study = Study(
            cohort=analysed, outcome=outcome, store=Store(place),
            network={**settings, "progress": progress and n_jobs in (None, 1)},
            weights=weights, fine=fine, n_splits=n_splits, random_state=random_state,
            n_jobs=n_jobs,
        )  # fmt: skip
        if not resume:
            study.store.clear()
        found = {1: table_one(analysed, outcome)} if 1 in tables else {}
        lines = []
        with tqdm(total=len(chosen), disable=None if progress else True, unit="row") as bar:
            for row in chosen:
                bar.set_description(row.label)
                lines.append(study.line(row))
                bar.update()
        for number in sorted({row.table for row in chosen}):
            found[number] = _as_table([line for line in lines if line["table"] == number])
        result = Experiments(
            tables=found,
            results=study.results,
            settings={
                **settings, "n_splits": n_splits, "outcome": outcome, "tables": list(tables),
                "weights": _names_of(weights),
            },
            notes=tuple(_notes(chosen, settings, weights)),
            cohort=analysed,
        )  # fmt: skip
        if out is None:
            # More can be asked of the cross-validations as long as they live.
            weakref.finalize(study.store, undo.pop_all().close)
        else:
            result.save(place)
    return result


def _warn_of_leaks(settings: Mapping[str, Any]) -> None:
    if settings.get("scaling") == "dataset":
        warnings.warn(
            DataWarning(
                "scaling='dataset': people who are tested have a say in the scaling of all rows. "
                "This is the published way, and it leaks"
            ),
            stacklevel=3,
        )


def _analysed(cohort: Cohort, outcome: str, contrast: str) -> Cohort:
    """Keep the people with a known outcome and, where there are any, a scan, as the study did."""
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if isinstance(cohort.outcome(outcome), pd.DataFrame):
        raise FormatError(f"the outcome {outcome!r} isn't binary")
    known = cohort.require(outcome)
    if not (known.images["contrast"] == contrast).any():
        return known
    scanned = known.require(contrast)
    return scanned if len(scanned) else known


def _names_of(weights: Any) -> Any:
    """Return the names of the files of weights, without the folders of this machine."""
    if weights is None:
        return "random"
    if isinstance(weights, Mapping):
        return {str(depth): Path(path).name for depth, path in weights.items()}
    return Path(weights).name


def _made(folder: str | Path) -> Path:
    """Make a folder and prove that it can be written to, before anything is computed."""
    place = Path(folder).expanduser().absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        raise StorageError(
            f"the folder can't be written ({error.strerror or error})",
            where=str(place),
            remedy="choose a folder that you may write to",
        ) from error
    return place


def _as_table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    from ._experiments.measures import COLUMNS

    table = pd.DataFrame(lines, columns=list(COLUMNS))
    text = ("row", "label", "status", "reference", "note")
    whole = ("table", "n", "events", "folds", "silent_folds", "one_class_folds")
    kinds = {c: "Int64" if c in whole else "float64" for c in table if c not in text}
    return table.astype(kinds)


def _notes(rows: Sequence[Row], settings: Mapping[str, Any], weights: Any) -> list[str]:
    notes = []
    if any(row.kind != "bedside" for row in rows):
        if weights is None:
            notes.append("The networks began at random; the study's began with MedicalNet.")
        if settings["stem"] != "paper":
            notes.append("The first layers are MedicalNet's; the study's don't shrink the scan.")
        scaling = settings.get("scaling", "train")
        if scaling != "dataset":
            notes.append(
                f"Scaling of intensities: {scaling!r}. The study's is over everybody, which leaks."
            )
        notes.append(f"{settings['n_epochs']} epochs, without stopping; the study states neither.")
    if any(row.kind == "optimistic" for row in rows):
        notes.append(
            "paper_optimistic chose its epochs on the test people. It shows how much that gains "
            "and is no result."
        )
    if rows:
        notes.append(
            "The bedside features were chosen in an earlier study of the same clinic, which "
            "presumably holds the same patients."
        )
    return notes
