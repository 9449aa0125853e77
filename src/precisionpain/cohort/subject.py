"""One person of a cohort, read-only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import AlignmentError, MissingModalityError, list_some
from .keys import check_ids

if TYPE_CHECKING:
    from .core import Cohort

__all__ = ["Subject"]


class Subject:
    """One person: clinical values, visits, images, assays and measurements.

    Made by `Cohort.subject`; nothing is read from disk until an image is asked for.

    Parameters
    ----------
    cohort : Cohort
        Where the person belongs.
    identifier : str
        Subject id.

    Raises
    ------
    AlignmentError
        When the id is unknown.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> person = pp.Cohort(pd.DataFrame({"age": [61]}, index=["p1"])).subject("p1")
    >>> person.id, int(person.clinical["age"])
    ('p1', 61)
    """

    __slots__ = ("_one",)

    _one: Cohort

    def __init__(self, cohort: Cohort, identifier: str) -> None:
        wanted = pd.Index([identifier], dtype=object)
        position = cohort._store.subjects.index.get_indexer(wanted)
        if position[0] < 0 or not cohort._membership()[position[0]]:
            check_ids(wanted, cohort.subject_ids, table="cohort.subject")
        one = cohort._build(cohort._store, position, "subject", None, cohort.flow)
        object.__setattr__(self, "_one", one)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Subject is read-only")

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker gets this person's data, not the whole cohort's.
        one = self._one
        store = one._store.only(int(one._position[0]))
        alone = one._build(store, np.zeros(1, dtype=np.intp), "subject", None, one.flow)
        return Subject, (alone, self.id)

    @property
    def id(self) -> str:
        """Subject id."""
        return str(self._one.subject_ids[0])

    @property
    def clinical(self) -> pd.Series:
        """The row of the subjects table (a copy)."""
        return self._one.subjects.iloc[0]

    @property
    def affected_side(self) -> str | None:
        """Anatomical side of the pain: "left", "right", "bilateral"; None for controls."""
        side = self.clinical.get("affected_side")
        return None if pd.isna(side) else str(side)

    @property
    def visits(self) -> pd.DataFrame:
        """Columns ``visit`` and ``day`` (days from the index event)."""
        return self._one.visits.drop(columns="subject_id")

    @property
    def images(self) -> pd.DataFrame:
        """The images of this person, on disk or only listed."""
        return self._one.images

    @property
    def assays(self) -> Mapping[str, Any]:
        """AnnData by name, only this person's samples (and the control samples)."""
        return self._one.assays

    @property
    def measurements(self) -> Mapping[str, pd.DataFrame]:
        """Derived tables by name, only this person's rows."""
        return self._one.measurements

    def image(
        self,
        contrast: str,
        *,
        visit: str | None = None,
        run: int | None = None,
        **entities: Any,
    ) -> Any:
        """Load one image.

        Parameters
        ----------
        contrast : str
            For example ``"T1w"``.
        visit : str, optional
            Which visit, where there are several.
        run : int, optional
            Which run, where there are several.
        **entities
            Further columns of the images table, for example ``acq="highres"``.

        Returns
        -------
        nibabel.spatialimages.SpatialImage
            With its data in memory, in the file's own orientation.

        Raises
        ------
        MissingModalityError
            When there is no such image, or it isn't on disk.
        AlignmentError
            When several images match.
        FormatError
            When the file is damaged.
        """
        from ..imaging.files import load_image

        row = self._image_row(contrast, {"visit": visit, "run": run, **entities})
        if not row["present"]:
            reason = row.get("reason")
            raise MissingModalityError(
                f"{contrast} is listed but not on disk"
                + (f" ({reason})" if isinstance(reason, str) else ""),
                where=f"subject {self.id!r}, visit {row['visit']!r}",
                remedy="fetch the file, then read the cohort again",
            )
        return load_image(row["path"])

    def _image_row(self, contrast: str, wanted: Mapping[str, Any]) -> pd.Series:
        images = self.images
        found = images[images["contrast"] == contrast]
        for name, value in wanted.items():
            if value is not None:
                if name not in found:
                    raise MissingModalityError(f"the images table has no column {name!r}")
                found = found[(found[name] == value).fillna(False)]
        if found.empty:
            raise MissingModalityError(
                f"no image {contrast!r} with {dict(wanted)}",
                where=f"subject {self.id!r}",
                remedy=f"there are {list_some(sorted(images['contrast'].dropna().unique()), 9)}",
            )
        if len(found) > 1:
            telling = [c for c in found if c not in ("path", "sha256", "bytes", "sidecar")]
            telling = [c for c in telling if found[c].astype(str).nunique() > 1]
            known = [f"{c}={list_some(found[c].drop_duplicates().tolist())}" for c in telling]
            raise AlignmentError(
                f"{len(found)} images {contrast!r} match",
                where=f"subject {self.id!r}",
                remedy=f"say which: {', '.join(known)}"
                if known
                else "give the images table a column that tells them apart, for example `run`",
            )
        return found.iloc[0]

    def fingerprint(self) -> str:
        """Return a hash of all that the cohort knows of this person.

        Image files count by path, size and time of change, so no pixel is read.

        Returns
        -------
        str
            Hexadecimal, 32 characters.
        """
        digest = hashlib.blake2b(digest_size=16)
        one = self._one
        tables = {"subjects": one.subjects, "visits": one.visits, "images": one.images}
        tables |= {f"measurements/{name}": one.measurements[name] for name in one.measurements}
        matrices: dict[str, Any] = {}
        for name in one.assays:
            adata = one.assays[name]
            tables |= {f"obs of {name}": adata.obs, f"var of {name}": adata.var}
            matrices |= {f"{name}/X": adata.X}
            matrices |= {f"{name}/{layer}": adata.layers[layer] for layer in adata.layers}
        for name, table in sorted(tables.items()):
            digest.update(name.encode())
            digest.update(table_content(table))
        for name, matrix in sorted(matrices.items()):
            values = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        for path in one.images.loc[one.images["present"], "path"]:
            try:
                state = os.stat(path)
                digest.update(f"{path}{state.st_size}{state.st_mtime_ns}".encode())
            except OSError:
                digest.update(f"{path} absent".encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        images = self.images
        parts = [
            f"{len(self.visits)} visits",
            f"{int(images['present'].sum())} of {len(images)} images on disk",
            f"{len(self.assays)} assays",
            f"{len(self.measurements)} tables",
        ]
        made_up = "synthetic " if self._one.synthetic else ""
        return f"<{made_up}Subject: {', '.join(parts)}>"


def table_content(table: pd.DataFrame | pd.Series) -> bytes:
    """Return bytes that differ when a value, a key, a name or a type of the table does."""
    frame = table.to_frame() if isinstance(table, pd.Series) else table
    names = [(repr(name), str(dtype)) for name, dtype in frame.dtypes.items()]
    return repr(names).encode() + pd.util.hash_pandas_object(frame).to_numpy().tobytes()
