"""DistilBERT: BERT without token types and pooler."""

from typing import Any

from archlab.activations import ReLU
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.transform import Transform
from archlab.hf import encoders
from archlab.hf.encoders import BASE, LAYER, MASKED, SEQUENCE, SPAN, TOKEN, kind_of
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, law, std
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.spec import OutputHead

NORM = LayerNorm(epsilon=1e-12, bias=True)


def model(fields: Fields, architecture: str) -> Encoder:
    """Learned positions, LayerNorm after each layer; some fields have BERT's names too."""
    # a table of sines is saved and loaded as a learned one is
    fields.idle("sinusoidal_pos_embds", "tie_weights_", "output_past", "hidden_size", "num_hidden_layers")
    fields.idle("num_attention_heads", "seq_classif_dropout", "qa_dropout", "tie_word_embeddings")
    init, vocab, dropout = law(fields), fields.size("vocab_size", 30522), fields.number("dropout", 0.1)
    tower = encoders.post_norm_tower(
        layers=fields.size("n_layers", fields.size("num_hidden_layers", 6)),
        heads=fields.size("n_heads", fields.size("num_attention_heads", 12)),
        hidden=fields.size("hidden_dim", 3072), activation=fields.choice("activation", ACTIVATIONS, "gelu"), norm=NORM,
        positions=LearnedPositions(length=fields.size("max_position_embeddings", 512), init=init),
        attention_dropout=fields.number("attention_dropout", 0.1), dropout=dropout, init=init,
    )  # fmt: skip
    width = fields.size("dim", fields.size("hidden_size", 768))
    head = _head(fields, architecture.removeprefix("DistilBert"), vocab)
    return Encoder(width=width, front=Tokens(vocab=vocab, init=init), tower=tower, head=head)


def _head(fields: Fields, kind: str, vocab: int) -> OutputHead | None:
    init = law(fields)
    match kind:
        case "ForMaskedLM":
            activation = fields.choice("activation", ACTIVATIONS, "gelu")
            transform = Transform(activation=activation, bias=True, norm=NORM, init=init)
            return encoders.masked_head(fields, vocab, transform)
        case "ForSequenceClassification":
            rate, before = fields.number("seq_classif_dropout", 0.2), Transform(activation=ReLU(), bias=True, init=init)
            count = encoders.labels(fields)
            return Classifier(classes=count, pooling="first", transform=before, dropout=rate, init=init)
        case "ForTokenClassification":
            rate = fields.number("dropout", 0.1)
            return Classifier(classes=encoders.labels(fields), pooling=None, dropout=rate, init=init)
        case "ForQuestionAnswering":
            return encoders.span_head(fields, dropout=fields.number("qa_dropout", 0.1), init=init)
    return None


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    tower, layer, kind = model.tower, model.tower.stack.layers[0], kind_of(model)
    rate = {SEQUENCE: "seq_classif_dropout", SPAN: "qa_dropout"}.get(kind)
    return encoders.head_fields(model) | ({rate: model.head.dropout} if rate else {}) | {
        "vocab_size": model.vocabulary(), "dim": model.width, "n_layers": len(tower.stack.layers),
        "n_heads": layer.mixer.heads, "hidden_dim": layer.channel.hidden,
        "activation": activation_name(layer.channel.activation, "gelu"), "dropout": tower.dropout,
        "attention_dropout": layer.mixer.dropout, "max_position_embeddings": tower.positions.length,
        "initializer_range": std(layer.mixer.init),
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    kind = kind_of(model)
    base = "" if kind == BASE else "distilbert."
    layer = f"{base}transformer.layer.{{i}}"
    maps = {
        "attention.q_lin": "mixer.query", "attention.k_lin": "mixer.key", "attention.v_lin": "mixer.value",
        "attention.out_lin": "mixer.out", "ffn.lin1": "channel.up", "ffn.lin2": "channel.down",
    }  # fmt: skip
    return [
        same(f"{base}embeddings.word_embeddings.weight", "front.embedding.table"),
        same(f"{base}embeddings.position_embeddings.weight", "tower.positions.table"),
        *norm(f"{base}embeddings.LayerNorm", "tower.embedding_norm"),
        *(rule for theirs, ours in maps.items() for rule in linear(f"{layer}.{theirs}", f"{LAYER}.{ours}")),
        *norm(f"{layer}.sa_layer_norm", f"{LAYER}.mixer_residual.norm"),
        *norm(f"{layer}.output_layer_norm", f"{LAYER}.channel_residual.norm"),
        *_head_tensors(kind),
    ]


def _head_tensors(kind: str) -> list[Rule]:
    return {
        MASKED: [
            *linear("vocab_transform", "head.transform.linear"),
            *norm("vocab_layer_norm", "head.transform.norm"),
            same("vocab_projector.bias", "head.bias"),
            *linear("vocab_projector", "head.out"),
        ],
        SEQUENCE: linear("pre_classifier", "head.transform.linear") + linear("classifier", "head.out"),
        TOKEN: linear("classifier", "head.out"),
        SPAN: linear("qa_outputs", "head.out"),
        BASE: [],
    }[kind]


FAMILY = Family(
    model_type="distilbert",
    architectures=encoders.named("DistilBert"),
    model=model,
    config=config,
    tensors=tensors,
    architecture=lambda model: "DistilBert" + kind_of(model),
    prefix="distilbert.",
    ignored=(r".*embeddings\.position_ids",),
    twins={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    spare=(r"vocab_.*",),
)
