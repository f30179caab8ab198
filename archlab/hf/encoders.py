"""What encoder families share: BERT's layers, and the heads that read from an encoder."""

from collections.abc import Mapping
from typing import Any, cast

from archlab.activations import Activation, Tanh
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.errors import InputError
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.masked_token import MaskedTokenHead
from archlab.heads.span import SpanHead
from archlab.heads.transform import Transform
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, law, stack, std
from archlab.hf.tensors import Tensors
from archlab.inits import Init
from archlab.mixers.attention import Attention
from archlab.model import Head
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PostNorm
from archlab.spec import OutputHead
from archlab.tower import Tower

MASKED, SEQUENCE, TOKEN, SPAN, BASE = KINDS = (
    "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "Model",
)  # fmt: skip
"""How the names of a family's classes end, by their heads."""
LAYER = "tower.stack.layers.{i}"


def named(stem: str) -> tuple[str, ...]:
    """A family's classes, the usual one first."""
    return tuple(stem + kind for kind in KINDS)


def kind_of(model: Encoder) -> str:
    """How the name of an encoder's class ends."""
    match model.head:
        case MaskedTokenHead():
            return MASKED
        case SpanHead():
            return SPAN
        case Classifier(classes=int(), pooling=None):
            return TOKEN
        case Classifier(classes=int()):
            return SEQUENCE
    return BASE


# --- heads ----------------------------------------------------------------------------------------------


def labels(fields: Fields) -> int:
    """How many classes there are: those that ``id2label`` names, or else ``num_labels``."""
    count, names = fields.size("num_labels", 2), fields.raw("id2label", None)
    if names is not None and not isinstance(names, Mapping):
        raise InputError(f"{fields.where}: id2label is {names!r}; a mapping from numbers to names is needed")
    return count if names is None else len(names)


def span_head(fields: Fields, **more: Any) -> SpanHead:
    """The head of question answering."""
    if labels(fields) != 2:
        raise InputError(f"{fields.where}: num_labels is {labels(fields)}; a model that finds answers has 2")
    return SpanHead(**more)


def masked_head(fields: Fields, vocab: int, transform: Transform, *, bias: bool = True) -> MaskedTokenHead:
    """The head of masked tokens, tied unless the config says otherwise."""
    if fields.flag("tie_word_embeddings", True):
        return MaskedTokenHead(vocab=vocab, transform=transform, bias=bias)
    return MaskedTokenHead(vocab=vocab, transform=transform, out=Head(bias=bias, init=transform.init))


def head_fields(model: Encoder) -> dict[str, Any]:
    """The fields that these read."""
    match model.head:
        case MaskedTokenHead(out=out):
            return {"tie_word_embeddings": out is None}
        case Classifier(classes=int(count)):
            return {"num_labels": count}
    return {}


# --- BERT and RoBERTa -------------------------------------------------------------------------------------


def post_norm_tower(
    *, layers: int, heads: int, hidden: int, activation: Activation, norm: LayerNorm, positions: LearnedPositions,
    attention_dropout: float, dropout: float, init: Init,
) -> Tower:  # fmt: skip
    """Learned positions and LayerNorm on the embeddings, LayerNorm after each layer, biases everywhere."""
    layer = Block(
        mixer=Attention(
            heads=heads, kv_heads=heads, visibility="bidirectional", bias=True, out_bias=True,
            dropout=attention_dropout, init=init, out_init=init,
        ),
        channel=MLP(hidden=hidden, activation=activation, bias=True, init=init, out_init=init),
        residual=PostNorm(norm=norm, dropout=dropout),
    )  # fmt: skip
    return Tower(positions=positions, embedding_norm=norm, dropout=dropout, stack=stack([layer] * layers), norm=None)


