"""Qwen2 and 2.5: Llama's layers with biases of queries, keys and values."""

from typing import Any

from archlab.block import Block
from archlab.hf.families.llama import attention, block, layer_fields, tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import LOCAL, TWINS, WHOLE, decoder, window_fields, windows
from archlab.hf.rope import whole_rope
from archlab.model import LanguageModel


def model(fields: Fields, architecture: str) -> LanguageModel:
    """A window in the later layers where ``use_sliding_window`` says so."""
    fields.expect("use_mrope", False)
    rotary = whole_rope(fields, longest=32768)
    mixer = attention(fields, kv_heads=32, bias=True, out_bias=False, rotary=rotary)
    return windowed(fields, block(fields, mixer, hidden=22016))


def windowed(fields: Fields, layer: Block) -> LanguageModel:
    """The model of such layers, from ``max_window_layers`` on or by ``layer_types`` with a window."""
    fields.expect("mlp_bias", False)
    count, window = fields.size("num_hidden_layers", 32), fields.optional("sliding_window", int, 4096)
    window = window if fields.flag("use_sliding_window", False) else None
    first = fields.read("max_window_layers", int, 28)
    unsaid = [LOCAL if window is not None and i >= first else WHOLE for i in range(count)]
    layers = [layer.replace(mixer=layer.mixer.replace(window=w)) for w in windows(fields, count, window, unsaid)]  # type: ignore[union-attr]
    return decoder(fields, layers, tied=False, vocab=151936, width=4096)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    fields = window_fields(model)
    kinds = fields["layer_types"]
    first = kinds.index(LOCAL) if LOCAL in kinds else len(kinds)
    return layer_fields(model) | fields | {"use_sliding_window": LOCAL in kinds, "max_window_layers": first}


FAMILY = Family(
    model_type="qwen2",
    architectures=("Qwen2ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
