"""Which scans of a cohort are to be measured, each with its files, and which can't be."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..cohort import Cohort
from ..errors import MissingModalityError, list_some

__all__ = ["KEYS", "Scans", "find_scans"]

KEYS = ("subject_id", "visit", "run")
_FAILURE = [*KEYS, "error", "message"]
# Columns that say nothing of which image is meant.
_FILE = ("path", "present", "reason", "bytes", "sidecar", "sha256", "bval", "bvec")


@dataclasses.dataclass(frozen=True)
class Scans:
    """Scans with all their files, as a cohort of their own, and those that lack one.

    Parameters
    ----------
    cohort : Cohort
        One "subject" per scan, so that each is mapped, resumed and listed by itself, whatever
        else is known of the person. The contrasts of its images are their roles: "labels",
        "probabilities", "image".
    table : pandas.DataFrame
        Index: the scan's key in `cohort`; columns `KEYS`.
    unmeasurable : pandas.DataFrame
        Columns `KEYS`, ``error``, ``message``.
    order : dict
        Person → place, to list failures in the order of the people.
    """

    cohort: Cohort
    table: pd.DataFrame
    unmeasurable: pd.DataFrame
    order: dict[str, int]

    @property
    def has_runs(self) -> bool:
        """Whether any image has a run."""
        return bool(self.table["run"].notna().any() or self.unmeasurable["run"].notna().any())

    def keys(self, scan: str) -> dict[str, Any]:
        """Return whose scan it is, of which visit and run."""
        return dict(zip(KEYS, self.table.loc[scan, list(KEYS)], strict=True))

    def failures(self, failed: pd.DataFrame) -> pd.DataFrame:
        """List what has no files and what failed, without paths.

        Parameters
        ----------
        failed : pandas.DataFrame
            ``MapResult.failures`` of `cohort`.

        Returns
        -------
        pandas.DataFrame
            Columns `KEYS`, ``error``, ``message``.
        """
        images = self.cohort.images
        rows: list[dict[Any, Any]] = []
        for scan, error, message in zip(
            failed.index, failed["error"], failed["message"], strict=True
        ):
            # A path may hold more than the person's key.
            for role, path in images.loc[images["subject_id"] == scan, ["contrast", "path"]].values:
                message = message.replace(path, _ROLES[role])
            rows.append({**self.keys(scan), "error": error, "message": message})
        rows = [*self.unmeasurable.to_dict("records"), *rows]
        rows.sort(key=lambda row: self.order[row["subject_id"]])
        return pd.DataFrame(rows, columns=_FAILURE).astype({"run": "Int64"})


Key = tuple[str, str | None, int | None]

_ROLES = collections.defaultdict(
    lambda: "image", labels="label image", probabilities="probability image"
)


def find_scans(
    cohort: Cohort,
    *,
    labels: str | None,
    probabilities: str | None,
    image: str,
    visit: str | Sequence[str] | None,
    run: int | None,
    entities: Mapping[str, Any],
    channels: Sequence[str] = (),
) -> Scans:
    """Find the files of every scan.

    Parameters
    ----------
    cohort : Cohort
        People.
    labels : str or None
        Contrast of the label images; None to label the scans themselves.
    probabilities : str or None
        Contrast of the probabilities that go with the labels.
    image : str
        Contrast of the scans. Without an entity "derivative" only raw ones count, so that
        a preprocessed copy isn't taken for another scan.
    visit : str, sequence of str or None
        Which visits.
    run : int or None
        Which run; images without one count as well.
    entities : mapping
        Further columns of the images and their values.
    channels : sequence of str, default ()
        Contrasts of raw images that go with the labels, roles "channel_0", "channel_1"…

    Returns
    -------
    Scans

    Raises
    ------
    MissingModalityError
        When the cohort has no image of the contrast, no such visit, or no such column.
    """
    images = _chosen(cohort.images, visit, run)
    raw = images[images["contrast"] == image]
    if "derivative" in raw and "derivative" not in entities:
        raw = raw[raw["derivative"].isna()]
    source = "image" if labels is None else "labels"
    contrasts = {source: image if labels is None else labels}
    if probabilities is not None:
        contrasts["probabilities"] = probabilities
    contrasts |= {f"channel_{k}": contrast for k, contrast in enumerate(channels)}
    rows = {}
    for role, contrast in contrasts.items():
        found = raw if role == "image" else images[images["contrast"] == contrast]
        wanted = dict(entities)
        if role.startswith("channel") and "derivative" in found:
            found = found[found["derivative"].isna()]
            wanted.pop("derivative", None)
        if found.empty:
            raise _absent(cohort, contrast, role)
        rows[role] = _with_entities(found, wanted)
    files = {role: _by_key(table) for role, table in rows.items()}

    ready: list[dict[str, Any]] = []
    keys: dict[str, Key] = {}
    failures: list[tuple[Any, ...]] = []
    for key in _expected(cohort, raw, files[source]):
        problem, paths = _files_of(key, files, contrasts)
        if problem is not None:
            failures.append((*key, *problem))
            continue
        scan = json.dumps(key)
        keys[scan] = key
        ready += [
            {"subject_id": scan, "visit": key[1], "contrast": role, "path": path, "present": True}
            for role, path in paths.items()
        ]
    table = pd.DataFrame.from_dict(keys, orient="index", columns=list(KEYS))
    part = Cohort(
        pd.DataFrame(index=pd.Index(list(keys), dtype=object)),
        images=pd.DataFrame(ready) if ready else None,
    )
    return Scans(
        part,
        table.astype({"run": "Int64"}),
        pd.DataFrame(failures, columns=_FAILURE),
        {person: i for i, person in enumerate(cohort.subject_ids)},
    )


def _chosen(
    images: pd.DataFrame, visit: str | Sequence[str] | None, run: int | None
) -> pd.DataFrame:
    if visit is not None:
        wanted = [visit] if isinstance(visit, str) else list(visit)
        known = images["visit"].dropna().unique()
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise MissingModalityError(
                f"no image of visit {list_some(unknown)}",
                remedy=f"visits with images are {list_some(known, 12) or 'none'}",
            )
        images = images[images["visit"].isin(wanted)]
    if run is not None:
        # One scan alone has no run in its name.
        images = images[(images["run"] == run).fillna(True)]
    return images


def _absent(cohort: Cohort, contrast: str, role: str) -> MissingModalityError:
    known = sorted(cohort.images["contrast"].dropna().unique())
    remedy = f"contrasts are {list_some(known, 12) or 'none'}"
    if role in ("labels", "probabilities"):
        remedy += "; read derivatives of a BIDS tree with read_cohort(root, derivatives=True)"
    if role == "labels":
        remedy += ", name the contrast of the label images, or give a segmenter"
    return MissingModalityError(f"no {_ROLES[role]} {contrast!r} in cohort.images", remedy=remedy)


def _with_entities(table: pd.DataFrame, entities: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in entities.items():
        if name not in table:
            raise MissingModalityError(
                f"cohort.images has no column {name!r}",
                remedy=f"columns are {list_some(table, 20)}",
            )
        table = table[(table[name] == value).fillna(False)]
    return table


def _by_key(table: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """Group images by person, visit and run; what is missing is None."""
    found: dict[Key, list[int]] = {}
    for i, key in enumerate(table[list(KEYS)].itertuples(index=False, name=None)):
        found.setdefault(_plain(key), []).append(i)
    return {key: table.iloc[rows] for key, rows in found.items()}


def _plain(key: Sequence[Any]) -> Key:
    person, visit, run = key
    return str(person), None if pd.isna(visit) else str(visit), None if pd.isna(run) else int(run)


def _expected(cohort: Cohort, raw: pd.DataFrame, source: Mapping[Key, Any]) -> list[Key]:
    """List the scans of each person: those to measure, raw ones without labels, or none."""
    scans: dict[str, dict[Key, None]] = {str(person): {} for person in cohort.subject_ids}
    for key in source:
        scans[key[0]][key] = None
    for row in raw[list(KEYS)].itertuples(index=False, name=None):
        key = _plain(row)
        # Labels without a run are taken as those of the visit.
        if key not in source and (*key[:2], None) not in source:
            scans[key[0]][key] = None
    return [key for person, keys in scans.items() for key in keys or {(person, None, None): None}]


def _files_of(
    key: Key, files: Mapping[str, Mapping[Key, pd.DataFrame]], contrasts: Mapping[str, str]
) -> tuple[tuple[str, str] | None, dict[str, str]]:
    """Return what is wrong with the files of a scan, or else their paths by role."""
    found: dict[str, str] = {}
    for role, by_key in files.items():
        what = f"{_ROLES[role]} {contrasts[role]!r}"
        rows = by_key.get(key)
        if rows is None:
            return ("MissingModalityError", f"there is no {what}"), {}
        if len(rows) > 1:
            telling = [c for c in rows if c not in _FILE and rows[c].astype(str).nunique() > 1]
            which = [f"{c}={list_some(rows[c].drop_duplicates())}" for c in telling]
            remedy = f"say which in entities: {', '.join(which)}" if which else "list only one"
            return ("AlignmentError", f"{len(rows)} images match as {what}; {remedy}"), {}
        row = rows.iloc[0]
        if not row["present"]:
            reason = row.get("reason")
            why = f" ({reason})" if isinstance(reason, str) else ""
            return ("MissingModalityError", f"the {what} is listed but not on disk{why}"), {}
        found[role] = row["path"]
    return None, found
