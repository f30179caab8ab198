"""BERT."""

from typing import Any

from archlab.hf import encoders
from archlab.hf.encoders import BASE, MASKED, SEQUENCE, SPAN, TOKEN, kind_of
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.models.encoder import Encoder

POOLER = ("fc_size", "num_attention_heads", "num_fc_layers", "size_per_head", "type")


def model(fields: Fields, architecture: str) -> Encoder:
    """Token types, learned positions, LayerNorm after each layer."""
    fields.expect("directionality", "bidi")
    fields.idle(*(f"pooler_{name}" for name in POOLER))  # of another implementation, which nothing reads
    return encoders.bert(fields, architecture.removeprefix("Bert"), vocab=30522)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    if model.tower.positions.offset:
        raise Mismatch
    return encoders.bert_fields(model)


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    kind = kind_of(model)
    base = "" if kind == BASE else "bert."
    pooler = linear(f"{base}pooler.dense", "head.transform.linear")
    return (
        encoders.bert_tensors(base)
        + {
            MASKED: [
                *linear("cls.predictions.transform.dense", "head.transform.linear"),
                *norm("cls.predictions.transform.LayerNorm", "head.transform.norm"),
                same("cls.predictions.bias", "head.bias"),
                *linear("cls.predictions.decoder", "head.out"),
            ],
            SEQUENCE: pooler + linear("classifier", "head.out"),
            TOKEN: linear("classifier", "head.out"),
            SPAN: linear("qa_outputs", "head.out"),
            BASE: pooler,
        }[kind]
    )


FAMILY = Family(
    model_type="bert",
    architectures=encoders.named("Bert"),
    model=model,
    config=config,
    tensors=tensors,
    architecture=lambda model: "Bert" + kind_of(model),
    prefix="bert.",
    ignored=(r".*embeddings\.position_ids",),
    twins={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    spare=(r"(bert\.)?pooler\..*", r"cls\..*"),
    told=encoders.told,
)
