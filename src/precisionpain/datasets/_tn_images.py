"""Scans of the synthetic trigeminal cohort: phantoms with the anatomy that was drawn, as BIDS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from ..errors import GeometryError, StorageError
from ..trigeminal.anatomy import SIDES
from ._draw import stream
from ._tn_anatomy import after_surgery, anatomy_of, loosened, operated_sides
from ._tn_tree import write_texts
from ._tree import (
    PIPELINE,
    cache_folder,
    claim,
    listed,
    packed,
    plain_options,
    put,
    put_json,
    put_table,
)

if TYPE_CHECKING:
    from ..cohort import Cohort
    from ..trigeminal.phantom import Cistern

__all__ = ["add_scans"]

# A hospital has one protocol: the first site the first, the fourth the first again.
PROTOCOLS: tuple[dict[str, Any], ...] = (
    {"contrast": "ciss", "spacing": [0.5, 0.5, 0.5], "snr": 30.0},
    {"contrast": "space", "spacing": [0.6, 0.6, 0.6], "snr": 25.0},
    {"contrast": "ciss", "spacing": [0.4, 0.4, 0.7], "snr": 25.0},
)
_OPTIONS = ("contrast", "spacing", "snr", "fov_mm", "oversample", "appearance")
_FORMAT = 1  # of the tree; another number makes old trees stale
_TILT_DEG = 8.0
_CSF = 1000.0  # intensity of what the phantom has at 1


def add_scans(
    draft: Cohort,
    parameters: Mapping[str, Any],
    *,
    options: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Write the scans of a cohort as a BIDS tree; what is there already stays.

    Parameters
    ----------
    draft : Cohort
        The people; its ``nerve_measures`` say who was scanned when, and what the nerves are
        to be like.
    parameters : mapping
        Arguments of `sample_tn`, among them ``random_state``.
    options : mapping, optional
        Of the scans, in place of the sites' own.
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
    truth : pandas.DataFrame
        True measures of the nerves: ``subject_id``, ``visit``, ``side``, then as
        `simulate_cistern` has them.
    about : dict
        Root, number of scans, bytes.

    Raises
    ------
    StorageError
        When the folder can't be written or holds something else.
    FormatError
        For an unknown option.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    from .. import __version__

    options = plain_options(options or {}, _OPTIONS, ", as simulate_cistern has them")
    record = {
        "generator": "precisionpain.datasets.sample_tn", "version": __version__,
        "format": _FORMAT, "parameters": dict(parameters), "images": options,
    }  # fmt: skip
    top = Path(os.path.abspath(cache_folder(record, "sample_tn") if root is None else root))
    claim(top, record, "sample_tn")
    if not (top / "README").is_file():  # written last
        write_texts(top, draft, __version__)
    plans = draft.measurements["nerve_measures"]
    protocols = _protocols(draft, options)
    work = [
        (str(identifier), plan, protocols[str(identifier)])
        for identifier, plan in plans.groupby("subject_id", sort=False)
    ]
    seed = int(parameters["random_state"])
    done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_write_person)(top, identifier, plan, protocol, seed)
        for identifier, plan, protocol in work
    )
    bar = tqdm(done, total=len(work), disable=None if progress else True, unit="subject",
               desc=f"synthetic scans in {top}")  # fmt: skip
    for _ in bar:
        pass
    truth = _read_truth(top, work)
    images = listed(top, [PIPELINE])
    about = {
        "root": str(top),
        "scans": len(truth) // len(SIDES),
        "bytes": int(images["bytes"].sum()),
    }
    return images, truth, about


def _protocols(draft: Cohort, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each person was scanned."""
    site = draft.subjects["site"]
    place = {name: i for i, name in enumerate(sorted(site.unique()))}
    return {
        str(identifier): {**PROTOCOLS[place[name] % len(PROTOCOLS)], **options}
        for identifier, name in site.items()
    }


# --- one person --------------------------------------------------------------------------


def _write_person(
    top: Path, identifier: str, plan: pd.DataFrame, protocol: dict[str, Any], seed: int
) -> None:
    """Simulate and write the scans of a person, unless all of them are there."""
    visits = list(dict.fromkeys(plan["visit"]))
    waiting = [v for v in visits if not _complete(_files(top, identifier, v, protocol))]
    if not waiting:
        return
    cisterns = _simulate(plan, visits, protocol, stream(seed, f"images of {identifier}"))
    for visit in waiting:
        _write_scan(_files(top, identifier, visit, protocol), cisterns[visit])


