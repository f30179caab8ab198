"""JSON Lines: an object a line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from archlab.data.documents.base import Piece, Record, byte_ranges, pick, whole
from archlab.data.documents.columns import Columns
from archlab.data.files import is_packed, line_number, lines
from archlab.errors import InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


class JSONLines(Columns):
    """Files with a JSON object a line, each of which is a document; packed ones end in ``.gz``.

    ``fields`` are keys of the objects.
    """

    suffixes = SUFFIXES

    def ranges(self, file: Path, size: int) -> Iterable[Piece]:
        return whole(file) if is_packed(file) else byte_ranges(file, size)

    def read(self, piece: Piece) -> Iterator[Record]:
        for name in piece.files:
            path = Path(name)
            for place, line in lines(path, piece.start, piece.stop):
                if line.strip():
                    record = self._record(path, place, line)
                    if any(record.values()):
                        yield record

    def _record(self, path: Path, place: int, line: bytes) -> Record:
        def where() -> str:
            return f"{path}, line {line_number(path, place)}"

        try:
            row = json.loads(line)
        except UnicodeDecodeError:
            raise InputError(f"{where()}: no UTF-8 text; convert the file or remove the line") from None
        except ValueError as error:
            raise InputError(f"{where()}: no JSON: {error}; a line holds one object") from None
        if not isinstance(row, dict):
            raise InputError(f'{where()}: {type(row).__name__} is no object; a line holds one, like {{"text": …}}')
        return pick(row, self.fields, where)
