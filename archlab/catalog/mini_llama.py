"""The first Llama's design, with grouped queries."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


@architecture("mini-llama", "Mini-Llama", "https://arxiv.org/abs/2307.09288")
def mini_llama(*, vocab: int, width: int, layers: int, heads: int, kv_heads: int, hidden: int) -> LanguageModel:
    """Llama 2's design: rotary positions, RMSNorm, SwiGLU, grouped queries, no biases, a head of its own.

    It knows any length.
    """
    init = Normal(std=0.02)
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        visibility="causal",
        rotary=RoPE(theta=10000.0, layout="half"),
        bias=False,
        out_bias=False,
        init=init,
        out_init=init,
    )
    layer = Block(
        mixer=attention,
        channel=GLU(hidden=hidden, activation=SiLU(), bias=False, init=init, out_init=init),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-5)),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=RMSNorm(epsilon=1e-5),
        head=Head(bias=False, init=init),
    )
