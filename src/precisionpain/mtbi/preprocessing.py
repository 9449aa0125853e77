"""The T1 scans of a cohort onto the grid of SPM12, resumable, each with its quality."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..cohort import Cohort, map_subjects
from ..errors import AlignmentError, DataWarning, FormatError, MissingModalityError, list_some
from ..imaging.registration import Engine, Method, register_to_template
from ..imaging.t1_intensity import correct_bias
from ..imaging.t1_quality import quality_flags, scan_quality

if TYPE_CHECKING:
    from ..cohort import Subject

__all__ = ["normalize_t1"]

SPACE = "MNI152"
_DERIVATIVE = "precisionpain"
_KEYS = ["subject_id", "visit", "run"]


def normalize_t1(
    cohort: Cohort,
    out: str | Path,
    *,
    spacing_mm: float = 2.0,
    method: Method = "affine",
    engine: Engine = "auto",
    template: str | Path | None = None,
    n4: bool = False,
    skull_strip: bool = False,
    contrast: str = "T1w",
    visit: str | None = None,
    spm: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    on_error: Literal["collect", "raise"] = "collect",
) -> Cohort:
    """Bring every T1 scan of a cohort onto the grid of SPM12, and measure its quality.

    Each scan is treated by itself, so that doing it before a cross-validation leaks nothing. The
    same call goes on where it was interrupted: a scan is done again only when its file or an
    option has changed, or its result is gone. One broken scan doesn't stop the others.

    Parameters
    ----------
    cohort : Cohort
        People with scans.
    out : str or Path
        Folder for the normalised scans; those of other options are kept beside them.
    spacing_mm : float, default 2.0
        Of the grid, see `precisionpain.imaging.spm_grid`.
    method : {"affine", "rigid", "syn"}, default "affine"
        See `precisionpain.imaging.register_to_template`; SPM12 normalises in its own way.
    engine : {"auto", "native", "ants", "spm"}, default "auto"
        See there.
    template : str or Path, optional
        See there.
    n4 : bool, default False
        Whether to take out the bias field first; needs the extra ``ants``.
    skull_strip : bool, default False
        Whether to set to 0 what isn't brain, as found without trained weights. The published
        scans were said to be stripped, but the authors' example scans are not.
    contrast : str, default "T1w"
        Of the scans in ``cohort.images``.
    visit : str, optional
        Which visit; by default all.
    spm : str or Path, optional
        Executable of SPM12 standalone.
    n_jobs : int, optional
        Processes, as joblib takes it.
    progress : bool, default True
        Show a bar on a terminal.
    on_error : {"collect", "raise"}, default "collect"
        What to do when a scan can't be normalised.

    Returns
    -------
    Cohort
        With the normalised scans among its images: of the same contrast, with ``"MNI152"`` in
        the column ``space``. The measurement table ``t1_quality`` has one row for every scan,
        and for everybody without one: ``normalized`` (bool), ``error`` (its kind) and
        ``message`` of a scan that failed, ``engine``, ``method``, ``doubts`` about the
        registration, the measures of `precisionpain.imaging.scan_quality`, and ``flagged`` and
        ``reasons`` of `precisionpain.imaging.quality_flags` and of doubts.

    Raises
    ------
    MissingModalityError
        When the cohort has no scan of this contrast or visit.
    FormatError
        When the cohort isn't one of subjects.

    Warns
    -----
    DataWarning
        When scans couldn't be normalised, or their registration is doubtful.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.read_cohort("study")  # doctest: +SKIP
    >>> cohort = pp.mtbi.normalize_t1(cohort, "study/derivatives/mni")  # doctest: +SKIP
    >>> cohort.subject("p1").image("T1w", space="MNI152").shape  # doctest: +SKIP
    (79, 95, 79)
    """
    from .. import __version__

    if not isinstance(cohort, Cohort) or cohort.unit != "subject":
        raise FormatError(f"expected a Cohort of subjects, found {type(cohort).__name__}")
    scans, failures = _scans(cohort, contrast, visit)
    folder = Path(out)
    options: dict[str, Any] = {
        "out": str(folder.absolute()), "spacing_mm": float(spacing_mm), "method": method,
        "engine": engine, "template": None if template is None else str(template), "n4": n4,
        "skull_strip": skull_strip, "spm": None if spm is None else str(spm),
        "contrast": contrast, "version": __version__,
    }  # fmt: skip
    part = Cohort(
        pd.DataFrame(index=pd.Index(list(scans["key"]), dtype=object)),
        images=scans.drop(columns="subject_id").rename(columns={"key": "subject_id"})[
            ["subject_id", "visit", "contrast", "run", "path", "present"]
        ],
    )
    how: dict[str, Any] = {
        "kwargs": options, "n_jobs": n_jobs, "progress": progress, "on_error": on_error,
    }  # fmt: skip
    done = map_subjects(part, _normalize, checkpoint=folder / "checkpoint", **how)
    results, failed = dict(done.results), done.failures
    gone = [key for key, result in results.items() if not (folder / result["file"]).exists()]
    if gone:  # somebody deleted the scans, but not what is known of them
        again = map_subjects(part.select(gone), _normalize, **how)
        results = {k: v for k, v in results.items() if k not in gone} | again.results
        failed = pd.concat([failed, again.failures])

    quality, images = [], []
    for row in scans.to_dict("records"):
        keys = {name: row[name] for name in _KEYS}
        result = results.get(row["key"])
        if result is None:
            why = failed.loc[row["key"]]
            # A path may hold more than the person's key.
            message = why["message"].replace(str(row["path"]), "scan")
            quality.append({**keys, "normalized": False, "error": why["error"], "message": message})
            continue
        measures = {name: np.nan if v is None else v for name, v in result["quality"].items()}
        named = {name: result[name] for name in ("engine", "method")}
        named["doubts"] = "; ".join(result["doubts"])
        quality.append({**keys, "normalized": True, "error": None, "message": None, **named,
                        **measures})  # fmt: skip
        images.append({**keys, "contrast": contrast, "path": str(folder / result["file"]),
                       "present": True, "space": SPACE, "derivative": _DERIVATIVE})  # fmt: skip
    table = pd.DataFrame([*quality, *failures])
    table = _flagged(table)
    order = {person: i for i, person in enumerate(cohort.subject_ids)}
    table = table.sort_values("subject_id", key=lambda ids: ids.map(order), kind="stable")
    table = table.reset_index(drop=True)
    if table["run"].isna().all():
        table = table.drop(columns="run")
    _tell(table)
    known = set(cohort.images["path"])
    new = pd.DataFrame([image for image in images if image["path"] not in known])
    if len(new):
        cohort = cohort.with_images(new.astype({"run": "Int64"}))
    return cohort.with_measurements("t1_quality", table)


def _scans(
    cohort: Cohort, contrast: str, visit: str | None
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return the raw scans with a key each, and the people and scans that can't be read."""
    images = cohort.images
    images = images[images["contrast"] == contrast]
    for column in ("derivative", "space"):
        if column in images:
            images = images[images[column].isna()]
    if visit is not None:
        images = images[images["visit"] == visit]
    if images.empty:
        raise MissingModalityError(
            f"the cohort has no raw scan {contrast!r}" + (f" of {visit!r}" if visit else ""),
            remedy="name another contrast or visit; cohort.images lists what there is",
        )
    images = images.assign(
        key=[
            json.dumps([None if pd.isna(value) else str(value) for value in row])
            for row in images[_KEYS].itertuples(index=False, name=None)
        ]
    )
    twice = images["key"][images["key"].duplicated()]
    if len(twice):
        raise AlignmentError(
            f"several scans {contrast!r} of the same person, visit and run: {list_some(twice, 3)}",
            where="images",
            remedy="list only one of them, or give them numbers in the column run",
        )
    absent = images[~images["present"]]
    rows: list[dict[str, Any]] = [
        {**{name: row[name] for name in _KEYS}, "normalized": False,
         "error": "MissingModalityError", "message": "the scan is listed but not on disk"}
        for row in absent.to_dict("records")
    ]  # fmt: skip
    without = [person for person in cohort.subject_ids if person not in set(images["subject_id"])]
    rows += [
        {"subject_id": person, "visit": None, "run": None, "normalized": False,
         "error": "MissingModalityError", "message": f"there is no scan {contrast!r}"}
        for person in without
    ]  # fmt: skip
    return images[images["present"]], rows