def _simulate(
    plan: pd.DataFrame, visits: list[str], protocol: dict[str, Any], rng: np.random.Generator
) -> dict[str, Cistern]:
    """Simulate all scans of a person: the same anatomy, before surgery and after."""
    from ..trigeminal.phantom import simulate_cistern

    drawn = {visit: rows.set_index("side") for visit, rows in plan.groupby("visit")}
    first, *later = visits
    problem: GeometryError | None = None
    for anatomy in loosened(anatomy_of(drawn[first], rng)):
        poses = {visit: _pose(rng) for visit in visits}
        try:
            fixed: dict[str, Any] = {**protocol, **anatomy, "rotation_deg": poses[first]}
            before = simulate_cistern(rng, tumour=None, **fixed)
            scans = {first: before}
            for visit in later:
                sides = operated_sides(drawn[first], drawn[visit])
                scans[visit] = after_surgery(before, sides, poses[visit], rng)
        except GeometryError as error:
            problem = error
            continue
        return scans
    assert problem is not None
    raise problem


def _pose(rng: np.random.Generator) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in rng.uniform(-_TILT_DEG, _TILT_DEG, 3))
    return a, b, c


def _files(top: Path, identifier: str, visit: str, protocol: Mapping[str, Any]) -> dict[str, Path]:
    """Name the files of one scan; the last one is written last."""
    contrast = protocol["contrast"]
    suffix = "angio" if contrast == "tof" else "T2w"
    place = Path(f"sub-{identifier}") / f"ses-{visit}" / "anat"
    stem = f"sub-{identifier}_ses-{visit}_acq-{contrast}"
    raw, inner = top / place, top / "derivatives" / PIPELINE / place
    return {
        "image": raw / f"{stem}_{suffix}.nii.gz",
        "sidecar": raw / f"{stem}_{suffix}.json",
        "labels": inner / f"{stem}_dseg.nii.gz",
        "about": inner / f"{stem}_dseg.json",
        "shares": inner / f"{stem}_probseg.nii.gz",
        "truth": inner / f"{stem}_nerves.tsv",
    }


def _complete(files: Mapping[str, Path]) -> bool:
    return all(path.is_file() and path.stat().st_size for path in files.values())


def _write_scan(files: Mapping[str, Path], cistern: Cistern) -> None:
    affine = cistern.labels.affine
    pixels = np.rint(np.asarray(cistern.image.dataobj) * _CSF)
    limits = np.iinfo(np.int16)
    put(files["image"], packed(np.clip(pixels, limits.min, limits.max).astype(np.int16), affine))
    put_json(
        files["sidecar"],
        {
            "Synthetic": True,
            "Modality": "MR",
            "MRAcquisitionType": "3D",
            "SeriesDescription": f"synthetic {cistern.scan['contrast'].upper()}",
            "Simulation": cistern.scan,
        },
    )
    labels = np.asarray(cistern.labels.dataobj).astype(np.uint8)
    put(files["labels"], packed(labels, affine, "label"))
    put(files["shares"], packed(_shares(cistern.fractions), affine, slope=1 / 255))
    raw = files["image"]
    source = f"bids:raw:{raw.relative_to(raw.parents[3]).as_posix()}"
    put_json(
        files["about"],
        {"Synthetic": True, "Manual": False, "Sources": [source], "Anatomy": cistern.anatomy},
    )
    put_table(files["truth"], cistern.truth.reset_index())


def _shares(fractions: nib.Nifti1Image) -> np.ndarray:
    """Return partial volumes in units of 1/255 that still add up to 1 in every voxel."""
    share = np.rint(np.asarray(fractions.dataobj) * 255).astype(np.int16)
    largest = np.argmax(share, axis=3)[..., None]
    rest = 255 - share.sum(axis=3, keepdims=True)
    np.put_along_axis(share, largest, np.take_along_axis(share, largest, 3) + rest, axis=3)
    return share.astype(np.uint8)


# --- what the tree holds -----------------------------------------------------------------


def _read_truth(top: Path, work: list[tuple[str, pd.DataFrame, dict[str, Any]]]) -> pd.DataFrame:
    """Stack the true measures of all scans, as they stand in the tree."""
    parts = []
    for identifier, plan, protocol in work:
        for visit in dict.fromkeys(plan["visit"]):
            path = _files(top, identifier, visit, protocol)["truth"]
            try:
                rows = pd.read_csv(
                    path,
                    sep="\t",
                    na_values="n/a",
                    keep_default_na=False,
                    float_precision="round_trip",
                )
            except (OSError, ValueError) as error:
                raise StorageError(
                    f"the truth of a scan can't be read ({error})",
                    where=str(path),
                    remedy="delete the file; it is then written again",
                ) from error
            rows.insert(0, "visit", visit)
            rows.insert(0, "subject_id", identifier)
            parts.append(rows)
    truth = pd.concat(parts, ignore_index=True)
    truth["vessel"] = truth["vessel"].astype(object).where(truth["vessel"].notna(), None)
    return truth.astype({"n_contacts": "Int64", "sindou_grade": "Int64"})
