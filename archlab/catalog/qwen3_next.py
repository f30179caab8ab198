"""Qwen3-Next."""

from archlab.activations import Sigmoid, SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.inits import LogUniform, Normal, Ones
from archlab.mixers.attention import Attention
from archlab.mixers.gated_delta_net import GatedDeltaNet
from archlab.mixers.short_conv import ShortConv
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.recurrence import Decay
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.spec import Channel, Mixer

INIT = Normal(std=0.02)
NORM = RMSNorm(epsilon=1e-6, unit_offset=True, cast="after")


@architecture("qwen3-next", "Qwen3-Next", "https://huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct")
def qwen3_next(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, head_size: int, state_heads: int,
    state_key_heads: int, state_head_size: int, experts: int, chosen: int, hidden: int,
) -> LanguageModel:  # fmt: skip
    """Three Gated DeltaNets to one gated attention, experts in every layer beside a gated shared one, own head.

    Attention's output is multiplied by a sigmoid gate, a quarter of each head is rotated (θ = 10⁷), queries and keys
    are normalised; RMSNorms (1e-6) store their scale less 1, but for the one inside Gated DeltaNet. First values are
    those of Hugging Face's code, which is where the decay's law U(0, 16) is from; here it begins at 10⁻⁶.

    The balancing loss has the configuration's coefficient, 0.001, in each layer; Hugging Face's code takes one mean
    over all layers and counts each of the chosen experts in full. Left out: multi-token prediction.
    """
    linear = GatedDeltaNet(
        heads=state_heads,
        key_heads=state_key_heads,
        key_size=state_head_size,
        value_size=state_head_size,
        epsilon=1e-6,
        norm=RMSNorm(epsilon=1e-6),
        decay=Decay(rate=LogUniform(low=1e-6, high=16.0), step=Ones()),
        conv=ShortConv(taps=4, bias=False, init=INIT),
        init=INIT,
    )
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        visibility="causal",
        rotary=RoPE(theta=1e7, layout="half", fraction=0.25),
        qk_norm=NORM,
        gate=Sigmoid(),
        bias=False,
        out_bias=False,
        init=INIT,
        out_init=INIT,
    )
    channel = _mixture(experts, chosen, hidden)

    def layer(mixer: Mixer) -> Block:
        return Block(mixer=mixer, channel=channel, residual=PreNorm(norm=NORM))

    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=INIT,
        stack=stacked(layers, *[layer(linear)] * 3, layer(attention)),
        norm=NORM,
        head=Head(bias=False, init=INIT),
    )


def _mixture(experts: int, chosen: int, hidden: int) -> Channel:
    """Experts and the shared one, all of one size."""
    expert = GLU(hidden=hidden, activation=SiLU(), bias=False, init=INIT, out_init=INIT)
    router = TopKRouter(
        experts=experts, chosen=chosen, scores="softmax", total=1.0, balance=0.001, dtype="compute", init=INIT
    )
    return MoE(router=router, expert=expert, shared=expert, shared_gate=INIT)
