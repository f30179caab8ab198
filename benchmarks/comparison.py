"""What scripts that time contestants have in common: their options, who is there, and what is done with the numbers."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from case import Case
from contestant import Report
from contestants import Entry, Place, is_there
from device import Device
from harness import VoidComparisonError, interleave, workers
from report import Measured, Task, environment, file_name, markdown, rows, tables
from rich.console import Console

from archlab.hardware import is_busy

RESULTS = Path(__file__).parent / "results"

Only = Annotated[str, typer.Option(help="Contestants to time, separated by commas; by default all.")]
Peer = Annotated[list[str] | None, typer.Option(help="NAME=PATH: a checkout that a contestant comes from.")]
Python = Annotated[list[str] | None, typer.Option(help="NAME=PATH: the Python that a contestant runs in.")]
Threads = Annotated[int, typer.Option(help="CPU threads of every contestant.", min=1)]
Rounds = Annotated[int, typer.Option(help="Timed rounds.", min=2)]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")]
Save = Annotated[bool, typer.Option("--save", help="Write the report into benchmarks/results.")]


@dataclass(kw_only=True)
class Comparison:
    """Contestants, where they are, and what was measured so far."""

    task: Task
    entries: Mapping[str, Entry]
    places: Mapping[str, Place]
    device: Device
    load: float
    console: Console = field(default_factory=Console)
    measured: list[Measured] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, task: Task, known: Mapping[str, Entry], *, only: str, peer: list[str] | None, python: list[str] | None,
        device: Device, save: bool,
    ) -> "Comparison":  # fmt: skip
        """Find the contestants that a command line asks for; say who is left out, and whether the machine is busy."""
        load, busy = os.getloadavg()[0], is_busy()
        if busy and save:
            raise typer.BadParameter(f"the load average is {load:.1f}; --save asks for a quiet machine")
        places = places_of(known, pairs("--peer", peer, known), pairs("--python", python, known))
        entries, missing = present(known, only, device, places)
        new = cls(task=task, entries=entries, places=places, device=device, load=load)
        if busy:
            new.console.print(f"The machine is busy (load average {load:.1f}): these numbers will mean little.")
        for line in missing:
            new.console.print(line, highlight=False, markup=False)
        return new

    def time(self, case: Case, rounds: int, count: int) -> None:
        """Measure one case: ``count`` steps or generations a round."""
        told = f"{case.style} {case.name}: {case.about}"
        with self.console.status(told), workers(self.entries, self.places, case) as (running, reports):
            self.versions |= {name: report.versions for name, report in reports.items()}
            seconds = interleave(running, rounds, count)
        self.measured.append(Measured(case=case, seconds=seconds, alike=_alike(reports, self.entries)))

    def finish(self, json_file: Path | None, save: bool) -> None:
        """Show what was measured, and write it where that is asked for."""
        result = rows(self.measured, self.entries)
        checkouts = {name: path for name in self.entries if (path := self.places.get(name, Place()).checkout)}
        facts = with_versions(environment(checkouts, self.device), self.versions)
        for table in tables(result, self.task):
            self.console.print(table)
        if json_file:
            found = {"environment": facts, "load_average": self.load, "rows": result}
            json_file.write_text(json.dumps(found, indent=1))
        if save:
            RESULTS.mkdir(exist_ok=True)
            name = file_name(facts, self.task)
            cases = [part.case for part in self.measured]
            (RESULTS / name).write_text(markdown(result, cases, facts, self.load, self.task))
            self.console.print(f"written: benchmarks/results/{name}")


def _alike(reports: Mapping[str, Report], entries: Mapping[str, Entry]) -> dict[str, float]:
    """How much of what the others show is shown by those that compute something else."""
    shown = {name: report.shown for name, report in reports.items() if not entries[name].apart}
    if not shown:
        return {}
    wanted = next(iter(shown.values()))
    return {n: float(np.mean(report.shown == wanted)) for n, report in reports.items() if entries[n].apart}


def with_versions(facts: dict[str, str], versions: dict[str, dict[str, str]]) -> dict[str, str]:
    """The facts and the versions of each contestant, where another environment has another one."""
    out = dict(facts)
    for contestant, packages in versions.items():
        for package, version in packages.items():
            if out.setdefault(package, version) != version:
                out[f"{package} of {contestant}"] = version
    return out


def chosen(what: str, given: str, there: Mapping[str, Any]) -> list[str]:
    """Names separated by commas, all of which are there."""
    names = given.split(",")
    if unknown := [name for name in names if name not in there]:
        raise typer.BadParameter(f"no {what} {unknown[0]!r}; there are {', '.join(there)}")
    return names


def pairs(option: str, given: list[str] | None, known: Mapping[str, Entry]) -> dict[str, Path]:
    """``NAME=PATH`` by name."""
    out = {}
    for word in given or ():
        name, equals, path = word.partition("=")
        if not equals or name not in known:
            raise typer.BadParameter(f"{option} {word}: give NAME=PATH, NAME one of {', '.join(known)}")
        if not Path(path).exists():
            raise typer.BadParameter(f"{option} {word}: there is nothing at {path}")
        out[name] = Path(path).absolute()
    return out


def places_of(known: Mapping[str, Entry], checkouts: dict[str, Path], pythons: dict[str, Path]) -> dict[str, Place]:
    """Where contestants are; what is said of ``name`` holds for ``name.variant`` too."""
    for name, path in pythons.items():
        if not shutil.which(path):
            raise typer.BadParameter(f"--python {name}={path}: that is no program; give an environment's bin/python")
    found = {name: Place(checkout=checkouts.get(name)) for name in checkouts.keys() | pythons.keys()}
    found |= {name: replace(found[name], python=str(path)) for name, path in pythons.items()}
    variants = {name: found[base] for name in known if (base := name.partition(".")[0]) in found}
    return variants | found


def present(
    known: Mapping[str, Entry], only: str, device: Device, places: Mapping[str, Place]
) -> tuple[dict[str, Entry], list[str]]:
    """Those to time, and a line for each that is left out and how one comes by it."""
    names = chosen("contestant", only, known) if only else list(known)
    entries, missing = {}, []
    for name in names:
        entry, place = known[name], places.get(name, Place())
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


def run(main: Any) -> None:
    """A script's ``main`` as a command."""
    try:
        typer.run(main)
    except VoidComparisonError as error:
        raise SystemExit(f"no comparison: {error}") from None
