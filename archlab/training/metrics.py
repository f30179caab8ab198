"""The metrics of a run as rows of a CSV file: one writer, which can continue, and one reader."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from archlab.errors import InputError
from archlab.files import whole_lines, write_text


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of metrics, written after ``step`` updates.

    split, loss
        "train": the mean loss of the steps since the row before; "val": the loss on held-out text.
    lr, grad_norm
        The learning rate of this step, and the mean gradient norm before clipping; empty for "val".
    tokens, seconds
        Target tokens trained on so far, and the seconds that took, evaluation and checkpoints not counted.
    tokens_per_second
        The training speed since the row before; empty for "val".
    noted
        Auxiliary losses and statistics, as means of the steps since the row before; each has a column of its name.
    """

    step: int
    split: Literal["train", "val"]
    loss: float
    lr: float | None
    grad_norm: float | None
    tokens: int
    seconds: float
    tokens_per_second: float | None
    noted: Mapping[str, float] = field(default_factory=dict)


SPLITS: dict[str, Literal["train", "val"]] = {"train": "train", "val": "val"}
COLUMNS = tuple(f.name for f in dataclasses.fields(Row) if f.name != "noted")  # of every run


class MetricsFile:
    """An open metrics file. Every row is on disk when :meth:`write` returns."""

    def __init__(self, path: Path, keep_until: int) -> None:
        """Open ``path`` and keep the rows of steps up to ``keep_until``; later ones are dropped."""
        self._path = path
        kept = [row for row in read(path) if row.step <= keep_until] if path.exists() else []
        self.empty = not kept
        """Whether no row was kept."""
        self._begin(kept)

    def _begin(self, rows: list[Row]) -> None:
        """Open a file of ``rows``, with a column for everything noted in them."""
        self._names = list(dict.fromkeys(name for row in rows for name in row.noted))
        text = io.StringIO(newline="")
        csv.writer(text).writerows([(*COLUMNS, *self._names), *(_cells(row, self._names) for row in rows)])
        write_text(self._path, text.getvalue())
        self._file: IO[str] = self._path.open("a", newline="")

    def write(self, row: Row) -> None:
        if not row.noted.keys() <= set(self._names):  # the first step tells what a model notes
            self._file.close()
            self._begin([*read(self._path), row])
            return
        csv.writer(self._file).writerow(_cells(row, self._names))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    values = [getattr(row, name) for name in COLUMNS] + [row.noted.get(name) for name in names]
    return ["" if v is None else repr(v) if isinstance(v, float) else str(v) for v in values]


def read(path: Path) -> list[Row]:
    """All rows of a metrics file; a last line that was cut off by a crash is left out."""
    if not path.is_file():
        raise InputError(f"no metrics file {path}")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    header, *rows = [*csv.reader(whole_lines(text))] or [[]]
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise InputError(f"{path} is not a metrics file of archlab: its first line must be {','.join(COLUMNS)}")
    return [_row(cells, header[len(COLUMNS) :], path, number) for number, cells in enumerate(rows, start=2)]


def _row(cells: list[str], names: list[str], path: Path, number: int) -> Row:
    def optional(text: str) -> float | None:
        return float(text) if text else None

    try:
        step, split, loss, lr, grad_norm, tokens, seconds, speed = cells[: len(COLUMNS)]
        noted = dict(zip(names, cells[len(COLUMNS) :], strict=True))
        return Row(
            step=int(step),
            split=SPLITS[split],
            loss=float(loss),
            lr=optional(lr),
            grad_norm=optional(grad_norm),
            tokens=int(tokens),
            seconds=float(seconds),
            tokens_per_second=optional(speed),
            noted={name: float(text) for name, text in noted.items() if text},
        )
    except (ValueError, KeyError):
        raise InputError(f"{path}, line {number}: {','.join(cells)!r} is not a row of metrics") from None
