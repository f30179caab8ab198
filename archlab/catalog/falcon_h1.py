"""Falcon-H1."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.inits import LogRange, Normal, Ones
from archlab.mixers.attention import Attention
from archlab.mixers.mamba2 import Mamba2
from archlab.mixers.parallel import Branch, ParallelMixers
from archlab.mixers.short_conv import ShortConv
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.recurrence import Decay
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


@architecture("falcon-h1", "Falcon-H1", "https://arxiv.org/abs/2507.22448")
def falcon_h1(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, head_size: int, hidden: int, state_heads: int,
    state_head_size: int, state_size: int,
) -> LanguageModel:  # fmt: skip
    """Attention beside Mamba-2 on the same input in every layer, then SwiGLU; RMSNorm (1e-5), own head.

    RoPE has θ = 10¹¹; Mamba-2 has one group and no norm behind its gate. First values are those of Hugging Face's code.

    All of the paper's multipliers are 1, as in that code's default configuration. That of the keys is attention's
    ``scale``.
    """
    init, norm = Normal(std=0.02), RMSNorm(epsilon=1e-5)
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        visibility="causal",
        rotary=RoPE(theta=1e11, layout="half"),
        bias=False,
        out_bias=False,
        init=init,
        out_init=init,
    )
    states = Mamba2(
        heads=state_heads,
        head_size=state_head_size,
        state_size=state_size,
        groups=1,
        norm=None,
        decay=Decay(rate=LogRange(), step=Ones()),
        conv=ShortConv(taps=4, bias=True, init=init),
        init=init,
    )
    layer = Block(
        mixer=ParallelMixers(branches=(Branch(mixer=states), Branch(mixer=attention))),
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
