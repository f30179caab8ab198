"""Errors by layer and kind as a page that a browser shows without anything else."""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.parity.gaps import Difference, Gap

LAYER = re.compile(r"^(.*?layers)\.(\d+)(?:\.(.*))?$")
STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #222 }
table { border-collapse: collapse; margin: 0 0 2rem }
th { font-weight: 500; text-align: left; padding: 2px 8px }
td { padding: 2px 8px; text-align: right; font-variant-numeric: tabular-nums; border: 1px solid #fff }
.broken { outline: 2px solid #b00020; outline-offset: -2px }
"""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An error at one place of a model.

    share
        What the colour says: from one millionth (light) to 1 (dark).
    tip, style
        What the pointer shows, and a class of :data:`STYLE` or nothing.
    """

    where: str
    error: float
    share: float
    tip: str
    style: str = ""


def page(found: "Difference") -> str:
    """The whole page: what was compared, the verdict, and a map for each stage that has layers."""
    verdict = f"{found.a} and {found.b} agree at all {len(found.gaps)} places."
    if found.first is not None:
        verdict = f"First difference: {found.first.where}, {found.first.stage}."
    why = "" if found.diagnosis is None else f"<pre>{html.escape(str(found.diagnosis))}</pre>"
    stages = dict.fromkeys(gap.stage for gap in found.gaps)
    maps = "".join(grid(stage, [_cell(g) for g in found.gaps if g.stage == stage]) for stage in stages)
    legend = "Colour: share of the limit, from one millionth (light) to all of it (dark); outlined where exceeded."
    title = f"{found.a} against {found.b}, {found.dtype}"
    return document(title, f"<p>{html.escape(verdict)}</p>{why}<p>{legend}</p>{maps}")


def document(title: str, body: str) -> str:
    """A page with a heading; ``body`` is HTML."""
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
        f"<h1>{name}</h1>{body}</html>\n"
    )


def grid(title: str, cells: Sequence[Cell]) -> str:
    """Rows are kinds of part, columns are layers; what stands outside the layers has a column of its own."""
    rows: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        row, column = _place(cell.where)
        rows.setdefault(row, {})[column] = cell
    columns = sorted({c for row in rows.values() for c in row}, key=lambda c: (c != "", int(c or 0)))
    head = "".join(f"<th>{f'layer {c}' if c else 'once'}</th>" for c in columns)
    lines = (f"<tr><th>{html.escape(n)}</th>{''.join(_drawn(r.get(c)) for c in columns)}</tr>" for n, r in rows.items())
    return f"<h2>{html.escape(title)}</h2><table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _place(where: str) -> tuple[str, str]:
    """The kind of part, and its layer as text; no layer for what stands outside."""
    match = LAYER.match(where)
    if not match:
        return where, ""
    return f"{match[1]}.*.{match[3]}" if match[3] else f"{match[1]}.*", match[2]


def _cell(gap: "Gap") -> Cell:
    tip = f"error {gap.error:.2e}, limit {gap.limit:.1e}"
    return Cell(where=gap.where, error=gap.error, share=gap.share, tip=tip, style="" if gap.passed else "broken")


def _drawn(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    share = min(max(1.0 + math.log10(max(cell.share, 1e-6)) / 6.0, 0.0), 1.0)
    colour = f"hsl({210 - 190 * share:.0f} 70% {96 - 40 * share:.0f}%)"
    style = f' class="{cell.style}"' if cell.style else ""
    return f'<td{style} style="background:{colour}" title="{cell.tip}">{cell.error:.1e}</td>'
