"""What archlab's training step and forward pass compute and move beside the same models written by hand.

python benchmarks/no_tax.py --save

Nothing is timed: FLOPs and bytes are read off the programs (``plain/counters.py``), for GPT-2 and Llama, against plain
functions in JAX and plain modules in PyTorch that give the same losses (``plain/in_jax.py``, ``plain/in_torch.py``).
``parity_tests/no_tax_test.py`` holds them to 1 %.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from plain.models import SIZES
from plain.tax import COUNTS, Tax
from report import environment
from rich import box
from rich.console import Console
from rich.table import Table

from archlab.files import write_text

RESULTS = Path(__file__).parent / "results" / "no_tax.md"
HEAD = "backend model program GFLOP by-hand ratio MB by-hand ratio calls by-hand"
COLUMNS = [word.replace("-", " ") for word in HEAD.split()]


def cells(tax: Tax) -> list[str]:
    """A row as text; JAX makes one call of each program."""
    calls = [str(tax.ours.calls), str(tax.plain.calls)] if tax.ours.calls else ["1", "1"]
    flops = [f"{count.flops / 1e9:.3f}" for count in (tax.ours, tax.plain)]
    moved = [f"{count.bytes / 1e6:.1f}" for count in (tax.ours, tax.plain)]
    return [tax.backend, tax.model, tax.program, *flops, f"{tax.flops:.4f}", *moved, f"{tax.bytes:.4f}", *calls]


def main(
    backend: Annotated[str, typer.Option(help=f"Which of {', '.join(COUNTS)}, separated by commas.")] = "jax,torch",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write benchmarks/results/no_tax.md.")] = False,
) -> None:
    """Count FLOPs and bytes of archlab's programs and of those written by hand."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    names = backend.split(",")
    if unknown := [name for name in names if name not in COUNTS]:
        raise typer.BadParameter(f"--backend {unknown[0]}: there are {', '.join(COUNTS)}")
    found = [tax for name in names for model in ("gpt2", "llama") for tax in COUNTS[name](model)]
    table = Table(*COLUMNS, title="archlab beside the same written by hand", box=box.SIMPLE)
    for tax in found:
        table.add_row(*cells(tax))
    Console().print(table)
    facts = environment(None, "cpu")
    if json_file:
        numbers = [asdict(tax) | {"results": [r.tolist() for r in tax.results if r.size == 2]} for tax in found]
        write_text(json_file, json.dumps({"environment": facts, "rows": numbers}, indent=1))
    if save:
        write_text(RESULTS, markdown(found, facts))


def markdown(found: list[Tax], facts: dict[str, str]) -> str:
    """The report file."""
    shape = ", ".join(f"{name} {value}" for name, value in asdict(SIZES).items())
    versions = ", ".join(f"{name} {facts[name]}" for name in ("jax", "flax", "optax", "torch"))
    lines = [
        "# FLOPs and bytes beside the same models written by hand", "",
        "Made by `python benchmarks/no_tax.py --save`; do not edit.", "",
        "How to read it: [benchmarks/README.md](../README.md).", "", f"{shape}; {versions}.", "",
        "| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(cells(tax)) + " |" for tax in found), "",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
