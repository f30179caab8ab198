"""Errors by layer and kind as a page that a browser shows without anything else."""

import html
import math
import re
from collections.abc import Sequence
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


def page(found: "Difference") -> str:
    """The whole page: what was compared, the verdict, and a map for each stage that has layers."""
    verdict = f"{found.a} and {found.b} agree at all {len(found.gaps)} places."
    if found.first is not None:
        verdict = f"First difference: {found.first.where}, {found.first.stage}."
    why = "" if found.diagnosis is None else f"<pre>{html.escape(str(found.diagnosis))}</pre>"
    stages = dict.fromkeys(gap.stage for gap in found.gaps)
    maps = "".join(_map(stage, [g for g in found.gaps if g.stage == stage]) for stage in stages)
    title = f"{found.a} against {found.b}, {found.dtype}"
    legend = "Colour: share of the limit, from one millionth (light) to all of it (dark); outlined where exceeded."
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{html.escape(verdict)}</p>{why}<p>{legend}</p>{maps}</html>\n"
    )


def _map(stage: str, gaps: Sequence["Gap"]) -> str:
    """Rows are kinds of part, columns are layers; what stands outside the layers has a column of its own."""
    cells: dict[str, dict[str, Gap]] = {}
    for gap in gaps:
        row, column = _place(gap.where)
        cells.setdefault(row, {})[column] = gap
    columns = sorted({c for row in cells.values() for c in row}, key=lambda c: (c != "", int(c or 0)))
    head = "".join(f"<th>{f'layer {c}' if c else 'once'}</th>" for c in columns)
    lines = (f"<tr><th>{html.escape(n)}</th>{''.join(_cell(r.get(c)) for c in columns)}</tr>" for n, r in cells.items())
    return f"<h2>{stage}</h2><table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _place(where: str) -> tuple[str, str]:
    """The kind of part, and its layer as text; no layer for what stands outside."""
    match = LAYER.match(where)
    if not match:
        return where, ""
    return f"{match[1]}.*.{match[3]}" if match[3] else f"{match[1]}.*", match[2]


def _cell(gap: "Gap | None") -> str:
    if gap is None:
        return "<td></td>"
    share = min(max(1.0 + math.log10(max(gap.share, 1e-6)) / 6.0, 0.0), 1.0)
    colour = f"hsl({210 - 190 * share:.0f} 70% {96 - 40 * share:.0f}%)"
    broken = "" if gap.passed else ' class="broken"'
    tip = f"error {gap.error:.2e}, limit {gap.limit:.1e}"
    return f'<td{broken} style="background:{colour}" title="{tip}">{gap.error:.1e}</td>'
