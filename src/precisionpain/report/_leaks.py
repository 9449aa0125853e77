"""Signs that the data tell the outcome in a way that a new patient's won't."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, fisher_exact, mannwhitneyu

from ..cohort import Cohort
from ..errors import FormatError
from ..evaluation.crossval import _with_outcome, _without_sources
from ..stats import adjust_p, auc
from ._people import Found, blocks

__all__ = ["seen_by_a_model", "signs"]

_ALPHA = 0.01  # of one check as a whole, whatever number of things it looks at
_AREA = 0.95
_FEWEST = 5  # known values in each class
_FILE_COLUMNS = {"subject_id", "visit", "contrast", "run", "path", "present", "reason", "bytes",
                 "sidecar", "bval", "bvec", "sha256"}  # fmt: skip

Values = tuple[str, pd.Series]  # what it is called, and one value for each person


def seen_by_a_model(cohort: Cohort, outcome: Any) -> tuple[Cohort, np.ndarray]:
    """Return the people with the outcome, as a model may see them, and their outcomes."""
    if cohort.unit != "subject":
        raise FormatError(
            f"signs of leaks are looked for by person, found a cohort of {cohort.unit}s",
            remedy="give the cohort before per_nerve() or per_visit()",
        )
    people, y, _ = _with_outcome(cohort, outcome)
    return _without_sources(people, outcome).known_at_index(), y


def signs(cohort: Cohort, y: np.ndarray, site: str) -> Iterator[tuple[str, Iterator[Found]]]:
    """Give each check by its title, with what it found."""
    yield "the outcome in other words", _telling(cohort, y)
    yield "missing by outcome", _missing(cohort, y)
    yield "measured differently by outcome", _technical(cohort, y, site)
    yield "order by outcome", _ordered(cohort, y)


def _telling(cohort: Cohort, y: np.ndarray) -> Iterator[Found]:
    """Find single columns that separate the classes nearly by themselves."""
    names, areas, p = [], [], []
    for block, frame in blocks(cohort):
        for name in frame:
            values = _ranked(frame[name], y)
            known = ~np.isnan(values)
            if not _enough(known, y):
                continue
            area = auc(y[known], values[known])
            area = max(area, 1 - area)
            names.append(str(name) if block == "subjects" else f"{block}: {name}")
            areas.append(area)
            p.append(_shift_p(values, y) if area >= _AREA else 1.0)
    for name, area, adjusted in zip(names, areas, adjust_p(p, "holm"), strict=True):
        if adjusted <= _ALPHA:
            text = f"alone it tells the outcome with an AUC of {area:.2f}; when was it recorded?"
            yield name, len(y), text


def _missing(cohort: Cohort, y: np.ndarray) -> Iterator[Found]:
    """Find data that one class has and the other lacks."""
    has = {str(name): known for name, known in cohort.availability.items()}
    frame = cohort.predictor_frame()
    has |= {str(name): frame[name].notna() for name in frame}
    told = (
        "{known:.0%} of those with the event have it, {other:.0%} of the others; whoever lacks it "
        "gives the outcome away"
    )
    for name, known, _ in _flagged(_distinct(has.items()), y):
        yield name, int((~known).sum()), told.format(
            known=known[y == 1].mean(), other=known[y == 0].mean()
        )  # fmt: skip


def _technical(cohort: Cohort, y: np.ndarray, site: str) -> Iterator[Found]:
    """Find sites, plates and scanners that go with the outcome."""
    for name, _, p in _flagged(_distinct(_circumstances(cohort, site)), y):
        yield name, len(y), f"it differs between the classes (adjusted p = {p:.1g})"


def _ordered(cohort: Cohort, y: np.ndarray) -> Iterator[Found]:
    """Find ids, rows and dates that are sorted by the outcome."""
    for name, _, p in _flagged(_distinct(_orders(cohort)), y):
        yield name, len(y), f"it goes with the outcome (adjusted p = {p:.1g})"


def _orders(cohort: Cohort) -> Iterator[Values]:
    ids = pd.Series(cohort.subject_ids, cohort.subject_ids).astype(str)
    yield "number in the id", ids.str.extract(r"(\d+)\D*$")[0].astype(float)
    yield "letters of the id", ids.map(lambda one: re.sub(r"\d+", "", one))
    yield "row", pd.Series(np.arange(len(ids), dtype=float), ids.index)
    subjects = cohort.subjects
    for name, column in cohort.columns.items():
        if column.kind == "date" and name in subjects:
            dates = pd.to_datetime(subjects[name], errors="coerce", format="mixed")
            yield name, (dates - dates.min()) / pd.Timedelta(days=1)


def _circumstances(cohort: Cohort, site: str) -> Iterator[Values]:
    """Give how, where and with what each person was measured."""
    people, subjects = cohort.subject_ids, cohort.subjects
    if site in subjects:
        yield site, subjects[site].astype(object)
    for name in cohort.assays:
        obs = cohort._assay(name).obs
        obs = obs[obs["subject_id"].notna()]
        for column in obs.columns.difference(["subject_id", "visit", "sample_id"]):
            if not pd.api.types.is_numeric_dtype(obs[column]):
                first = obs[column].groupby(obs["subject_id"].to_numpy(dtype=object)).first()
                yield f"{name}: {column}", first.reindex(people).astype(object)
    images = cohort.images
    for contrast, rows in images[images["present"].astype(bool)].groupby("contrast", sort=False):
        first = rows.drop_duplicates("subject_id").set_index("subject_id")
        headers = pd.DataFrame([_header(path) for path in first["path"]], first.index)
        further = [c for c in first if c not in _FILE_COLUMNS and c not in headers]
        table = pd.concat([first[further], headers], axis=1)
        for column in table:
            values = table[column]
            numeric = pd.api.types.is_float_dtype(values)
            values = values if numeric else values.astype(object)
            yield f"{contrast}: {column}", values.reindex(people)


def _header(path: str) -> dict[str, Any]:
    """Read what a scanner writes before the first voxel."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nib.load(path)
        shape, zooms = image.shape[:3], image.header.get_zooms()[:3]
        kind = str(image.get_data_dtype())
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, AttributeError):
        return {}  # that a file can't be read is for others to say
    sizes = [round(float(size), 3) for size in zooms]
    return {
        "shape": str(tuple(map(int, shape))),
        "spacing": str(sizes),
        "data type": kind,
        "voxels": float(np.prod(shape)),
        "voxel size": float(np.prod(sizes)),
    }


