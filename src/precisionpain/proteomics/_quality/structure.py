"""Checks of how the data are laid out: columns, names, units, controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...errors import list_some
from .._layout import ASSAY_TYPES, SAMPLE_TYPES, about
from .findings import Findings
from .rules import (
    FOREIGN,
    Measured,
    accessions,
    bad_accessions,
    foreign,
    lod_of,
    malformed_ids,
    types_of,
)

__all__ = [
    "check_columns",
    "check_controls",
    "check_foreign",
    "check_names",
    "check_people",
    "check_uniprot",
    "check_unit",
]

# Why a column is wanted; without the first two, rows can't be told apart.
_OBS = {
    "sample_type": "controls can't be told from samples, so all rows count as samples",
    "subject_id": "samples can't be joined to people",
    "plate": "effects of the plate can't be seen",
}
_VAR = {
    "npx": {
        "uniprot": "proteins can't be matched between products",
        "gene": "proteins can't be matched by gene",
        "panel": "samples are judged over all assays at once",
    },
    "lfq": {
        "uniprot": "proteins can't be matched to other assays",
        "gene": "proteins can't be matched by gene",
    },
}
# Beyond this no log2 value of either technology lies.
_TOP = 64.0


def check_columns(m: Measured, kind: str, found: Findings) -> None:
    """Look for the columns of the layout."""
    adata = m.adata
    for name, why in _OBS.items():
        if name not in adata.obs and not (name == "plate" and name in adata.obsm):
            grave = "note" if name == "plate" else "warning"
            found.add("layout", grave, "data", name, f"obs has no column {name!r}: {why}")
    for name, why in _VAR[kind].items():
        if name not in adata.var:
            found.add("layout", "note", "data", name, f"var has no column {name!r}: {why}")
    if kind == "npx" and lod_of(adata) is None:
        found.add(
            "layout", "note", "data", "lod",
            "neither a layer nor a column 'lod': what lies below it can't be told",
        )  # fmt: skip


def _check_twice(names: pd.Index, check: str, where: str, remove: str, found: Findings) -> None:
    counts = names.value_counts()
    for name, n in counts[counts > 1].sort_index().items():
        found.add(
            check, "error", where, name, f"{n} {where}s have this name",
            n=n, share=n / len(names), action=remove,
        )  # fmt: skip


def check_names(m: Measured, kind: str, found: Findings) -> None:
    """Look for names that stand twice, and for malformed OlinkIDs."""
    adata = m.adata
    _check_twice(adata.obs_names, "duplicate_sample", "sample", "remove_sample", found)
    _check_twice(adata.var_names, "duplicate_assay", "assay", "remove_assay", found)
    if kind != "npx" or not len(m.assays):
        return
    wrong = malformed_ids(pd.Index(m.assays))
    if wrong.all():
        found.add(
            "olink_id", "warning", "data", "olink_id",
            f"no assay has an OlinkID (OID and five digits) as its name, but "
            f"{list_some(m.assays, 2)}",
            n=len(wrong), share=1.0,
        )  # fmt: skip
        return
    for name in m.assays[wrong]:
        found.add(
            "olink_id", "warning", "assay", name,
            "expected an OlinkID: OID and five digits", n=1, action="remove_assay",
        )  # fmt: skip


def check_uniprot(m: Measured, found: Findings) -> None:
    """Look for malformed accessions, and for proteins that are measured more than once."""
    if "uniprot" not in m.var:
        return
    measured_by: dict[str, list[int]] = {}
    each = accessions(m.var)
    wrong = [i for i, names in enumerate(each) if not names or bad_accessions(names)]
    if wrong:
        found.add(
            "uniprot", "note", "data", "uniprot",
            f"{len(wrong)} of {len(each)} assays have no valid UniProt accession: "
            f"{list_some(m.var['uniprot'].iloc[wrong], 3)}",
            n=len(wrong), share=len(wrong) / len(each),
        )  # fmt: skip
    for i, names in enumerate(each):
        for name in dict.fromkeys(names if i not in wrong else []):
            measured_by.setdefault(name, []).append(i)
    for name, places in measured_by.items():
        if len(places) > 1:
            on = sorted({m.panel[i] for i in places} - {""})
            panels = f", on the panels {list_some(on)}" if len(on) > 1 else ""
            found.add(
                "uniprot_twice", "note", "data", name,
                f"measured by {list_some(m.assays[places])}{panels}; they are kept apart",
                n=len(places),
            )  # fmt: skip


def check_unit(m: Measured, kind: str, found: Findings) -> None:
    """Look for values that aren't NPX or log2 intensities, and for a mix of them."""
    adata, values = m.adata, m.values
    infinite = np.isinf(values)
    if infinite.any():
        found.add(
            "infinite", "error", "data", "X",
            "infinite values; the logarithm of 0 gives them, and 0 means not measured",
            n=int(infinite.sum()), share=infinite.mean(), action="mask",
        )  # fmt: skip
    finite = m.x[~np.isnan(m.x)]
    if finite.size and finite.max() > _TOP:
        high = finite > _TOP
        found.add(
            "unit", "error", "data", "X",
            f"looks linear: expected log2, found values up to {finite.max():.4g}",
            n=int(high.sum()), share=high.mean(),
        )  # fmt: skip
    if kind == "lfq" and finite.size:
        if finite.min() > 0 and finite.max() < 8:
            found.add(
                "unit", "warning", "data", "X",
                f"looks logged twice: a log2 intensity lies between 10 and 45, all of these "
                f"between {finite.min():.3g} and {finite.max():.3g}",
            )  # fmt: skip
        zero = m.values == 0
        if zero.any() and not (finite < 0).any():
            found.add(
                "zero", "error", "data", "X",
                "values of 0; an intensity that wasn't measured is NaN",
                n=int(zero.sum()), share=zero.mean(), action="mask",
            )  # fmt: skip
    unit = about(adata).get("unit")
    if kind == "npx" and unit is not None and "NPX" not in str(unit).upper():
        found.add("unit", "error", "data", "unit", f"expected NPX, found {unit!r}")
    for name, grave in (("unit", "error"), ("normalization", "warning")):
        for table in (m.var, m.obs):
            if name in table:
                counts = table[name].dropna().astype(str).value_counts()
                if len(counts) > 1:
                    each = ", ".join(f"{key!r} {n}" for key, n in counts.items())
                    found.add(
                        name, grave, "data", name,
                        f"mixed: {each}; values aren't comparable", n=len(counts),
                    )  # fmt: skip


