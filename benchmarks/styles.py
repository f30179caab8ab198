"""The models that are timed, as archlab's specs, and the weights that every contestant starts from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from case import EPSILON, STYLES, THETA, Case, Shape, Writing

from archlab import weights
from archlab.activations import GELUErf, SiLU
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import LayerNorm, RMSNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack

INIT = Normal(std=0.02)


def gpt2(shape: Shape) -> LanguageModel:
    """GPT-2 as nanoGPT writes it with ``bias=True``: LayerNorm, GELU with erf, learned positions, tied head."""
    norm = LayerNorm(epsilon=EPSILON, bias=True)
    layer = Block(
        mixer=Attention(
            heads=shape.heads, kv_heads=shape.heads, visibility="causal", bias=True, out_bias=True, init=INIT,
            out_init=INIT,
        ),
        channel=MLP(hidden=4 * shape.width, activation=GELUErf(), bias=True, init=INIT, out_init=INIT),
        residual=PreNorm(norm=norm),
    )  # fmt: skip
    return LanguageModel(
        vocab=shape.vocab,
        width=shape.width,
        embedding_init=INIT,
        positions=LearnedPositions(length=shape.length, init=INIT),
        stack=Stack(pattern=(layer,), repeat=shape.layers),
        norm=norm,
        head=None,
    )


def llama(shape: Shape) -> LanguageModel:
    """The first Llama with its own key and value for every head.

    Embeddings start from N(0, 1): beside them an epsilon inside the norm or none makes no difference that could be
    seen, so that libraries whose RMSNorm has none compute the same losses.
    """
    norm = RMSNorm(epsilon=EPSILON)
    attention = Attention(
        heads=shape.heads, kv_heads=shape.heads, visibility="causal", rotary=RoPE(theta=THETA, layout="half"),
        bias=False, out_bias=False, init=INIT, out_init=INIT,
    )  # fmt: skip
    layer = Block(
        mixer=attention,
        channel=GLU(hidden=shape.gated, activation=SiLU(), bias=False, init=INIT, out_init=INIT),
        residual=PreNorm(norm=norm),
    )
    return LanguageModel(
        vocab=shape.vocab,
        width=shape.width,
        embedding_init=Normal(std=1.0),
        stack=Stack(pattern=(layer,), repeat=shape.layers),
        norm=norm,
        head=Head(bias=False, init=INIT),
    )


MODELS: dict[str, Callable[[Shape], LanguageModel]] = {"gpt2": gpt2, "llama": llama}
assert MODELS.keys() == STYLES.keys()


def make_case(shape: Shape, style: str, device: str, threads: int) -> Case:
    """A case with its first weights, float32."""
    drawn = weights.initial(MODELS[style](shape).root(), seed=0)
    first = {path: np.asarray(array, dtype=np.float32) for path, array in drawn.items()}
    return Case(shape=shape, style=style, device=device, threads=threads, weights=first)


def make_writing(shape: Shape, batch: int, prompt: int, new: int, device: str, threads: int) -> Writing:
    """A Llama that continues prompts.

    Its matrices are drawn from N(0, 1/width): layers weigh as much as embeddings do, so that a mistake in what a model
    keeps of earlier tokens changes what it writes.
    """
    shape = replace(shape, length=prompt + new, batch=batch)
    case = make_case(shape, "llama", device, threads)
    wider = np.float32(shape.width**-0.5 / INIT.std)
    first = {path: array * wider if path.endswith("kernel") else array for path, array in case.weights.items()}
    return Writing(shape=shape, style="llama", device=device, threads=threads, weights=first, prompt=prompt)
