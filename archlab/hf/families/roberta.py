"""RoBERTa: BERT whose positions are numbered from its padding's token on."""

from typing import Any

from archlab.activations import GELUErf
from archlab.hf import encoders
from archlab.hf.encoders import BASE, MASKED, SEQUENCE, SPAN, TOKEN, kind_of
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.models.encoder import Encoder


def model(fields: Fields, architecture: str) -> Encoder:
    """The first token stands at row ``pad_token_id`` + 1 of the table; the masked tokens' head has its own GELU."""
    offset = fields.read("pad_token_id", int, 1) + 1
    kind = architecture.removeprefix("Roberta")
    return encoders.bert(fields, kind, vocab=50265, offset=offset, transform_act=GELUErf())


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    offset = model.tower.positions.offset
    if not offset:
        raise Mismatch
    return encoders.bert_fields(model) | {"pad_token_id": offset - 1}


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    kind = kind_of(model)
    base = "" if kind == BASE else "roberta."
    return (
        encoders.bert_tensors(base)
        + {
            MASKED: [
                *linear("lm_head.dense", "head.transform.linear"),
                *norm("lm_head.layer_norm", "head.transform.norm"),
                same("lm_head.bias", "head.bias"),
                *linear("lm_head.decoder", "head.out"),
            ],
            SEQUENCE: linear("classifier.dense", "head.transform.linear") + linear("classifier.out_proj", "head.out"),
            TOKEN: linear("classifier", "head.out"),
            SPAN: linear("qa_outputs", "head.out"),
            BASE: linear("pooler.dense", "head.transform.linear"),
        }[kind]
    )


FAMILY = Family(
    model_type="roberta",
    architectures=encoders.named("Roberta"),
    model=model,
    config=config,
    tensors=tensors,
    architecture=lambda model: "Roberta" + kind_of(model),
    prefix="roberta.",
    ignored=(r".*embeddings\.position_ids",),
    twins={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    spare=(r"(roberta\.)?pooler\..*", r"lm_head\..*"),
    told=encoders.told,
)
