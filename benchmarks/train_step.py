"""Times one training step of archlab beside other libraries' and hand-written ones that compute the same.

python benchmarks/train_step.py --peer nanogpt=../nanoGPT --save
"""

import json
import os
import shutil
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from case import SHAPES, STYLES
from contestants import ENTRIES, Entry, Place, is_there
from harness import VoidComparisonError, interleave, workers
from report import Measured, environment, file_name, markdown, rows, tables
from rich.console import Console
from styles import make_case

RESULTS = Path(__file__).parent / "results"
BUSY = 0.5
"""Load average a core above which a machine is no place to measure: waiting threads slow each other manyfold."""


class Device(StrEnum):
    """Where the step runs."""

    cpu = "cpu"
    cuda = "cuda"
    tpu = "tpu"


def main(
    shapes: Annotated[str, typer.Option(help=f"Which of {', '.join(SHAPES)}, separated by commas.")] = ",".join(SHAPES),
    styles: Annotated[str, typer.Option(help=f"Which of {', '.join(STYLES)}, separated by commas.")] = ",".join(STYLES),
    only: Annotated[str, typer.Option(help="Contestants to time, separated by commas; by default all.")] = "",
    peer: Annotated[list[str] | None, typer.Option(help="NAME=PATH: a checkout that a contestant comes from.")] = None,
    python: Annotated[list[str] | None, typer.Option(help="NAME=PATH: the Python that a contestant runs in.")] = None,
    device: Device = Device.cpu,
    threads: Annotated[int, typer.Option(help="CPU threads of every contestant.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 9,
    steps: Annotated[int | None, typer.Option(help="Steps a round; by default as the shape says.", min=1)] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the report into benchmarks/results.")] = False,
) -> None:
    """Time one training step of archlab beside other libraries' and hand-written ones that compute the same."""
    console, load = Console(), os.getloadavg()[0]
    if load > BUSY * (os.cpu_count() or 1):
        if save:
            raise typer.BadParameter(f"the load average is {load:.1f}; --save asks for a quiet machine")
        console.print(f"The machine is busy (load average {load:.1f}): these numbers will mean little.")
    places = _places(_pairs("--peer", peer), _pairs("--python", python))
    entries, missing = _entries(only, device, places)
    for line in missing:
        console.print(line, highlight=False, markup=False)
    measured: list[Measured] = []
    versions: dict[str, dict[str, str]] = {}
    for style in _chosen("style", styles, STYLES):
        for name in _chosen("shape", shapes, SHAPES):
            case = make_case(SHAPES[name], style, device.value, threads)
            with console.status(f"{style} {name}: {case.shape}"), workers(entries, places, case) as (running, reports):
                versions |= {contestant: report.versions for contestant, report in reports.items()}
                seconds = interleave(running, rounds, steps or case.shape.steps)
            measured.append(Measured(case=case, seconds=seconds))
    result = rows(measured)
    facts = environment({n: places[n].checkout for n in entries if n in places and places[n].checkout}, device)
    facts = _with_versions(facts, versions)
    for table in tables(result):
        console.print(table)
    if json_file:
        json_file.write_text(json.dumps({"environment": facts, "load_average": load, "rows": result}, indent=1))
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / file_name(facts)).write_text(markdown(result, [part.case for part in measured], facts, load))
        console.print(f"written: benchmarks/results/{file_name(facts)}")


def _with_versions(facts: dict[str, str], versions: dict[str, dict[str, str]]) -> dict[str, str]:
    """The facts and the versions of each contestant, where another environment has another one."""
    out = dict(facts)
    for contestant, packages in versions.items():
        for package, version in packages.items():
            if out.setdefault(package, version) != version:
                out[f"{package} of {contestant}"] = version
    return out


def _chosen(what: str, given: str, there: dict) -> list[str]:
    names = given.split(",")
    if unknown := [name for name in names if name not in there]:
        raise typer.BadParameter(f"no {what} {unknown[0]!r}; there are {', '.join(there)}")
    return names


def _pairs(option: str, given: list[str] | None) -> dict[str, Path]:
    """``NAME=PATH`` by name."""
    out = {}
    for word in given or ():
        name, equals, path = word.partition("=")
        if not equals or name not in ENTRIES:
            raise typer.BadParameter(f"{option} {word}: give NAME=PATH, NAME one of {', '.join(ENTRIES)}")
        if not Path(path).exists():
            raise typer.BadParameter(f"{option} {word}: there is nothing at {path}")
        out[name] = Path(path).absolute()
    return out


def _places(checkouts: dict[str, Path], pythons: dict[str, Path]) -> dict[str, Place]:
    """Where contestants are; what is said of ``name`` holds for ``name.variant`` too."""
    for name, path in pythons.items():
        if not shutil.which(path):
            raise typer.BadParameter(f"--python {name}={path}: that is no program; give an environment's bin/python")
    found = {name: Place(checkout=checkouts.get(name)) for name in checkouts.keys() | pythons.keys()}
    found |= {name: replace(found[name], python=str(path)) for name, path in pythons.items()}
    variants = {name: found[base] for name in ENTRIES if (base := name.partition(".")[0]) in found}
    return variants | found


def _entries(only: str, device: Device, places: dict[str, Place]) -> tuple[dict[str, Entry], list[str]]:
    """Those to time, and a line for each that is left out and how one comes by it."""
    names = _chosen("contestant", only, ENTRIES) if only else list(ENTRIES)
    entries, missing = {}, []
    for name in names:
        entry, place = ENTRIES[name], places.get(name, Place())
        if device == "tpu" and entry.backend == "torch":
            missing.append(f"{name} is left out: PyTorch's contestants do not run on TPUs")
        elif is_there(entry, place):
            entries[name] = entry
        elif only or name in places:
            raise typer.BadParameter(
                f"{name} is not there: no {entry.module} in {place.checkout or 'this Python'}; {entry.get}"
            )
        else:
            missing.append(f"{name} is left out: {entry.get}")
    if not entries:
        raise typer.BadParameter(f"nothing to time on {device}: {'; '.join(missing)}")
    return entries, missing


if __name__ == "__main__":
    try:
        typer.run(main)
    except VoidComparisonError as error:
        raise SystemExit(f"no comparison: {error}") from None
