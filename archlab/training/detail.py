"""Norms of every parameter over a run: ``layers.csv``, and its picture."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.backends import StepMetrics
from archlab.files import whole_lines, write_text
from archlab.training.callbacks import Callback
from archlab.training.plots import plot_layers

if TYPE_CHECKING:
    from archlab.training.session import Session

COLUMNS = ("step", "path", "grad", "weight", "update")


class DetailFile(Callback):
    """A row for each parameter at every step that asks for detail, and a picture of them at the end, ``layers.png``.

    A resumed run drops the rows of later steps first.
    """

    def on_train_start(self, session: "Session") -> None:
        self.path: Path = session.run.path / "layers.csv"
        rows = [row for row in _read(self.path) if int(row[0]) <= session.step] if self.path.exists() else []
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *rows])
        write_text(self.path, text.getvalue())

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        if metrics.detail is None:
            return
        found = metrics.detail
        rows = [[step, path, found.grad[path], found.weight[path], found.update[path]] for path in found.grad]
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows(rows)

    def on_train_end(self) -> None:
        if _read(self.path):
            plot_layers(self.path, self.path.with_suffix(".png"))


def _read(path: Path) -> list[list[str]]:
    """Its whole rows: a crash may have cut the last one."""
    return [row for row in csv.reader(whole_lines(path.read_text())) if row and row[0].isdigit()]
