"""A long table, whatever file it comes from: named columns, read batch by batch, twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import FormatError
from .names import LIMITS, MISSING, VALUES, is_person, name_columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NUMBERS", "ArrowTable", "LongTable", "NotANumber", "ParquetTable"]

# Columns of ours that hold numbers; an unknown column is looked at.
NUMBERS = {*VALUES, *LIMITS, "count", "ext_npx", "pc_normalized_npx", "missing_freq"}
_BATCH = 1 << 18


class NotANumber(Exception):
    """A column that nobody promised to be numbers isn't: read it as text, and begin again."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class LongTable:
    """One row per sample and assay.

    Parameters
    ----------
    name : str
        Of the file (and of the sheet or member), for messages.
    columns : sequence of str
        As the file names them.
    numeric : set of str
        Those of `columns` that hold numbers; the rest is text.
    metadata : dict of str to str
        What the file says of itself.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        numeric: set[str],
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.columns = list(columns)
        self.ours = name_columns(self.columns, name)
        self.theirs = {mine: theirs for theirs, mine in self.ours.items()}
        self.numeric = numeric
        self.metadata = metadata or {}
        self.whole: set[str] = set()  # numbers that are whole by their type
        self.homes: dict[str, str] = {}  # where `write_npx` took columns from
        if "sample_id" not in self.theirs:
            raise FormatError(
                f"expected a column SampleID, found {list(self.columns)[:20]}",
                where=name,
                remedy="pass the export of the Olink software as it is",
            )

    def batches(self, ours: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give columns (by our names) batch by batch: dictionary arrays, or numbers."""
        raise NotImplementedError

    def locate(self, ours: str, row: int) -> str:
        """Say where the cell of a row is (rows are counted from 0, without the header)."""
        return f"{self.name}, row {row + 1}, column {self.theirs.get(ours, ours)!r}"


def _as_text(array: pa.Array) -> pa.Array:
    """Return a dictionary array of text, whatever the type; codes for missing become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.string()).dictionary_encode()
    words = array.dictionary.cast(pa.string())
    gone = pc.is_in(words, value_set=pa.array(MISSING, pa.string()))
    if pc.any(gone).as_py():
        words = pc.if_else(gone, pa.scalar(None, pa.string()), words)
        # A null inside a dictionary isn't a null of the array: encode anew.
        return words.take(array.indices).dictionary_encode()
    return pa.DictionaryArray.from_arrays(array.indices, words)


class ArrowTable(LongTable):
    """A long table that lies in memory, as Excel's do.

    Parameters
    ----------
    name : str
        For messages.
    table : pyarrow.Table
        The rows.
    metadata : dict of str to str, optional
        What the file says of itself.
    """

    def __init__(self, name: str, table: pa.Table, metadata: dict[str, str] | None = None) -> None:
        super().__init__(name, table.column_names, _numeric(table.schema), metadata)
        self.table = table
        self.whole = _whole(table.schema)

    def batches(self, ours: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give the columns, batch by batch."""
        wanted = self.table.select([self.theirs[mine] for mine in ours])
        for batch in wanted.to_batches(max_chunksize=_BATCH):
            yield _columns(batch, ours, self)


class ParquetTable(LongTable):
    """A Parquet file, as Explore HT and Reveal write them.

    Parameters
    ----------
    name : str
        For messages.
    open_it : callable
        Opens the file anew.
    """

    def __init__(self, name: str, open_it: Callable[[], BinaryIO]) -> None:
        import json

        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open_it() as stream:
                schema = pq.ParquetFile(stream).schema_arrow
        except pa.ArrowException as error:
            raise FormatError(f"the Parquet file is damaged ({error})", where=name) from error
        said = {
            key.decode(): value.decode("utf-8", "replace")
            for key, value in (schema.metadata or {}).items()
            if key not in (b"ARROW:schema", b"pandas")
        }
        homes = json.loads(said.pop("precisionpain.homes", "{}"))
        super().__init__(name, schema.names, _numeric(schema), said)
        self.whole, self.homes = _whole(schema), homes
        self._open = open_it
        self._text = [name for name in self.columns if pa.types.is_string(schema.field(name).type)]

    def batches(self, ours: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give the columns, batch by batch."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = [self.theirs[mine] for mine in ours]
        with self._open() as stream:
            try:
                file = pq.ParquetFile(stream, read_dictionary=self._text)
                # Group by group: one iteration over all of them holds on to what it has read,
                # in the end the whole file.
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=wanted):
                        yield _columns(batch, ours, self)
            except pa.ArrowException as error:
                raise FormatError(
                    f"the Parquet file is damaged ({error})", where=self.name
                ) from error


def _columns(batch: pa.RecordBatch, ours: Sequence[str], table: LongTable) -> dict[str, Any]:
    import pyarrow as pa

    found: dict[str, Any] = {}
    for mine in ours:
        theirs = table.theirs[mine]
        array = batch.column(theirs)
        if theirs not in table.numeric:
            found[mine] = _as_text(array)
            continue
        try:
            found[mine] = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise FormatError(str(error), where=f"{table.name}, column {theirs!r}") from error
    return found


def _numeric(schema: pa.Schema) -> set[str]:
    """Return the columns to read as numbers; identifiers are text, whatever their type."""
    import pyarrow as pa

    ours = name_columns(schema.names, "the file")
    known = set(ours.values()) & NUMBERS
    types = pa.types
    return {
        field.name
        for field in schema
        if ours[field.name] in known
        or (
            (types.is_integer(field.type) or types.is_floating(field.type))
            and ours[field.name] == field.name
            and not is_person(field.name)
        )
    }


def _whole(schema: pa.Schema) -> set[str]:
    import pyarrow as pa

    return {field.name for field in schema if pa.types.is_integer(field.type)}
