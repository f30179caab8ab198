"""Two training runs as a page that a browser shows without anything else."""

import base64
import html
from collections.abc import Iterable

from archlab.parity import heatmap
from archlab.parity.heatmap import Cell
from archlab.parity.run_difference import Change, RunDifference, Tensors, words
from archlab.training.plots import losses_png


def page(found: RunDifference) -> str:
    """The verdict, what the runs were given, both curves, and a map of each table of tensors."""
    sides = {"A": found.a, "B": found.b}
    what = "".join(
        f"<p>{name}: {html.escape(f'{s.path}, {s.trained()}, checkpoint of step {s.step}')}</p>"
        for name, s in sides.items()
    )
    picture = losses_png([(f"{name}: {side.path.name}", side.path) for name, side in sides.items()], "Loss")
    legend = "Colour: difference in relation to the parameter, from one millionth (light) to all of it (dark)."
    body = (
        f"<p><b>{html.escape(found.verdict)}</b></p>{what}"
        f"{_table('config', found.config)}{_table('data', found.data)}{_table('environment', found.environment)}"
        f'<h2>losses</h2><img alt="losses of A and B" width="800" src="data:image/png;base64,{_text(picture)}">'
        f"<p>{legend}</p>{''.join(map(_map, found.tensors))}"
    )
    return heatmap.document(f"{found.a.path} against {found.b.path}", body)


def _table(title: str, changes: Iterable[Change]) -> str:
    cells = ([change.where, words(change.a), words(change.b)] for change in changes)
    lines = "".join(f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in row)}</tr>" for row in cells)
    head = "<tr><th></th><th>A</th><th>B</th></tr>"
    return f"<h2>{title}</h2>" + (f"<table>{head}{lines}</table>" if lines else "<p>equal</p>")


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")


def _map(tensors: Tensors) -> str:
    """The differences by layer and kind; a list of the parameters that cannot be compared."""
    cells = [
        Cell(where=path, error=error, share=error, tip=f"difference {error:.2e}")
        for path, error in sorted(tensors.errors.items())
    ]
    lists = "".join(f"<p>{html.escape(line)}</p>" for line in tensors.unmatched())
    return heatmap.grid(tensors.name, cells) + lists
