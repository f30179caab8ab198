"""Qwen3-Next."""

from typing import Any

from archlab.activations import Sigmoid
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.errors import InputError
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, convolution, fused, linear, norm, same
from archlab.hf.parts import (
    ACTIVATIONS,
    TWINS,
    activation_name,
    attention_fields,
    attention_tensors,
    decoder,
    decoder_fields,
    decoder_tensors,
    glu_tensors,
    law,
    layers_with_experts,
)
from archlab.hf.rope import rope, rope_fields
from archlab.inits import LogUniform, Ones
from archlab.mixers.attention import Attention
from archlab.mixers.gated_delta_net import GatedDeltaNet
from archlab.mixers.short_conv import ShortConv
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.recurrence import Decay
from archlab.residuals import PreNorm
from archlab.spec import Channel, Mixer

BLOCK, LAYER = "model.layers.{i}", "stack.layers.{i}"
LINEAR, FULL = "linear_attention", "full_attention"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Gated DeltaNets and gated attention; experts beside a gated shared one in some layers, one channel in others."""
    fields.expect("use_sliding_window", False)
    fields.idle("max_position_embeddings", *EXPERTS)  # where no layer has any
    norm = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6), unit_offset=True, cast="after")
    count = fields.size("num_hidden_layers", 48)
    mixers: dict[str, Mixer] = {LINEAR: _linear(fields), FULL: _attention(fields, norm)}
    step = fields.size("full_attention_interval", 4)
    kinds = fields.items("layer_types", count, [LINEAR if (i + 1) % step else FULL for i in range(count)])
    if unknown := [kind for kind in kinds if kind not in mixers]:
        raise InputError(f"{fields.where}: layer_types has {unknown[0]!r}; this family has {', '.join(mixers)}")
    dense = _glu(fields, "intermediate_size", 5632)
    experts = fields.read("num_experts", int, 512)
    sparse = [experts > 0 and yes for yes in layers_with_experts(fields, count)]
    mixed: Channel = _mixture(fields) if any(sparse) else dense
    layers = [
        Block(mixer=mixers[kind], channel=mixed if experts else dense, residual=PreNorm(norm=norm))
        for kind, experts in zip(kinds, sparse, strict=True)
    ]
    return decoder(fields, layers, tied=False, vocab=151936, width=2048, norm=norm)


EXPERTS = ("num_experts_per_tok", "norm_topk_prob", "moe_intermediate_size", "shared_expert_intermediate_size")


def _linear(fields: Fields) -> GatedDeltaNet:
    """Keys and queries have length 1 up to an ε that no field says."""
    return GatedDeltaNet(
        heads=fields.size("linear_num_value_heads", 32),
        key_heads=fields.size("linear_num_key_heads", 16),
        key_size=fields.size("linear_key_head_dim", 128),
        value_size=fields.size("linear_value_head_dim", 128),
        epsilon=1e-6,
        norm=RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6)),
        decay=Decay(rate=LogUniform(low=0.01, high=16.0), step=Ones()),
        conv=ShortConv(taps=fields.size("linear_conv_kernel_dim", 4), bias=False, init=law(fields)),
        activation=fields.choice("hidden_act", ACTIVATIONS, "silu"),
        init=law(fields),
    )


def _attention(fields: Fields, norm: RMSNorm) -> Attention:
    init, bias = law(fields), fields.flag("attention_bias", False)
    return Attention(
        heads=fields.size("num_attention_heads", 16),
        kv_heads=fields.size("num_key_value_heads", 2),
        head_size=fields.size("head_dim", 256),
        visibility="causal",
        rotary=rope(fields, fraction=0.25, longest=32768),
        qk_norm=norm,
        gate=Sigmoid(),
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )


def _glu(fields: Fields, size: str, default: int) -> GLU:
    activation, init = fields.choice("hidden_act", ACTIVATIONS, "silu"), law(fields)
    return GLU(hidden=fields.size(size, default), activation=activation, bias=False, init=init, out_init=init)


def _mixture(fields: Fields) -> MoE:
    router = TopKRouter(
        experts=fields.size("num_experts", 512),
        chosen=fields.size("num_experts_per_tok", 10),
        scores="softmax",
        total=1.0 if fields.flag("norm_topk_prob", True) else None,
        dtype="compute",
        init=law(fields),
    )
    return MoE(
        router=router,
        expert=_glu(fields, "moe_intermediate_size", 512),
        shared=_glu(fields, "shared_expert_intermediate_size", 512),
        shared_gate=law(fields),
    )


def config(model: Any) -> dict[str, Any]:
    """The fields of a model; those of a kind of layer that it does not have are transformers' own."""
    layers = model.stack.layers
    mixers, channels = [layer.mixer for layer in layers], [layer.channel for layer in layers]
    dense = [index for index, channel in enumerate(channels) if isinstance(channel, GLU)]
    fields = decoder_fields(model) | {
        "rms_norm_eps": model.norm.epsilon,
        "hidden_act": activation_name(getattr(channels[0], "expert", channels[0]).activation),
        "layer_types": [FULL if isinstance(mixer, Attention) else LINEAR for mixer in mixers],
        "mlp_only_layers": dense,
    }
    for mixer in mixers:
        fields |= _attention_fields(mixer, model.width) if isinstance(mixer, Attention) else _linear_fields(mixer)
    for channel in channels:
        fields |= _expert_fields(channel) if isinstance(channel, MoE) else {"intermediate_size": channel.hidden}
    return fields


