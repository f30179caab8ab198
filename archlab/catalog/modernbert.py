"""ModernBERT."""

from archlab.activations import GELUErf
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.catalog.layers import stacked
from archlab.channels.glu import GLU
from archlab.fronts.tokens import Tokens
from archlab.heads.masked_token import MaskedTokenHead
from archlab.heads.transform import Transform
from archlab.inits import TruncatedNormal
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.residuals import PlainResidual, PreNorm
from archlab.rotary import RoPE
from archlab.tower import Tower


@architecture("modernbert", "ModernBERT", "https://arxiv.org/abs/2412.13663")
def modernbert(*, vocab: int, width: int, layers: int, heads: int, hidden: int, window: int) -> Encoder:
    """Rotary positions, LayerNorm without bias before each layer, GeGLU, two local layers to one global.

    A local layer sees ``window`` positions to each side (θ = 10,000), a global one all (θ = 160,000); the first is
    global, and its attention has no norm of its own, since the embedding's comes right before. Nothing has a bias but
    the tied head. It takes packed rows of several documents without padding. Made for masked tokens, 30 % of them.

    First values are N(0, 0.02²) cut off at three deviations, those of what is added to the stream divided by
    √(2 · layers).
    """
    init = TruncatedNormal(std=0.02, bound=3.0)
    out_init = TruncatedNormal(std=0.02 / (2 * layers) ** 0.5, bound=3.0)
    norm = LayerNorm(epsilon=1e-5, bias=False)
    channel = GLU(hidden=hidden, activation=GELUErf(), bias=False, init=init, out_init=out_init)

    def attention(theta: float, reach: int | None) -> Attention:
        return Attention(
            heads=heads, kv_heads=heads, visibility="bidirectional", window=reach, bias=False, out_bias=False,
            rotary=RoPE(theta=theta, layout="half"), init=init, out_init=out_init,
        )  # fmt: skip

    everywhere, near = attention(160000.0, None), attention(10000.0, window + 1)
    local, global_ = (Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm)) for mixer in (near, everywhere))
    first = (
        Block(mixer=everywhere, residual=PlainResidual()),
        Block(channel=channel, residual=PreNorm(norm=norm)),
    )
    transform = Transform(activation=GELUErf(), bias=False, norm=norm, init=out_init)
    return Encoder(
        width=width,
        front=Tokens(vocab=vocab, init=init),
        tower=Tower(embedding_norm=norm, stack=stacked(layers + 1, local, local, global_, first=first), norm=norm),
        head=MaskedTokenHead(vocab=vocab, transform=transform),
    )
