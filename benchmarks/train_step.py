"""Times one training step of archlab beside nanoGPT and a plain Flax NNX model.

python benchmarks/train_step.py --nanogpt ../nanoGPT --save
"""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from case import SHAPES, Case
from harness import VoidComparisonError, interleave, workers
from report import environment, file_name, markdown, rows, table
from rich.console import Console

RESULTS = Path(__file__).parent / "results"
CONTESTANTS = {
    "archlab-jax": "peers.archlab_trainers:in_jax",
    "plain NNX": "peers.plain_nnx:pure",
    "plain NNX, nnx.jit": "peers.plain_nnx:lifted",
    "archlab-torch": "peers.archlab_trainers:in_torch",
    "nanoGPT": "peers.nanogpt:start",
}
BUSY = 0.5
"""Load average a core above which a machine is no place to measure: waiting threads slow each other manyfold."""
NOT_ON_TPU = ("archlab-torch", "nanoGPT")


class Device(StrEnum):
    """Where the step runs."""

    cpu = "cpu"
    cuda = "cuda"
    tpu = "tpu"


def main(
    nanogpt: Annotated[Path | None, typer.Option(help="A checkout of github.com/karpathy/nanoGPT.")] = None,
    shapes: Annotated[str, typer.Option(help=f"Which of {', '.join(SHAPES)}, separated by commas.")] = ",".join(SHAPES),
    only: Annotated[str, typer.Option(help="Contestants to time, separated by semicolons; by default all.")] = "",
    device: Device = Device.cpu,
    threads: Annotated[int, typer.Option(help="CPU threads of every contestant.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 9,
    steps: Annotated[int | None, typer.Option(help="Steps a round; by default as the shape says.", min=1)] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the report into benchmarks/results.")] = False,
) -> None:
    """Time one training step of archlab beside nanoGPT and a plain Flax NNX model."""
    console, load = Console(), os.getloadavg()[0]
    starts = _starts(only, device, nanogpt)
    if load > BUSY * (os.cpu_count() or 1):
        if save:
            raise typer.BadParameter(f"the load average is {load:.1f}; --save asks for a quiet machine")
        console.print(f"The machine is busy (load average {load:.1f}): these numbers will mean little.")
    if "nanoGPT" not in starts and not only and device != "tpu":
        console.print("nanoGPT is left out: clone https://github.com/karpathy/nanoGPT and give its path as --nanogpt")
    cases = {name: Case(shape=SHAPES[name], device=device, threads=threads, nanogpt=nanogpt) for name in _names(shapes)}
    measured = {}
    for name, case in cases.items():
        with console.status(f"{name}: {case.shape}"), workers(starts, case) as running:
            measured[name] = interleave(running, rounds, steps or case.shape.steps)
    result = rows(measured, cases)
    facts = environment(nanogpt, device)
    console.print(table(result))
    if json_file:
        json_file.write_text(json.dumps({"environment": facts, "load_average": load, "rows": result}, indent=1))
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / file_name(facts)).write_text(markdown(result, cases, facts, load))
        console.print(f"written: benchmarks/results/{file_name(facts)}")


def _names(shapes: str) -> list[str]:
    names = shapes.split(",")
    if unknown := [name for name in names if name not in SHAPES]:
        raise typer.BadParameter(f"no shape {unknown[0]!r}; there are {', '.join(SHAPES)}")
    return names


def _starts(only: str, device: Device, nanogpt: Path | None) -> dict[str, str]:
    names = only.split(";") if only else [name for name in CONTESTANTS if name != "nanoGPT" or nanogpt]
    if unknown := [name for name in names if name not in CONTESTANTS]:
        raise typer.BadParameter(f"no contestant {unknown[0]!r}; there are {'; '.join(CONTESTANTS)}")
    if "nanoGPT" in names and (nanogpt is None or not (nanogpt / "model.py").is_file()):
        raise typer.BadParameter(f"--nanogpt {nanogpt} is no checkout of nanoGPT: it holds no model.py")
    return {name: CONTESTANTS[name] for name in names if device != "tpu" or name not in NOT_ON_TPU}


if __name__ == "__main__":
    try:
        typer.run(main)
    except VoidComparisonError as error:
        raise SystemExit(f"no comparison: {error}") from None