def _attention_fields(mixer: Any, width: int) -> dict[str, Any]:
    rotary = rope_fields(mixer.rotary) | {"partial_rotary_factor": mixer.rotary.fraction}
    return attention_fields(mixer, width) | {"attention_bias": mixer.bias, "rope_parameters": rotary}


def _linear_fields(mixer: GatedDeltaNet) -> dict[str, Any]:
    if mixer.conv is None:
        raise Mismatch
    return {
        "linear_num_value_heads": mixer.heads, "linear_num_key_heads": mixer.key_heads,
        "linear_key_head_dim": mixer.key_size, "linear_value_head_dim": mixer.value_size,
        "linear_conv_kernel_dim": mixer.conv.taps,
    }  # fmt: skip


def _expert_fields(channel: Any) -> dict[str, Any]:
    return {
        "num_experts": channel.router.experts, "num_experts_per_tok": channel.router.chosen,
        "norm_topk_prob": channel.router.total is not None, "moe_intermediate_size": channel.expert.hidden,
        "shared_expert_intermediate_size": channel.shared.hidden,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    channel = f"{LAYER}.channel"
    return [
        *decoder_tensors(),
        *norm(f"{BLOCK}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *(rule.at(str(index)) for index, layer in enumerate(model.stack.layers) for rule in _tensors(layer.mixer)),
        *norm(f"{BLOCK}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *glu_tensors(f"{BLOCK}.mlp", channel),
        *linear(f"{BLOCK}.mlp.gate", f"{channel}.router"),
        *glu_tensors(f"{BLOCK}.mlp.experts.{{e}}", f"{channel}.experts"),
        *glu_tensors(f"{BLOCK}.mlp.shared_expert", f"{channel}.shared"),
        *linear(f"{BLOCK}.mlp.shared_expert_gate", f"{channel}.shared_gate"),
    ]


def _tensors(mixer: Any) -> list[Rule]:
    """Those of a mixer: q_proj has a head's query, then its gate."""
    theirs, ours = f"{BLOCK}.self_attn", f"{LAYER}.mixer"
    if not isinstance(mixer, Attention):
        return _linear_tensors(f"{BLOCK}.linear_attn", ours, mixer.key_heads)
    query, others = f"{theirs}.q_proj", attention_tensors(theirs, ours)
    return [
        *fused(query, (f"{ours}.query", f"{ours}.gate"), "(H X)", H=mixer.heads),
        *(rule for rule in others if not rule.theirs.startswith(query)),
    ]


def _linear_tensors(theirs: str, ours: str, groups: int) -> list[Rule]:
    """The maps inwards lie side by side for each head of keys, the convolutions as wholes."""
    qkv = ("query", "key", "value")
    return [
        *fused(f"{theirs}.in_proj_qkvz", [f"{ours}.{name}" for name in (*qkv, "gate")], "(G X)", G=groups),
        *fused(f"{theirs}.in_proj_ba", (f"{ours}.beta", f"{ours}.step"), "(G X)", G=groups),
        *convolution(f"{theirs}.conv1d", *(f"{ours}.{name}_conv" for name in qkv)),
        same(f"{theirs}.dt_bias", f"{ours}.step_bias"),
        same(f"{theirs}.A_log", f"{ours}.log_rate"),
        *norm(f"{theirs}.norm", f"{ours}.norm"),
        *linear(f"{theirs}.out_proj", f"{ours}.out"),
    ]


FAMILY = Family(
    model_type="qwen3_next",
    architectures=("Qwen3NextForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    ignored=(r".*rotary_emb\.inv_freq", r"mtp\..*"),
    twins=TWINS,
)
