"""``make demo``: one spec, trained by every installed backend from equal weights on equal batches, side by side."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from archlab.backends import Backend, StepMetrics, backend_names, find_backend
from archlab.cli import complain
from archlab.cli import main as command_line
from archlab.config_files import load_run
from archlab.errors import InputError
from archlab.generation import generate
from archlab.parity.tolerances import TRAINING
from archlab.run_config import RunConfig
from archlab.sampling import Sampling
from archlab.training import loop
from archlab.training.plots import plot_losses
from archlab.training.progress import progress
from archlab.training.runs import open_run

CONFIG = "configs/tiny_gpt.py"
PROMPT = "def "
PLOT = "loss.png"
EARLY = 20
EARLY_LIMIT = TRAINING["float32"]


class FirstLosses(loop.Hook):
    """Keeps the losses of the first steps one by one."""

    def __init__(self) -> None:
        self._metrics: list[StepMetrics] = []

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        if step <= EARLY:
            self._metrics.append(metrics)

    def losses(self) -> list[float]:
        return [float(m.loss) for m in self._metrics]


def demo(config: RunConfig, backends: Sequence[Backend], folder: Path, console: Console) -> bool:
    """Train with each backend, compare, draw, and write samples; whether the first losses agree."""
    early: dict[str, list[float]] = {}
    results = []
    for backend in backends:
        console.rule(f"training on {backend.name}")
        first = FirstLosses()
        results.append(loop.train(config, backend, out=folder / backend.name, hooks=[progress(), first]))
        early[backend.name] = first.losses()
    console.rule("the same losses")
    last = {r.backend: r.val_loss for r in results}
    worst = show_losses(early, last, console)
    plot_losses([r.run_dir for r in results], folder / PLOT, "One spec, equal weights, equal batches")
    console.rule("samples")
    for backend in backends:
        console.print(f"[bold]{backend.name}[/]")
        console.print(sample(backend, folder / backend.name), markup=False, highlight=False)
    console.print(f"\nlosses of the first {EARLY} steps differ by at most {worst:.1e}, {EARLY_LIMIT:.0e} is allowed")
    return worst <= EARLY_LIMIT


def show_losses(early: dict[str, list[float]], last: dict[str, float], console: Console) -> float:
    """Print losses by step and backend; the largest relative difference in the first steps."""
    names = list(early)
    table = Table("step", *names, "relative difference", box=None)
    worst = 0.0
    for step, losses in enumerate(zip(*early.values(), strict=True), start=1):
        difference = spread(losses)
        worst = max(worst, difference)
        if step in (1, 2, 5, 10, EARLY):
            table.add_row(str(step), *(f"{loss:.7f}" for loss in losses), f"{difference:.1e}")
    held_out = [last[name] for name in names]
    table.add_row("held-out, at the end", *(f"{loss:.7f}" for loss in held_out), f"{spread(held_out):.1e}")
    console.print(table)
    return worst


def spread(values: Sequence[float]) -> float:
    """The relative difference between the largest and the least."""
    return (max(values) - min(values)) / abs(min(values))


def sample(backend: Backend, path: Path) -> str:
    """What the run at ``path`` writes after the prompt."""
    run = open_run(path)
    _, weights = run.weights()
    sampling = Sampling(temperature=0.8)
    model, tokenizer = run.config.model, run.tokenizer()
    result = generate(backend, model, weights, tokenizer, [PROMPT], sampling=sampling, policy=run.config.policy)
    return PROMPT + result[0].text


def main() -> int:
    """Run the demo in a new folder under ``runs``; the exit status."""
    console = Console()
    folder = Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-demo"
    try:
        backends = [find_backend(name) for name in backend_names()]
        agree = demo(load_run(CONFIG), backends, folder, console)
    except KeyboardInterrupt:
        return 130
    except InputError as error:
        return complain("error", str(error), status=2)
    console.rule("parity")
    parity = command_line(["parity", CONFIG])
    console.print(f"\nboth curves: {folder / PLOT}", soft_wrap=True, highlight=False)
    if not agree:
        return complain("check failed", f"the backends' first losses differ by more than {EARLY_LIMIT:.0e}", status=1)
    return parity


if __name__ == "__main__":
    sys.exit(main())
