"""Second pass: every column finds its home, and the values their places in the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, list_some
from .names import qc_code
from .survey import Ints, Survey

__all__ = ["Homes", "fill", "find_homes"]

# Where a column goes that is constant both within assays and within samples.
_RATHER_ASSAY = {
    "panel_version", "panel_lot", "missing_freq", "normalization", "unit", "assay_qc",
    "data_analysis_ref",
}  # fmt: skip
_FLAGS = {"qc": "sample_qc", "assay_qc": "assay_qc"}


class Homes:
    """Where the columns that are no values went.

    Parameters
    ----------
    row_of_run : ndarray of int
        Row of the matrix.
    n_rows : int
        How many.
    """

    def __init__(self, row_of_run: Ints, n_rows: int) -> None:
        self.row_of_run = row_of_run
        self.n_rows = n_rows
        self.obs: dict[str, pd.Series] = {}
        self.var: dict[str, pd.Series] = {}
        self.obsm: dict[str, pd.DataFrame] = {}
        self.cells: list[str] = []

    def first_run(self) -> Ints:
        """Return the first run of each row."""
        first = np.empty(self.n_rows, dtype=np.int64)
        first[self.row_of_run[::-1]] = np.arange(len(self.row_of_run))[::-1]
        return first


def find_homes(
    survey: Survey, row_of_run: Ints, panels: Sequence[str], hints: dict[str, str]
) -> Homes:
    """Give each column the narrowest home that holds it without loss.

    Parameters
    ----------
    survey : Survey
        Of all tables.
    row_of_run : ndarray of int
        See `rows_of_runs`.
    panels : sequence of str
        In the order of the assays; empty where files don't name any.
    hints : dict of str to str
        ``"obs"``, ``"var"``, ``"obsm"`` or ``"layers"`` for columns whose home a file names.
    """
    homes = Homes(row_of_run, int(row_of_run.max()) + 1)
    runs = survey.run_table()
    panel = pd.Index(panels).get_indexer(pd.Index(runs["panel"], dtype=object))
    for name in ("sample_index", "plate", "well"):
        if not len(survey.keys[name]):
            continue
        codes, found = pd.factorize(runs[name])
        words = pd.Series([*found, None], dtype=object)
        if not _place_runs(homes, name, codes.astype(np.int64), words, panel, panels):
            # The blocks of one panel on different plates.
            homes.obs[name] = (
                runs[name].groupby(row_of_run).agg(lambda cells: ",".join(cells.dropna().unique()))
            )
    n, m = len(survey.assays), len(survey.runs)
    for name, attribute in survey.attributes.items():
        wish = hints.get(name) or ("var" if name in _RATHER_ASSAY else "obs")
        of_assay = None if wish == "layers" else attribute.assays(n)
        of_run = None if wish == "layers" else attribute.runs(m)
        if of_assay is not None and (wish == "var" or of_run is None):
            homes.var[name] = attribute.read(of_assay)
            continue
        if of_run is not None:
            codes, bits = pd.factorize(of_run)
            words = attribute.read(np.asarray(bits, dtype=np.int64))
            if _place_runs(homes, name, codes.astype(np.int64), words, panel, panels):
                continue
        if of_assay is not None:
            homes.var[name] = attribute.read(of_assay)
        else:
            homes.cells.append(name)
    return homes


def _place_runs(
    homes: Homes,
    name: str,
    codes: Ints,
    words: pd.Series,
    panel: NDArray[Any],
    panels: Sequence[str],
) -> bool:
    """Place a column that is constant within runs in obs, or by panel; tell if that went."""
    row = homes.row_of_run
    of_row = np.full(homes.n_rows, -1, dtype=np.int64)
    of_row[row] = codes
    if (of_row[row] == codes).all():
        found = words.iloc[of_row].reset_index(drop=True)
        homes.obs[name] = found.where(found.notna(), None) if found.dtype == object else found
        return True
    of_panel = np.full((homes.n_rows, max(len(panels), 1)), -2, dtype=np.int64)
    of_panel[row, panel] = codes
    if not len(panels) or (panel < 0).any() or (of_panel[row, panel] != codes).any():
        return False
    lookup = np.array([*words.tolist(), None], dtype=object)
    cells = lookup[np.where(of_panel < 0, len(words), of_panel)]
    table = pd.DataFrame({name: cells[:, j] for j, name in enumerate(panels)})
    homes.obsm[name] = table if words.dtype == object else table.astype(np.float64)
    return True


def fill(
    survey: Survey, homes: Homes, value: str, names: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]], set[str]]:
    """Read the tables again and put the values in their places.

    Parameters
    ----------
    survey : Survey
        Of all tables.
    homes : Homes
        Rows, and the columns that need a place for every cell.
    value : str
        The column that becomes the matrix.
    names : sequence of str
        Other columns of values.

    Returns
    -------
    layers : dict of str to ndarray of shape (rows, assays)
        With `value`; text as codes (−1 for missing).
    words : dict of str to list of str
        What the codes mean.
    unknown : set of str
        QC flags that nobody knows.

    Raises
    ------
    AlignmentError
        When a sample has two values of one assay.
    """
    n, p = homes.n_rows, len(survey.assays)
    texts = [name for name in homes.cells if survey.attributes[name].text]
    numbers = [value, *names, *(name for name in homes.cells if name not in texts)]
    layers: dict[str, NDArray[Any]] = {name: np.full(n * p, np.nan) for name in numbers}
    flags = {name: code for name, code in _FLAGS.items() if name in survey.attributes}
    unknown: set[str] = set()
    # A word that the codes can't tell apart (EXCLUDED from FAIL) is kept beside them.
    kept = []
    for name in texts:
        words = [str(word).upper() for word in survey.attributes[name].words.items]
        if name not in flags or not set(words) <= {"PASS", "WARN", "FAIL"}:
            kept.append(name)
    spelt = {name: f"{name}_words" if name in _FLAGS else name for name in kept}
    layers |= {spelt[name]: np.full(n * p, -1, dtype=np.int32) for name in kept}
    layers |= {code: np.full(n * p, np.nan, dtype=np.float32) for code in flags.values()}
    lookup: dict[str, NDArray[np.float32]] = {}
    for name in flags:
        items = survey.attributes[name].words.items
        found = [qc_code(word) for word in items]
        unknown |= {word for word, code in zip(items, found, strict=True) if code is None}
        lookup[name] = np.array(
            [np.nan if code is None else code for code in found] + [np.nan], dtype=np.float32
        )

    seen = np.zeros(n * p, dtype=bool)
    several = np.zeros(p, dtype=bool)
    several[list(survey.several("uniprot"))] = True
    taken = 0
    for number, table in enumerate(survey.tables):
        keys = ("obs_name", "sample_id", "sample_index", "plate", "well", "panel", "block")
        wanted = [*keys, "olink_id", "gene", *numbers, *kept, *flags]
        wanted = [name for name in dict.fromkeys(wanted) if name in table.theirs]
        done = 0
        for columns in table.batches(wanted):
            run, assay, real = survey.place(number, table, columns, done)
            done += len(real)
            flat = homes.row_of_run[run] * p + assay
            put = np.ones(len(flat), dtype=bool)
            if several.any():
                # One assay listed under each of its accessions says the same value again.
                values = columns[value][real] if value in columns else np.zeros(len(flat))
                put = ~_repeats(flat, values, several[assay], seen, layers[value])
            flat = flat[put]
            for name in numbers:
                if name in columns:
                    layers[name][flat] = columns[name][real][put]
            for name in kept:
                if name in columns:
                    codes = survey.attributes[name].words.of(columns[name])
                    layers[spelt[name]][flat] = codes[real][put]
            for name, code in flags.items():
                if name in columns:
                    codes = survey.attributes[name].words.of(columns[name])[real][put]
                    layers[code][flat] = lookup[name][codes]
            seen[flat] = True
            taken += len(flat)
    if int(seen.sum()) < taken:
        raise _duplicates(survey, homes, several)
    meaning = {
        spelt[name]: [str(word) for word in survey.attributes[name].words.items] for name in kept
    }
    return {name: layer.reshape(n, p) for name, layer in layers.items()}, meaning, unknown


def _repeats(
    flat: Ints,
    values: NDArray[np.float64],
    asked: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    held: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell which rows say again what was said."""
    again = pd.DataFrame({"flat": flat, "value": values}).duplicated().to_numpy()
    before = held[flat]
    again |= seen[flat] & ((before == values) | (np.isnan(before) & np.isnan(values)))
    return again & asked


