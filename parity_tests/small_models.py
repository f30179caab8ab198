"""A Llama and a GPT in which every part has something to say: what ports are compared with and faults are put into."""

from typing import Any

from archlab.activations import GELUErf, SiLU
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel, tiny_model
from archlab.norms import LayerNorm, RMSNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.rotary import RoPE


def llama(norm: Any = RMSNorm(epsilon=1e-5), layer: Any = PreNorm, **attention: Any) -> LanguageModel:
    """With a window, so that every position scheme and mask shows."""
    fields = {
        "rotary": RoPE(theta=10000.0, layout="half"),
        "window": 9,
        "visibility": "causal",
        "kv_heads": 2,
    } | attention
    mixer = Attention(heads=4, bias=False, out_bias=False, **fields)
    channel = GLU(hidden=16, activation=SiLU(), bias=False)
    block = Block(mixer=mixer, channel=channel, residual=layer(norm=norm))
    return tiny_model(layer=block, head=Head(bias=False), norm=norm)


def gpt(
    activation: Any = GELUErf(), norm: Any = LayerNorm(epsilon=1e-5, bias=True), branch: float = 0.5, **fields: Any
) -> LanguageModel:
    """With every scale and softcap there is."""
    mixer = Attention(heads=4, kv_heads=4, visibility="causal", bias=True, out_bias=True, softcap=5.0)
    channel = MLP(hidden=32, activation=activation, bias=True)
    layer = Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm, branch_scale=branch))
    defaults = {"positions": LearnedPositions(length=64, init=Normal(std=1.0)), "embedding_scale": 4.5, "softcap": 9.0}
    return tiny_model(layer=layer, norm=norm, **(defaults | fields))
