"""DeepSeek-V3."""

import math

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.inits import Normal
from archlab.mixers.latent_attention import LatentAttention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.optim.sign_step import SignStep
from archlab.residuals import PreNorm
from archlab.rotary import RoPE, YarnScaling
from archlab.spec import Channel

INIT = Normal(std=0.006)
NORM = RMSNorm(epsilon=1e-6)
FACTOR = 40.0  # of YaRN


@architecture("deepseek-v3", "DeepSeek-V3", "https://arxiv.org/abs/2412.19437")
def deepseek_v3(
    *, vocab: int, width: int, layers: int, dense: int, heads: int, rank: int, query_rank: int, content: int,
    rotary: int, hidden: int, experts: int, chosen: int, groups: int, chosen_groups: int, expert_hidden: int,
    original: int,
) -> LanguageModel:  # fmt: skip
    """Latent attention; ``dense`` SwiGLU layers, then experts beside a shared one, chosen by corrected sigmoids.

    The router takes the best groups by their two best experts, normalises what it took and multiplies by 2.5; a bias
    that moves by 0.001 keeps loads even. YaRN has the published factor of 40, which multiplies scores by
    (0.1 ln 40 + 1)²; ``original`` is the length before it, 4,096 of 163,840. RMSNorm (1e-6), no biases, own head, all
    matrices from N(0, 0.006²).

    Left out: multi-token prediction, and the balancing loss within each sequence (α = 10⁻⁴), in whose place the
    router's ``balance`` would take whole batches.
    """
    yarn = YarnScaling(factor=FACTOR, original_length=original, attention_factor=1.0)
    attention = LatentAttention(
        heads=heads,
        rank=rank,
        query_rank=query_rank,
        content_size=content,
        rotary_size=rotary,
        value_size=content,
        norm=NORM,
        rotary=RoPE(theta=10000.0, layout="interleaved", scaling=yarn),
        scale=(0.1 * math.log(FACTOR) + 1.0) ** 2 / math.sqrt(content + rotary),
        init=INIT,
        out_init=INIT,
    )
    router = TopKRouter(
        experts=experts,
        chosen=chosen,
        scores="sigmoid",
        total=1.0,
        epsilon=1e-20,
        scale=2.5,
        groups=Groups(count=groups, chosen=chosen_groups, score="top2"),
        correction=SignStep(size=1e-3),
        init=INIT,
    )
    expert = _swiglu(expert_hidden)

    def layer(channel: Channel) -> Block:
        return Block(mixer=attention, channel=channel, residual=PreNorm(norm=NORM))

    mixture = MoE(router=router, expert=expert, shared=expert)
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=INIT,
        stack=stacked(layers, layer(mixture), first=(layer(_swiglu(hidden)),) * dense),
        norm=NORM,
        head=Head(bias=False, init=INIT),
    )


def _swiglu(hidden: int) -> GLU:
    return GLU(hidden=hidden, activation=SiLU(), bias=False, init=INIT, out_init=INIT)
