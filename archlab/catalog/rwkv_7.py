"""RWKV-7."""

from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.rwkv_channel import RWKVChannel
from archlab.inits import FanInNormal, Uniform
from archlab.mixers.rwkv7 import RWKV7
from archlab.model import Head, LanguageModel
from archlab.norms import GroupNorm, LayerNorm
from archlab.residuals import PreNorm


@architecture("rwkv-7", "RWKV-7 “Goose”", "https://arxiv.org/abs/2503.14456")
def rwkv_7(
    *, vocab: int, width: int, layers: int, heads: int, decay_rank: int, rate_rank: int, value_rank: int, gate_rank: int
) -> LanguageModel:
    """Time mixing and channel mixing (F = 4 D), LayerNorm (1e-5) before each and after the embedding, own head.

    Layers after the first mix their values with the first one's. The norm of each head's output has ε = 64e-5.

    First values are the authors' for the table, U(±10⁻⁴), and as large as theirs for the head. Left out are the others:
    the authors' code draws matrices uniformly in widths of its own, sets those that end a branch to 0, and lets the
    mixing shares and the decay's bias run along the width by powers that change from layer to layer.
    """
    norm = LayerNorm(epsilon=1e-5, bias=True)
    first = RWKV7(
        heads=heads,
        decay_rank=decay_rank,
        rate_rank=rate_rank,
        gate_rank=gate_rank,
        norm=GroupNorm(groups=heads, epsilon=64e-5, bias=True),
    )

    def layer(mixer: RWKV7) -> Block:
        return Block(mixer=mixer, channel=RWKVChannel(hidden=4 * width), residual=PreNorm(norm=norm))

    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=Uniform(low=-1e-4, high=1e-4),
        embedding_norm=norm,
        stack=stacked(layers, layer(first.replace(value_rank=value_rank)), first=(layer(first),)),
        norm=norm,
        head=Head(bias=False, init=FanInNormal(gain=0.5)),
    )
