"""Qwen3: Qwen2's layers with norms of queries and keys."""

from typing import Any

from archlab.hf.families.llama import attention, block, tensors
from archlab.hf.families.qwen2 import config as fields_of_layers
from archlab.hf.families.qwen2 import windowed
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import TWINS
from archlab.hf.rope import whole_rope
from archlab.model import LanguageModel
from archlab.norms import RMSNorm


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Each head of queries and keys is normalised; biases where ``attention_bias`` says so."""
    bias, norm = fields.flag("attention_bias", False), RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6))
    rotary = whole_rope(fields, longest=32768)
    mixer = attention(fields, kv_heads=32, size=128, bias=bias, out_bias=bias, qk_norm=norm, rotary=rotary)
    return windowed(fields, block(fields, mixer, hidden=22016))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    return fields_of_layers(model) | {"attention_bias": model.stack.layers[0].mixer.bias}


FAMILY = Family(
    model_type="qwen3",
    architectures=("Qwen3ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
