"""Times recurrent mixers over the length of the sequence: native form, definition, and attention.

python benchmarks/mixers.py --backend torch --save
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from device import Device, device_policy
from report import command, environment
from rich.console import Console
from rich.table import Table

import archlab
from archlab.backends import Trainer, find_backend
from archlab.bench.rounds import Summary, summary
from archlab.optim.adamw import AdamW

RESULTS = Path(__file__).parent / "results"
VOCAB, LAYERS = 64, 2
NORM = archlab.RMSNorm(epsilon=1e-5)
ADAMW = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1)


def mixers(width: int, size: int) -> dict[str, archlab.Mixer]:
    """All of one width, with heads of ``size`` where they have heads."""
    heads = width // size
    attention = archlab.Attention(heads=heads, kv_heads=heads, visibility="causal", bias=False, out_bias=False)
    ranks = {"decay_rank": width // 8, "rate_rank": width // 8, "gate_rank": width // 4}
    per_head = archlab.GroupNorm(groups=heads, epsilon=64e-5, bias=True)
    return {
        "Attention": attention,
        "TopBlocks": attention.replace(selection=archlab.TopBlocks(block=64, chosen=3)),
        "GatedDeltaNet": archlab.GatedDeltaNet(
            heads=heads, key_heads=heads, key_size=size, value_size=size, epsilon=1e-6, norm=NORM
        ),
        "Mamba2": archlab.Mamba2(heads=2 * heads, head_size=size, state_size=64, groups=1, norm=NORM),
        "Mamba": archlab.Mamba(hidden=2 * width, state_size=16, step_rank=width // 16),
        "RWKV7": archlab.RWKV7(heads=heads, norm=per_head, **ranks),
        "RGLRU": archlab.RGLRU(hidden=width, heads=heads, bias=True),
        "LSTM": archlab.LSTM(hidden=width, bias=True, state_bias=True),
    }


def defined(mixer: archlab.Mixer) -> archlab.Mixer:
    """The mixer as a class of its own, which no native form implements."""
    kind = type(mixer)
    forward = lambda self, m, x, ctx, state: kind.forward(self, m, x, ctx, state)  # noqa: E731
    naive = type(f"Naive{kind.__name__}", (kind,), {"abstract": True, "forward": forward, "__annotations__": {}})
    return naive(**{field.name: getattr(mixer, field.name) for field in dataclasses.fields(mixer)})


def model(mixer: archlab.Mixer, width: int) -> archlab.LanguageModel:
    """Two layers of nothing but the mixer."""
    layer = archlab.Block(mixer=mixer, residual=archlab.PreNorm(norm=NORM))
    stack = archlab.Stack(pattern=(layer,), repeat=LAYERS)
    init = archlab.Normal(std=0.02)
    return archlab.LanguageModel(vocab=VOCAB, width=width, embedding_init=init, stack=stack, norm=NORM, head=None)


def seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure(trainers: dict[str, Trainer], shape: tuple[int, int], rounds: int) -> Iterator[tuple[str, str, Summary]]:
    """(mixer, "forward" or "step", tokens a second), in turns; the first round compiles and does not count."""
    drawn = np.random.default_rng(0).integers(0, VOCAB, (2, *shape), dtype=np.int32)
    batch = {"tokens": drawn[0], "targets": drawn[1]}
    passes: dict[str, Callable[[Trainer], Any]] = {
        "forward": lambda t: t.evaluate(batch),
        "step": lambda t: float(t.step(batch, 1e-3).loss),
    }
    times: dict[tuple[str, str], list[float]] = {(n, p): [] for n in trainers for p in passes}
    for turn in range(rounds + 1):
        for name, what in times:
            taken = seconds(lambda name=name, what=what: passes[what](trainers[name]))  # type: ignore[misc]
            if turn:
                times[name, what].append(taken)
    for (name, what), taken in times.items():
        yield name, what, summary([batch["tokens"].size / t for t in taken])


def main(
    backend: Annotated[str, typer.Option(help="jax or torch: one a process, their threads disturb one another.")],
    lengths: Annotated[str, typer.Option(help="Tokens in a row, separated by commas.")] = "256,512,1024,2048,4096",
    naive: Annotated[int, typer.Option(help="The longest row at which definitions run too.")] = 512,
    only: Annotated[str, typer.Option(help="Mixers beside attention, separated by commas; all where empty.")] = "",
    width: Annotated[int, typer.Option(help="Numbers a token.", min=16)] = 128,
    head: Annotated[int, typer.Option(help="Numbers a head.", min=8)] = 32,
    tokens: Annotated[int, typer.Option(help="Tokens a batch, which has at least one row.", min=1)] = 4096,
    device: Device = Device.cpu,
    compute: Annotated[str, typer.Option(help="The dtype of activations: float32 or bfloat16.")] = "float32",
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the tables into benchmarks/results.")] = False,
) -> None:
    """Tokens a second of two-layer models, by mixer and length."""
    if width % head:
        raise typer.BadParameter(f"--head {head} does not divide --width {width}")
    known = mixers(width, head)
    if unknown := set(filter(None, only.split(","))) - known.keys():
        raise typer.BadParameter(f"--only {sorted(unknown)[0]}: there are {', '.join(known)}")
    known = {name: mixer for name, mixer in known.items() if not only or name in ("Attention", *only.split(","))}
    console, policy = Console(), device_policy(device, compute)
    found: dict[tuple[str, str], dict[int, Summary]] = {}
    for length in map(int, lengths.split(",")):
        recurrent = {n: m for n, m in known.items() if not isinstance(m, archlab.Attention)}
        specs = known | ({f"{n}, definition": defined(m) for n, m in recurrent.items()} if length <= naive else {})
        trainers = {n: start(backend, model(mixer, width), policy) for n, mixer in specs.items()}
        for mixer, what, speed in measure(trainers, (max(tokens // length, 1), length), rounds):
            found.setdefault((mixer, what), {})[length] = speed
    console.print(table(backend, found))
    measured_on = environment(None, device)
    if json_file:
        speeds = [
            {"mixer": mixer, "pass": what, "length": length, "tokens_per_second": dataclasses.asdict(speed)}
            for (mixer, what), by_length in found.items()
            for length, speed in by_length.items()
        ]
        json_file.write_text(json.dumps({"environment": measured_on, "compute": compute, "rows": speeds}, indent=1))
    if save:
        where = f"{os.cpu_count()}-cores" if device == "cpu" else f"{device}-{compute}"
        path = RESULTS / f"mixers-{backend}-{where}.md"
        facts = "\n".join(f"- {key}: {value}" for key, value in measured_on.items())
        about = (
            f"{main.__doc__} Width {width}, heads of {head}, {tokens:,} tokens a batch; made by `{command('mixers')}`."
        )
        path.write_text("\n".join(["# Mixers over length", "", about, "", facts, "", markdown(found)]))
        console.print(f"written: {path}")


def start(backend: str, spec: archlab.LanguageModel, policy: archlab.Policy) -> Trainer:
    weights = archlab.initial_weights(spec, seed=0)
    return find_backend(backend).trainer(spec, weights=weights, optimizer=ADAMW, clip=1.0, policy=policy)


def rows(found: dict[tuple[str, str], dict[int, Summary]]) -> tuple[list[int], list[list[str]]]:
    """The lengths, and a line for each mixer and pass: tokens a second, in brackets times attention's."""
    lengths = sorted({length for speeds in found.values() for length in speeds})

    def cell(what: str, length: int, speeds: dict[int, Summary]) -> str:
        if length not in speeds:
            return ""
        ratio = speeds[length].median / found["Attention", what][length].median
        return f"{speeds[length].median:,.0f} ({ratio:.2f})"

    return lengths, [
        [n, what, *(cell(what, t, speeds) for t in lengths), crossover(found["Attention", what], speeds)]
        for (n, what), speeds in found.items()
    ]


