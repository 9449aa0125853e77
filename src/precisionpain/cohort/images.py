"""The images of a cohort: which are there and whole."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..errors import PrecisionPainError
from ..imaging.files import load_image

__all__ = ["check_images"]


def check_images(
    images: pd.DataFrame, *, progress: bool = False, paths: bool = False
) -> pd.DataFrame:
    """Open every image of a table fully and say which are whole.

    Parameters
    ----------
    images : pandas.DataFrame
        As `Cohort.images`: ``subject_id``, ``visit``, ``contrast``, ``run``, ``path``,
        ``present`` and optionally ``reason``.
    progress : bool, default False
        Whether to show a progress bar.
    paths : bool, default False
        Whether to add the column ``path``; without it the table can be shared.

    Returns
    -------
    pandas.DataFrame
        One row per row of `images`, with the same index: ``subject_id``, ``visit``,
        ``contrast``, ``run``, ``ok`` (bool), ``problem`` (missing when ok; ``"absent: …"``
        for an image that isn't on disk, which is not opened), ``shape`` (voxels),
        ``zooms`` (mm, for a fourth axis seconds) and ``orientation`` (of the axes, such
        as ``"RAS"``).

    Examples
    --------
    >>> import pandas as pd
    >>> images = pd.DataFrame({"subject_id": ["sub-01"], "visit": ["baseline"],
    ...                        "contrast": ["T1w"], "run": [pd.NA], "path": ["sub-01_T1w.nii.gz"],
    ...                        "present": [False], "reason": ["git-annex pointer"]})
    >>> check_images(images)["problem"].tolist()
    ['absent: git-annex pointer']
    """
    from nibabel import aff2axcodes
    from tqdm import tqdm

    findings: list[tuple[bool, Any, Any, Any, Any]] = []
    reasons = images["reason"] if "reason" in images else [None] * len(images)
    rows = zip(images["path"], images["present"], reasons, strict=True)
    for path, present, reason in tqdm(rows, total=len(images), disable=not progress):
        if not present:
            why = reason if isinstance(reason, str) else "not on disk"
            findings.append((False, f"absent: {why}", None, None, None))
            continue
        try:
            image = load_image(path)
        except PrecisionPainError as error:
            findings.append((False, error.what, None, None, None))
            continue
        zooms = tuple(float(zoom) for zoom in image.header.get_zooms())
        axes = "".join(code or "?" for code in aff2axcodes(image.affine))
        findings.append((True, None, image.shape, zooms, axes))
    keys = ["subject_id", "visit", "contrast", "run", *(["path"] if paths else [])]
    names = ["ok", "problem", "shape", "zooms", "orientation"]
    checked = pd.DataFrame(findings, columns=names, index=images.index)
    checked = checked.astype({"ok": bool, **dict.fromkeys(names[1:], object)})
    return pd.concat([images.reindex(columns=keys), checked], axis=1)
