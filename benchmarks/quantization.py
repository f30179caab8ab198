"""Times decoding with weights in 8 and 4 bits beside floats, on each backend; of a trained run it tells the losses too.

python benchmarks/quantization.py
archlab train configs/tiny_gpt.py train.steps=300 --out runs/small
python benchmarks/quantization.py --shapes "" --run runs/small
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from case import SHAPES, Rounded, Shape
from contestants import OURS, OWN_JAX, OWN_TORCH, Entry
from device import Device
from harness import interleave, workers
from rich.console import Console
from rich.table import Table
from styles import MODELS, make_writing

from archlab.backends import find_backend
from archlab.bench.rounds import ratio, summary
from archlab.data.corpus import prepare_batches
from archlab.layers import Embedding, Linear
from archlab.model import Model
from archlab.policy import Policy
from archlab.quantization import FORMATS, format_of
from archlab.spec import walk
from archlab.training.runs import open_run
from archlab.weights import DTYPES

WIDE = Shape(name="wide", layers=6, width=1024, heads=16, length=256, batch=1, vocab=512, steps=1)
KNOWN = SHAPES | {"wide": WIDE}
KINDS = ("float", *FORMATS)
APART = "its weights are rounded"
ENTRIES = {
    f"{OURS[backend]}.{kind}": Entry(
        start=f"peers.archlab_integers:{backend}_{kind}", backend=backend, module=f"archlab_{backend}", packages=(),
        get=get, apart="" if kind == "float" else APART,
    )
    for backend, get in (("jax", OWN_JAX), ("torch", OWN_TORCH)) for kind in KINDS
}  # fmt: skip
COLUMNS = ("shape", "contestant", "MB a token", "ms a token", "of the time of floats", "same tokens")


def main(
    shapes: Annotated[
        str, typer.Option(help=f"Which of {', '.join(KNOWN)}, separated by commas; may be empty.")
    ] = "S2,wide",
    computes: Annotated[str, typer.Option(help="Dtypes of parameters and activations.")] = "float32,bfloat16",
    batch: Annotated[int, typer.Option(help="Prompts.", min=1)] = 1,
    prompt: Annotated[int, typer.Option(help="Tokens of a prompt.", min=1)] = 32,
    new: Annotated[int, typer.Option(help="Tokens written after each prompt.", min=2)] = 64,
    device: Annotated[Device, typer.Option(help="Where.")] = Device.cpu,
    threads: Annotated[int, typer.Option(help="CPU threads of every process.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 9,
    run: Annotated[Path | None, typer.Option(help="A trained run, whose held-out losses are told.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
) -> None:
    """Time decoding with weights in 8 and 4 bits beside floats, on each backend."""
    console, found = Console(), []
    for name in filter(None, shapes.split(",")):
        if name not in KNOWN:
            raise typer.BadParameter(f"--shapes {shapes}: no shape {name!r}; there are {', '.join(KNOWN)}")
        for compute in computes.split(","):
            if compute not in DTYPES:
                raise typer.BadParameter(f"--computes {computes}: no dtype {compute!r}; there are {', '.join(DTYPES)}")
            writing = make_writing(KNOWN[name], batch, prompt, new, device.value, threads)
            found += list(timed(Rounded(**vars(writing), compute=compute), rounds))
    if found:
        console.print(times_table(found))
    held_out = list(losses(run)) if run else []
    if held_out:
        console.print(losses_table(held_out))
    if json_file:
        json_file.write_text(json.dumps({"decoding": found, "losses": held_out}, indent=1))


def timed(case: Rounded, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for every contestant, all of them in turns."""
    with workers(ENTRIES, {}, case) as (running, reports):
        seconds = interleave(running, rounds, 1)
    for name, values in seconds.items():
        ours, _, kind = name.rpartition(".")
        floats = f"{ours}.float"
        policy = Policy(param=case.compute, compute=case.compute, weights=kind)
        yield {
            "shape": case.name, "contestant": name, "bytes": bytes_read(MODELS[case.style](case.shape), policy),
            "seconds": asdict(summary(values)), "of_floats": asdict(ratio(seconds[floats], values)),
            "same": float(np.mean(reports[name].shown == reports[floats].shown)), "rounds": values,
        }  # fmt: skip


def bytes_read(model: Model, policy: Policy) -> int:
    """Of weights, for each token: all but the table of embeddings, of which one row counts."""
    total, item = 0.0, DTYPES[policy.param].itemsize
    for _, part in walk(model.root()):
        params = dict(part.spec.params(part.width))
        form = format_of(policy, part.spec, part.width) if isinstance(part.spec, Linear) else None
        if form is not None:
            width, features = params.pop("kernel").shape
            total += width * features * form.bits / 8 + width // (form.group or width) * features * 4
        if isinstance(part.spec, Embedding):
            total -= (part.spec.vocab - 1) * part.width * item
        total += sum(np.prod(param.shape) * item for param in params.values())
    return int(total)


def losses(folder: Path) -> Iterator[dict[str, Any]]:
    """The held-out loss of a run's last weights, in floats and rounded, on each backend."""
    opened = open_run(folder)
    _, weights = opened.weights("last")
    config = opened.config
    data = prepare_batches(config.data, config.train.seed, opened.tokenizer())
    batches = list(data.validation_pass())
    for name in OURS:
        for kind in KINDS:
            policy = config.policy.replace(weights=kind)
            total = count = 0.0
            for batch in batches:
                inputs = {key: value for key, value in batch.items() if key not in ("targets", "weights")}
                logits = find_backend(name).run(config.model, weights, inputs, policy=policy, capture=False).output
                kept = batch["targets"] >= 0
                scores, targets = logits[kept].astype(np.float64), batch["targets"][kept]
                scores -= scores.max(axis=-1, keepdims=True)
                total += float((np.log(np.exp(scores).sum(axis=-1)) - scores[np.arange(len(targets)), targets]).sum())
                count += len(targets)
            yield {"backend": name, "weights": kind, "loss": total / count, "tokens": int(count)}


def times_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*COLUMNS, title="Decoding with rounded weights: medians and quartiles")
    for row in rows:
        time = {name: 1e3 * seconds for name, seconds in row["seconds"].items()}
        table.add_row(
            row["shape"], row["contestant"], f"{row['bytes'] / 1e6:.2f}", _spread(time), _spread(row["of_floats"]),
            f"{row['same']:.0%}",
        )  # fmt: skip
    return table


def _spread(of: dict[str, float]) -> str:
    return f"{of['median']:.2f} ({of['low']:.2f} – {of['high']:.2f})"


def losses_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("backend", "weights", "held-out loss", "change", title=f"Losses of {rows[0]['tokens']:,} tokens")
    floats = {row["backend"]: row["loss"] for row in rows if row["weights"] == "float"}
    for row in rows:
        table.add_row(
            row["backend"], row["weights"], f"{row['loss']:.4f}", f"{row['loss'] - floats[row['backend']]:+.4f}"
        )
    return table


if __name__ == "__main__":
    typer.run(main)
