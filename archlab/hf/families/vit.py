"""ViT."""

from typing import Any

from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.fronts.patches import Patches
from archlab.heads.classifier import Classifier
from archlab.heads.transform import Transform
from archlab.hf.encoders import labels, told
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.images import pair, patch_tensors
from archlab.hf.layouts import Rule, linear, norm
from archlab.hf.parts import ACTIVATIONS, activation_name, law, stack, std
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.tower import Tower

BASE = "ViTModel"
LAYER = "tower.stack.layers.{i}"


def model(fields: Fields, architecture: str) -> Encoder:
    """A class token before the patches of an image, learned positions, LayerNorm before each layer and at the end."""
    fields.idle("encoder_stride", "pooler_output_size", "pooler_act", "add_pooling_layer")  # of other heads
    width, init = fields.size("hidden_size", 768), law(fields)
    heads, drop = fields.size("num_attention_heads", 12), fields.number("hidden_dropout_prob", 0.0)
    norm = LayerNorm(epsilon=fields.number("layer_norm_eps", 1e-12), bias=True)
    front = Patches(
        size=pair(fields, "image_size", 224),
        patch=pair(fields, "patch_size", 16),
        channels=fields.size("num_channels", 3),
        bias=True,
        init=init,
        learned_init=init,
    )
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            head_size=fields.size("head_dim", None),
            visibility="bidirectional",
            bias=fields.flag("qkv_bias", True),
            out_bias=True,
            dropout=fields.number("attention_probs_dropout_prob", 0.0),
            init=init,
            out_init=init,
        ),
        channel=MLP(
            hidden=fields.size("intermediate_size", 3072),
            activation=fields.choice("hidden_act", ACTIVATIONS, "gelu"),
            bias=True,
            init=init,
            out_init=init,
        ),
        residual=PreNorm(norm=norm, dropout=drop),
    )
    tower = Tower(
        positions=LearnedPositions(length=front.length, init=init),
        dropout=drop,
        stack=stack([layer] * fields.size("num_hidden_layers", 12)),
        norm=norm,
    )
    return Encoder(width=width, front=front, tower=tower, head=_head(fields, architecture, width))


def _head(fields: Fields, architecture: str, width: int) -> Classifier | None:
    """Classes, or the base model's pooler, which ``add_pooling_layer``, an argument of its class, may leave out."""
    init = law(fields)
    if architecture != BASE:
        return Classifier(classes=labels(fields), pooling="first", init=init)
    if not fields.flag("add_pooling_layer", True):
        return None
    size, act = fields.size("pooler_output_size", width), fields.choice("pooler_act", ACTIVATIONS, "tanh")
    pooler = Transform(activation=act, bias=True, features=None if size == width else size, init=init)
    return Classifier(classes=None, pooling="first", transform=pooler, init=init)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer, front = model.tower.stack.layers[0], model.front
    if not isinstance(front, Patches):
        raise Mismatch
    return {
        "hidden_size": model.width, "num_hidden_layers": len(model.tower.stack.layers),
        "num_attention_heads": layer.mixer.heads, "head_dim": layer.mixer.size(model.width),
        "intermediate_size": layer.channel.hidden, "hidden_act": activation_name(layer.channel.activation),
        "hidden_dropout_prob": model.tower.dropout, "attention_probs_dropout_prob": layer.mixer.dropout,
        "initializer_range": std(layer.mixer.init), "layer_norm_eps": model.tower.norm.epsilon,
        "image_size": list(front.size), "patch_size": list(front.patch), "num_channels": front.channels,
        "qkv_bias": layer.mixer.bias,
    } | _head_fields(model)  # fmt: skip


def _head_fields(model: Any) -> dict[str, Any]:
    if _named(model) != BASE:
        return {"num_labels": model.head.classes}
    if model.head is None:
        return {"add_pooling_layer": False}
    pooler = model.head.transform
    return {"pooler_output_size": pooler.out(model.width), "pooler_act": activation_name(pooler.activation)}


def _named(model: Any) -> str:
    return BASE if model.head is None or model.head.classes is None else "ViTForImageClassification"


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    base = "" if _named(model) == BASE else "vit."
    layer, embeddings = f"{base}encoder.layer.{{i}}", f"{base}embeddings"
    maps = {
        "attention.attention.query": "mixer.query", "attention.attention.key": "mixer.key",
        "attention.attention.value": "mixer.value", "attention.output.dense": "mixer.out",
        "intermediate.dense": "channel.up", "output.dense": "channel.down",
    }  # fmt: skip
    return [
        Rule(theirs=f"{embeddings}.cls_token", ours=("front.learned",), layout="1 1 D -> 1 D"),
        Rule(theirs=f"{embeddings}.position_embeddings", ours=("tower.positions.table",), layout="1 P D -> P D"),
        *patch_tensors(f"{embeddings}.patch_embeddings.projection", "front", model.front),
        *(rule for theirs, ours in maps.items() for rule in linear(f"{layer}.{theirs}", f"{LAYER}.{ours}")),
        *norm(f"{layer}.layernorm_before", f"{LAYER}.mixer_residual.norm"),
        *norm(f"{layer}.layernorm_after", f"{LAYER}.channel_residual.norm"),
        *norm(f"{base}layernorm", "tower.norm"),
        *linear(f"{base}pooler.dense", "head.transform.linear"),
        *linear("classifier", "head.out"),
    ]


FAMILY = Family(
    model_type="vit",
    architectures=("ViTForImageClassification", BASE),
    model=model,
    config=config,
    tensors=tensors,
    architecture=_named,
    prefix="vit.",
    spare=(r"(vit\.)?pooler\..*", r"classifier\..*"),
    told=told,
)
