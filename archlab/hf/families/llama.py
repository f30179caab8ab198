"""Llama, and what is built like it."""

from typing import Any

from archlab.block import Block
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, norm
from archlab.hf.parts import (
    TWINS,
    activation_name,
    attention_fields,
    attention_tensors,
    decoder,
    decoder_fields,
    decoder_tensors,
    glu_tensors,
    law,
    swiglu,
)
from archlab.hf.rope import rope_config, whole_rope
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm

LAYER = "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Grouped queries, RoPE, SwiGLU, RMSNorm before each layer."""
    fields.expect("pretraining_tp", 1, 2, 4)  # splits products into parts, which sum to the same
    init, heads, bias = law(fields), fields.size("num_attention_heads", 32), fields.flag("attention_bias", False)
    attention = Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads),
        head_size=fields.size("head_dim", None),
        visibility="causal",
        rotary=whole_rope(fields),
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )
    channel = swiglu(fields, init, fields.size("intermediate_size", 11008))
    layer = Block(
        mixer=attention, channel=channel, residual=PreNorm(norm=RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6)))
    )
    layers = [layer] * fields.size("num_hidden_layers", 32)
    return decoder(fields, layers, tied=False, vocab=32000, width=4096)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    rotary = rope_config(layer.mixer.rotary)
    return decoder_fields(model) | attention_fields(layer.mixer, model.width) | rotary | {
        "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation),
        "attention_bias": layer.mixer.bias,
        "mlp_bias": layer.channel.bias,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        *decoder_tensors(),
        *norm("model.layers.{i}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *attention_tensors("model.layers.{i}.self_attn", f"{LAYER}.mixer"),
        *norm("model.layers.{i}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *glu_tensors("model.layers.{i}.mlp", f"{LAYER}.channel"),
    ]


FAMILY = Family(
    model_type="llama",
    architectures=("LlamaForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
