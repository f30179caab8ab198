"""HysoLLM's three kinds of models."""

from archlab.activations import SiLU
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.glu import GLU
from archlab.fronts.tokens import Tokens
from archlab.heads.masked_token import MaskedTokenHead
from archlab.inits import Normal
from archlab.layers import DropPath
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.model import Head, LanguageModel
from archlab.models.encoder import Encoder
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.spec import Layer
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock

DROP_PATH = "https://arxiv.org/abs/1603.09382"
INIT, NORM = Normal(std=0.02), RMSNorm(epsilon=1e-5)
RESIDUAL = PreNorm(norm=NORM, drop_path=DropPath(rate=0.1, by_depth="linear"))


@architecture("hyso-decoder", "HysoLLM decoder-only", DROP_PATH)
def hyso_decoder(*, vocab: int, width: int, layers: int, heads: int, hidden: int) -> LanguageModel:
    """RoPE, SwiGLU, RMSNorm before each layer, and DropPath, which is what HysoLLM's description names.

    The link is DropPath's paper: the framework itself has a description, no paper. The description leaves open all
    numbers, here Llama's (θ = 10,000, ε = 1e-5, N(0, 0.02²), no biases, a head of its own), and DropPath's rates, here
    from 0 in the first layer to 0.1 in the last.
    """
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=INIT,
        stack=Stack(pattern=(_layer("causal", heads, hidden),), repeat=layers),
        norm=NORM,
        head=Head(bias=False, init=INIT),
    )


@architecture("hyso-encoder", "HysoLLM encoder-only", DROP_PATH)
def hyso_encoder(*, vocab: int, width: int, layers: int, heads: int, hidden: int) -> Encoder:
    """The layers of ``hyso-decoder``, which see both directions, and a head for masked tokens of its own."""
    return Encoder(
        width=width,
        front=Tokens(vocab=vocab, init=INIT),
        tower=_tower(_layer("bidirectional", heads, hidden), layers),
        head=MaskedTokenHead(vocab=vocab, transform=None, out=Head(bias=False, init=INIT)),
    )


@architecture("hyso-seq2seq", "HysoLLM encoder-decoder", DROP_PATH)
def hyso_seq2seq(*, vocab: int, width: int, layers: int, heads: int, hidden: int) -> EncoderDecoder:
    """As many layers of ``hyso-encoder`` as of a decoder, which attends to them; one table for both, begins with 0.

    ``encode`` and ``decode`` of a built module run its halves, :func:`archlab.generation.generate` both.
    """
    own: Block = _layer("causal", heads, hidden)
    cross = CrossAttention(heads=heads, kv_heads=heads, bias=False, out_bias=False, init=INIT, out_init=INIT)
    decoder = DecoderBlock(mixer=own.mixer, cross=cross, channel=own.channel, residual=RESIDUAL)  # type: ignore[arg-type]
    return EncoderDecoder(
        vocab=vocab,
        width=width,
        start=0,
        embedding_init=INIT,
        encoder=_tower(_layer("bidirectional", heads, hidden), layers),
        decoder=_tower(decoder, layers),
        head=Head(bias=False, init=INIT),
    )


def _layer(seen: Visibility, heads: int, hidden: int) -> Block:
    rotary = RoPE(theta=10000.0, layout="half")
    mixer = Attention(
        heads=heads, kv_heads=heads, visibility=seen, rotary=rotary, bias=False, out_bias=False, init=INIT,
        out_init=INIT,
    )  # fmt: skip
    channel = GLU(hidden=hidden, activation=SiLU(), bias=False, init=INIT, out_init=INIT)
    return Block(mixer=mixer, channel=channel, residual=RESIDUAL)


def _tower(layer: Layer, layers: int) -> Tower:
    return Tower(stack=Stack(pattern=(layer,), repeat=layers), norm=NORM)
