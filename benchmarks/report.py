"""The measurements as a table, as JSON and as a Markdown file with everything needed to repeat them."""

import datetime
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from case import STYLES, Case
from contestants import OURS, Entry
from rich.table import Table

from archlab import hardware
from archlab.bench.rounds import ratio, summary

MEANS = ("contestant", "archlab is faster", "shapes")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "torch", "numpy")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a script times, in words; ``unit`` is what takes the time that is told."""

    script: str
    title: str
    unit: str

    @property
    def columns(self) -> tuple[str, ...]:
        return "shape", "contestant", f"ms {self.unit}", "tokens/s", "archlab is faster"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of one case, by contestant and round; and how much those that stand apart computed like the rest."""

    case: Case
    seconds: dict[str, list[float]]
    alike: dict[str, float]


def rows(measured: list[Measured], entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """A row for every style, shape and contestant, in numbers."""
    out = []
    for part in measured:
        for contestant, values in part.seconds.items():
            us = OURS[entries[contestant].backend]
            faster = ratio(part.seconds[us], values) if us in part.seconds and us != contestant else None
            time = summary(values)
            out.append(
                {"style": part.case.style, "shape": part.case.name, "contestant": contestant,
                 "seconds": asdict(time), "tokens_per_second": part.case.tokens / time.median,
                 "archlab": us, "speedup": faster and asdict(faster), "rounds": values,
                 "apart": entries[contestant].apart, "alike": part.alike.get(contestant)}
            )  # fmt: skip
    return out


def cells(row: dict[str, Any]) -> list[str]:
    """A row as text."""
    time = {name: seconds * 1e3 for name, seconds in row["seconds"].items()}
    digits = 3 if time["median"] < 10 else 1
    took = f"{time['median']:.{digits}f} ({time['low']:.{digits}f} – {time['high']:.{digits}f})"
    return [row["shape"], row["contestant"], took, f"{row['tokens_per_second']:,.0f}", _times(row["speedup"])]


def _times(ratio: dict[str, float] | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f}× ({ratio['low']:.2f} – {ratio['high']:.2f})"


def means(measured: list[dict[str, Any]]) -> list[list[str]]:
    """For every contestant the geometric mean over shapes of how many times faster archlab is, and the shapes."""
    out = []
    for contestant in dict.fromkeys(row["contestant"] for row in measured if row["speedup"]):
        own = [row for row in measured if row["contestant"] == contestant]
        mean = statistics.geometric_mean(row["speedup"]["median"] for row in own)
        out.append([contestant, f"{mean:.2f}×", ", ".join(row["shape"] for row in own)])
    return out


def apart(measured: list[dict[str, Any]]) -> list[str]:
    """A line for each that computes something else: what, and how much came out the same."""
    return [
        f"{row['contestant']} computes something else: {row['apart']}; {row['alike']:.1%} of what it shows in "
        f"{row['shape']} is what the others show."
        for row in measured
        if row["alike"] is not None
    ]


def tables(measured: list[dict[str, Any]], task: Task) -> list[Table]:
    """For a terminal: a table for each style, without quartiles, and one of its means."""
    out = []
    for style, own in _by_style(measured).items():
        title = f"{style}: {task.title.lower()}, medians (--json and --save have the quartiles too)"
        times = Table(*task.columns, title=title, caption="\n".join(apart(own)))
        for row in own:
            times.add_row(*(text.split(" (")[0] for text in cells(row)))
        out.append(times)
        if lines := means(own):
            out.append(Table(*MEANS, title=f"{style}: geometric means over shapes"))
            for line in lines:
                out[-1].add_row(*line)
    return out


def _by_style(measured: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {style: own for style in STYLES if (own := [row for row in measured if row["style"] == style])}


def environment(checkouts: Mapping[str, Path] | None, device: str) -> dict[str, str]:
    """Hardware, versions and commits."""
    found = {"hardware": machine(device), "python": platform.python_version()}
    found |= hardware.versions(PACKAGES)
    found["archlab"] = hardware.commit(Path(__file__).parent)
    return found | {f"{name}, its source": hardware.commit(path) for name, path in (checkouts or {}).items()}


def machine(device: str) -> str:
    """The processor's model and its cores, and the accelerator's name."""
    accelerators = {"cuda": hardware.nvidia_gpu, "tpu": lambda: "TPU"}
    return ", ".join([hardware.processor(), *([accelerators[device]()] if device in accelerators else [])])


def markdown(
    measured: list[dict[str, Any]], cases: list[Case], facts: dict[str, str], load: float, task: Task
) -> str:  # fmt: skip
    """The report file."""
    lines = [
        f"# {task.title} on {facts['hardware']}", "",
        f"Made by `{command(task.script)}` on {datetime.date.today()}; do not edit. How to read it: "
        "[benchmarks/README.md](../README.md).", "",
        *(f"- **{name}**: {about}" for name, about in {case.name: case.about for case in cases}.items()),
        f"- medians and quartiles of {len(measured[0]['rounds'])} rounds on {cases[0].threads} threads; "
        f"the machine's load average at the start was {load:.2f}", "",
    ]  # fmt: skip
    for style, own in _by_style(measured).items():
        sizes = {case.shape.name: f"{case.parameters:,}" for case in cases if case.style == style}
        counts = ", ".join(f"{count} parameters in {name}" for name, count in sizes.items())
        lines += [f"## {style}", "", f"{STYLES[style]}; {counts}.", "", *_grid(task.columns, map(cells, own)), ""]
        lines += [line for told in apart(own) for line in (told, "")]
        if compared := means(own):
            lines += ["Geometric means over shapes:", "", *_grid(MEANS, compared), ""]
    return "\n".join([*lines, *_grid(("what", "version"), map(list, facts.items())), ""])


def _grid(heads: tuple[str, ...], body: Iterable[list[str]]) -> list[str]:
    return ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads), *("| " + " | ".join(r) + " |" for r in body)]


def command(script: str) -> str:
    """The command that this process was started with."""
    return shlex.join(["python", f"benchmarks/{script}.py", *map(_without_folder, sys.argv[1:])])


def _without_folder(word: str) -> str:
    """A word of the command line; of a path, or of ``name=PATH``, only that there was one."""
    return re.sub(r"^([\w.-]+=)?.*[/\\].*$", r"\1PATH", word)


def file_name(facts: dict[str, str], task: Task) -> str:
    """``<script>-<hardware>-<date>.md``."""
    return f"{task.script}-{re.sub(r'[^a-z0-9]+', '-', facts['hardware'].lower())}-{datetime.date.today()}.md"
