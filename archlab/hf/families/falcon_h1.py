"""Falcon-H1."""

import math
from typing import Any

from archlab.block import Block
from archlab.errors import InputError
from archlab.hf.families.mamba2 import group_norm, limit_fields, mixer_tensors, step_limit
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import (
    ACTIVATIONS,
    TWINS,
    activation_name,
    attention_fields,
    attention_tensors,
    decoder,
    decoder_fields,
    glu_tensors,
    law,
    swiglu,
)
from archlab.hf.rope import rope_fields, whole_rope
from archlab.inits import LogRange, Ones
from archlab.mixers.attention import Attention
from archlab.mixers.mamba2 import Mamba2, Scales
from archlab.mixers.parallel import Branch, ParallelMixers
from archlab.mixers.short_conv import ShortConv
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.recurrence import Decay
from archlab.residuals import PreNorm
from archlab.spec import Mixer

BLOCK, LAYER = "model.layers.{i}", "stack.layers.{i}"
PARTS = ("gate", "value", "key", "query", "step")
"""The order of ``ssm_multipliers``."""


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Mamba-2 beside attention in every layer, and multipliers nearly everywhere."""
    fields.expect("mamba_use_mlp", True)
    fields.expect("attn_layer_indices", None)
    fields.idle("num_logits_to_keep", "mamba_chunk_size", "mlp_expansion_factor", "layers_block_type", "layer_types")
    width = fields.size("hidden_size", 4096)
    branches = _branch(fields, "ssm", _states(fields, width)), _branch(fields, "attention", _attention(fields, width))
    gate_scale, out_scale = fields.read("mlp_multipliers", tuple[float, float], [1.0, 1.0])
    channel = swiglu(fields, law(fields), fields.size("intermediate_size", 14336))
    norm = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-5))
    layer = Block(
        mixer=ParallelMixers(branches=branches),
        channel=channel.replace(gate_scale=gate_scale, out_scale=out_scale),
        residual=PreNorm(norm=norm),
    )
    return decoder(
        fields, [layer] * fields.size("num_hidden_layers", 32), tied=False, vocab=128000, width=4096, norm=norm,
        embedding_scale=unless(fields, "embedding_multiplier"), logit_scale=unless(fields, "lm_head_multiplier"),
    )  # fmt: skip


def unless(fields: Fields, name: str) -> float | None:
    """A multiplier, None where it is 1."""
    value = fields.number(name, 1.0)
    return None if value == 1.0 else value


def _branch(fields: Fields, name: str, mixer: Mixer) -> Branch:
    return Branch(
        mixer=mixer,
        in_scale=fields.number(f"{name}_in_multiplier", 1.0),
        out_scale=fields.number(f"{name}_out_multiplier", 1.0),
    )


def _states(fields: Fields, width: int) -> Mamba2:
    groups, heads = fields.size("mamba_n_groups", 1), fields.size("mamba_n_heads", 128)
    expand = int(fields.number("mamba_expand", 2.0) * width)
    inner = fields.size("mamba_d_ssm", expand if "mamba_d_ssm" in fields.data else 1024)
    size = fields.raw("mamba_d_head", "auto")
    size = inner // heads if size == "auto" else fields.size("mamba_d_head")
    if heads * size != inner:
        raise InputError(f"{fields.where}: mamba_n_heads · mamba_d_head = {heads * size} is not mamba_d_ssm = {inner}")
    first, normed = fields.flag("mamba_norm_before_gate", True), fields.flag("mamba_rms_norm", False)
    bias, out_bias = fields.flag("mamba_proj_bias", False), fields.flag("projectors_bias", False)
    multipliers = fields.read("ssm_multipliers", tuple[float, float, float, float, float], [1.0] * 5)
    scales = Scales(**dict(zip(PARTS, multipliers, strict=True)))
    low, high = step_limit(fields)
    return Mamba2(
        heads=heads,
        head_size=size,
        state_size=fields.size("mamba_d_state", 256),
        groups=groups,
        norm=group_norm(groups, fields.number("rms_norm_eps", 1e-5), "after") if normed else None,
        gate_place="after" if normed and first else "before",
        decay=Decay(rate=LogRange(), step=Ones(), lowest=low, highest=high),
        conv=ShortConv(taps=fields.size("mamba_d_conv", 4), bias=fields.flag("mamba_conv_bias", True)),
        activation=fields.choice("hidden_act", ACTIVATIONS, "silu"),
        scales=None if scales == Scales() else scales,
        bias=bias,
        out_bias=None if out_bias == bias else out_bias,
        init=law(fields),
    )


def _attention(fields: Fields, width: int) -> Attention:
    heads, bias, init = fields.size("num_attention_heads", 32), fields.flag("attention_bias", False), law(fields)
    mixer = Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads if "num_key_value_heads" in fields.data else 8),
        head_size=fields.size("head_dim", None),
        visibility="causal",
        rotary=whole_rope(fields, longest=8192),
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )
    multiplier = unless(fields, "key_multiplier")
    return mixer if multiplier is None else mixer.replace(scale=multiplier / math.sqrt(mixer.size(width)))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    states, attention = layer.mixer.branches
    size = attention.mixer.size(model.width)
    return decoder_fields(model) | attention_fields(attention.mixer, model.width) | _state_fields(states.mixer) | {
        "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation),
        "mlp_bias": layer.channel.bias,
        "mlp_multipliers": [layer.channel.gate_scale, layer.channel.out_scale],
        "attention_bias": attention.mixer.bias,
        "rope_parameters": rope_fields(attention.mixer.rotary),
        "key_multiplier": _key_multiplier(attention.mixer.factor(size), math.sqrt(size)),
        "ssm_in_multiplier": states.in_scale,
        "ssm_out_multiplier": states.out_scale,
        "attention_in_multiplier": attention.in_scale,
        "attention_out_multiplier": attention.out_scale,
        "embedding_multiplier": model.embedding_scale or 1.0,
        "lm_head_multiplier": model.logit_scale or 1.0,
    }  # fmt: skip


def _key_multiplier(factor: float, root: float) -> float:
    """The number that √K divides into the factor of the scores, to the last bit."""
    near = factor * root
    for value in (1.0, near, math.nextafter(near, 0.0), math.nextafter(near, math.inf)):
        if value / root == factor:
            return value
    raise Mismatch


def _state_fields(mixer: Mamba2) -> dict[str, Any]:
    if mixer.conv is None:
        raise Mismatch
    scales = mixer.scales or Scales()
    return limit_fields(mixer.decay) | {
        "mamba_d_ssm": mixer.inner, "mamba_n_heads": mixer.heads, "mamba_d_head": mixer.head_size,
        "mamba_n_groups": mixer.groups, "mamba_d_state": mixer.state_size, "mamba_d_conv": mixer.conv.taps,
        "mamba_conv_bias": mixer.conv.bias, "mamba_proj_bias": mixer.bias,
        "projectors_bias": mixer.bias if mixer.out_bias is None else mixer.out_bias,
        "mamba_rms_norm": mixer.norm is not None, "mamba_norm_before_gate": mixer.gate_place == "after",
        "ssm_multipliers": [getattr(scales, name) for name in PARTS],
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    states, attention = (f"{LAYER}.mixer.branches.{i}" for i in range(2))
    return [
        same("model.embed_tokens.weight", "embedding.table"),
        *norm("model.final_layernorm", "norm"),
        *linear("lm_head", "head"),
        *norm(f"{BLOCK}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *mixer_tensors(f"{BLOCK}.mamba", states),
        *linear(f"{BLOCK}.mamba.out_proj", f"{states}.out"),
        *attention_tensors(f"{BLOCK}.self_attn", attention),
        *norm(f"{BLOCK}.pre_ff_layernorm", f"{LAYER}.channel_residual.norm"),
        *glu_tensors(f"{BLOCK}.feed_forward", f"{LAYER}.channel"),
    ]


FAMILY = Family(
    model_type="falcon_h1",
    architectures=("FalconH1ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
