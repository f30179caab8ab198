"""Gemma 3."""

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import SandwichNorm
from archlab.rotary import RoPE


@architecture("gemma-3", "Gemma 3", "https://arxiv.org/abs/2503.19786")
def gemma_3(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, head_size: int, hidden: int, window: int
) -> LanguageModel:
    """Five layers with a window to one without, θ = 10,000 and 1,000,000, norms of queries and keys, GeGLU.

    RMSNorm (1e-6, its scale stored less 1) stands before and after each layer; the table is tied, and embeddings are
    multiplied by √D. These are the conventions of Gemma 3 1B; from 4B on, positions of the layers without a window are
    divided by 8. First values are N(0, 0.02²), as in Hugging Face's code: the report does not say.
    """
    init = Normal(std=0.02)
    norm = RMSNorm(epsilon=1e-6, unit_offset=True, cast="after")
    local = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        visibility="causal",
        window=window,
        rotary=RoPE(theta=10000.0, layout="half"),
        qk_norm=norm,
        bias=False,
        out_bias=False,
        init=init,
        out_init=init,
    )
    whole = local.replace(window=None, rotary=RoPE(theta=1000000.0, layout="half"))

    def layer(mixer: Attention) -> Block:
        channel = GLU(hidden=hidden, activation=GELUTanh(), bias=False, init=init, out_init=init)
        return Block(mixer=mixer, channel=channel, residual=SandwichNorm(norm_in=norm, norm_out=norm))

    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        embedding_scale=width**0.5,
        stack=stacked(layers, *[layer(local)] * 5, layer(whole)),
        norm=norm,
        head=None,
    )
