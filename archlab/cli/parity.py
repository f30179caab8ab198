"""``archlab parity``: a model, or every mechanism, on every backend against the reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.arguments import Overrides, check_writable, model_and_length

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

EXAMPLES = (
    "archlab parity configs/tiny_gpt.py",
    "archlab parity configs/tiny_llama.yaml model.stack.repeat=1 --length 32 --json parity.json",
    "archlab parity --changed --base main",
)
CONFIG, ALL, CHANGED = "CONFIG", "--all", "--changed"


def command(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar=CONFIG, help="A config, a run directory or a name of the catalogue.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all rows to a JSON file.")] = None,
    length: Annotated[
        int | None, typer.Option(metavar="T", help="Tokens in a row.", show_default="the config's, 64 at most")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights and inputs.", show_default="0")] = None,
    everything: Annotated[bool, typer.Option(ALL, help="Measure every mechanism, in place of a CONFIG.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of --all: where parity.md and .json go.", show_default="docs")
    ] = None,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of --all: whose table to rewrite.", show_default="none")
    ] = None,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Of --all: only mechanisms whose code has changed since.")
    ] = False,
    changed: Annotated[bool, typer.Option(CHANGED, help="Test the mechanisms that a change touches.")] = False,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="Of --changed: in comparison with what.", show_default="HEAD")
    ] = None,
) -> None:
    """Compare all backends with the reference: outputs, gradients and 20 training steps; worst first."""
    mode = _mode({CONFIG: config is not None, ALL: everything, CHANGED: changed})
    belong = {"--json": CONFIG, "--length": CONFIG, "--seed": CONFIG, "--out": ALL, "--readme": ALL, "--base": CHANGED,
              "--outdated": ALL}  # fmt: skip
    given = dict(zip(belong, (json, length, seed, out, readme, base, outdated or None), strict=True))
    _check_options(mode, belong, [name for name, value in given.items() if value is not None])
    if mode == ALL:
        _measure_all(out or Path("docs"), readme, outdated)
    elif mode == CHANGED:
        _test_changed(base or "HEAD")
    else:
        assert config is not None
        _compare(config, overrides or [], json, length, seed or 0)


def _mode(called: dict[str, bool]) -> str:
    from archlab.errors import InputError

    modes = [mode for mode, given in called.items() if given]
    if len(modes) != 1:
        what = f"{' and '.join(modes)} exclude each other" if modes else "nothing says what to compare"
        raise InputError(f"{what}; give one of {', '.join(called)}")
    return modes[0]


def _check_options(mode: str, belong: dict[str, str], given: list[str]) -> None:
    from archlab.errors import InputError

    for name in given:
        if belong[name] != mode:
            raise InputError(f"{name} belongs to archlab parity {belong[name]}, not to {mode}; leave it out")


def _compare(config: str, overrides: list[str], json: Path | None, length: int | None, seed: int) -> None:
    from rich.console import Console

    from archlab.cli import CheckFailed
    from archlab.config_files import load
    from archlab.parity.report import compare_backends, share

    if json is not None:
        check_writable("--json", json)
    model, longest = model_and_length(load(config, overrides))
    report = compare_backends(model, length=length or longest, seed=seed)
    if json is not None:
        _write(json, [row.to_json() for row in report.rows])
    console = Console()
    for table in report.tables():
        console.print(table)
    worst = report.worst
    place = f"{worst.item} of {worst.where} on {worst.backend} in {worst.dtype}"
    if not report.passed:
        broken = sum(not row.passed for row in report.rows)
        raise CheckFailed(f"{broken} of {len(report.rows)} comparisons exceed their limits; the worst is {place}")
    console.print(f"{len(report.rows)} comparisons hold; the worst uses {share(worst):.2g} of its limit: {place}")


def _measure_all(out: Path, readme: Path | None, outdated: bool) -> None:
    from rich.console import Console

    from archlab.cli import CheckFailed
    from archlab.parity import document, measurement

    document.check(out, readme)
    known = document.read(out) if outdated else None
    console = Console()
    with _progress(console) as progress:
        task = progress.add_task("", total=measurement.steps(known))
        data = measurement.measure(lambda what: progress.update(task, advance=1, description=what), known)
    document.write(data, out, readme)
    broken = measurement.broken(data)
    if broken:
        raise CheckFailed(f"{len(broken)} errors exceed their limits: {', '.join(broken)}")
    console.print(f"{len(data['mechanisms'])} mechanisms hold; {out / document.PAGE} says how exactly")


def _test_changed(base: str) -> None:
    from rich.console import Console

    from archlab.cli import CheckFailed
    from archlab.parity.changed import SLOW, touched_by
    from archlab.parity.report import share, summary
    from archlab.parity.running import rows_by_case

    console = Console()
    found = touched_by(base)
    jobs = found.jobs()
    if not jobs:
        console.print(f"no mechanism depends on what differs from {base}")
        return
    if found.spine:
        files = ", ".join(found.spine)
        console.print(f"everything depends on {files}: a few small examples are tried here, `make test` tries all")
    else:
        console.print(f"touched: {', '.join(found.mechanisms)}; {len(jobs)} examples are put through all laws,")
        console.print(f"but only the smallest of each mechanism through {' and '.join(SLOW)}: `make test` tries all")
    rows = []
    with _progress(console) as progress:
        for case, more in progress.track(rows_by_case(jobs), total=len(jobs), description=""):
            rows += more
            progress.update(progress.task_ids[0], description=case.name)
    console.print(summary(rows))
    broken = sorted((row for row in rows if not row.passed), key=share)
    if broken:
        worst = broken[-1]
        place = f"{worst.item} of {worst.spec} on {worst.backend}: {worst.where}"
        raise CheckFailed(f"{len(broken)} of {len(rows)} comparisons exceed their limits; the worst is {place}")
    console.print(f"{len(rows)} comparisons hold")


def _progress(console: "Console") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console, transient=True)


def _write(path: Path, rows: list[dict]) -> None:
    from json import dumps

    path.write_text(dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
