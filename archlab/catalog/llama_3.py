"""Llama 3.1."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import Llama3Scaling, RoPE
from archlab.stack import Stack


@architecture("llama-3", "Llama 3.1", "https://arxiv.org/abs/2407.21783")
def llama_3(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, hidden: int, original: int
) -> LanguageModel:
    """Grouped queries, RoPE with θ = 500,000 and Llama 3.1's scaling, SwiGLU, RMSNorm (1e-5), no biases, own head.

    The scaling is the published one (factor 8 between 1 and 4 turns); ``original`` is the length before it, 8,192 of
    131,072 in Llama 3.1. Rotated pairs stand as in Hugging Face's files; in Meta's own they are
    neighbours. First values are N(0, 0.02²): the paper does not say.
    """
    init, norm = Normal(std=0.02), RMSNorm(epsilon=1e-5)
    scaling = Llama3Scaling(factor=8.0, low_factor=1.0, high_factor=4.0, original_length=original)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=kv_heads,
            visibility="causal",
            rotary=RoPE(theta=500000.0, layout="half", scaling=scaling),
            bias=False,
            out_bias=False,
            init=init,
            out_init=init,
        ),
        channel=GLU(hidden=hidden, activation=SiLU(), bias=False, init=init, out_init=init),
        residual=PreNorm(norm=norm),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=norm,
        head=Head(bias=False, init=init),
    )
