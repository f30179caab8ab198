"""Files whose documents have named parts: what JSON Lines and Parquet share."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from archlab.data.documents.base import Documents, Piece, check_fields, cut_files, ordered
from archlab.data.files import matching


class Columns(Documents):
    """Files of rows, each of which is a document.

    files
        Files, folders (their files that end in one of ``suffixes``) and patterns.
    fields
        Where a document's parts stand in a row: ``{"text": "content"}``, or ``{"source": "tr", "target": "en"}``.
    """

    abstract = True
    suffixes: ClassVar[tuple[str, ...]]

    files: tuple[str, ...]
    fields: dict[str, str] = dataclasses.field(default_factory=lambda: {"text": "text"})

    def check(self) -> None:
        pattern = f"data/*{self.suffixes[0]}"
        self.require(len(self.files) > 0, "files", f"names no file; give files, folders or patterns like {pattern}")
        check_fields(self, list(self.fields))

    def field_names(self) -> tuple[str, ...]:
        return ordered(self.fields)

    def inputs(self) -> list[Path]:
        return matching(self.files, self.suffixes)

    def pieces(self, size: int) -> list[Piece]:
        return cut_files(self.inputs(), size, lambda file: self.ranges(file, size))

    def ranges(self, file: Path, size: int) -> Iterable[Piece]:
        """The pieces of a file that is larger than ``size`` bytes."""
        raise NotImplementedError
