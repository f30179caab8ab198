"""Ministral: Mistral's layers, some with a window and some without."""

from typing import Any

from archlab.hf.families.llama import attention, block, layer_fields, tensors
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.parts import LOCAL, TWINS, WHOLE, decoder, window_fields, windows
from archlab.hf.rope import whole_rope
from archlab.model import LanguageModel


def model(fields: Fields, architecture: str) -> LanguageModel:
    """``layer_types`` says which layers have the window; no biases."""
    fields.expect("attention_bias", False)
    fields.expect("mlp_bias", False)
    count, window = fields.size("num_hidden_layers", 32), fields.optional("sliding_window", int, 4096)
    rotary = whole_rope(fields, longest=131072)
    mixer = attention(fields, kv_heads=8, bias=False, out_bias=False, rotary=rotary)
    layer = block(fields, mixer, hidden=14336)
    seen = windows(fields, count, window, [LOCAL if window else WHOLE] * count)
    layers = [layer.replace(mixer=mixer.replace(window=window)) for window in seen]
    return decoder(fields, layers, tied=False, vocab=32000, width=4096)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model; one whose layers are all alike is a Mistral."""
    fields = window_fields(model)
    if len(set(fields["layer_types"])) == 1:
        raise Mismatch
    return layer_fields(model) | fields


FAMILY = Family(
    model_type="ministral",
    architectures=("MinistralForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
