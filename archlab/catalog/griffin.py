"""Griffin, as RecurrentGemma has it."""

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.inits import FanInNormal, Normal, Ring
from archlab.mixers.attention import Attention
from archlab.mixers.rg_lru import RGLRU
from archlab.mixers.short_conv import ShortConv
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.spec import Mixer


@architecture("griffin", "Griffin (RecurrentGemma)", "https://arxiv.org/abs/2402.19427")
def griffin(*, vocab: int, width: int, layers: int, heads: int, hidden: int, window: int) -> LanguageModel:
    """Two RG-LRUs to one attention in a window with one head of keys and values, GeGLU with biases, a tied head.

    RecurrentGemma's conventions (https://arxiv.org/abs/2404.07839): RMSNorm (1e-6, its scale stored less 1), embeddings
    times √D, logits capped at 30, half of each head rotated, biases in the recurrent block and in attention's output.
    ``hidden`` is one of GeGLU's two factors, 3 D. What is added to the residual stream starts smaller by √(2/layers);
    Λ is drawn as RecurrentGemma's code draws it, σ(−Λ) between 0.9 and 0.999; Griffin's paper says so of σ(−Λ)⁸.
    """
    out_init = FanInNormal(gain=(2.0 / layers) ** 0.5)
    norm = RMSNorm(epsilon=1e-6, unit_offset=True, cast="after")
    recurrent = RGLRU(
        hidden=width,
        heads=heads,
        bias=True,
        conv=ShortConv(taps=4, bias=True, init=Normal(std=0.05)),  # a variance of 0.01/4
        decay=Ring(low=0.9, high=0.999),
        out_init=out_init,
    )
    attention = Attention(
        heads=heads,
        kv_heads=1,
        visibility="causal",
        window=window,
        rotary=RoPE(theta=10000.0, layout="half", fraction=0.5),
        bias=False,
        out_bias=True,
        out_init=out_init,
    )

    def layer(mixer: Mixer) -> Block:
        channel = GLU(hidden=hidden, activation=GELUTanh(), bias=True, out_init=out_init)
        return Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm))

    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=FanInNormal(),  # 1/√D
        embedding_scale=width**0.5,
        stack=stacked(layers, layer(recurrent), layer(recurrent), layer(attention)),
        norm=norm,
        head=None,
        softcap=30.0,
    )
