"""The metrics of a run as rows of a CSV file: one writer, which can continue, and one reader."""

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from archlab.errors import InputError


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
    """

    step: int
    split: Literal["train", "val"]
    loss: float
    lr: float | None
    grad_norm: float | None
    tokens: int
    seconds: float
    tokens_per_second: float | None


SPLITS: dict[str, Literal["train", "val"]] = {"train": "train", "val": "val"}
COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


class MetricsFile:
    """An open metrics file. Every row is on disk when :meth:`write` returns."""

    def __init__(self, path: Path, keep_until: int) -> None:
        """Open ``path`` and keep the rows of steps up to ``keep_until``; later ones are dropped."""
        kept = [row for row in read(path) if row.step <= keep_until] if path.exists() else []
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_cells(row) for row in kept)
        partial.replace(path)
        self._file: IO[str] = path.open("a", newline="")

    def write(self, row: Row) -> None:
        csv.writer(self._file).writerow(_cells(row))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _cells(row: Row) -> list[str]:
    values = [getattr(row, name) for name in COLUMNS]
    return ["" if v is None else repr(v) if isinstance(v, float) else str(v) for v in values]


def read(path: Path) -> list[Row]:
    """All rows of a metrics file; a last line that was cut off by a crash is left out."""
    if not path.is_file():
        raise InputError(f"no metrics file {path}")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    lines = text.splitlines()
    if not text.endswith("\n"):
        lines = lines[:-1]
    if not lines or tuple(lines[0].split(",")) != COLUMNS:
        raise InputError(f"{path} is not a metrics file of archlab: its first line must be {','.join(COLUMNS)}")
    return [_row(cells, path, number) for number, cells in enumerate(csv.reader(lines[1:]), start=2)]


def _row(cells: list[str], path: Path, number: int) -> Row:
    def optional(text: str) -> float | None:
        return float(text) if text else None

    try:
        step, split, loss, lr, grad_norm, tokens, seconds, speed = cells
        return Row(
            step=int(step),
            split=SPLITS[split],
            loss=float(loss),
            lr=optional(lr),
            grad_norm=optional(grad_norm),
            tokens=int(tokens),
            seconds=float(seconds),
            tokens_per_second=optional(speed),
        )
    except (ValueError, KeyError):
        raise InputError(f"{path}, line {number}: {','.join(cells)!r} is not a row of metrics") from None
