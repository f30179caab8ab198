"""The measurements as a table, as JSON and as a Markdown file with everything needed to repeat them."""

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from case import Case
from harness import Summary, speedup, summary
from rich.table import Table

Measured = dict[str, dict[str, list[float]]]
"""Seconds a step by shape, contestant and round."""

COLUMNS = ("shape", "contestant", "ms a step", "tokens/s", "archlab-jax is faster", "archlab-torch is faster")
OURS = ("archlab-jax", "archlab-torch")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "torch", "numpy")


def rows(measured: Measured, cases: dict[str, Case]) -> list[dict[str, Any]]:
    """A row for every shape and contestant, in numbers."""
    out = []
    for name, seconds in measured.items():
        tokens = cases[name].shape.batch * cases[name].shape.length
        for contestant, values in seconds.items():
            faster = {us: asdict(speedup(seconds[us], values)) for us in OURS if us in seconds and us != contestant}
            time = summary(values)
            out.append(
                {"shape": name, "contestant": contestant, "seconds_per_step": asdict(time),
                 "tokens_per_second": tokens / time.median, "speedup_of": faster, "rounds": values}
            )  # fmt: skip
    return out


def cells(row: dict[str, Any]) -> list[str]:
    """A row as text."""
    time = Summary(**row["seconds_per_step"])
    took = f"{time.median * 1e3:.1f} ({time.low * 1e3:.1f} – {time.high * 1e3:.1f})"
    return [row["shape"], row["contestant"], took, f"{row['tokens_per_second']:,.0f}"] + [
        _times(row["speedup_of"].get(us)) for us in OURS
    ]


def _times(ratio: dict[str, float] | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f}× ({ratio['low']:.2f} – {ratio['high']:.2f})"


def table(measured: list[dict[str, Any]]) -> Table:
    """The rows for a terminal, without their quartiles."""
    out = Table(*COLUMNS, title="One training step: medians (--json and --save have the quartiles too)")
    for row in measured:
        out.add_row(*(text.split(" (")[0] for text in cells(row)))
    return out


def environment(nanogpt: Path | None, device: str) -> dict[str, str]:
    """Hardware, versions and commits."""
    found = {"hardware": hardware(device), "python": platform.python_version()}
    found |= {name: _version(name) for name in PACKAGES}
    found["archlab"] = _commit(Path(__file__).parent)
    if nanogpt:
        found["nanoGPT"] = _commit(nanogpt)
    return found


def hardware(device: str) -> str:
    """The processor's model and its cores, and the accelerator's name."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    names = [f"{cpu[1] if cpu else platform.processor()} {os.cpu_count()} cores"]
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names.append(subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0])
    return ", ".join([*names, *(["TPU"] if device == "tpu" else [])])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit(path: Path) -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", path, *words], capture_output=True, text=True, check=False).stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "no git checkout") + changed


def markdown(measured: list[dict[str, Any]], cases: dict[str, Case], facts: dict[str, str], load: float) -> str:
    """The report file."""
    command = shlex.join(["python", "benchmarks/train_step.py", *sys.argv[1:]])
    count = len(measured[0]["rounds"])
    lines = [
        f"# Training step on {facts['hardware']}", "",
        f"Made by `{command}` on {datetime.date.today()}; do not edit. How to read it: "
        "[benchmarks/README.md](../README.md).", "",
        *(f"- **{name}**: {case.shape}" for name, case in cases.items()),
        f"- medians and quartiles of {count} rounds on {next(iter(cases.values())).threads} threads; "
        f"the machine's load average at the start was {load:.2f}", "",
        "| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(cells(row)) + " |" for row in measured), "",
        "| what | version |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items()), "",
    ]  # fmt: skip
    return "\n".join(lines)


def file_name(facts: dict[str, str]) -> str:
    """``<hardware>-<date>.md``."""
    return re.sub(r"[^a-z0-9]+", "-", facts["hardware"].lower()) + f"-{datetime.date.today()}.md"
