"""HysoLLM's decoder-only model."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.inits import Normal
from archlab.layers import DropPath
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


@architecture("hyso-decoder", "HysoLLM decoder-only", "https://arxiv.org/abs/1603.09382")
def hyso_decoder(*, vocab: int, width: int, layers: int, heads: int, hidden: int) -> LanguageModel:
    """RoPE, SwiGLU, RMSNorm before each layer, and DropPath, which is what HysoLLM's description names.

    The link is DropPath's paper: the framework itself has a description, no paper. The description leaves open all
    numbers, here Llama's (θ = 10,000, ε = 1e-5, N(0, 0.02²), no biases, a head of its own), and DropPath's rates, here
    from 0 in the first layer to 0.1 in the last.
    """
    init, norm = Normal(std=0.02), RMSNorm(epsilon=1e-5)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            visibility="causal",
            rotary=RoPE(theta=10000.0, layout="half"),
            bias=False,
            out_bias=False,
            init=init,
            out_init=init,
        ),
        channel=GLU(hidden=hidden, activation=SiLU(), bias=False, init=init, out_init=init),
        residual=PreNorm(norm=norm, drop_path=DropPath(rate=0.1, by_depth="linear")),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=norm,
        head=Head(bias=False, init=init),
    )