def _duplicates(survey: Survey, homes: Homes, several: NDArray[np.bool_]) -> AlignmentError:
    """Read once more, and name what is there twice."""
    p = len(survey.assays)
    count = np.zeros(homes.n_rows * p, dtype=np.int32)
    keys = ("obs_name", "sample_id", "sample_index", "plate", "well", "panel", "block")
    for number, table in enumerate(survey.tables):
        wanted = [name for name in (*keys, "olink_id", "gene") if name in table.theirs]
        done = 0
        for columns in table.batches(wanted):
            run, assay, real = survey.place(number, table, columns, done)
            done += len(real)
            np.add.at(count, homes.row_of_run[run] * p + assay, 1)
    sample = survey.run_table()["sample_id"].to_numpy()[homes.first_run()]
    where = np.flatnonzero(count > 1)
    where = where[~several[where % p]] if (~several[where % p]).any() else where
    pairs = [f"{sample[at // p]} × {survey.assays.items[at % p]}" for at in where.tolist()]
    return AlignmentError(
        f"{len(pairs)} values are given more than once: {list_some(pairs, most=10)}",
        where=", ".join(table.name for table in survey.tables[:3]),
        remedy="remove the copies; a sample that was measured again needs its own Index, "
        "PlateID or WellID",
    )
