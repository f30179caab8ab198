"""How long it takes until something happens: imports, the first training step, a model built, weights loaded.

    python benchmarks/compile_time.py --nanogpt ../nanoGPT --text tiny_shakespeare.txt --save
    python benchmarks/compile_time.py --only imports --rounds 3
    python benchmarks/compile_time.py --only "first step" --device cuda --text tiny_shakespeare.txt

Every time is of a fresh process; contestants take turns. *First step* is ``archlab train`` on nanoGPT's published CPU
setting from the start of the process to the line of its first step, beside nanoGPT's ``train.py`` (compile=False) and a
script in Flax NNX (``peers/plain_script.py``); each evaluates once before. "cold" is with an empty cache of compiled
programs, "warm" with the one that the cold run left. *Build* makes a Llama from a seed, *load* reads its weights from a
file of safetensors that lies in memory's page cache; memory is the process's peak (VmHWM) over what it had before, in
bytes of the weights, pages of the file that are mapped included.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from device import Device
from report import command, environment
from rich import box
from rich.console import Console
from rich.table import Table
from start_up import BUILDS, IMPORTS, LOADS, train_commands
from worker import PLATFORMS

from archlab.bench.rounds import ratio, summary
from archlab.files import write_text

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PARTS = ("imports", "first step", "build", "load")
COLUMNS = ("what", "contestant", "seconds", "beside", "faster", "peak memory / weights")


@dataclass(kw_only=True)
class Line:
    """A contestant: how it is started, what its output says when it is done, and whom it is compared with."""

    part: str
    name: str
    command: list[str]
    until: str = ""
    beside: str = ""
    cold: bool = False
    env: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def run(line: Line, threads: int, device: str) -> None:
    """One measurement. A child that times itself prints seconds and memory as JSON; others are timed to their line."""
    env = os.environ | line.env | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    env["JAX_PLATFORMS"] = PLATFORMS[device]
    if (out := _after(line.command, "--out")) is not None:
        shutil.rmtree(out, ignore_errors=True)  # a run directory is new
    if line.cold and (cache := line.env.get("ARCHLAB_JAX_CACHE") or line.env.get("JAX_COMPILATION_CACHE_DIR")):
        shutil.rmtree(cache, ignore_errors=True)
    said: list[str] = []
    began = time.perf_counter()
    child = subprocess.Popen(
        line.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=line.folder
    )
    assert child.stdout is not None
    for text in child.stdout:
        said.append(text)
        if line.until and re.search(line.until, text):
            line.seconds.append(time.perf_counter() - began)
    if child.wait() or (line.until and not any(re.search(line.until, text) for text in said)):
        raise typer.BadParameter(f"{line.name} failed: {''.join(said[-5:])}")
    if line.until:
        return
    if line.part in ("build", "load"):
        found = json.loads(said[-1])
        line.seconds.append(found["seconds"])
        line.memory.append(found["memory"])
    else:
        line.seconds.append(time.perf_counter() - began)


def _after(words: list[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words else None


def lines(
    part: str, folder: Path, nanogpt: Path | None, text: Path | None, parameters: float, device: str
) -> Iterator[Line]:
    """The contestants of a part."""
    python = sys.executable
    if part == "imports":
        for name, (code, beside) in IMPORTS.items():
            yield Line(part=part, name=name, command=[python, "-c", code], beside=beside)
    elif part == "first step":
        for name, found in train_commands(folder, nanogpt, text, device).items():
            for cold in (True, False) if found["cache"] else (True,):
                suffix = (", cold" if cold else ", warm") if found["cache"] else ""
                beside = found["beside"] + (suffix if found["beside"] == "plain NNX script" else "")
                yield Line(
                    part=part, name=name + suffix, command=found["command"], until=found["until"], cold=cold,
                    beside=beside if found["beside"] else "", env=found["env"], folder=found.get("folder"),
                )  # fmt: skip
    else:
        for name, (code, beside) in (BUILDS if part == "build" else LOADS).items():
            file = str(folder / "weights.safetensors")
            command = [python, str(HERE / "start_up.py"), code, str(int(parameters)), file]
            yield Line(part=part, name=name, command=command, beside=beside)


def main(
    nanogpt: Annotated[Path | None, typer.Option(help="A checkout of github.com/karpathy/nanoGPT.")] = None,
    text: Annotated[Path | None, typer.Option(help="Tiny Shakespeare, for the first step.")] = None,
    only: Annotated[str, typer.Option(help=f"Which of {', '.join(PARTS)}, separated by commas.")] = ",".join(PARTS),
    parameters: Annotated[float, typer.Option(help="Of the model that is built and loaded.", min=1e6)] = 1e9,
    device: Annotated[Device, typer.Option(help="Where the first step runs; all else is on the CPU.")] = Device.cpu,
    threads: Annotated[int, typer.Option(help="CPU threads of every contestant.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="How often each is run.", min=1)] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the table into benchmarks/results.")] = False,
) -> None:
    """Time imports, first steps, builds and loads in fresh processes."""
    parts = only.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise typer.BadParameter(f"--only {unknown[0]}: there are {', '.join(PARTS)}")
    if "first step" in parts and (text is None or not text.is_file()):
        raise typer.BadParameter("first step needs --text: a file of Tiny Shakespeare")
    if nanogpt and not (nanogpt / "train.py").is_file():
        raise typer.BadParameter(f"--nanogpt {nanogpt} is no checkout of nanoGPT: it holds no train.py")
    console = Console()
    found: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            own = list(lines(part, Path(folder), nanogpt and nanogpt.resolve(), text, parameters, device))
            for turn in range(rounds):
                for line in own:
                    with console.status(f"round {turn + 1}: {line.name}"):
                        run(line, threads, device if part == "first step" else "cpu")
            found += own
    rows = [cells(line, found) for line in found]
    table = Table(*COLUMNS, box=box.SIMPLE, title="Start-up, medians and quartiles")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    facts = environment({"nanoGPT": nanogpt} if nanogpt else None, device)
    if json_file:
        write_text(
            json_file,
            json.dumps({"environment": facts, "rows": [asdict(line) for line in found]}, indent=1, default=str),
        )
    if save:
        name = "start_up.md" if device == Device.cpu else f"start_up-{device}.md"
        write_text(RESULTS / name, markdown(rows, facts, rounds, threads, parameters))


def cells(line: Line, found: list[Line]) -> list[str]:
    """A row as text; *faster* is the other's time over this one's, round by round."""
    time_of = summary(line.seconds)
    other = next((o for o in found if o.part == line.part and o.name == line.beside), None)
    gain = ratio(line.seconds, other.seconds) if other else None
    peak = f"{max(line.memory):.2f}" if line.memory else ""
    faster = f"{gain.median:.2f}× ({gain.low:.2f} – {gain.high:.2f})" if gain else ""
    took = f"{time_of.median:.2f} ({time_of.low:.2f} – {time_of.high:.2f})"
    return [line.part, line.name, took, line.beside if other else "", faster, peak]


def markdown(rows: list[list[str]], facts: dict[str, str], rounds: int, threads: int, parameters: float) -> str:
    """The report file."""
    models = any(row[0] in ("build", "load") for row in rows)
    sizes = f"; {parameters / 1e9:.3g} billion parameters are built and loaded" if models else ""
    out = [
        f"# Start-up on {facts['hardware']}", "",
        f"Made by `{command('compile_time')}`; do not edit. What is measured: "
        "[compile_time.py](../compile_time.py).", "",
        f"Medians and quartiles of {rounds} rounds on {threads} threads, float32{sizes}.", "",
        "| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in rows), "",
        "| what | version |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items()), "",
    ]  # fmt: skip
    return "\n".join(out)


if __name__ == "__main__":
    typer.run(main)
