"""GPT-2."""

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.mlp import MLP
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.stack import Stack


@architecture(
    "gpt2",
    "GPT-2",
    "https://openai.com/index/better-language-models",
)
def gpt2(*, vocab: int, length: int, width: int, layers: int, heads: int) -> LanguageModel:
    """Learned positions, LayerNorm before each layer, GELU (tanh), F = 4 D, biases, a tied head, dropout.

    Its rate is 0.1 on embeddings, attention weights and branches. As OpenAI's code has it, table and matrices come from
    N(0, 0.02²), positions from N(0, 0.01²); as the paper has it, what is added to the residual stream is divided by
    √(2 · layers).
    """
    init, out_init = Normal(std=0.02), Normal(std=0.02 / (2 * layers) ** 0.5)
    norm = LayerNorm(epsilon=1e-5, bias=True)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            visibility="causal",
            bias=True,
            out_bias=True,
            dropout=0.1,
            init=init,
            out_init=out_init,
        ),
        channel=MLP(hidden=4 * width, activation=GELUTanh(), bias=True, init=init, out_init=out_init),
        residual=PreNorm(norm=norm, dropout=0.1),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=init,
        positions=LearnedPositions(length=length, init=Normal(std=0.01)),
        dropout=0.1,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=norm,
        head=None,
    )
