"""A long export read in small pieces: the same as in one, and never held as a whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from precisionpain.proteomics import read_npx
from precisionpain.proteomics._npx import delimited, tables

N, P = 37, 23


@pytest.fixture
def table():
    """Rows in no order, with gaps, an unknown column of text and one of each kind of home."""
    rng = np.random.default_rng(5)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(N), np.arange(P), indexing="ij"))
    long = pd.DataFrame({
        "SampleID": [f"S{a:02d}" if a else "CONTROL_SAMPLE 1" for a in i],
        "Subject": [f"{a // 2:03d}" if a else None for a in i],
        "OlinkID": [f"OID{b:02d}" for b in j], "UniProt": [f"P{b:05d}" for b in j],
        "Assay": [f"G{b}" for b in j], "Panel": np.where(j % 2, "Neurology", "Inflammation"),
        "PlateID": [f"P{a % 3}" for a in i],
        "QC_Warning": np.where(rng.random(N * P) < 0.1, "Warning", "Pass"),
        "LOD": (j / 7.0).round(3), "NPX": rng.normal(size=N * P).round(4),
        "Remark": rng.choice(["x", "y", "z"], N * P),
    })  # fmt: skip
    long = long[rng.random(len(long)) > 0.05]
    return long.sample(frac=1, random_state=1).reset_index(drop=True)


def same(one, other):
    pd.testing.assert_frame_equal(one.obs, other.obs)
    pd.testing.assert_frame_equal(one.var, other.var)
    assert_array_equal(one.X, other.X)
    assert set(one.layers) == set(other.layers)
    for name in one.layers:
        assert_array_equal(one.layers[name], other.layers[name])
    assert set(one.obsm) == set(other.obsm)
    for name in one.obsm:
        pd.testing.assert_frame_equal(one.obsm[name], other.obsm[name])
    known, wanted = dict(one.uns["precisionpain"]), dict(other.uns["precisionpain"])
    # The path differs, and nothing else.
    assert len(known.pop("source")) == len(wanted.pop("source")) == 1
    assert known == wanted


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces_give_the_same_as_the_whole(table, tmp_path, monkeypatch, suffix, size):
    path = tmp_path / f"export.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False, sep=";")
    else:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    whole = read_npx(path)
    pieces = tmp_path / f"pieces.{suffix}"
    if suffix == "csv":
        pieces.write_bytes(path.read_bytes())
        monkeypatch.setattr(delimited, "_BLOCK", 200 * size)  # a row has some 80 bytes
    else:
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False), pieces, row_group_size=3 * size
        )
        monkeypatch.setattr(tables, "_BATCH", size)
    same(read_npx(pieces), whole)
    # And both are what the rows say.
    wide = table.pivot(index="SampleID", columns="OlinkID", values="NPX")
    assert_array_equal(whole.to_df().loc[wide.index, wide.columns], wide)
    assert whole.uns["precisionpain"]["subject_from"] == "column 'Subject'"


def test_a_parquet_file_is_never_held_as_a_whole(tmp_path):
    """What is read is let go of, group of rows by group of rows."""
    rng = np.random.default_rng(0)
    n, p = 40, 2500
    path = tmp_path / "export.parquet"
    columns = {"NPX": rng.normal(size=p), "Count": rng.normal(size=p), "LOD": rng.normal(size=p),
               "ExtNPX": rng.normal(size=p), "PCNormalizedNPX": rng.normal(size=p)}  # fmt: skip
    of_assay = {"OlinkID": [f"OID{j}" for j in range(p)], "Assay": [f"G{j}" for j in range(p)]}
    writer = None
    for i in range(n):
        piece = pa.table({"SampleID": [f"S{i}"] * p, **of_assay, **columns})
        writer = writer or pq.ParquetWriter(path, piece.schema, compression="none",
                                            use_dictionary=["SampleID"])  # fmt: skip
        writer.write_table(piece)
    writer.close()
    size = path.stat().st_size
    assert size > 4e6
    export = tables.ParquetTable("export", lambda: path.open("rb"))
    tracemalloc.start()
    rows = sum(len(batch["npx"]) for batch in export.batches(list(export.theirs)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == n * p
    assert peak < size / 5
