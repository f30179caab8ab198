"""Mixtral."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


@architecture("mixtral", "Mixtral", "https://arxiv.org/abs/2401.04088")
def mixtral(
    *, vocab: int, width: int, layers: int, heads: int, kv_heads: int, hidden: int, experts: int, chosen: int
) -> LanguageModel:
    """Mistral's layer with a mixture of SwiGLU experts: a softmax over the chosen ones, no shared one.

    Grouped queries, RoPE with θ = 10⁶, no window, RMSNorm (1e-5), no biases, own head. First values are N(0, 0.02²) and
    the balancing loss has 0.02 in each layer, as in the released configuration; the paper names neither.
    """
    init, norm = Normal(std=0.02), RMSNorm(epsilon=1e-5)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=kv_heads,
            visibility="causal",
            rotary=RoPE(theta=1e6, layout="half"),
            bias=False,
            out_bias=False,
            init=init,
            out_init=init,
        ),
        channel=MoE(
            router=TopKRouter(
                experts=experts,
                chosen=chosen,
                scores="softmax",
                over="chosen",
                balance=0.02,
                dtype="compute",
                init=init,
            ),
            expert=GLU(hidden=hidden, activation=SiLU(), bias=False, init=init, out_init=init),
        ),
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
