"""The encoder of images of CLIP."""

from typing import Any

from archlab.hf.clip import image_encoder, image_fields, image_tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear
from archlab.models.encoder import Encoder

BASE, PROJECTED = "CLIPVisionModel", "CLIPVisionModelWithProjection"


def model(fields: Fields, architecture: str) -> Encoder:
    """It answers with the state of the class token, or with what that is projected to."""
    return image_encoder(fields, fields.size("projection_dim", 512) if architecture == PROJECTED else None)


def _named(model: Any) -> str:
    return BASE if model.head.classes is None else PROJECTED


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    base = "" if _named(model) == BASE else "vision_model."
    return image_tensors(base, model.front) + linear("visual_projection", "head.out")


FAMILY = Family(
    model_type="clip_vision_model",
    architectures=(BASE, PROJECTED),
    model=model,
    config=image_fields,
    tensors=tensors,
    architecture=_named,
    prefix="vision_model.",
    ignored=(r".*embeddings\.position_ids",),
)
