"""The GPT of a Turkish guide from scratch to fine-tuning."""

from archlab.activations import GELUErf
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.mlp import MLP
from archlab.inits import FanInUniform, Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.stack import Stack


@architecture("gpt-936k", "GPT from scratch", "https://github.com/karpathy/nanoGPT")
def gpt_936k(*, vocab: int, length: int, width: int, layers: int, heads: int, hidden: int) -> LanguageModel:
    """The GPT of the guide “Sıfırdan Fine-Tuning'e” as its code says; the link is the code that it names as its source.

    Learned positions, LayerNorm before each layer and at the end, GELU (erf), biases everywhere, a head of its own with
    a bias, PyTorch's first values. Dropout 0.1 stands after the feed-forward layer alone: attention takes a rate and
    does not use it. A layer is therefore two blocks here.

    The guide states 935,680 parameters. Its code has 938,228: the guide leaves out the biases of the four projections
    of attention, 4 · 128 in each of 4 layers, and that of the head, 500.

    Left out: PyTorch draws biases from U(±1/√fan-in) too; here they start at 0.
    """
    init = FanInUniform()
    norm = LayerNorm(epsilon=1e-5, bias=True)
    attention = Attention(
        heads=heads, kv_heads=heads, visibility="causal", bias=True, out_bias=True, init=init, out_init=init
    )
    feed_forward = MLP(hidden=hidden, activation=GELUErf(), bias=True, init=init, out_init=init)
    layer = (
        Block(mixer=attention, residual=PreNorm(norm=norm)),
        Block(channel=feed_forward, residual=PreNorm(norm=norm, dropout=0.1)),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=Normal(std=1.0),
        positions=LearnedPositions(length=length, init=Normal(std=1.0)),
        stack=Stack(pattern=layer, repeat=layers),
        norm=norm,
        head=Head(bias=True, init=init),
    )