def _normalize(
    scan: Subject,
    *,
    out: str,
    spacing_mm: float,
    method: Method,
    engine: Engine,
    template: str | None,
    n4: bool,
    skull_strip: bool,
    spm: str | None,
    contrast: str,
    version: str,
) -> dict[str, Any]:
    """Normalise one scan; return its file below `out`, and its quality."""
    import nibabel

    image = scan.image(contrast)
    flat = correct_bias(image) if n4 else image
    found = register_to_template(
        flat, template, method, engine, spacing_mm=spacing_mm, spm=spm, on_failure="flag"
    )
    found.check()  # a doubt goes into the table, with the whole cohort to be seen beside it
    # On the scan as it was: a bias field is a lack of quality.
    quality = scan_quality(image, found, template)
    moved = found.image
    if skull_strip:
        brain = np.asarray(found.brain.dataobj) > 0
        data = np.where(brain, np.asarray(moved.dataobj), np.float32(0))
        moved = nibabel.Nifti1Image(data, moved.affine)
    # Scans of other options must not be taken for these.
    given = [spacing_mm, method, engine, template, n4, skull_strip, spm, version]
    digest = hashlib.blake2b(json.dumps(given).encode(), digest_size=4).hexdigest()
    file = f"{_name(scan.id)}_space-{SPACE}_desc-{digest}_{contrast}.nii.gz"
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # A scan that is only half written is never seen under its name.
    partial = folder / f"part-{file}"
    nibabel.save(moved, partial)
    partial.replace(folder / file)
    return {
        "file": file,
        "engine": found.engine,
        "method": found.method,
        "doubts": list(found.doubts),
        # JSON has no NaN.
        "quality": {name: float(v) if np.isfinite(v) else None for name, v in quality.items()},
    }


