"""``archlab diff``: two implementations of a model, or two runs: the first thing that differs, and why."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.arguments import ConfigArgument, Json, check_writable, model_and_length

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from archlab.model import Model
    from archlab.parity.gaps import Difference, Gap
    from archlab.weights import Weights

EXAMPLES = (
    "archlab diff configs/tiny_gpt.py --a torch --b jax",
    "archlab diff runs/first --a jax --b reference --dtype float32 --html diff.html",
    "archlab diff runs/first runs/second --checkpoint 500 --html diff.html",
)
OF_ONE_MODEL = ("a", "b", "dtype", "steps")
"""The options that say how one model is computed twice."""


def command(
    context: typer.Context,
    config: ConfigArgument,
    others: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN_B|KEY=VALUE", help="A second run, or changes of the config.", show_default=False),
    ] = None,
    a: Annotated[str, typer.Option("--a", help="jax, torch or reference; with a policy: jax,layers=scan.")] = "jax",
    b: Annotated[str, typer.Option("--b", help="jax, torch or reference; with a policy: jax,layers=scan.")] = "torch",
    dtype: Annotated[str, typer.Option(help="float64, float32 or bfloat16.")] = "float64",
    length: Annotated[
        int | None, typer.Option(metavar="T", min=1, help="Tokens in a row.", show_default="the config's, 64 at most")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps to compare.", min=1)] = 20,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
    checkpoint_b: Annotated[
        str | None, typer.Option("--checkpoint-b", help="Of the second run.", show_default="as --checkpoint")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, where no run gives them, and of the inputs.")] = 0,
    rows: Annotated[int, typer.Option(help="Lines to print for each stage.", min=1)] = 6,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a heat map of errors there.")] = None,
) -> None:
    """Compare two sides from the first intermediate to the last training step, and say why they differ.

    With a second run, compare two training runs: what they were given, their losses and their checkpoints.
    """
    from rich.console import Console

    from archlab.cli import CheckFailed, diff_runs
    from archlab.errors import InputError, nearest
    from archlab.parity import heatmap
    from archlab.parity.diff import diff
    from archlab.parity.tolerances import LIMITED

    if html is not None:
        check_writable("--html", html)
    second = _second_run(config, others or [])
    if second is not None:
        _refuse(context, OF_ONE_MODEL, "says how one model is computed twice; leave it out to compare two runs")
        runs = diff_runs.compare(config, second, checkpoint, checkpoint_b, length, seed)
        diff_runs.report(runs, rows, as_json, html)
        return
    _refuse(context, ("checkpoint_b",), "is the checkpoint of a second run, and none is named")
    if dtype not in LIMITED:
        raise InputError(f"--dtype {dtype} is not possible; {nearest(dtype, LIMITED)}")
    model, weights, longest = _sides(config, others or (), checkpoint)
    found = diff(
        model, a=a, b=b, weights=weights, dtype=dtype, length=length or longest, steps=steps, seed=seed  # type: ignore[arg-type]
    )  # fmt: skip
    if html is not None:
        html.write_text(heatmap.page(found), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.to_json(), allow_nan=False))
    else:
        _print(Console(), found, rows)
    if found.first is not None:
        first = found.first
        raise CheckFailed(
            f"{a} and {b} differ first at {first.where} ({first.stage}): {first.error:.1e} > {first.limit:.1e}"
        )


def _second_run(config: str, others: list[str]) -> str | None:
    """The run to compare ``config``, a run too, with; None where ``others`` are changes."""
    from archlab.errors import InputError

    runs = [other for other in others if Path(other).is_dir() or (_is_run(config) and "=" not in other)]
    if not runs:
        return None
    if len(others) > 1:
        raise InputError(f"{runs[0]} is a second run: two runs are compared, and nothing can follow them")
    if not _is_run(config):
        raise InputError(f"{runs[0]} is a run, {config} is none: compare two runs, or one run or config alone")
    return runs[0]


def _is_run(config: str) -> bool:
    """Whether it is a run directory, which a name of the catalogue is not."""
    from archlab.config_files import in_catalog

    return Path(config).is_dir() and not in_catalog(config)


def _refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """:class:`InputError` where one of the options is given on the command line."""
    from archlab.errors import InputError

    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--{name.replace('_', '-')} {why}")


def _sides(config: str, overrides: list[str] | tuple[()], checkpoint: str) -> "tuple[Model, Weights | None, int]":
    """The model, the weights where there are some, and the length to compare at."""
    from archlab.config_files import load
    from archlab.errors import InputError
    from archlab.saved import open_saved

    if not _is_run(config):
        model, longest = model_and_length(load(config, overrides))
        return model, None, longest
    if overrides:
        raise InputError(f"{config} has weights, which fit its own config: give no changes")
    saved = open_saved(config, checkpoint)
    return saved.model, saved.weights(), model_and_length(saved.config)[1]


def _print(console: "Console", found: "Difference", rows: int) -> None:
    """The worst places of each stage, and what comes of it."""
    from archlab.parity.pair import STAGES

    console.print(f"a: {found.a}, b: {found.b}, judged in {found.dtype}\n", highlight=False)
    for stage, words in STAGES.items():
        gaps = sorted((g for g in found.gaps if g.stage == stage), key=lambda g: -g.share)
        if gaps:
            console.print(_table(f"{stage}: {words}; the worst of {len(gaps)}", gaps[:rows], found))
    console.print(f"KL a token between the two: mean {found.kl_mean:.1e}, max {found.kl_max:.1e} nats ({found.dtype})")
    if found.first is None:
        console.print(f"{found.a} and {found.b} agree at all {len(found.gaps)} places.")
        return
    console.print(f"[bold]First difference:[/bold] {found.first.where}, {found.first.stage}")
    if found.diagnosis is not None:
        console.print(f"{found.culprit} is farther from the definition. {found.diagnosis}", highlight=False)


def _short(found: "Difference") -> tuple[str, str]:
    """What the columns call the sides: a policy makes a name too long for a column."""
    long = "," in found.a + found.b
    return ("a", "b") if long else (found.a, found.b)


def _table(title: str, gaps: "list[Gap]", found: "Difference") -> "Table":
    """A line for each gap; a column that is empty for all is left out."""
    from rich import box
    from rich.table import Table

    a, b = _short(found)
    columns = {
        "apart": lambda gap: gap.error,
        f"{a} off": lambda gap: gap.a_error,
        f"{b} off": lambda gap: gap.b_error,
        "dtype costs": lambda gap: gap.cost or None,
        "limit": lambda gap: gap.limit,
    }
    used = {name: get for name, get in columns.items() if any(get(gap) is not None for gap in gaps)}
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("where", overflow="fold", min_width=16)
    for name in used:
        table.add_column(name, justify="right", no_wrap=True)
    for gap in gaps:
        numbers = ("" if get(gap) is None else f"{get(gap):.1e}" for get in used.values())
        table.add_row(gap.where, *numbers, style=None if gap.passed else "bold red")
    return table
