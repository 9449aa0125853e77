"""The steps of `clean`, one function each, and the record of what they left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .._layout import about, is_assay, is_sample, values_of
from .findings import check_report, listed
from .rules import (
    FOREIGN,
    below_lod,
    foreign,
    malformed_ids,
    missing_share,
    qc_codes,
    types_of,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FLOW", "Cleaner"]

FLOW = ("step", "what", "n", "remaining", "items")
Mask = NDArray[np.bool_]


class Cleaner:
    """A copy of the data that gets smaller, and the list of what went.

    Parameters
    ----------
    adata : anndata.AnnData
        Isn't changed.
    report : pandas.DataFrame or None
        Only what it lists is touched; None touches all that a step finds.
    """

    def __init__(self, adata: AnnData, report: pd.DataFrame | None) -> None:
        if report is not None:
            check_report(report)
        self.adata = adata.copy()
        self.report = report
        self.steps: list[tuple[str, str, int, int, str]] = []
        # Of names that stand twice the fuller one.
        self.shares = {
            axis: _shares(adata, axis).groupby(level=0).min() for axis in ("sample", "assay")
        }

    def _allowed(self, names: pd.Index, where: str, *checks: str) -> Mask:
        """Tell which items the report lists for some checks; all without a report."""
        if self.report is None:
            return np.ones(len(names), dtype=bool)
        return names.astype(str).isin(list(listed(self.report, where, checks)))

    def _drop(self, step: str, axis: str, gone: Mask) -> bool:
        """Leave out rows or columns, and say so."""
        if not gone.any():
            return False
        names = self.adata.obs_names if axis == "sample" else self.adata.var_names
        items = "; ".join(names[gone].astype(str))
        keep = ~gone
        self.adata = (self.adata[keep] if axis == "sample" else self.adata[:, keep]).copy()
        self.steps.append((step, f"{axis}s", int(gone.sum()), int(keep.sum()), items))
        return True

    def _mask(self, step: str, cells: Mask) -> None:
        """Make values missing, and say so."""
        values = values_of(self.adata)
        cells = cells & ~np.isnan(values)
        if not cells.any():
            return
        values[cells] = np.nan
        self.adata.X = values
        left = int((~np.isnan(values)).sum())
        rows = "; ".join(self.adata.obs_names[cells.any(axis=1)].astype(str))
        self.steps.append((step, "values", int(cells.sum()), left, rows))

    def duplicates(self) -> None:
        """Keep the first row and the first column of each name."""
        for axis, names in (("sample", self.adata.obs_names), ("assay", self.adata.var_names)):
            again = np.asarray(names.duplicated(keep="first"))
            allowed = self._allowed(names, axis, f"duplicate_{axis}")
            self._drop("duplicate name", axis, np.logical_and(again, allowed))

    def marked(self, check: str, wrong: Callable[[NDArray[np.float64]], Mask]) -> None:
        """Make values that can't be true missing: infinite ones, zeros."""
        if self._allowed(pd.Index(["X"]), "data", check)[0]:
            self._mask(f"{check} values", wrong(values_of(self.adata)))

    def malformed(self) -> None:
        """Leave out assays without an OlinkID."""
        assay = is_assay(self.adata)
        wrong = malformed_ids(self.adata.var_names) & assay
        if wrong.any() and wrong.sum() == assay.sum():
            raise FormatError(
                f"none of the {int(assay.sum())} assays has an OlinkID, so none would be left: "
                f"{list_some(self.adata.var_names[wrong], 3)}",
                where="adata.var_names",
                remedy="keep them (malformed='keep'), or make the OlinkIDs the names",
            )
        allowed = self._allowed(self.adata.var_names, "assay", "olink_id")
        self._drop("malformed OlinkID", "assay", wrong & allowed)

    def contaminants(self) -> None:
        """Leave out contaminants, decoys, and what was identified by a site only."""
        for kind in FOREIGN:
            allowed = self._allowed(self.adata.var_names, "assay", kind)
            self._drop(kind, "assay", foreign(self.adata, kind) & allowed)

    def controls(self) -> None:
        """Leave out samples and assays of other types than a person's sample, a protein's assay."""
        for axis in ("sample", "assay"):
            types = types_of(self.adata, axis)
            other = (types != axis.upper()).to_numpy()
            allowed = self._allowed(pd.Index(types), axis, f"control_{axis}", f"{axis}_type")
            for kind in pd.unique(types[other & allowed]):
                of_kind = (types_of(self.adata, axis) == kind).to_numpy()
                self._drop(f"type {kind}", axis, of_kind)

    def quality(self, level: float, remove: bool) -> None:
        """Mask, or leave out, what failed the quality control of the laboratory."""
        for axis, check in (("sample", "sample_qc"), ("assay", "assay_qc")):
            codes = qc_codes(self.adata, check)
            if codes is None:
                continue
            names = self.adata.obs_names if axis == "sample" else self.adata.var_names
            allowed = self._allowed(names, axis, check)
            across = 1 if axis == "sample" else 0
            cells = (codes >= level) & np.expand_dims(allowed, across)
            if remove:
                self._drop(f"{axis} QC", axis, np.asarray(cells.any(axis=across)))
            else:
                self._mask(f"{axis} QC", cells)

    def outliers(self) -> None:
        """Leave out the samples that the report lists as outlying."""
        for check, step in (("outlier", "outlying sample"), ("n_proteins", "few proteins")):
            chosen = self._allowed(self.adata.obs_names, "sample", check) & is_sample(self.adata)
            self._drop(step, "sample", chosen)

    def detection(self, replace: bool) -> None:
        """Flag what lies below its limit of detection, and put the limit in its place."""
        values = values_of(self.adata)
        below = below_lod(self.adata, values)
        if below is None:
            raise FormatError(
                "expected limits of detection, found none",
                where="adata.layers['lod']",
                remedy="estimate_lod adds them, or keep the values (below_lod='keep')",
            )
        if "below_lod" in self.adata.layers:
            # What was replaced once isn't below any more, but was.
            flags = np.asarray(self.adata.layers["below_lod"], dtype=bool) | below
        else:
            flags = below
        self.adata.layers["below_lod"] = flags
        if replace and below.any():
            lod = self.adata.layers["lod"] if "lod" in self.adata.layers else self.adata.var["lod"]
            values[below] = np.broadcast_to(np.asarray(lod, dtype=np.float64), values.shape)[below]
            self.adata.X = values
            rows = "; ".join(self.adata.obs_names[below.any(axis=1)].astype(str))
            left = int((~np.isnan(values)).sum())
            self.steps.append(("replaced by the LOD", "values", int(below.sum()), left, rows))

    def missing(self, assays: float | None, samples: float | None, empty: bool) -> None:
        """Leave out what misses too much.

        What one pass leaves out changes the shares of the rest, so it goes on until nothing
        more leaves: a second `clean` then finds nothing to do.
        """
        while True:
            went = False
            for axis, limit in (("assay", assays), ("sample", samples)):
                if empty:
                    went |= self._drop_above(axis, "no value", np.nextafter(1, 0), "empty")
                if limit is not None:
                    step = f"more than {limit:.3g} of the values missing"
                    went |= self._drop_above(axis, step, limit, "missing", "empty")
            if not went:
                return

    def _drop_above(self, axis: str, step: str, limit: float, *checks: str) -> bool:
        share = _shares(self.adata, axis)
        # What exceeds the limit only since other steps acted is in no report, but follows.
        follows = self.shares[axis].reindex(share.index).to_numpy() <= limit
        return self._drop(
            step,
            axis,
            (share.to_numpy() > limit) & (self._allowed(share.index, axis, *checks) | follows),
        )

    def finish(self, before: tuple[int, int]) -> AnnData:
        """Write the record into ``uns`` and return the data."""
        if not is_sample(self.adata).any() or not is_assay(self.adata).any():
            went = ", ".join(f"{n} {what} ({step})" for step, what, n, *_ in self.steps)
            raise FormatError(
                f"nothing would be left of {before[0]} samples × {before[1]} assays: {went}",
                where="clean",
                remedy="see check_npx or check_lfq, and keep what you need by the options",
            )
        known = about(self.adata)
        flow = pd.DataFrame(self.steps, columns=list(FLOW))
        if isinstance(known.get("flow"), pd.DataFrame):
            flow = pd.concat([known["flow"], flow], ignore_index=True)
        flow = flow.astype({"n": np.int64, "remaining": np.int64})
        flow.index = flow.index.astype(str)
        removed = dict(known.get("removed") or {})
        for step, what, n, *_ in self.steps:
            key = f"{step} ({what})"
            removed[key] = int(removed.get(key, 0)) + n
        known.update(flow=flow, removed=removed, summary=_summary(self.adata, flow))
        self.adata.uns["precisionpain"] = known
        return self.adata


def _shares(adata: AnnData, axis: str) -> pd.Series:
    """Return the share missing of each row or column; 0 for controls, which aren't judged."""
    judged = {"sample": is_sample(adata), "assay": is_assay(adata)}
    names = adata.obs_names if axis == "sample" else adata.var_names
    share = pd.Series(0.0, index=names)
    x = values_of(adata)[np.ix_(judged["sample"], judged["assay"])]
    if x.size:
        share[judged[axis]] = missing_share(x, 1 if axis == "sample" else 0)
    return share


def _summary(adata: AnnData, flow: pd.DataFrame) -> str:
    lines = [f"{adata.n_obs} samples × {adata.n_vars} assays are left"]
    for n, what, step in zip(flow["n"], flow["what"], flow["step"], strict=True):
        lines.append(f"  {n} {what if n != 1 else what[:-1]}: {step}")
    if flow.empty:
        lines.append("  nothing was left out")
    return "\n".join(lines)