def check_controls(m: Measured, found: Findings) -> None:
    """Count the controls, by the type that the file gives; a name is no evidence."""
    for axis, known in (("sample", SAMPLE_TYPES), ("assay", ASSAY_TYPES)):
        types = types_of(m.adata, axis)
        for kind, n in types[types != axis.upper()].value_counts(sort=False).items():
            share = n / len(types)
            if kind in known:
                found.add(
                    f"control_{axis}", "note", axis, kind,
                    f"{n} {axis}s of this type are left out of all statistics",
                    n=n, share=share, action=f"remove_{axis}",
                )  # fmt: skip
            else:
                found.add(
                    f"{axis}_type", "error", axis, kind,
                    f"{n} {axis}s are of an unknown type: expected {list_some(known)}",
                    n=n, share=share, action=f"remove_{axis}",
                )  # fmt: skip
    if not m.rows.any():
        found.add("sample_type", "error", "data", "sample_type", "no row is a sample of a person")


def check_people(m: Measured, found: Findings) -> None:
    """Look at whose the samples are: unknown people, repeats, specimens."""
    obs = m.obs
    if "specimen" in obs:
        counts = obs["specimen"].dropna().astype(str).value_counts()
        if len(counts) > 1:
            each = ", ".join(f"{name} {n}" for name, n in counts.items())
            found.add(
                "specimen", "warning", "data", "specimen",
                f"several specimens ({each}): their levels aren't comparable", n=len(counts),
            )  # fmt: skip
    if "sample_id" in obs:
        counts = obs["sample_id"].dropna().astype(str).value_counts()
        for name, n in counts[counts > 1].items():
            found.add(
                "sample_id", "warning", "sample", name,
                f"{n} rows come from samples of this name", n=n,
            )  # fmt: skip
    if "subject_id" not in obs:
        return
    unknown = obs["subject_id"].isna()
    if unknown.any():
        found.add(
            "subject_id", "error", "data", "subject_id",
            f"{int(unknown.sum())} samples belong to nobody: {list_some(m.samples[unknown])}",
            n=int(unknown.sum()), share=unknown.mean(),
        )  # fmt: skip
    keys = ["subject_id", *(key for key in ("visit", "specimen") if key in obs)]
    known = obs[keys].notna().all(axis=1)
    if "visit" not in keys or not known.any():
        return  # without visits several samples of a person are what one expects
    told = obs.loc[known, keys]
    again = told.duplicated(keep="first").to_numpy()
    for name, row in zip(m.samples[known][again], told[again].astype(str).values, strict=True):
        found.add(
            "repeated_sample", "warning", "sample", name,
            f"another sample is of the same {', '.join(keys)} ({', '.join(row)})", n=1,
        )  # fmt: skip


def check_foreign(m: Measured, found: Findings) -> None:
    """Look for contaminants and decoys that were left among the proteins."""
    names = m.adata.var_names.to_numpy()
    for kind, what in FOREIGN.items():
        for name in names[foreign(m.adata, kind)]:
            found.add(kind, "warning", "assay", name, what, n=1, action="remove_assay")
