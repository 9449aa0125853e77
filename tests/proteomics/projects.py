"""Small projects with a known truth, for the tests of normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from precisionpain.proteomics._layout import make_adata

PANELS = ("Neurology", "Inflammation")


def project(
    ids: list[str],
    *,
    n_assays: int = 12,
    shift: Any = 0.0,
    seed: int = 0,
    controls: int = 3,
    plates: int = 2,
    levels: Any = None,
    lod: bool = True,
) -> AnnData:
    """People, then controls that lie far off; the value of a person is that of its id."""
    base = np.linspace(1, 8, n_assays) if levels is None else levels
    rows = [base + _of_person(name, n_assays) for name in ids]
    rows += [np.full(n_assays, -50.0)] * controls
    values = np.array(rows) + shift
    values[: len(ids)] += 0.01 * np.random.default_rng(seed).normal(size=(len(ids), n_assays))
    obs = pd.DataFrame(
        {
            "subject_id": [*ids, *[None] * controls],
            "sample_type": ["SAMPLE"] * len(ids) + ["NEGATIVE_CONTROL"] * controls,
            "plate": [f"P{i % plates + 1}" for i in range(len(ids) + controls)],
            "qc": "PASS",
        },
        index=pd.Index([*ids, *(f"NC{i}" for i in range(controls))], name="sample_id"),
    )
    var = pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(n_assays)],
            "uniprot": [f"P{i:05d}" for i in range(n_assays)],
            "panel": [PANELS[i % 2] for i in range(n_assays)],
            "assay_type": "ASSAY",
        },
        index=pd.Index([f"OID{i:05d}" for i in range(n_assays)], name="olink_id"),
    )
    layers = {"lod": np.broadcast_to(base - 3.0 + shift, values.shape).copy()} if lod else {}
    return make_adata(values, obs, var, layers=layers, kind="npx", unit="NPX")


def _of_person(name: str, n: int) -> np.ndarray:
    import zlib

    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, 1, n)


def people(start: int, stop: int) -> list[str]:
    return [f"S{i:03d}" for i in range(start, stop)]