def bert(fields: Fields, kind: str, *, vocab: int, offset: int = 0, transform_act: Activation | None = None) -> Encoder:
    """An encoder with the fields of BERT and RoBERTa.

    ``vocab`` is what a config has where it says nothing; ``offset`` how many rows of the positions' table are unused;
    ``transform_act`` the activation in the head of masked tokens, ``hidden_act`` unless given.
    """
    fields.expect("is_decoder", False)
    fields.expect("add_cross_attention", False)
    fields.expect("position_embedding_type", "absolute")
    fields.idle("tie_word_embeddings", "classifier_dropout", "add_pooling_layer")  # unless the head reads them
    init, size = law(fields), fields.size("vocab_size", vocab)
    norm = LayerNorm(epsilon=fields.number("layer_norm_eps", 1e-12), bias=True)
    activation = fields.choice("hidden_act", ACTIVATIONS, "gelu")
    dropout = fields.number("hidden_dropout_prob", 0.1)
    tower = post_norm_tower(
        layers=fields.size("num_hidden_layers", 12), heads=fields.size("num_attention_heads", 12),
        hidden=fields.size("intermediate_size", 3072), activation=activation, norm=norm,
        positions=LearnedPositions(
            length=fields.size("max_position_embeddings", 512) - offset, offset=offset, init=init
        ),
        attention_dropout=fields.number("attention_probs_dropout_prob", 0.1), dropout=dropout, init=init,
    )  # fmt: skip
    transform = Transform(activation=transform_act or activation, bias=True, norm=norm, init=init)
    return Encoder(
        width=fields.size("hidden_size", 768),
        front=Tokens(vocab=size, init=init, types=fields.size("type_vocab_size", 2)),
        tower=tower,
        head=masked_head(fields, size, transform) if kind == MASKED else _bert_head(fields, kind, dropout, init),
    )


def _bert_head(fields: Fields, kind: str, dropout: float, init: Init) -> OutputHead | None:
    """Any head but that of masked tokens; ``add_pooling_layer`` is an argument of the base model's class."""
    rate = fields.number("classifier_dropout", dropout)
    pooler = Transform(activation=Tanh(), bias=True, init=init)
    match kind:
        case "ForSequenceClassification":
            return Classifier(classes=labels(fields), pooling="first", transform=pooler, dropout=rate, init=init)
        case "ForTokenClassification":
            return Classifier(classes=labels(fields), pooling=None, dropout=rate, init=init)
        case "ForQuestionAnswering":
            return span_head(fields, init=init)
    pooled = fields.flag("add_pooling_layer", True)
    return Classifier(classes=None, pooling="first", transform=pooler, init=init) if pooled else None


def bert_fields(model: Encoder) -> dict[str, Any]:
    """The fields that :func:`bert` reads."""
    tower, head, front = model.tower, model.head, cast(Tokens, model.front)
    layer, positions = cast(Any, tower.stack.layers[0]), cast(Any, tower.positions)
    found = head_fields(model) | {
        "vocab_size": model.vocabulary(), "hidden_size": model.width, "num_hidden_layers": len(tower.stack.layers),
        "num_attention_heads": layer.mixer.heads, "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation, "gelu"), "hidden_dropout_prob": tower.dropout,
        "attention_probs_dropout_prob": layer.mixer.dropout,
        "max_position_embeddings": positions.length + positions.offset, "type_vocab_size": front.types,
        "layer_norm_eps": layer.residual.norm.epsilon, "initializer_range": std(layer.mixer.init),
    }  # fmt: skip
    if isinstance(head, Classifier) and head.classes is not None:
        found["classifier_dropout"] = head.dropout
    return found | ({"add_pooling_layer": head is not None} if kind_of(model) == BASE else {})


def told(config: Mapping[str, Any], tensors: Tensors) -> Mapping[str, Any]:
    """A base model without a pooler says so by its tensors alone."""
    pooled = any(name.endswith("pooler.dense.weight") for name in tensors.entries)
    return config if pooled else dict(config) | {"add_pooling_layer": False}


def bert_tensors(base: str) -> list[Rule]:
    """What is below the head; ``base`` stands before each name."""
    layer = f"{base}encoder.layer.{{i}}"
    maps = {
        "attention.self.query": "mixer.query", "attention.self.key": "mixer.key", "attention.self.value": "mixer.value",
        "attention.output.dense": "mixer.out", "intermediate.dense": "channel.up", "output.dense": "channel.down",
    }  # fmt: skip
    return [
        same(f"{base}embeddings.word_embeddings.weight", "front.embedding.table"),
        same(f"{base}embeddings.token_type_embeddings.weight", "front.types.table"),
        same(f"{base}embeddings.position_embeddings.weight", "tower.positions.table"),
        *norm(f"{base}embeddings.LayerNorm", "tower.embedding_norm"),
        *(rule for theirs, ours in maps.items() for rule in linear(f"{layer}.{theirs}", f"{LAYER}.{ours}")),
        *norm(f"{layer}.attention.output.LayerNorm", f"{LAYER}.mixer_residual.norm"),
        *norm(f"{layer}.output.LayerNorm", f"{LAYER}.channel_residual.norm"),
    ]
