"""BERT."""

from archlab.activations import GELUErf
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.mlp import MLP
from archlab.fronts.tokens import Tokens
from archlab.heads.masked_token import MaskedTokenHead
from archlab.heads.transform import Transform
from archlab.inits import TruncatedNormal
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PostNorm
from archlab.stack import Stack
from archlab.tower import Tower

BERT = "https://arxiv.org/abs/1810.04805"


@architecture("bert", "BERT", BERT)
@architecture("mini-bert", "Mini-BERT", BERT)
def bert(*, vocab: int, length: int, width: int, layers: int, heads: int) -> Encoder:
    """Token types, learned positions, LayerNorm (1e-12) after each layer, GELU (erf), F = 4 D, masked-token head.

    Dropout 0.1 on embeddings, attention weights and branches; matrices and tables from N(0, 0.02²) cut off at two
    deviations. The head is tied to the embedding. Left out: the classifier of next sentences; for classes and tags
    replace ``head`` by a :class:`archlab.heads.classifier.Classifier`, for answers by a
    :class:`archlab.heads.span.SpanHead`.
    """
    init, norm = TruncatedNormal(std=0.02, bound=2.0), LayerNorm(epsilon=1e-12, bias=True)
    layer = Block(
        mixer=Attention(
            heads=heads, kv_heads=heads, visibility="bidirectional", bias=True, out_bias=True, dropout=0.1, init=init,
            out_init=init,
        ),
        channel=MLP(hidden=4 * width, activation=GELUErf(), bias=True, init=init, out_init=init),
        residual=PostNorm(norm=norm, dropout=0.1),
    )  # fmt: skip
    tower = Tower(
        positions=LearnedPositions(length=length, init=init),
        embedding_norm=norm,
        dropout=0.1,
        stack=Stack(pattern=(layer,), repeat=layers),
        norm=None,
    )
    transform = Transform(activation=GELUErf(), bias=True, norm=norm, init=init)
    return Encoder(
        width=width,
        front=Tokens(vocab=vocab, init=init, types=2),
        tower=tower,
        head=MaskedTokenHead(vocab=vocab, transform=transform),
    )
