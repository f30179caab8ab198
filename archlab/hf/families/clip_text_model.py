"""The encoder of texts of CLIP."""

from typing import Any

from archlab.hf.clip import text_encoder, text_fields, text_tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear
from archlab.models.encoder import Encoder

BASE, PROJECTED = "CLIPTextModel", "CLIPTextModelWithProjection"


def model(fields: Fields, architecture: str) -> Encoder:
    """It answers with the state at the end of text, or with what that is projected to."""
    return text_encoder(fields, fields.size("projection_dim", 512) if architecture == PROJECTED else None)


def _named(model: Any) -> str:
    return BASE if model.head.classes is None else PROJECTED


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return text_tensors("" if _named(model) == BASE else "text_model.") + linear("text_projection", "head.out")


FAMILY = Family(
    model_type="clip_text_model",
    architectures=(BASE, PROJECTED),
    model=model,
    config=text_fields,
    tensors=tensors,
    architecture=_named,
    prefix="text_model.",
    ignored=(r".*embeddings\.position_ids",),
)