def _flagged(things: Iterator[Values], y: np.ndarray) -> Iterator[tuple[str, np.ndarray, float]]:
    """Give the name, the values and the adjusted p of what goes with the outcome."""
    names, values = [], []
    for name, series in things:
        names.append(name)
        values.append(series.to_numpy())
    p = adjust_p([_test(v, y) for v in values], "holm")
    for name, v, adjusted in zip(names, values, p, strict=True):
        if adjusted <= _ALPHA:
            yield name, v, float(adjusted)


def _distinct(things: Iterable[Values]) -> Iterator[Values]:
    """Leave out what divides the people as something before it did."""
    seen = set()
    for name, values in things:
        codes = np.unique(values, return_inverse=True)[1] if values.dtype == float else (
            pd.factorize(values)[0])  # fmt: skip
        if codes.tobytes() not in seen:
            seen.add(codes.tobytes())
            yield name, values


def _enough(known: np.ndarray, y: np.ndarray) -> bool:
    return min((known & (y == 0)).sum(), (known & (y == 1)).sum()) >= _FEWEST


def _ranked(values: pd.Series, y: np.ndarray) -> np.ndarray:
    """Return numbers as they are, and levels by their share of events."""
    if not pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        levels = values.where(values.map(values.value_counts()) >= _FEWEST)
        values = levels.map(pd.Series(y, values.index).groupby(levels).mean())
    return values.to_numpy(dtype=float, na_value=np.nan)


def _test(values: np.ndarray, y: np.ndarray) -> float:
    return _shift_p(values, y) if values.dtype == float else _table_p(values, y)


def _shift_p(values: np.ndarray, y: np.ndarray) -> float:
    """Rank-sum test; NaN where there is too little to test."""
    known = ~np.isnan(values)
    if not _enough(known, y) or np.ptp(values[known]) == 0:
        return float("nan")
    one, other = (values[known & (y == c)] for c in (1, 0))
    return float(mannwhitneyu(one, other).pvalue)


def _table_p(values: np.ndarray, y: np.ndarray) -> float:
    """Test levels against the outcome; rare levels count as one, NaN where there is one."""
    codes, levels = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    merged = np.where(counts >= _FEWEST, np.arange(len(levels)), -1)[codes[codes >= 0]]
    table = np.array([np.bincount(merged + 1, y[codes >= 0] == c) for c in (0, 1)], dtype=int)
    table = table[:, table.sum(axis=0) > 0]
    if min(table.shape) < 2 or (table.sum(axis=1) == 0).any():
        return float("nan")
    found = fisher_exact(table) if table.shape == (2, 2) else chi2_contingency(table)
    return float(found.pvalue)