def crossover(attention: dict[int, Summary], speeds: dict[int, Summary]) -> str:
    """The least length from which on a mixer is faster than attention."""
    faster = [length for length in speeds if speeds[length].median > attention[length].median]
    longest = max(attention)
    if longest not in speeds:
        return ""
    slower = [length for length in speeds if length not in faster]
    first = min((length for length in faster if length > max(slower, default=0)), default=None)
    return "" if speeds is attention else f"above {longest}" if first is None else str(first)


def table(backend: str, found: dict[tuple[str, str], dict[int, Summary]]) -> Table:
    lengths, lines = rows(found)
    shown = Table(title=f"{backend}: tokens a second (times attention's)")
    for column in ("mixer", "pass", *(f"T = {t}" for t in lengths), "faster from"):
        shown.add_column(column, justify="right" if column.startswith("T") else "left")
    for line in lines:
        shown.add_row(*line)
    return shown


def markdown(found: dict[tuple[str, str], dict[int, Summary]]) -> str:
    lengths, lines = rows(found)
    head = ["mixer", "pass", *(f"T = {t}" for t in lengths), "faster from"]
    body = [head, ["---"] * len(head), *lines]
    return "Tokens a second, in brackets times attention's.\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in body)


if __name__ == "__main__":
    typer.run(main)
