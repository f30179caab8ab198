"""Qwen3 with experts."""

from typing import Any

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm
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
    layers_with_experts,
    swiglu,
)
from archlab.hf.rope import rope_fields, whole_rope
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.spec import Channel

LAYER = "stack.layers.{i}"
EXPERTS = ("num_experts", "num_local_experts", "num_experts_per_tok", "norm_topk_prob", "moe_intermediate_size")


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Norms of queries and keys by head; some layers have experts, the others one channel."""
    fields.expect("mlp_bias", False)
    fields.idle("max_position_embeddings", "max_window_layers")  # a window is that of all layers
    fields.idle(*EXPERTS)  # where no layer has any
    norm, count = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6)), fields.size("num_hidden_layers", 24)
    attention = _attention(fields, norm)

    def layer(channel: Channel) -> Block:
        return Block(mixer=attention, channel=channel, residual=PreNorm(norm=norm))

    dense = layer(swiglu(fields, law(fields), fields.size("intermediate_size", 6144)))
    sparse = [_experts(fields) > 0 and yes for yes in layers_with_experts(fields, count)]
    mixed = layer(_mixture(fields)) if any(sparse) else dense
    return decoder(fields, [mixed if yes else dense for yes in sparse], tied=False, vocab=151936, width=2048)


def _attention(fields: Fields, norm: RMSNorm) -> Attention:
    init, heads, bias = law(fields), fields.size("num_attention_heads", 32), fields.flag("attention_bias", False)
    window = fields.size("sliding_window", None if "sliding_window" in fields.data else 4096)
    return Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads if "num_key_value_heads" in fields.data else 4),
        head_size=fields.size("head_dim", None),
        visibility="causal",
        window=window if fields.flag("use_sliding_window", False) else None,
        rotary=whole_rope(fields),
        qk_norm=norm,
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )


def _experts(fields: Fields) -> int:
    return fields.read("num_local_experts", int, fields.read("num_experts", int, 128))


def _mixture(fields: Fields) -> MoE:
    init = law(fields)
    router = TopKRouter(
        experts=_experts(fields),
        chosen=fields.size("num_experts_per_tok", 8),
        scores="softmax",
        total=1.0 if fields.flag("norm_topk_prob", False) else None,
        dtype="compute",
        init=init,
    )
    return MoE(router=router, expert=swiglu(fields, init, fields.size("moe_intermediate_size", 768)))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layers = model.stack.layers
    attention, channels = layers[0].mixer, [layer.channel for layer in layers]
    dense = {index: channel for index, channel in enumerate(channels) if isinstance(channel, GLU)}
    fields = decoder_fields(model) | attention_fields(attention, model.width) | {
        "hidden_act": activation_name(getattr(channels[0], "expert", channels[0]).activation),
        "attention_bias": attention.bias,
        "sliding_window": attention.window,
        "use_sliding_window": attention.window is not None,
        "rope_parameters": rope_fields(attention.rotary),
        "mlp_only_layers": list(dense),
    }  # fmt: skip
    for channel in dense.values():
        fields["intermediate_size"] = channel.hidden
    for channel in channels:
        fields |= _mixture_fields(channel) if isinstance(channel, MoE) else {}
    return fields


def _mixture_fields(mixture: Any) -> dict[str, Any]:
    return {
        "num_experts": mixture.router.experts, "num_experts_per_tok": mixture.router.chosen,
        "norm_topk_prob": mixture.router.sums_to_one(), "moe_intermediate_size": mixture.expert.hidden,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    layer = "model.layers.{i}"
    return [
        *decoder_tensors(),
        *norm(f"{layer}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *attention_tensors(f"{layer}.self_attn", f"{LAYER}.mixer"),
        *norm(f"{layer}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *glu_tensors(f"{layer}.mlp", f"{LAYER}.channel"),
        *linear(f"{layer}.mlp.gate", f"{LAYER}.channel.router"),
        *glu_tensors(f"{layer}.mlp.experts.{{e}}", f"{LAYER}.channel.experts"),
    ]


FAMILY = Family(
    model_type="qwen3_moe",
    architectures=("Qwen3MoeForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
