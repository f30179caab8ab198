"""Times the update of every optimiser by its native form against the plain definition, in turns.

python benchmarks/optimizers.py --backend torch --save
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from report import environment
from rich.console import Console
from rich.table import Table

import archlab
from archlab.architecture import ArchitectureConfig, FeedForward, MultiHeadAttention, block, language_model
from archlab.bench.rounds import Summary, ratio, summary
from archlab.optim.optimizer import Optimizer
from archlab.spec import schema

RESULTS = Path(__file__).parent / "results"
RATE = 1e-4
ADAMW = archlab.AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
NO_DECAY = archlab.Group(roles=("embedding", "positions"), decay=0.0)
OPTIMIZERS: dict[str, Optimizer] = {
    "Adam": archlab.Adam(beta1=0.9, beta2=0.95, epsilon=1e-8),
    "AdamW": ADAMW,
    "SGD": archlab.SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
    "Lion": archlab.Lion(beta1=0.9, beta2=0.99, weight_decay=0.1),
    "Adafactor": archlab.Adafactor(decay=0.8, epsilon=1e-30, clip=1.0, scale_floor=1e-3, weight_decay=0.1),
    "Muon": archlab.Muon(
        momentum=0.95, iterations=5, epsilon=1e-7, weight_decay=0.1, other=ADAMW, other_rate=0.1
    ),
    "SOAP": archlab.SOAP(
        beta1=0.95, beta2=0.95, epsilon=1e-8, weight_decay=0.1, every=10, damping=1e-3, largest=1024
    ),
    "Averaged(AdamW)": archlab.Averaged(optimizer=ADAMW, average=0.999),
    "Grouped(AdamW)": archlab.Grouped(optimizer=ADAMW, groups=(NO_DECAY,), layer_decay=0.9),
}  # fmt: skip


def model() -> archlab.LanguageModel:
    """10 million parameters: GPT-2's design with 8 layers of width 320."""
    config = ArchitectureConfig(width=320, heads=5, hidden=1280, layers=8, length=256)
    return language_model(config, [block(MultiHeadAttention(config), FeedForward(config))], config.layers)


def torch_update(spec: archlab.LanguageModel, optimizer: Optimizer, plain: bool) -> Callable[[], Any]:
    """An update from gradients that stay."""
    import torch

    from archlab_torch.module import from_numpy
    from archlab_torch.optim import Definition, rule, rule_of_all

    weights = archlab.initial_weights(spec, seed=0)
    slots = archlab.build(spec, backend="torch", weights=weights).slots
    rules = rule_of_all(optimizer.treatments(schema(spec.root())), slots, Definition if plain else rule)
    for slot, grad in zip(slots, gradients([slot.tensor.shape for slot in slots]), strict=True):
        slot.tensor.grad = from_numpy(grad)

    def update() -> None:
        with torch.no_grad():
            rules.update(RATE)

    return update


def jax_update(spec: archlab.LanguageModel, optimizer: Optimizer, plain: bool) -> Callable[[], Any]:
    """An update from gradients that stay; buffers are donated, as in training."""
    import jax
    import jax.numpy as jnp

    from archlab_jax.module import Split
    from archlab_jax.optim import Definition, rule, rule_of_all

    weights = archlab.initial_weights(spec, seed=0)
    split, table = Split(archlab.build(spec, backend="jax", weights=weights)), schema(spec.root())
    rules = rule_of_all(optimizer.treatments(table), table, split.variables, Definition if plain else rule)
    grads = [jnp.asarray(g) for g in gradients([leaf.shape for leaf in split.leaves])]
    state = {"now": (split.leaves, rules.initial(split.leaves))}

    def move(leaves: Any, opt: Any, grads: Any) -> Any:
        return rules.update(leaves, grads, opt, jnp.float32(RATE))

    step = jax.jit(move, donate_argnums=(0, 1))

    def update() -> None:
        state["now"] = jax.block_until_ready(step(*state["now"], grads))

    return update


UPDATES = {"jax": jax_update, "torch": torch_update}


def gradients(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    drawn = np.random.default_rng(0)
    return [drawn.normal(scale=1e-2, size=shape).astype(np.float32) for shape in shapes]


def milliseconds(update: Callable[[], Any], steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        update()
    return (time.perf_counter() - begin) / steps * 1e3


def measure(backend: str, optimizer: Optimizer, rounds: int, steps: int) -> tuple[Summary, Summary, Summary]:
    """Milliseconds an update of the native form and of the definition, and how many times faster the former is."""
    spec = model()
    native, plain = (UPDATES[backend](spec, optimizer, plain) for plain in (False, True))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for update, taken in zip((native, plain), times, strict=True):
            found = milliseconds(update, steps)
            if turn:  # the first compiles
                taken.append(found)
    return summary(times[0]), summary(times[1]), ratio(*times)


def main(
    backend: Annotated[str, typer.Option(help="jax or torch: one a process, their threads disturb one another.")],
    only: Annotated[str, typer.Option(help="Names, separated by commas; all by default.")] = "",
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 7,
    steps: Annotated[int, typer.Option(help="Updates a round; SOAP turns its bases in every tenth.", min=1)] = 10,
    save: Annotated[bool, typer.Option("--save", help="Write the table into benchmarks/results.")] = False,
) -> None:
    """Milliseconds an update of a model of 10 million parameters: native form, definition, and their ratio."""
    names = only.split(",") if only else list(OPTIMIZERS)
    rows, console = [], Console()
    for name in names:
        native, plain, ratio = measure(backend, OPTIMIZERS[name], rounds, steps)
        rows.append(
            [
                name,
                f"{native.median:.1f}",
                f"{plain.median:.1f}",
                f"{ratio.median:.2f}",
                f"{ratio.low:.2f}–{ratio.high:.2f}",
            ]
        )
    head = ["optimiser", "native, ms", "definition, ms", "times as fast", "quartiles"]
    shown = Table(title=backend)
    for i, column in enumerate(head):
        shown.add_column(column, justify="right" if i else "left")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    if save:
        path = RESULTS / f"optimizers-{backend}-{os.cpu_count()}-cores.md"
        facts = "\n".join(f"- {key}: {value}" for key, value in environment(None, "cpu").items())
        body = "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])
        path.write_text("\n".join(["# Updates of optimisers", "", main.__doc__ or "", "", facts, "", body]))
        console.print(f"written: {path}")


if __name__ == "__main__":
    typer.run(main)
