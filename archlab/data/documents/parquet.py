"""Parquet files, read with pyarrow."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from archlab.data.documents.base import Piece, Record, pick
from archlab.data.documents.columns import Columns
from archlab.errors import InputError

SUFFIXES = (".parquet",)
_ROWS = 1024  # turned into Python at once


class Parquet(Columns):
    """Parquet files, a row a document; ``fields`` are columns. Needs pyarrow (``pip install 'archlab[data]'``)."""

    suffixes = SUFFIXES

    def ranges(self, file: Path, size: int) -> Iterable[Piece]:
        return _ranges(file, size)

    def read(self, piece: Piece) -> Iterator[Record]:
        for name in piece.files:
            file = _open(Path(name))
            stop = file.num_row_groups if piece.stop is None else piece.stop
            for group in range(piece.start, stop):
                yield from self._group(name, file, group)

    def _group(self, name: str, file: Any, group: int) -> Iterator[Record]:
        """The documents of one row group."""
        row = sum(file.metadata.row_group(i).num_rows for i in range(group))
        there = [column for column in dict.fromkeys(self.fields.values()) if column in file.schema_arrow.names]
        if len(there) < len(set(self.fields.values())):
            pick(dict.fromkeys(file.schema_arrow.names, ""), self.fields, lambda: name)  # says which one is missing
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=there):
            for values in batch.to_pylist():
                row += 1
                record = pick(values, self.fields, lambda row=row: f"{name}, row {row}")  # type: ignore[misc]
                if any(record.values()):
                    yield record


def _ranges(path: Path, size: int) -> Iterator[Piece]:
    """Row groups of a file, as many together as come to ``size`` bytes."""
    metadata = _open(path).metadata
    start, count = 0, 0
    for group in range(metadata.num_row_groups):
        count += metadata.row_group(group).total_byte_size
        if count >= size or group == metadata.num_row_groups - 1:
            yield Piece((str(path),), start, group + 1, count)
            start, count = group + 1, 0


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(f"{path} needs pyarrow to be read; install it with pip install 'archlab[data]'") from None
    try:
        return ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from None
