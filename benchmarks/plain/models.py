"""The two models, their weights and their batch: equal for archlab and for what is written by hand."""

from dataclasses import dataclass

import numpy as np

from archlab import weights
from archlab.catalog import gpt2 as gpt2_entry
from archlab.catalog import llama_3 as llama_entry
from archlab.model import Model
from archlab.optim.adamw import AdamW
from archlab.overrides import override

RATE, CLIP, EPSILON, THETA = 1e-3, 1.0, 1e-5, 10000.0
ADAMW = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Small, with the proportions of real models: products outweigh all else, as tokens a batch do the width."""

    vocab: int = 512
    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    length: int = 128
    batch: int = 16

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def hidden(self) -> int:
        return 3 * self.width


SIZES = Sizes()


def gpt2(sizes: Sizes = SIZES) -> Model:
    """GPT-2 as published, without its dropout, whose masks are no arithmetic of the model."""
    model = gpt2_entry.gpt2(
        vocab=sizes.vocab, length=sizes.length, width=sizes.width, layers=sizes.layers, heads=sizes.heads
    )
    places = ("", "stack.pattern[0].mixer.", "stack.pattern[0].residual.")
    return override(model, [f"{place}dropout=0.0" for place in places])


def llama(sizes: Sizes = SIZES) -> Model:
    """Llama with grouped queries, and without the frequencies that 3.1 changed for long contexts."""
    model = llama_entry.llama_3(
        vocab=sizes.vocab, width=sizes.width, layers=sizes.layers, heads=sizes.heads, kv_heads=sizes.kv_heads,
        hidden=sizes.hidden, original=sizes.length,
    )  # fmt: skip
    rotary = "stack.pattern[0].mixer.rotary"
    return override(model, [f"{rotary}.scaling=null", f"{rotary}.theta={THETA}"])


MODELS = {"gpt2": gpt2, "llama": llama}


def first_weights(name: str) -> weights.Weights:
    """Canonical weights. Those of norms and biases are moved off 1 and 0, so that leaving one out shows."""
    drawn = weights.initial(MODELS[name]().root(), seed=0)
    noise = np.random.default_rng(0)
    return {path: a if a.ndim > 1 else a + noise.normal(0, 0.1, a.shape).astype(a.dtype) for path, a in drawn.items()}


def batch(sizes: Sizes = SIZES) -> dict[str, np.ndarray]:
    """Random tokens and targets, (B, T) int32."""
    tokens, targets = np.random.default_rng(1).integers(0, sizes.vocab, (2, sizes.batch, sizes.length), dtype=np.int32)
    return {"tokens": tokens, "targets": targets}
