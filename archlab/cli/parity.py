"""``archlab parity``: a model on every backend against the reference, layer by layer."""

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.arguments import ConfigArgument, Overrides, check_writable, model_and_length

EXAMPLES = (
    "archlab parity configs/tiny_gpt.py",
    "archlab parity configs/tiny_llama.yaml model.stack.repeat=1 --length 32 --json parity.json",
)


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

    if json is not None:
        check_writable("--json", json)
    model, longest = model_and_length(load(config, overrides or ()))
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


def _write(path: Path, rows: list[dict]) -> None:
    from json import dumps

    path.write_text(dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
