"""gpt-oss."""

from archlab.activations import GELUSigmoid
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE, YarnScaling


@architecture("gpt-oss", "gpt-oss", "https://arxiv.org/abs/2508.10925")
def gpt_oss(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, head_size: int, hidden: int, experts: int,
    chosen: int, window: int, original: int,
) -> LanguageModel:  # fmt: skip
    """Attention with sinks, by turns in a window and without; experts chosen by their logits, then a softmax over them.

    An expert is (x₁ σ(1.702 x₁)) ⊙ (x₂ + 1) with x₁ ≤ 7 and |x₂| ≤ 7, biases and all; router and attention have biases
    too. RoPE has θ = 150,000 and YaRN of factor 32 that blends between exact numbers of turns; ``original`` is the
    length before it, 4,096 of 131,072. RMSNorm (1e-5, the scale multiplies before the cast), own head, N(0, 0.02²).

    Left out: a balancing loss, which the report does not name.
    """
    init = Normal(std=0.02)
    norm = RMSNorm(epsilon=1e-5, cast="after")
    yarn = YarnScaling(factor=32.0, original_length=original, ends="exact")
    local = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        visibility="causal",
        window=window,
        rotary=RoPE(theta=150000.0, layout="half", scaling=yarn),
        sink=init,
        bias=True,
        out_bias=True,
        init=init,
        out_init=init,
    )
    mixture = MoE(
        router=TopKRouter(
            experts=experts, chosen=chosen, scores="softmax", over="chosen", dtype="compute", bias=init, init=init
        ),
        expert=GLU(
            hidden=hidden, activation=GELUSigmoid(), bias=True, limit=7.0, up_offset=1.0, init=init, out_init=init
        ),
    )

    def layer(mixer: Attention) -> Block:
        return Block(mixer=mixer, channel=mixture, residual=PreNorm(norm=norm))

    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        stack=stacked(layers, layer(local), layer(local.replace(window=None))),
        norm=norm,
        head=Head(bias=False, init=init),
    )
