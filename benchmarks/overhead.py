"""What the training loop costs beside the compiled step it drives.

python benchmarks/overhead.py --save

One run of ``archlab train``'s own loop, on both backends and two models; between rows of metrics the same trainer takes
as many bare steps on batches that were made before. So both are timed in turns in one process (a new one for each row
of the table), with all that a run does by default: batches through Grain, metrics, TensorBoard, the guard. Evaluation
and checkpoints are not in it.
"""

import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from device import Device, device_policy
from report import environment
from rich.console import Console
from rich.table import Table

from archlab import catalog
from archlab.backends import find_backend
from archlab.config_files import load_run
from archlab.data.config import DataConfig
from archlab.run_config import RunConfig
from archlab.training import loop
from archlab.training.callbacks import Callback

RESULTS = Path(__file__).parent / "results" / "overhead.md"
ROOT = Path(__file__).parents[1]
LOG_EVERY = 10
LIMITS = {"small": "0.5 ms", "50 ms": "2 %"}


def config(name: str, steps: int, device: str) -> RunConfig:
    """A 53,000-parameter model on one row of 8 tokens; or one whose step takes some 50 ms on two cores."""
    run = load_run(ROOT / "configs/tiny_gpt.py")
    sizes = {"small": (32, 2, 8, 1), "50 ms": (128, 4, 128, 4)}
    width, layers, length, batch = sizes[name]
    model = catalog.model("mini-gpt", vocab=256, length=length)
    stack = model.stack.replace(repeat=layers)  # type: ignore[attr-defined]
    block = stack.pattern[0]
    if name == "small":
        block = block.replace(channel=block.channel.replace(hidden=4 * width))
        stack = stack.replace(pattern=(block,))
    data: DataConfig = run.data.replace(length=length, batch=batch)
    train = run.train.replace(
        steps=steps, log_every=LOG_EVERY, eval_every=10**9, checkpoint_every=10**9, eval_batches=1
    )
    model = model.replace(width=width, stack=stack)
    return run.replace(model=model, data=data, train=train, policy=device_policy(device))


class Turns(Callback):
    """Seconds a step of the loop and of bare steps, in turns of ``count`` steps after ``warm`` ones."""

    def __init__(self, count: int, warm: int) -> None:
        self.count, self.warm = count, warm
        self.loop: list[float] = []
        self.bare: list[float] = []
        self.began: float | None = None

    def on_train_start(self, session: Any) -> None:
        self.session = session
        self.batches = list(session.data.train_batches(0, self.count))

    def on_log(self, row: Any) -> None:
        if row.step < self.warm or row.step % self.count:
            return
        now = time.perf_counter()
        if self.began is not None:
            self.loop.append((now - self.began) / self.count)
        self.bare.append(self._bare())
        self.began = time.perf_counter()

    def _bare(self) -> float:
        began = time.perf_counter()
        for batch in self.batches:
            metrics = self.session.trainer.step(batch, 1e-3)
        float(metrics.loss)
        return (time.perf_counter() - began) / self.count


def measure(name: str, backend: str, rounds: int, device: str) -> tuple[float, float, float]:
    """Median milliseconds of a bare step and of one in the loop, and of their difference."""
    count = 200 if name == "small" else 20
    turns = Turns(count, warm=count)
    with tempfile.TemporaryDirectory() as folder:
        run = config(name, steps=count * (rounds + 1), device=device)
        loop.train(run, find_backend(backend), out=Path(folder) / "run", callbacks=[turns])
    pairs = zip(turns.loop, turns.bare, strict=False)
    difference = statistics.median(a - b for a, b in pairs)
    return statistics.median(turns.bare) * 1e3, statistics.median(turns.loop) * 1e3, difference * 1e3


def _apart(name: str, backend: str, rounds: int, device: str) -> tuple[float, float, float]:
    """:func:`measure` in a process of its own: the frameworks' threads disturb one another."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, name, backend, rounds, device).result()


def _words(found: dict[str, Any]) -> str:
    return "Measured on " + ", ".join(f"{name} {value}" for name, value in found.items()) + "."


def main(
    rounds: Annotated[int, typer.Option(help="Turns of each kind.", min=2)] = 15,
    device: Device = Device.cpu,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write benchmarks/results/overhead.md.")] = False,
) -> None:
    """Time the training loop against bare steps."""
    backends = ("jax",) if device == "tpu" else ("jax", "torch")
    found = [(name, backend, *_apart(name, backend, rounds, device.value)) for name in LIMITS for backend in backends]
    cells = [
        (name, backend, f"{bare:.3f}", f"{whole:.3f}", f"{more:.3f}", f"{100 * more / bare:.1f} %", LIMITS[name])
        for name, backend, bare, whole, more in found
    ]
    heads = ("model", "backend", "bare step, ms", "in the loop, ms", "difference, ms", "share", "limit")
    table = Table(*heads, title="What the loop adds to a step (medians of turns)")
    for row in cells:
        table.add_row(*row)
    Console().print(table)
    measured_on = environment(None, device)
    if json_file:
        names = ("model", "backend", "bare_ms", "loop_ms", "difference_ms")
        data = {"environment": measured_on, "rows": [dict(zip(names, row, strict=True)) for row in found]}
        json_file.write_text(json.dumps(data, indent=1))
    if save:
        lines = ["# What the training loop adds to a step", "", __doc__ or "", "", _words(measured_on), ""]
        lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(row) + " |" for row in cells]
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
