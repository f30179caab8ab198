"""``archlab diff RUN_A RUN_B``: what differs between two training runs, in tables."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from archlab.parity.run_difference import Change, Curves, Outputs, RunDifference, Tensors


def compare(
    a: str, b: str, checkpoint: str, checkpoint_b: str | None, length: int | None, seed: int
) -> "RunDifference":
    """The difference of two run directories."""
    from archlab.cli.arguments import model_and_length
    from archlab.parity.run_diff import diff_runs
    from archlab.training.runs import open_run

    ours, theirs = open_run(a), open_run(b)
    longest = min(model_and_length(run.config)[1] for run in (ours, theirs))
    return diff_runs(
        ours, theirs, checkpoint=checkpoint, checkpoint_b=checkpoint_b, length=length or longest, seed=seed
    )  # fmt: skip


def report(found: "RunDifference", rows: int, as_json: bool, html: "Path | None") -> None:
    """Print and write the difference; :class:`CheckFailed` where the runs differ."""
    import json

    import typer
    from rich.console import Console

    from archlab.cli import CheckFailed
    from archlab.parity import run_page

    if html is not None:
        html.write_text(run_page.page(found), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.to_json(), allow_nan=False))
    else:
        show(Console(highlight=False), found, rows)
    if not found.passed:
        raise CheckFailed(found.verdict)


def show(console: "Console", found: "RunDifference", rows: int) -> None:
    """What the runs were given, what came of it, and the verdict."""
    for name, side in (("A", found.a), ("B", found.b)):
        console.print(f"{name}  {side.path}: {side.trained()}; checkpoint of step {side.step}", markup=False)
    console.print()
    for title in ("config", "data", "environment"):
        _print_changes(console, title, getattr(found, title))
    _print_curves(console, found.curves)
    steps = "" if found.a.step == found.b.step else f" (A's of step {found.a.step}, B's of step {found.b.step})"
    for tensors in found.tensors:
        _print_tensors(console, tensors, f"{tensors.name}{steps}", rows)
    if found.outputs is None:
        console.print("Outputs are not compared: the architectures or the tokenizers differ.")
    else:
        _print_outputs(console, found.outputs, rows)
    console.print(found.verdict[:1].upper() + found.verdict[1:] + ".", markup=False, style="bold")


def _print_changes(console: "Console", title: str, changes: "Sequence[Change]") -> None:
    from archlab.parity.run_difference import words

    if changes:
        cells = ([change.where, words(change.a), words(change.b)] for change in changes)
        _print_table(console, title, ["where", "A", "B"], cells)
    else:
        console.print(f"{title}: equal\n")


def _print_curves(console: "Console", curves: "Curves") -> None:
    """The first point beyond the limit, the worst, and the last."""
    from archlab.parity.tolerances import TRAINING

    limit = TRAINING.get(curves.dtype)
    judged = f"{curves.dtype} has no limit" if limit is None else f"limit in {curves.dtype} {limit:.0e}"
    marked = {"first beyond the limit": curves.first, "worst": curves.worst, "last": curves.last}
    cells = (
        [name, str(p.step), p.split, f"{p.a:.6f}", f"{p.b:.6f}", f"{p.error:.1e}"]
        for name, p in marked.items()
        if p is not None
    )
    title = f"losses: {len(curves.points)} in common, {judged}"
    _print_table(console, title, ["", "step", "split", "A", "B", "apart"], cells)
    if curves.uncommon:
        console.print(f"{curves.uncommon} training losses are left out: the two average over other steps.\n")


def _print_tensors(console: "Console", tensors: "Tensors", title: str, rows: int) -> None:
    worst = ([path, f"{error:.1e}"] for path, error in list(tensors.errors.items())[:rows])
    _print_table(console, f"{title}: the worst of {len(tensors.errors)}", ["parameter", "apart"], worst)
    for line in tensors.unmatched():
        console.print(line, markup=False)


def _print_outputs(console: "Console", outputs: "Outputs", rows: int) -> None:
    """The tensors that are farthest apart, the first beyond the limit, and the KL."""
    worst = sorted(outputs.gaps, key=lambda gap: -gap.share)[:rows]
    cells = ([gap.where, f"{gap.error:.1e}"] for gap in worst)
    title = f"outputs on equal tokens (reference, float64): the worst of {len(outputs.gaps)}"
    _print_table(console, title, ["where", "apart"], cells)
    if (first := outputs.first) is not None:
        console.print(f"The first tensor more than {first.limit:.0e} apart: {first.where}, {first.error:.1e}")
    console.print(f"KL a token between the two: mean {outputs.kl_mean:.1e}, max {outputs.kl_max:.1e} nats\n")


def _print_table(console: "Console", title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(title, style="italic", markup=False)
    console.print(table)
