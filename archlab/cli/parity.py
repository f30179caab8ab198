"""``archlab parity``: a model on every backend against the reference, layer by layer."""

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.arguments import ConfigArgument, Overrides

EXAMPLES = (
    "archlab parity configs/tiny_gpt.py",
    "archlab parity configs/tiny_llama.yaml model.stack.repeat=1 --length 32 --json parity.json",
)
LONGEST_DEFAULT = 64


def command(
    config: ConfigArgument,
    overrides: Overrides = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all rows to a JSON file.")] = None,
    length: Annotated[
        int | None, typer.Option(metavar="T", help="Tokens in a row.", show_default="the config's, 64 at most")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and inputs.")] = 0,
) -> None:
    """Compare all backends with the reference: outputs, gradients and 20 training steps; worst first."""
    from rich.console import Console

    from archlab.cli import CheckFailed
    from archlab.config_files import load
    from archlab.parity.report import compare_backends, share
    from archlab.run_config import RunConfig

    if json is not None:
        _check_writable(json)
    loaded = load(config, overrides or ())
    model = loaded.model if isinstance(loaded, RunConfig) else loaded
    longest = loaded.data.length if isinstance(loaded, RunConfig) else model.limit() or LONGEST_DEFAULT
    report = compare_backends(model, length=length or min(longest, LONGEST_DEFAULT), seed=seed)
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


def _check_writable(path: Path) -> None:
    """Before the work is done, not after."""
    import os

    from archlab.errors import InputError

    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"--json {path} cannot be written; name a file in a folder that exists")


def _write(path: Path, rows: list[dict]) -> None:
    from json import dumps

    path.write_text(dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
