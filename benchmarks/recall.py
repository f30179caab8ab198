"""Which mixers learn to look up what they have read? Two layers of each on associative recall, on both backends.

python benchmarks/recall.py --save
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from report import environment
from rich.console import Console
from rich.progress import track
from rich.table import Table

import archlab
from archlab.accounting import account
from archlab.backends import backend_names, find_backend
from archlab.data.recall import recall_batch
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import WarmupCosine

RESULTS = Path(__file__).parent / "results"
WIDTH, VOCAB, PAIRS, BATCH = 64, 64, 8, 32
NORM = archlab.RMSNorm(epsilon=1e-5)
ADAMW = AdamW(beta1=0.9, beta2=0.98, epsilon=1e-8, weight_decay=0.1)
SIZES = {"key_size": 16, "value_size": 16}
RWKV = archlab.RWKV7(
    heads=4, decay_rank=16, rate_rank=16, gate_rank=16, norm=archlab.GroupNorm(groups=4, epsilon=64e-5, bias=True)
)
LSTM = archlab.LSTM(hidden=WIDTH, bias=True, state_bias=True)
GRU = archlab.GRU(hidden=WIDTH, bias=True, state_bias="all")
MIXERS: dict[str, archlab.Mixer] = {
    "Attention": archlab.Attention(
        heads=4, kv_heads=4, visibility="causal", rotary=archlab.RoPE(theta=10000.0, layout="half"), bias=False,
        out_bias=False,
    ),
    "GatedDeltaNet": archlab.GatedDeltaNet(heads=4, key_heads=4, epsilon=1e-6, norm=NORM, **SIZES),
    "Mamba2": archlab.Mamba2(heads=8, head_size=16, state_size=32, groups=1, norm=NORM),
    "Mamba": archlab.Mamba(hidden=128, state_size=16, step_rank=4),
    "RGLRU": archlab.RGLRU(hidden=64, heads=4, bias=True),
    "RWKV7": RWKV,
    "LSTM": LSTM,
    "GRU": GRU,
}  # fmt: skip


def model(mixer: archlab.Mixer) -> archlab.LanguageModel:
    """Two layers of nothing but the mixer."""
    layer = archlab.Block(mixer=mixer, residual=archlab.PreNorm(norm=NORM))
    later = layer.replace(mixer=RWKV.replace(value_rank=8)) if mixer is RWKV else layer
    stack = archlab.Stack(first=(layer,), pattern=(later,), repeat=1)
    init = archlab.Normal(std=0.02)
    return archlab.LanguageModel(vocab=VOCAB, width=WIDTH, embedding_init=init, stack=stack, norm=NORM, head=None)


def train(backend: str, spec: archlab.LanguageModel, steps: int) -> tuple[list[float], float]:
    """Losses of the steps, and the held-out loss at the end in nats for each answer."""
    weights = archlab.initial_weights(spec, seed=0)
    trainer = find_backend(backend).trainer(spec, weights=weights, optimizer=ADAMW, clip=1.0)
    rates = WarmupCosine(peak=3e-3, floor=3e-4, warmup=min(50, steps // 4), steps=steps)
    losses: list[Any] = []
    for step in range(steps):
        batch = recall_batch(0, step, batch=BATCH, pairs=PAIRS, vocab=VOCAB)
        losses.append(trainer.step(batch, rates.rate(step)).loss)
    held_out = recall_batch(1, 0, batch=256, pairs=PAIRS, vocab=VOCAB)
    total, count = trainer.evaluate(held_out)
    return [float(loss) for loss in losses], total / count


def main(
    steps: Annotated[int, typer.Option(help="Training steps.", min=8)] = 1000,
    mixers: Annotated[str, typer.Option(help="Names, separated by commas; by default all.")] = "",
    save: Annotated[bool, typer.Option("--save", help="Write the table into benchmarks/results.")] = False,
) -> None:
    """Held-out loss of two-layer models on associative recall; not knowing the values costs log 32 = 3.47."""
    names = mixers.split(",") if mixers else [*MIXERS]
    backends = backend_names()
    columns = ("mixer", "parameters", *backends, "apart after 20 steps", "learns")
    lines = []
    for name in track(names, description="training"):
        spec = model(MIXERS[name])
        found = {backend: train(backend, spec, steps) for backend in backends}
        curves = np.array([curve[:20] for curve, _ in found.values()])
        apart = float(np.max(np.ptp(curves, axis=0) / curves.min(axis=0)))
        ends = [end for _, end in found.values()]
        size = account(spec, length=4 * PAIRS).parameters
        verdict = "yes" if max(ends) < 0.5 else "in part" if max(ends) < 3.0 else "no"
        lines.append([name, f"{size:,}", *(f"{end:.3f}" for end in ends), f"{apart:.1e}", verdict])
    shown = Table(*columns, title=f"associative recall, {PAIRS} pairs, {steps} steps: held-out loss in nats")
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)
    if save:
        path = RESULTS / "recall.md"
        facts = "\n".join(f"- {key}: {value}" for key, value in environment(None, "cpu").items())
        rows = [columns, ["---"] * len(columns), *lines]
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        command = f"Made by `python benchmarks/recall.py --steps {steps} --save`."
        path.write_text(f"# Associative recall\n\n{main.__doc__} {command}\n\n{facts}\n\n{text}\n")


if __name__ == "__main__":
    typer.run(main)
