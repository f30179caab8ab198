"""Mistral: Llama's layers with a window."""

from typing import Any

from archlab.hf.families.llama import attention, block, layer_fields, tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import LOCAL, TWINS, WHOLE, decoder
from archlab.hf.rope import whole_rope
from archlab.model import LanguageModel


def model(fields: Fields, architecture: str) -> LanguageModel:
    """The same window in all layers, or none; no biases."""
    fields.expect("attention_bias", False)
    fields.expect("mlp_bias", False)
    count, window = fields.size("num_hidden_layers", 32), fields.optional("sliding_window", int, 4096)
    fields.expect("layer_types", [LOCAL if window else WHOLE] * count)  # with others it is a Ministral
    rotary = whole_rope(fields, longest=131072)
    mixer = attention(fields, kv_heads=8, bias=False, out_bias=False, window=window, rotary=rotary)
    layer = block(fields, mixer, hidden=14336)
    return decoder(fields, [layer] * count, tied=False, vocab=32000, width=4096)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    return layer_fields(model) | {"sliding_window": model.stack.layers[0].mixer.window}


FAMILY = Family(
    model_type="mistral",
    architectures=("MistralForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
