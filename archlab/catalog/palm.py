"""PaLM."""

from archlab.activations import SiLU
from archlab.block import ParallelBlock
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.inits import FanInNormal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


@architecture("nano-palm", "Nano-PaLM", "https://arxiv.org/abs/2204.02311")
def palm(*, vocab: int, width: int, layers: int, heads: int, head_size: int) -> LanguageModel:
    """Attention and SwiGLU side by side under one LayerNorm, one head of keys and values, RoPE, F = 4 D, no biases.

    The paper's tied table E comes from N(0, 1) and logits are h Eᵀ / √D. What is stored here is E / √D: embeddings are
    multiplied by √D, logits by nothing, which is the same function. Matrices come from N(0, 1/fan-in).

    The paper leaves open LayerNorm's ε (here 1e-6) and which entries RoPE pairs (here the neighbours, as in RoPE's own
    paper). Left out: the auxiliary loss 10⁻⁴ · log² Z on the logits.
    """
    norm = LayerNorm(epsilon=1e-6, bias=False)
    layer = ParallelBlock(
        mixer=Attention(
            heads=heads,
            kv_heads=1,
            head_size=head_size,
            visibility="causal",
            rotary=RoPE(theta=10000.0, layout="interleaved"),
            bias=False,
            out_bias=False,
        ),
        channel=GLU(hidden=4 * width, activation=SiLU(), bias=False),
        residual=PreNorm(norm=norm),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=FanInNormal(),  # 1/√D
        embedding_scale=width**0.5,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=norm,
        head=None,
    )