def _name(key: str) -> str:
    """Make a file's name of person, visit and run, by letters that every disk takes."""
    parts = []
    for prefix, value in zip(("sub", "ses", "run"), json.loads(key), strict=True):
        if value is None:
            continue
        plain = re.sub(r"[^A-Za-z0-9]", "", value.removeprefix(f"{prefix}-"))
        if plain != value.removeprefix(f"{prefix}-"):
            # Two ids must not become the same name.
            plain += "x" + hashlib.blake2b(value.encode(), digest_size=3).hexdigest()
        parts.append(f"{prefix}-{plain}")
    return "_".join(parts)


def _flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Flag who stands out among the others, and whose registration is doubtful."""
    if not table["normalized"].any():
        return table.assign(doubts=None, flagged=False, reasons=None)
    flags = quality_flags(table)
    doubts = table["doubts"].fillna("")
    reasons = ["; ".join(filter(None, both)) for both in zip(doubts, flags["reasons"], strict=True)]
    return table.assign(flagged=flags["flagged"] | (doubts != ""), reasons=reasons)


def _tell(table: pd.DataFrame) -> None:
    failed = table[~table["normalized"].astype(bool)]
    if len(failed):
        kinds = ", ".join(f"{n} {kind}" for kind, n in failed["error"].value_counts().items())
        warnings.warn(
            DataWarning(
                f"{len(failed)} of {len(table)} scans couldn't be normalised ({kinds}; people: "
                f"{list_some(failed['subject_id'].unique(), 3)}); measurements['t1_quality'] "
                "says why"
            ),
            stacklevel=3,
        )
    doubtful = table.loc[table["doubts"].fillna("") != "", "subject_id"]
    if len(doubtful):
        warnings.warn(
            DataWarning(
                f"{len(doubtful)} of {len(table)} scans have a doubtful registration (people: "
                f"{list_some(doubtful.unique(), 3)}): look at them; "
                "measurements['t1_quality']['doubts'] says why"
            ),
            stacklevel=3,
        )
