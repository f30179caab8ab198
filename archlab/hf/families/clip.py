"""CLIP: an encoder of texts and one of images, held against each other."""

from typing import Any

from archlab.hf.clip import image_encoder, image_fields, image_tensors, text_encoder, text_fields, text_tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear
from archlab.inits import Constant, Normal
from archlab.models.dual_encoder import DualEncoder


def model(fields: Fields, architecture: str) -> DualEncoder:
    """Both encoders, each in a table of its own; a projection of each, and a temperature."""
    fields.idle("tie_word_embeddings")
    text, image = _table(fields, "text_config"), _table(fields, "vision_config")
    encoders = text_encoder(text), image_encoder(image)
    text.done()
    image.done()
    law = Normal(std=fields.number("initializer_factor", 1.0) * encoders[0].width ** -0.5)
    return DualEncoder(
        width=fields.size("projection_dim", 512),
        text=encoders[0],
        image=encoders[1],
        init=law,
        scale=Constant(value=fields.number("logit_scale_init_value", 2.6592)),
    )


def _table(fields: Fields, name: str) -> Fields:
    """The fields of an encoder; older configs say them again under another name, which counts."""
    found = [fields.table(f"{name}_dict"), fields.table(name)]
    return next((table for table in found if table is not None), Fields({}, f"{fields.where}: {name}"))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    scale = model.scale.value if isinstance(model.scale, Constant) else 2.6592
    return {
        "projection_dim": model.width, "logit_scale_init_value": scale,
        "text_config": text_fields(model.text) | {"model_type": "clip_text_model", "projection_dim": model.width},
        "vision_config": image_fields(model.image) | {"model_type": "clip_vision_model", "projection_dim": model.width},
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        *text_tensors("text_model.", "text."),
        *image_tensors("vision_model.", model.image.front, "image."),
        *linear("text_projection", "text_projection"),
        *linear("visual_projection", "image_projection"),
        Rule(theirs="logit_scale", ours=("scale",), layout=" -> 1"),
    ]


FAMILY = Family(
    model_type="clip",
    architectures=("CLIPModel",),
    model=model,
    config=config,
    tensors=tensors,
    ignored=(r".*embeddings\.position_ids",),
)
