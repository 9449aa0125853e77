"""Scans of the synthetic mTBI cohort, as a BIDS tree, with or without a planted effect."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError, list_some
from ..imaging.grids import spm_grid
from ._draw import stream
from ._mtbi_brains import Effect, simulate_brain
from ._tree import (
    PIPELINE,
    cache_folder,
    claim,
    listed,
    packed,
    plain_options,
    put,
    put_json,
    write_derivative,
    write_raw,
)

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["TEMPLATE", "add_scans", "as_effect"]

TEMPLATE = (
    "scans: ICBM 152 nonlinear template 2009a without the skull, as nilearn has it; Fonov et al., "
    "NeuroImage 2011;54:313-327. Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging "
    "Centre, Montreal Neurological Institute, McGill University. Permission to use, copy, modify, "
    "and distribute this software and its documentation for any purpose and without fee is hereby "
    "granted, provided that the above copyright notice appear in all copies. It is provided "
    '"as is" without express or implied warranty.'
)
_RANGES: dict[str, tuple[float, float]] = {
    "spacing_mm": (1, 8), "snr": (1, 1000), "bend_mm": (0, 4), "bias": (0, 1), "folding": (0, 3),
    "aging": (0, 3),
}  # fmt: skip
_OPTIONS = (*_RANGES, "head")
_KINDS = ("brightness", "thickness")
_ALIASES = {"insula_right": "right anterior insula", "insula_left": "left anterior insula"}
_FORMAT = 1  # of the tree; another number makes old trees stale
_VISIT = "baseline"
_README = """\
# A synthetic cohort of mild traumatic brain injury

No person stands behind these data: people, scans and outcomes were made up by
`precisionpain.datasets.sample_mtbi`; `code/sample_mtbi.json` holds its arguments.

- `sub-*/ses-baseline/anat`: simulated T1-weighted scans on the grid that SPM12 normalises to.
- `derivatives/truth`, when an effect was planted: where its region lies in each scan (`dseg`), and
  who has it (`dseg.json`).
- `code/columns.json`: what each column of `participants.tsv` is, which of them are outcomes, and
  the outcomes' definitions.

Open it with

    precisionpain.read_cohort(ROOT, columns="ROOT/code/columns.json")

The scans are made from a template, whose notice has to go with them:

"""


def as_effect(effect: Mapping[str, Any]) -> dict[str, Any]:
    """Return a planted effect with everything that wasn't named filled in.

    Parameters
    ----------
    effect : mapping
        See `sample_mtbi`.

    Returns
    -------
    dict
        ``region``, ``center_mm``, ``radius_mm``, ``size``, ``kind``, ``source``.

    Raises
    ------
    FormatError
        When it names an unknown key, region or kind, or a size out of range.
    """
    from ..mtbi.regions import PAIN_REGIONS

    keys = ("region", "center_mm", "radius_mm", "size", "kind")
    unknown = [key for key in effect if key not in keys]
    if unknown:
        raise FormatError(
            f"unknown key {list_some(unknown)} of the effect", remedy=f"keys are {', '.join(keys)}"
        )
    region = effect.get("region", "insula_right" if "center_mm" not in effect else "custom")
    name = _ALIASES.get(region, region)
    if "center_mm" in effect:
        center, source = effect["center_mm"], ""
    elif name in PAIN_REGIONS:
        center, source = PAIN_REGIONS[name].center_mm, PAIN_REGIONS[name].source
    else:
        raise FormatError(
            f"the region of an effect is one of {list_some([*_ALIASES, *PAIN_REGIONS])}, found "
            f"{region!r}",
            remedy="choose one of them, or give center_mm",
        )
    kind = effect.get("kind", "brightness")
    if kind not in _KINDS:
        raise FormatError(f"an effect is one of {list_some(_KINDS)}, found {kind!r}", where="kind")
    try:
        place = [float(value) for value in center]
    except (TypeError, ValueError):
        place = []
    if len(place) != 3 or not np.isfinite(place).all():
        raise FormatError(f"expected x, y and z in mm, found {center!r}", where="center_mm")
    numbers = {"radius_mm": effect.get("radius_mm", 10.0), "size": effect.get("size", 0.25)}
    for key, low, high in (("radius_mm", 3, 40), ("size", -0.5, 1)):
        _check_range(key, numbers[key], low, high)
        numbers[key] = float(numbers[key])
    return {"region": str(region), "center_mm": place, **numbers, "kind": kind, "source": source}


def add_scans(
    draft: Cohort,
    parameters: Mapping[str, Any],
    *,
    options: Mapping[str, Any] | None = None,
    effect: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame | None, dict[str, Any]]:
    """Write the scans of a cohort as a BIDS tree; what is there already stays.

    Parameters
    ----------
    draft : Cohort
        The people.
    parameters : mapping
        Arguments of `sample_mtbi`, among them ``random_state``.
    options : mapping, optional
        Of `simulate_brain`, and ``spacing_mm``.
    effect : mapping, optional
        As `as_effect` returns it; planted in those with chronic pain.
    root : str or Path, optional
        Of the tree; by default a folder in the user's cache.
    n_jobs : int, optional
        Processes.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    images : pandas.DataFrame
        As in `Cohort`.
    truth : pandas.DataFrame or None
        Where the effect's region lies in each scan, and who has the effect.
    about : dict
        Root, number of scans, bytes.

    Raises
    ------
    StorageError
        When the folder can't be written or holds something else.
    FormatError
        For an unknown option, or one out of range.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    from .. import __version__

    options = _checked(options or {})
    planted = draft.outcome("chronic_pain").astype(bool)
    record = {
        "generator": "precisionpain.datasets.sample_mtbi", "version": __version__,
        "format": _FORMAT, "parameters": dict(parameters), "images": options, "effect": effect,
    }  # fmt: skip
    name = "sample_mtbi"
    top = Path(os.path.abspath(cache_folder(record, name) if root is None else root))
    claim(top, record, name)
    if not (top / "README").is_file():  # written last
        _write_texts(top, draft, __version__, effect)
    sign = None
    if effect is not None:
        place = (effect["center_mm"][0], effect["center_mm"][1], effect["center_mm"][2])
        sign = Effect(place, effect["radius_mm"], effect["size"], effect["kind"])
    seed = int(parameters["random_state"])
    ages = draft.subjects["age"]
    done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_write_person)(top, who, float(ages[who]), options, sign, bool(planted[who]), seed)
        for who in map(str, draft.subject_ids)
    )
    bar = tqdm(done, total=len(draft), disable=None if progress else True, unit="subject",
               desc=f"synthetic scans in {top}")  # fmt: skip
    for _ in bar:
        pass
    images = listed(top, [] if effect is None else [PIPELINE])
    truth = None if effect is None else _read_truth(top, list(map(str, draft.subject_ids)))
    about = {
        "root": str(top),
        "scans": len(draft),
        "bytes": int(images["bytes"].sum()),
        "effect": None if effect is None else dict(effect),
    }
    return images, truth, about


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    plain = plain_options(options, _OPTIONS)
    for name, (low, high) in _RANGES.items():
        if name in plain:
            _check_range(name, plain[name], low, high)
    if not isinstance(plain.get("head", True), bool):
        raise FormatError(f"head is True or False, found {plain['head']!r}")
    return plain


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and low <= value <= high):
        raise FormatError(f"{name} lies between {low} and {high}, found {value!r}")


