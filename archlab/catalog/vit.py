"""The vision transformer."""

from archlab.activations import GELUErf
from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.channels.mlp import MLP
from archlab.fronts.patches import Patches
from archlab.heads.classifier import Classifier
from archlab.inits import TruncatedNormal
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.stack import Stack
from archlab.tower import Tower


@architecture("vit", "ViT", "https://arxiv.org/abs/2010.11929")
def vit(*, image: int, patch: int, classes: int, width: int, layers: int, heads: int) -> Encoder:
    """Patches of a square image of three colours after a class token, learned positions, LayerNorm before each layer.

    GELU (erf), F = 4 D, biases; classes are read from the class token after a last norm (1e-12, as in Hugging Face's
    configuration; the paper's code has 1e-6). Tables and matrices from N(0, 0.02²) cut off at two deviations.
    """
    init, norm = TruncatedNormal(std=0.02, bound=2.0), LayerNorm(epsilon=1e-12, bias=True)
    front = Patches(
        size=(image, image), patch=(patch, patch), channels=3, bias=True, init=init, learned_init=init
    )  # fmt: skip
    layer = Block(
        mixer=Attention(
            heads=heads, kv_heads=heads, visibility="bidirectional", bias=True, out_bias=True, init=init, out_init=init
        ),
        channel=MLP(hidden=4 * width, activation=GELUErf(), bias=True, init=init, out_init=init),
        residual=PreNorm(norm=norm),
    )
    positions = LearnedPositions(length=front.length, init=init)
    return Encoder(
        width=width,
        front=front,
        tower=Tower(positions=positions, stack=Stack(pattern=(layer,), repeat=layers), norm=norm),
        head=Classifier(classes=classes, pooling="first", init=init),
    )
