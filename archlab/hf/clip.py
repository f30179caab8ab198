"""The two encoders of CLIP, for the families that have one of them or both."""

from typing import Any

from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.fronts.patches import Patches
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.hf.family import Mismatch
from archlab.hf.fields import Fields
from archlab.hf.images import patch_tensors
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, stack, std
from archlab.inits import Normal
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.stack import Stack
from archlab.tower import Tower

LEGACY = 2
"""The end of text in configs that name it wrongly: the largest id is taken for it."""
PASSED_OVER = ("add_cross_attention", "is_decoder", "tie_word_embeddings", "dropout", "projection_dim")


def text_encoder(fields: Fields, features: int | None = None) -> Encoder:
    """A causal encoder of texts, read at the end of text; projected to ``features`` numbers."""
    fields.idle(*PASSED_OVER, "initializer_range")
    width, factor = fields.size("hidden_size", 512), fields.number("initializer_factor", 1.0)
    table, last = Normal(std=0.02 * factor), _norm(fields)
    end = fields.read("eos_token_id", int, 49407)
    return Encoder(
        width=width,
        front=Tokens(vocab=fields.size("vocab_size", 49408), init=table),
        tower=Tower(
            positions=LearnedPositions(length=fields.size("max_position_embeddings", 77), init=table),
            stack=_stack(fields, "causal", width, factor, heads=8, hidden=2048),
            norm=last,
        ),
        head=Classifier(
            classes=features,
            pooling="largest" if end == LEGACY else "token",
            token=None if end == LEGACY else end,
            bias=features is None,
            init=Normal(std=factor * width**-0.5),
        ),
    )


def image_encoder(fields: Fields, features: int | None = None) -> Encoder:
    """An encoder of square images, read at its class token; projected to ``features`` numbers."""
    fields.idle(*PASSED_OVER)
    width, factor = fields.size("hidden_size", 768), fields.number("initializer_factor", 1.0)
    init, law = Normal(std=factor * fields.number("initializer_range", 0.02)), Normal(std=factor * width**-0.5)
    side, patch = fields.size("image_size", 224), fields.size("patch_size", 32)
    front = Patches(
        size=(side, side),
        patch=(patch, patch),
        channels=fields.size("num_channels", 3),
        bias=False,
        init=init,
        learned_init=law,
    )
    return Encoder(
        width=width,
        front=front,
        tower=Tower(
            positions=LearnedPositions(length=front.length, init=init),
            embedding_norm=_norm(fields),
            stack=_stack(fields, "bidirectional", width, factor, heads=12, hidden=3072),
            norm=_norm(fields),
        ),
        head=Classifier(classes=features, pooling="first", bias=features is None, init=law),
    )


def _norm(fields: Fields) -> LayerNorm:
    return LayerNorm(epsilon=fields.number("layer_norm_eps", 1e-5), bias=True)


def _stack(fields: Fields, seen: Visibility, width: int, factor: float, *, heads: int, hidden: int) -> Stack:
    """LayerNorm before each layer, biases everywhere; ``heads`` and ``hidden`` are what a config leaves out."""
    count, heads = fields.size("num_hidden_layers", 12), fields.size("num_attention_heads", heads)
    inner, outer = Normal(std=factor * (2 * count * width) ** -0.5), Normal(std=factor * width**-0.5)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            visibility=seen,
            bias=True,
            out_bias=True,
            dropout=fields.number("attention_dropout", 0.0),
            init=inner,
            out_init=outer,
        ),
        channel=MLP(
            hidden=fields.size("intermediate_size", hidden),
            activation=fields.choice("hidden_act", ACTIVATIONS, "quick_gelu"),
            bias=True,
            init=Normal(std=factor * (2 * width) ** -0.5),
            out_init=inner,
        ),
        residual=PreNorm(norm=_norm(fields)),
    )
    return stack([layer] * count)


# --- the other way ----------------------------------------------------------------------------------------


def text_fields(model: Any) -> dict[str, Any]:
    """The fields that :func:`text_encoder` reads."""
    if not isinstance(model.front, Tokens):
        raise Mismatch
    return _shared_fields(model) | {
        "vocab_size": model.front.vocab, "max_position_embeddings": model.tower.positions.length,
        "eos_token_id": LEGACY if model.head.pooling == "largest" else model.head.token,
        "initializer_factor": std(model.front.init) / 0.02,
    }  # fmt: skip


def image_fields(model: Any) -> dict[str, Any]:
    """The fields that :func:`image_encoder` reads."""
    front = model.front
    if not isinstance(front, Patches):
        raise Mismatch
    return _shared_fields(model) | {
        "image_size": front.size[0], "patch_size": front.patch[0], "num_channels": front.channels,
        "initializer_range": std(front.init),
    }  # fmt: skip


def _shared_fields(model: Any) -> dict[str, Any]:
    layer = model.tower.stack.layers[0]
    return {
        "hidden_size": model.width, "intermediate_size": layer.channel.hidden,
        "num_hidden_layers": len(model.tower.stack.layers), "num_attention_heads": layer.mixer.heads,
        "hidden_act": activation_name(layer.channel.activation), "layer_norm_eps": model.tower.norm.epsilon,
        "attention_dropout": layer.mixer.dropout,
    } | ({} if model.head.classes is None else {"projection_dim": model.head.classes})  # fmt: skip


def text_tensors(theirs: str, ours: str = "") -> list[Rule]:
    """The tensors of the encoder of texts, whose names begin with ``theirs`` and ``ours``."""
    return [
        same(f"{theirs}embeddings.token_embedding.weight", f"{ours}front.embedding.table"),
        *_tensors(theirs, ours),
        *norm(f"{theirs}final_layer_norm", f"{ours}tower.norm"),
    ]


def image_tensors(theirs: str, front: Patches, ours: str = "") -> list[Rule]:
    """The tensors of the encoder of images, whose names begin with ``theirs`` and ``ours``."""
    return [
        Rule(theirs=f"{theirs}embeddings.class_embedding", ours=(f"{ours}front.learned",), layout="D -> 1 D"),
        *patch_tensors(f"{theirs}embeddings.patch_embedding", f"{ours}front", front),
        *norm(f"{theirs}pre_layrnorm", f"{ours}tower.embedding_norm"),
        *_tensors(theirs, ours),
        *norm(f"{theirs}post_layernorm", f"{ours}tower.norm"),
    ]


def _tensors(theirs: str, ours: str) -> list[Rule]:
    layer, mine = f"{theirs}encoder.layers.{{i}}", f"{ours}tower.stack.layers.{{i}}"
    maps = {
        "self_attn.q_proj": "mixer.query", "self_attn.k_proj": "mixer.key", "self_attn.v_proj": "mixer.value",
        "self_attn.out_proj": "mixer.out", "mlp.fc1": "channel.up", "mlp.fc2": "channel.down",
    }  # fmt: skip
    return [
        same(f"{theirs}embeddings.position_embedding.weight", f"{ours}tower.positions.table"),
        *(rule for name, part in maps.items() for rule in linear(f"{layer}.{name}", f"{mine}.{part}")),
        *norm(f"{layer}.layer_norm1", f"{mine}.mixer_residual.norm"),
        *norm(f"{layer}.layer_norm2", f"{mine}.channel_residual.norm"),
    ]