def _write_person(
    top: Path,
    identifier: str,
    age: float,
    options: Mapping[str, Any],
    effect: Effect | None,
    planted: bool,
    seed: int,
) -> None:
    """Simulate and write the scan of a person, unless it is there."""
    files = _files(top, identifier, effect is not None)
    if all(path.is_file() and path.stat().st_size for path in files.values()):
        return
    how = dict(options)
    shape, affine = spm_grid(how.pop("spacing_mm", 2.0))
    brain = simulate_brain(
        stream(seed, f"images of {identifier}"), shape, affine, age=age, effect=effect,
        planted=planted, **how,
    )  # fmt: skip
    put(files["image"], packed(brain.voxels, affine, code=4, level=1))  # noise packs badly
    put_json(
        files["sidecar"],
        {
            "Synthetic": True,
            "Modality": "MR",
            "MRAcquisitionType": "3D",
            "SeriesDescription": "synthetic T1, normalised",
            "Simulation": {"Age": age, "Scale": brain.scale, **options},
        },
    )
    if effect is None or brain.region is None:
        return
    put(files["labels"], packed(brain.region, affine, "label", code=4))
    raw = files["image"]
    inside = np.argwhere(brain.region)
    if not len(inside):
        raise FormatError(
            f"the effect at {effect.center_mm} mm lies outside the grid of the scans",
            remedy="choose another center_mm",
        )
    center = affine[:3, :3] @ inside.mean(axis=0) + affine[:3, 3]
    put_json(
        files["about"],
        {
            "Synthetic": True,
            "Manual": False,
            "Sources": [f"bids:raw:{raw.relative_to(top).as_posix()}"],
            "Planted": planted,
            "CenterMm": [round(float(v), 3) for v in center],
            "VolumeMm3": round(len(inside) * abs(float(np.linalg.det(affine[:3, :3]))), 3),
        },
    )


def _files(top: Path, identifier: str, labelled: bool) -> dict[str, Path]:
    """Name the files of one scan; the last one is written last."""
    place = Path(f"sub-{identifier}") / f"ses-{_VISIT}" / "anat"
    stem = f"sub-{identifier}_ses-{_VISIT}"
    raw, inner = top / place, top / "derivatives" / PIPELINE / place
    files = {"image": raw / f"{stem}_T1w.nii.gz", "sidecar": raw / f"{stem}_T1w.json"}
    if labelled:
        files["labels"] = inner / f"{stem}_dseg.nii.gz"
        files["about"] = inner / f"{stem}_dseg.json"
    return files


def _write_texts(top: Path, cohort: Cohort, version: str, effect: Mapping[str, Any] | None) -> None:
    made_by = {
        "Name": "precisionpain.datasets.sample_mtbi",
        "Version": version,
        "Description": "synthetic: simulated scans of made-up people",
    }
    write_raw(top, cohort, made_by, "injury", "CC0-1.0, with the notice in README for the scans")
    if effect is not None:
        write_derivative(top, cohort, made_by, {1: effect["region"]})
    put(top / "README", f"{_README}> {TEMPLATE}\n".encode())


def _read_truth(top: Path, identifiers: list[str]) -> pd.DataFrame:
    """Stack where the region lies in all scans, as it stands in the tree."""
    rows = []
    for identifier in identifiers:
        path = _files(top, identifier, True)["about"]
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            x, y, z = about["CenterMm"]
            row = {"x_mm": x, "y_mm": y, "z_mm": z, "volume_mm3": about["VolumeMm3"],
                   "planted": bool(about["Planted"])}  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StorageError(
                f"the truth of a scan can't be read ({error})",
                where=str(path),
                remedy="delete the file; it is then written again",
            ) from error
        rows.append({"subject_id": identifier, "visit": _VISIT, **row})
    return pd.DataFrame(rows)
