"""BART."""

from archlab.activations import GELUErf
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.mlp import MLP
from archlab.inits import Normal
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PostNorm
from archlab.spec import Layer
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock


@architecture("bart", "BART", "https://arxiv.org/abs/1910.13461")
def bart(*, vocab: int, length: int, width: int, layers: int, heads: int, hidden: int) -> EncoderDecoder:
    """The first Transformer with GELU (erf), learned positions and a norm of the embeddings, one table for all tokens.

    LayerNorm after each layer, biases everywhere, a tied head, writing begins with token 2, N(0, 0.02²), dropout 0.1 on
    embeddings and branches. Left out: the two unused rows before the tables of positions, and a bias of the logits that
    no training moves; both are of Hugging Face's and fairseq's code.
    """
    init, norm = Normal(std=0.02), LayerNorm(epsilon=1e-5, bias=True)
    residual = PostNorm(norm=norm, dropout=0.1)
    channel = MLP(hidden=hidden, activation=GELUErf(), bias=True, init=init, out_init=init)
    cross = CrossAttention(heads=heads, kv_heads=heads, bias=True, out_bias=True, init=init, out_init=init)

    def attention(seen: Visibility) -> Attention:
        return Attention(
            heads=heads, kv_heads=heads, visibility=seen, bias=True, out_bias=True, init=init, out_init=init
        )  # fmt: skip

    def tower(layer: Layer) -> Tower:
        return Tower(
            positions=LearnedPositions(length=length, init=init),
            embedding_norm=norm,
            dropout=0.1,
            stack=Stack(pattern=(layer,), repeat=layers),
            norm=None,
        )

    return EncoderDecoder(
        vocab=vocab,
        width=width,
        start=2,
        embedding_init=init,
        encoder=tower(Block(mixer=attention("bidirectional"), channel=channel, residual=residual)),
        decoder=tower(DecoderBlock(mixer=attention("causal"), cross=cross, channel=channel, residual=residual)),
        head=None,
    )
