"""T5, as first published and in version 1.1."""

from archlab.activations import GELUTanh, ReLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.inits import FanInNormal, Normal
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.model import Head
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.score_bias import PositionBias, PublishedBias, RelativeBias, ReusedBias
from archlab.spec import Channel, Layer
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock

NORM = RMSNorm(epsilon=1e-6)
RESIDUAL = PreNorm(norm=NORM, dropout=0.1)


@architecture("small-t5", "Small-T5", "https://arxiv.org/abs/1910.10683")
def small_t5(*, vocab: int, width: int, layers: int, heads: int, head_size: int, hidden: int) -> EncoderDecoder:
    """T5 as first published: RMSNorm before each layer, no biases, ReLU, a tied head on states divided by √D.

    Scores are not scaled (their scale lies in the first values of W_Q); to them is added a learned bias of 32 buckets
    of distances up to 128, one of the encoder's first layer and one of the decoder's, which the other layers reuse.
    Writing begins with token 0. Dropout 0.1 on embeddings, attention weights and branches. Left out: dropout inside
    the feed-forward layer and after the last norm.
    """
    channel = MLP(hidden=hidden, activation=ReLU(), bias=False)
    return _t5(vocab, width, layers, heads, head_size, channel, None)


@architecture("t5", "T5 1.1", "https://arxiv.org/abs/2002.05202")
def t5(*, vocab: int, width: int, layers: int, heads: int, head_size: int, hidden: int) -> EncoderDecoder:
    """T5 1.1: as ``small-t5``, with gated GELU (tanh) and a head of its own on states that are not scaled.

    1.1 was trained without dropout and is fine-tuned with 0.1, which is what stands here.
    """
    channel = GLU(hidden=hidden, activation=GELUTanh(), bias=False)
    return _t5(vocab, width, layers, heads, head_size, channel, Head(bias=False, init=FanInNormal()))


def _t5(
    vocab: int, width: int, layers: int, heads: int, head_size: int, channel: Channel, head: Head | None
) -> EncoderDecoder:  # fmt: skip
    cross = CrossAttention(
        heads=heads, kv_heads=heads, head_size=head_size, scale=1.0, bias=False, out_bias=False, dropout=0.1,
        query_init=FanInNormal(gain=head_size**-0.5),
    )  # fmt: skip

    def tower(seen: Visibility) -> Tower:
        both = seen == "bidirectional"
        bias = RelativeBias(
            heads=heads, buckets=32, max_distance=128, bidirectional=both, init=Normal(std=width**-0.5)
        )  # fmt: skip

        def layer(bias: PositionBias) -> Layer:
            mixer = Attention(
                heads=heads, kv_heads=heads, head_size=head_size, visibility=seen, score_bias=bias, scale=1.0,
                bias=False, out_bias=False, dropout=0.1, query_init=FanInNormal(gain=head_size**-0.5),
            )  # fmt: skip
            if both:
                return Block(mixer=mixer, channel=channel, residual=RESIDUAL)
            return DecoderBlock(mixer=mixer, cross=cross, channel=channel, residual=RESIDUAL)

        first, later = layer(PublishedBias(name="bias", bias=bias)), layer(ReusedBias(name="bias"))
        stack = Stack(first=(first,), pattern=(later,), repeat=layers - 1)
        return Tower(dropout=0.1, stack=stack, norm=NORM)

    return EncoderDecoder(
        vocab=vocab,
        width=width,
        start=0,
        embedding_init=Normal(std=1.0),
        encoder=tower("bidirectional"),
        decoder=tower("causal"),
        head=head,
        logit_scale=None if head else width**-0.5,
    )
