"""The trigeminal neuralgia cohort of Novosibirsk (OpenNeuro ds005713), fetched and cleaned."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..cohort.core import Cohort
from ..cohort.keys import check_ids
from ..errors import FormatError, StorageError, list_some
from ..imaging.files import file_state
from ._download import download_all
from ._ds005713.cohort import build_cohort, clean_tables
from ._ds005713.mirror import copy_from_mirror
from ._ds005713.registry import (
    RegisteredFile,
    Verified,
    WrongContentError,
    read_registry,
    sha256_of,
)

__all__ = ["accounting", "fetch_ds005713"]

BUCKET = "https://s3.amazonaws.com/openneuro.org/ds005713"
TAG = "https://raw.githubusercontent.com/OpenNeuroDatasets/ds005713/2.0.1"
PARTICIPANTS = "participants.tsv"
CONTRASTS = ("T1w", "T2w", "dwi", "bold")
WHAT = ("tables", "sidecars", *CONTRASTS)
_SIDECARS = (".json", ".bval", ".bvec")
_TRUNCATED_SHA256 = "38e6d44d56eee930aa1bd76a5699893ef0eba5d2255c21d57ede4379b9637d11"
_TRUNCATED = (
    "participants.tsv of version 2.0.2, the head of the data set, was truncated upstream and holds "
    "51 of 173 people; the complete table is that of version 2.0.1"
)


def fetch_ds005713(
    root: str | Path,
    mirror: str | Path | None = None,
    *,
    what: Sequence[str] = ("tables",),
    subjects: Sequence[str] | None = None,
    jobs: int = 1,
    progress: bool = True,
    base_url: str = BUCKET,
) -> Cohort:
    """Fetch OpenNeuro ds005713 and return it as a cohort.

    173 people of the Federal Neurosurgical Center, Novosibirsk: 120 patients with primary
    trigeminal neuralgia and 53 controls, with clinical findings, drugs, surgery and its
    outcome, two follow-ups, psychological tests, image quality metrics, and MRI (T1w, T2w,
    dwi, resting-state bold) before surgery and, of 65 patients, after it [1]_. CC0.

    The table of the participants at the head of the data set (version 2.0.2) was truncated
    upstream to 51 people. It is recognised by its checksum and refused; the complete table
    of version 2.0.1 takes its place, from the git tag 2.0.1 or from the mirror. Six people
    with psychological tests, three of them with images, stand in no table of participants
    and aren't added. What was cleaned, and how, is in ``cohort.provenance``; what became of
    each column of the files, in `accounting`.

    Values known only after surgery are outcomes and never predictors, also the pain
    reduction: all but two outcomes are positive exactly when it is 100%.

    Parameters
    ----------
    root : str or Path
        Where the files go; made when absent. Files that are there already, and right, are
        not fetched again.
    mirror : str or Path, optional
        A folder with (a part of) the same tree, also in ``*.tar.gz`` archives, to read
        instead of the web. It is never written to. What it lacks of the images is listed as
        absent.
    what : sequence of str, default ("tables",)
        Any of "tables" (always fetched), "sidecars" (JSON, bval, bvec), "T1w", "T2w",
        "dwi", "bold" (images with their sidecars; 53 GB in all).
    subjects : sequence of str, optional
        People whose images and sidecars to fetch, with their follow-up scans; by default
        everybody's. The tables and the cohort hold everybody in any case.
    jobs : int, default 1
        Downloads at a time.
    progress : bool, default True
        Show a bar while downloading.
    base_url : str, optional
        Root of the tree on the web; by default OpenNeuro's public bucket.

    Returns
    -------
    Cohort
        173 subjects. Visits "preop", "discharge", "followup_1", "followup_2"; days count
        from surgery and are known for the follow-ups. Measurements "drugs", "psychology",
        "mriqc_T1w", "mriqc_T2w", "mriqc_dwi", "mriqc_bold". Outcomes ``mvd_response`` (60
        positive, 15 negative, 5 unknown), ``surgery_response``, ``pain_reduction``,
        ``pain_free_followup_2``, ``mvd_pain_free_followup_2``, ``followup_2_pain`` and
        ``complication``. All images are listed, those not on disk with ``present`` False.

    Raises
    ------
    StorageError
        When a file can't be had, isn't the registered one, or can't be written.
    FormatError
        For an unknown `what` or a `jobs` below 1.
    AlignmentError
        For an unknown subject.

    Notes
    -----
    What else is odd in the data, and stays as it is: the README names a median of 245 days
    for the first follow-up, the table gives 202 (and 568, as the README, for the second);
    five people have a day of the first follow-up that is marked "no", and one a scan; sub-094
    has no images; the image quality metrics cover the scans before surgery only, and those
    of bold end in the middle of a row (sub-12). Sindou's grade 0 never occurs: NA means no
    conflict or a control. A Fazekas grade that the finding doesn't name is taken as 0.

    References
    ----------
    .. [1] Filimonova E, Pashkov A, Martirosyan A, Kurilov V, Moysak G, Rzaev J (2025). A
       large-scale dataset of pre- and post-surgical MRI data in patients with chronic
       trigeminal neuralgia. OpenNeuro, doi:10.18112/openneuro.ds005713.v2.0.2

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.fetch_ds005713("ds005713")  # doctest: +SKIP
    >>> cohort.outcome("mvd_response").value_counts()  # doctest: +SKIP
    """
    wanted_kinds = (what,) if isinstance(what, str) else tuple(what)
    unknown = [kind for kind in wanted_kinds if kind not in WHAT]
    if unknown:
        raise FormatError(f"what takes {list_some(WHAT, 9)}, found {list_some(unknown)}")
    if jobs < 1:
        raise FormatError(f"jobs is at least 1, found {jobs}")
    target = Path(root).expanduser().absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make the folder ({error})", where=str(target)) from error
    source = _Source(
        Verified(target),
        None if mirror is None else Path(mirror).expanduser().absolute(),
        base_url.rstrip("/"),
        jobs,
        progress,
    )
    registry = ds005713_registry()
    source.obtain([file for path, file in registry.items() if not path.startswith("sub-")])
    tables = clean_tables(target)
    if subjects is not None:
        check_ids(pd.Index(list(subjects), dtype=object), tables.subjects.index, table="subjects")
    images = list(_images(registry.values(), wanted_kinds, subjects))
    if images:
        source.obtain(images, needed=mirror is None)
    return build_cohort(target, tables, registry, source.provenance)


def accounting(cohort: Cohort) -> pd.DataFrame:
    """Say what became of each column of the files.

    Parameters
    ----------
    cohort : Cohort
        Of `fetch_ds005713`.

    Returns
    -------
    pandas.DataFrame
        Columns ``table``, ``raw column``, ``stored as``, ``role`` ("key", "predictor",
        "outcome", "note", "measurement", "unused") and ``reason``. A column of a file that
        is stored in several has several rows.

    Raises
    ------
    FormatError
        When the cohort isn't of `fetch_ds005713`.

    Examples
    --------
    >>> from precisionpain.datasets import fetch_ds005713
    >>> accounting(fetch_ds005713("ds005713")).role.value_counts()  # doctest: +SKIP
    """
    rows = cohort.meta.get("accounting")
    if rows is None:
        raise FormatError(f"the cohort {cohort.name!r} has no account of the columns of its files")
    return pd.DataFrame(rows)


@functools.cache
def ds005713_registry() -> dict[str, RegisteredFile]:
    """Return the registered files by path."""
    text = importlib.resources.files(__package__).joinpath("_ds005713", "registry.tsv")
    return read_registry(text.read_text(encoding="utf-8"))


def _images(
    files: Iterable[RegisteredFile], kinds: Sequence[str], people: Sequence[str] | None
) -> Iterable[RegisteredFile]:
    """Choose images and sidecars by kind and person."""
    for file in files:
        folder, _, rest = file.path.partition("/")
        if not rest or not folder.startswith("sub-"):
            continue
        if people is not None and folder.removesuffix("fu") not in people:
            continue
        contrast = rest.rpartition("_")[2].partition(".")[0]
        if contrast in kinds or ("sidecars" in kinds and rest.endswith(_SIDECARS)):
            yield file


class _Source:
    """Where files come from, what was fetched and what could not be had."""

    def __init__(
        self, verified: Verified, mirror: Path | None, base_url: str, jobs: int, progress: bool
    ) -> None:
        self.verified = verified
        self.mirror = mirror
        self.base_url = base_url
        self.jobs = jobs
        self.progress = progress
        self.provenance: list[dict[str, Any]] = []

    def obtain(self, files: Sequence[RegisteredFile], *, needed: bool = True) -> None:
        """Bring files into the root; those that can't be had are an error where needed."""
        pending = [file for file in files if not self.verified.holds(file)]
        self.verified.save()
        self._check_conflicts(pending)
        kept = len(files) - len(pending)
        self._note("already there, verified", kept, str(self.verified.root))
        missing: list[RegisteredFile] = []
        if pending and self.mirror is not None:
            missing, notes = copy_from_mirror(self.mirror, pending, self.verified)
            for text in notes:
                self._note(text, 1, str(self.mirror))
            self._note("copied from the mirror", len(pending) - len(missing), str(self.mirror))
        elif pending:
            self._download(pending)
        absent = {file.path for file in missing}
        self._note("not in the mirror", len(missing), str(self.mirror))
        if missing and needed:
            names = list_some(sorted(absent))
            because = f". {_TRUNCATED}" if PARTICIPANTS in absent else ""
            raise StorageError(
                f"the mirror lacks {names}, or holds another version{because}",
                where=str(self.mirror),
                remedy="add the files (any name that starts alike will do), or leave mirror out "
                "to fetch them",
            )

    def _check_conflicts(self, pending: Sequence[RegisteredFile]) -> None:
        """Stop before a file that isn't ours is overwritten; move the known truncated table."""
        for file in pending:
            path = self.verified.root / file.path
            if file_state(path)[0] is not None:
                continue
            if file.path == PARTICIPANTS and sha256_of(path) == _TRUNCATED_SHA256:
                aside = path.with_name("participants_v2.0.2_truncated.tsv")
                path.rename(aside)
                self._note(f"participants.tsv renamed to {aside.name}: {_TRUNCATED}", 1, str(path))
                continue
            raise StorageError(
                f"there is a file, but not the registered one of {file.bytes} bytes with SHA-256 "
                f"{file.sha256}",
                where=str(path),
                remedy="move or delete it to fetch it again, or name another root",
            )

    def _download(self, files: Sequence[RegisteredFile]) -> None:
        rest = [file for file in files if file.path != PARTICIPANTS]
        for file in files:
            if file.path == PARTICIPANTS:
                self._download_participants(file)
        wanted = [(f"{self.base_url}/{file.path}", file) for file in rest]
        download_all(wanted, self.verified, jobs=self.jobs, progress=self.progress)
        self._note("downloaded", len(rest), self.base_url)

    def _download_participants(self, file: RegisteredFile) -> None:
        for root in (self.base_url, TAG):
            try:
                download_all([(f"{root}/{file.path}", file)], self.verified, progress=False)
            except WrongContentError as error:
                if root == TAG:
                    raise
                self._note(f"refused: {error.what}. {_TRUNCATED}", 1, root)
            else:
                self._note("participants.tsv downloaded", 1, root)
                return

    def _note(self, detail: str, n: int, where: str) -> None:
        if n:
            entry = {"step": "fetch", "table": None, "column": None, "n": n}
            self.provenance.append({**entry, "detail": f"{detail} ({where})"})
