"""What DeepSeek's versions share: latent attention, dense layers before mixtures, the tensors of both."""

import math
from collections.abc import Sequence
from typing import Any

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, fused, linear, norm, same
from archlab.hf.parts import activation_name, decoder_fields, decoder_tensors, glu_tensors, law
from archlab.hf.rope import Layout, magnitude_of, rope_fields, rope_table, whole_rope
from archlab.mixers.latent_attention import LatentAttention
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE, YarnScaling
from archlab.spec import Channel

LAYER = "stack.layers.{i}"
DERIVED = ("head_dim", "qk_head_dim", "max_position_embeddings", "pretraining_tp")
"""Fields that repeat others, or that nothing is computed with."""
TRAINED = ("aux_loss_alpha", "seq_aux", "ep_size")
"""How the published models were trained."""


def experts(fields: Fields, default: int) -> int:
    """How many there are to choose from."""
    return fields.size("n_routed_experts", fields.size("num_experts", fields.size("num_local_experts", default)))


def layered(
    fields: Fields, attention: LatentAttention, dense: GLU, mixture: MoE, *, first: int, count: int
) -> list[Block]:
    """``num_hidden_layers`` layers, ``first_k_dense_replace`` of them dense; by default ``first`` of ``count``."""
    residual = PreNorm(norm=RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6)))
    count, first = fields.size("num_hidden_layers", count), fields.read("first_k_dense_replace", int, first)
    channels: list[Channel] = [dense if index < first else mixture for index in range(count)]
    return [Block(mixer=attention, channel=channel, residual=residual) for channel in channels]


def latent_attention(fields: Fields, layout: Layout, *, heads: int) -> LatentAttention:
    """Attention by latents; what YaRN multiplies with may fall to the scale."""
    heads = fields.size("num_attention_heads", heads)
    fields.expect("num_key_value_heads", heads)
    init, bias = law(fields), fields.flag("attention_bias", False)
    content, rotary = fields.size("qk_nope_head_dim", 128), fields.size("qk_rope_head_dim", 64)
    return LatentAttention(
        heads=heads,
        rank=fields.size("kv_lora_rank", 512),
        query_rank=fields.size("q_lora_rank", None if "q_lora_rank" in fields.data else 1536),
        content_size=content,
        rotary_size=rotary,
        value_size=fields.size("v_head_dim", 128),
        norm=RMSNorm(epsilon=1e-6),  # whatever the config says of other norms
        rotary=whole_rope(fields, layout=layout),
        scale=_scale(fields, content + rotary),
        latent_bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )


def _scale(fields: Fields, size: int) -> float | None:
    table = rope_table(fields)
    share = table.number("mscale_all_dim", 0.0) if table else 0.0
    return magnitude_of(table.number("factor"), share) ** 2 / math.sqrt(size) if table and share else None


# --- the other way --------------------------------------------------------------------------------------


def shared_fields(model: Any) -> dict[str, Any]:
    """The fields of a model that the later version has too."""
    attention, channels = model.stack.layers[0].mixer, [layer.channel for layer in model.stack.layers]
    dense = [channel for channel in channels if isinstance(channel, GLU)]
    fields = decoder_fields(model) | {
        "num_attention_heads": attention.heads, "num_key_value_heads": attention.heads,
        "kv_lora_rank": attention.rank, "q_lora_rank": attention.query_rank,
        "qk_nope_head_dim": attention.content_size, "qk_rope_head_dim": attention.rotary_size,
        "v_head_dim": attention.value_size, "attention_bias": attention.latent_bias,
        "attention_dropout": attention.dropout, "first_k_dense_replace": len(dense),
        "hidden_act": activation_name(getattr(channels[0], "expert", channels[0]).activation),
        "rope_parameters": _rope_fields(attention),
        "rms_norm_eps": model.norm.epsilon,
    }  # fmt: skip
    if dense:
        fields["intermediate_size"] = dense[0].hidden
    return fields | (mixture_fields(channels[-1]) if isinstance(channels[-1], MoE) else {})


def mixture_fields(mixture: Any) -> dict[str, Any]:
    """The fields of a mixture."""
    return {
        "n_routed_experts": mixture.router.experts, "num_experts_per_tok": mixture.router.chosen,
        "routed_scaling_factor": mixture.router.scale, "moe_intermediate_size": mixture.expert.hidden,
        "n_shared_experts": mixture.shared.hidden // mixture.expert.hidden,
    }  # fmt: skip


def _rope_fields(attention: LatentAttention) -> dict[str, Any]:
    rotary: RoPE = attention.rotary
    table, usual = rope_fields(rotary, rotary.layout), 1.0 / math.sqrt(attention.content_size + attention.rotary_size)
    yarn = rotary.scaling
    if attention.scale is None or not isinstance(yarn, YarnScaling) or yarn.factor == 1.0:
        return table
    magnitude = math.sqrt(attention.scale / usual)
    share = round((magnitude - 1.0) / (0.1 * math.log(yarn.factor)), 9)
    return table | {"mscale_all_dim": share}


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    layer, attention = "model.layers.{i}", model.stack.layers[0].mixer
    theirs, ours = f"{layer}.self_attn", f"{LAYER}.mixer"
    query = "q_b_proj" if attention.query_rank else "q_proj"
    return [
        *decoder_tensors(),
        *norm(f"{layer}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *norm(f"{layer}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *linear(f"{theirs}.q_a_proj", f"{ours}.query_latent"),
        *norm(f"{theirs}.q_a_layernorm", f"{ours}.query_norm"),
        *linear(f"{theirs}.{query}", f"{ours}.query"),
        *fused(f"{theirs}.kv_a_proj_with_mqa", (f"{ours}.latent", f"{ours}.rotary_key")),
        *norm(f"{theirs}.kv_a_layernorm", f"{ours}.latent_norm"),
        *fused(f"{theirs}.kv_b_proj", (f"{ours}.key", f"{ours}.value"), "(H X)", H=attention.heads),
        *linear(f"{theirs}.o_proj", f"{ours}.out"),
        *mixture_tensors(f"{layer}.mlp", f"{LAYER}.channel"),
    ]


def mixture_tensors(theirs: str, ours: str) -> Sequence[Rule]:
    """A dense channel, or a router, experts and what is shared."""
    return [
        *glu_tensors(theirs, ours),
        *linear(f"{theirs}.gate", f"{ours}.router"),
        same(f"{theirs}.gate.e_score_correction_bias", f"{ours}.router.correction"),
        *glu_tensors(f"{theirs}.experts.{{e}}", f"{ours}.experts"),
        *glu_tensors(f"{theirs}.shared_experts", f"{ours}.shared"),
    ]
