"""``archlab bench``: how fast a config trains and decodes, how near to what the device can do, and where time goes."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.arguments import check_writable
from archlab.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from archlab.bench.figures import Measured
    from archlab.bench.measuring import Plan
    from archlab.bench.subject import Subject

EXAMPLES = (
    "archlab bench configs/tiny_llama.yaml --length 128 --batch 8 --backend both --decode",
    "archlab bench configs/tiny_gpt.py policy.compute=bfloat16 --backend torch --json speed.json --profile traces",
    "archlab bench configs/hybrid.yaml configs/base.yaml --backend jax --rounds 20 --save speed.md",
    "archlab bench llama-3 policy.device=cpu --backend torch --peak-tflops 0.2 --flops executed",
)
BOTH = "both"


def command(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG… [KEY=VALUE…]",
            help="Configs, run directories or names of the catalogue, compared with the first; and changes of all of "
            "them: policy.compute=bfloat16.",
            show_default=False,
        ),
    ],
    backend: Annotated[
        str | None, typer.Option(help="jax, torch or both.", show_default="the only one that is installed")
    ] = None,
    length: Annotated[int | None, typer.Option(help="Tokens a sequence.", min=1, show_default="the run's")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences a batch.", min=1, show_default="the run's")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count.", min=2)] = 10,
    steps: Annotated[
        int | None, typer.Option(help="Steps a round.", min=1, show_default="about half a second's")
    ] = None,
    flops: Annotated[str, typer.Option(help="How FLOPs are counted: 6n, causal or executed.")] = "causal",
    peak_tflops: Annotated[
        float | None,
        typer.Option(
            help="What one device can do at most, in TFLOP/s.", show_default="as published, of some accelerators"
        ),
    ] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Time prompts and greedy decoding too.")] = False,
    profile: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the traces of the profiler there.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Cores of the processor to use.", min=1, show_default="all")
    ] = None,
    apart: Annotated[
        bool, typer.Option("--apart", help="One after the other, not in turns: for TPUs, or where memory is short.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all numbers to a JSON file.", show_default=False)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables to a Markdown file.", show_default=False)
    ] = None,
) -> None:
    """Time training steps of configs on random tokens: speed, MFU, compilation, memory, and where the time goes."""
    from rich.console import Console

    from archlab.bench import report
    from archlab.bench.measuring import Plan
    from archlab.hardware import usable_cores

    _check(flops, peak_tflops, json, save)
    subjects = _subjects(arguments, backend, length, batch)
    plan = Plan(
        rounds=rounds, steps=steps, convention=flops, peak_tflops=peak_tflops, decode=decode, trace=profile,
        threads=threads or usable_cores(), apart=apart,
    )  # fmt: skip
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    found, facts = _measured(subjects, plan, console)
    for sheet in report.sheets(found):
        console.print(report.rich_table(sheet), "")
    _write(found, facts, json, save)


def _check(flops: str, peak_tflops: float | None, json: Path | None, save: Path | None) -> None:
    from archlab.accounting import CONVENTIONS

    if flops not in CONVENTIONS:
        raise InputError(f"--flops {flops!r} is no way to count; {nearest(flops, CONVENTIONS)}")
    if peak_tflops is not None and not peak_tflops > 0:
        raise InputError(f"--peak-tflops {peak_tflops:g} must be > 0")
    for option, path in (("--json", json), ("--save", save)):
        if path is not None:
            check_writable(option, path)


def _subjects(arguments: list[str], backend: str | None, length: int | None, batch: int | None) -> "list[Subject]":
    from archlab.backends import backend_names
    from archlab.bench.subject import subjects

    configs = [argument for argument in arguments if "=" not in argument]
    if not configs:
        raise InputError("no config is given, only changes; say what to time: archlab bench CONFIG key=value")
    names = backend_names() if backend in (None, BOTH) else [str(backend)]
    if backend is None and len(names) > 1:
        raise InputError(f"say which backend to time: --backend {' or --backend '.join((*names, BOTH))}")
    if unknown := [name for name in names if name not in backend_names()]:
        raise InputError(f"no backend {unknown[0]!r}; {nearest(unknown[0], (*backend_names(), BOTH))}")
    return subjects(configs, [a for a in arguments if "=" in a], names, length, batch)


def _measured(subjects: "list[Subject]", plan: "Plan", console: "Console") -> "tuple[list[Measured], dict[str, str]]":
    """The measurements, and where they were made. What goes on is said on stderr."""
    import os

    from rich.console import Console

    from archlab.bench.measuring import measure
    from archlab.bench.report import environment
    from archlab.hardware import is_busy

    load, busy = os.getloadavg()[0], is_busy()
    with Console(stderr=True).status("") as status:
        found = measure(subjects, plan, status.update)
    if busy:
        console.print(f"The machine was busy before (load average {load:.1f}): these times mean little.\n")
    return found, environment(found, load)


def _write(found: "list[Measured]", facts: dict[str, str], json: Path | None, save: Path | None) -> None:
    from archlab.bench import report
    from archlab.files import write_text
    from archlab.training.manifest import write_json

    if json is not None:
        write_json(json, report.as_data(found, facts))
    if save is not None:
        command = shlex.join(["archlab", *sys.argv[1:]])
        write_text(save, report.markdown(found, facts, command))
