"""What is timed: the shapes, the model, its first weights and its batches. Equal for every contestant."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archlab import weights
from archlab.activations import GELUErf
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.optim.adamw import AdamW
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.stack import Stack

Batch = dict[str, np.ndarray]

RATE, CLIP, EPSILON = 1e-3, 1.0, 1e-5
ADAMW = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1)


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


SHAPES = {
    "S1": Shape(name="S1", layers=4, width=128, heads=4, length=64, batch=12, vocab=65, steps=25),
    "S2": Shape(name="S2", layers=6, width=384, heads=6, length=256, batch=8, vocab=512, steps=2),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape on one device; ``nanogpt`` is a checkout of karpathy/nanoGPT."""

    shape: Shape
    device: str
    threads: int
    nanogpt: Path | None = None


def model(shape: Shape) -> LanguageModel:
    """GPT-2 as nanoGPT writes it with ``bias=False``: LayerNorm, GELU with erf, learned positions, tied head."""
    init = Normal(std=0.02)
    norm = LayerNorm(epsilon=EPSILON, bias=False)
    layer = Block(
        mixer=Attention(
            heads=shape.heads, kv_heads=shape.heads, visibility="causal", bias=False, out_bias=False, init=init,
            out_init=init,
        ),
        channel=MLP(hidden=4 * shape.width, activation=GELUErf(), bias=False, init=init, out_init=init),
        residual=PreNorm(norm=norm),
    )  # fmt: skip
    return LanguageModel(
        vocab=shape.vocab,
        width=shape.width,
        embedding_init=init,
        positions=LearnedPositions(length=shape.length, init=init),
        stack=Stack(pattern=(layer,), repeat=shape.layers),
        norm=norm,
        head=None,
    )


def initial_weights(shape: Shape) -> weights.Weights:
    """Canonical weights: the same bits in every process."""
    return weights.initial(model(shape).root(), seed=0)


def batches(shape: Shape, count: int = 8) -> list[Batch]:
    """Random tokens and targets in host memory, (B, T) int32."""
    draws = np.random.default_rng(0).integers(0, shape.vocab, (count, 2, shape.batch, shape.length), dtype=np.int32)
    return [{"tokens": tokens, "targets": targets} for tokens, targets in draws]
