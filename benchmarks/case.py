"""What is timed: sizes, the update rule, batches and prompts. Equal for every contestant, free of any framework."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Batch = dict[str, np.ndarray]

RATE, CLIP, EPSILON, THETA = 1e-3, 1.0, 1e-5, 10000.0
CHECKED = 5
"""Updates whose losses are compared before timing."""
NOISE = {"cpu": 1e-5, "cuda": 1e-3, "tpu": 1e-3}
"""Largest relative difference of the first loss: float32 noise, and that of the TF32 or bfloat16 products that
accelerators use for float32. Later losses may differ ten times as much, because AdamW amplifies noise."""


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """The update rule; decay is on matrices and tables only."""

    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.1


ADAMW = AdamW()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of a model and of its batches; ``steps`` make a round of about a second on a small CPU."""

    name: str
    layers: int
    width: int
    heads: int
    length: int
    batch: int
    vocab: int
    steps: int

    def __str__(self) -> str:
        return (
            f"{self.layers} layers, width {self.width}, {self.heads} heads, context {self.length}, "
            f"batch {self.batch}, vocabulary {self.vocab}"
        )

    @property
    def gated(self) -> int:
        """Hidden units of a gated channel: 8/3 of the width, rounded up to a multiple of 32."""
        return -(-8 * self.width // (3 * 32)) * 32


SHAPES = {
    "S0": Shape(name="S0", layers=4, width=32, heads=2, length=8, batch=1, vocab=65, steps=300),
    "S1": Shape(name="S1", layers=4, width=128, heads=4, length=64, batch=12, vocab=65, steps=25),
    "S2": Shape(name="S2", layers=6, width=384, heads=6, length=256, batch=8, vocab=512, steps=2),
    "S3": Shape(name="S3", layers=8, width=512, heads=8, length=512, batch=4, vocab=8192, steps=1),
}
STYLES = {
    "gpt2": "LayerNorm, GELU (erf), learned positions, biases, a tied head",
    "llama": "RMSNorm, SwiGLU, rotary positions in halves, no biases, a head of its own",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape in one style on one device, to be trained.

    ``weights`` are canonical, the same bits for all; ``checkout`` is a contestant's own source, where it has one.
    """

    shape: Shape
    style: str
    device: str
    threads: int
    weights: Mapping[str, np.ndarray]
    checkout: Path | None = None

    @property
    def parameters(self) -> int:
        """How many a contestant must have."""
        return sum(array.size for array in self.weights.values())

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def about(self) -> str:
        """Its sizes in words."""
        return str(self.shape)

    @property
    def tokens(self) -> int:
        """Those of one step."""
        return self.shape.batch * self.shape.length

    @property
    def tolerance(self) -> list[float]:
        """Largest relative difference of each loss that is compared."""
        return [NOISE[self.device]] + [10 * NOISE[self.device]] * (CHECKED - 1)


@dataclass(frozen=True, kw_only=True)
class Writing(Case):
    """Prompts of ``prompt`` tokens that are continued, the most probable token each time, up to the shape's length."""

    prompt: int

    @property
    def new(self) -> int:
        """Tokens written after each prompt."""
        return self.shape.length - self.prompt

    @property
    def name(self) -> str:
        return f"{self.shape.name} batch {self.shape.batch}"

    @property
    def about(self) -> str:
        return f"{self.shape}; prompts of {self.prompt} tokens, {self.new} new ones"

    @property
    def tokens(self) -> int:
        """Those written at a time."""
        return self.shape.batch

    @property
    def tolerance(self) -> list[float]:
        """All must write the same."""
        return [0.0]


@dataclass(frozen=True, kw_only=True)
class Rounded(Writing):
    """The same with parameters and activations in ``compute``."""

    compute: str

    @property
    def name(self) -> str:
        return f"{super().name} {self.compute}"


def prompts(case: Writing) -> np.ndarray:
    """Random tokens in host memory, (B, P) int32."""
    return np.random.default_rng(0).integers(0, case.shape.vocab, (case.shape.batch, case.prompt), dtype=np.int32)


def batches(shape: Shape, count: int = 8) -> Sequence[Batch]:
    """Random tokens and targets in host memory, (B, T) int32."""
    draws = np.random.default_rng(0).integers(0, shape.vocab, (count, 2, shape.batch, shape.length), dtype=np.int32)
    return [{"tokens": tokens, "targets": targets} for tokens, targets in draws]
