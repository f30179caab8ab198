"""Llama, and what is built like it."""

from typing import Any

from archlab.block import Block
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule
from archlab.hf.layouts import norm as norm_tensors
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
    bias = fields.flag("attention_bias", False)
    layer = block(fields, attention(fields, bias=bias, out_bias=bias, rotary=whole_rope(fields)), hidden=11008)
    layers = [layer] * fields.size("num_hidden_layers", 32)
    return decoder(fields, layers, tied=False, vocab=32000, width=4096)


def attention(
    fields: Fields, *, heads: int = 32, kv_heads: int | None = None, size: int | None = None, **more: Any
) -> Attention:
    """Causal attention; the sizes are what the config has where it says nothing, None what follows from the others."""
    init, heads = law(fields), fields.size("num_attention_heads", heads)
    return Attention(
        heads=heads,
        kv_heads=fields.optional("num_key_value_heads", int, kv_heads) or heads,
        head_size=fields.size("head_dim", size),
        visibility="causal",
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
        **more,
    )


def block(
    fields: Fields, mixer: Attention, *, hidden: int, norm: RMSNorm | None = None, dropout: float = 0.0
) -> Block:  # fmt: skip
    """The mixer and SwiGLU, each after a norm."""
    channel = swiglu(fields, law(fields), fields.size("intermediate_size", hidden))
    norm = norm or RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6))
    return Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm, dropout=dropout))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    return layer_fields(model) | {"attention_bias": layer.mixer.bias, "mlp_bias": layer.channel.bias}


def layer_fields(model: Any) -> dict[str, Any]:
    """Those that all models with such layers have."""
    layer = model.stack.layers[0]
    rotary = rope_config(layer.mixer.rotary)
    return decoder_fields(model) | attention_fields(layer.mixer, model.width) | rotary | {
        "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation),
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        *decoder_tensors(),
        *norm_tensors("model.layers.{i}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *attention_tensors("model.layers.{i}.self_attn", f"{LAYER}.mixer"),
        *norm_tensors("model.layers.{i}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
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
