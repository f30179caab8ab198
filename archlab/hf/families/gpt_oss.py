"""gpt-oss."""

from typing import Any

from archlab.activations import GELUSigmoid
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import (
    LOCAL,
    TWINS,
    WHOLE,
    attention_fields,
    attention_tensors,
    decoder,
    decoder_fields,
    decoder_tensors,
    law,
    window_fields,
    windows,
)
from archlab.hf.rope import rope_fields, whole_rope
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm

LAYER = "stack.layers.{i}"
YARN = {
    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    "original_max_position_embeddings": 4096,
}  # fmt: skip
"""How it is stretched where a config does not say."""


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Attention with sinks, in a window in some layers; experts whose gates are clipped."""
    fields.idle("hidden_act", "max_position_embeddings", "initial_context_length")
    fields.expect("mlp_bias", False)
    norm = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-5), cast="after")
    attention, mixture = _attention(fields), _mixture(fields)
    count, window = fields.size("num_hidden_layers", 36), fields.optional("sliding_window", int, 128)
    seen = windows(fields, count, window, [WHOLE if index % 2 else LOCAL for index in range(count)])
    layers = [
        Block(mixer=attention.replace(window=window), channel=mixture, residual=PreNorm(norm=norm)) for window in seen
    ]
    return decoder(fields, layers, tied=False, vocab=201088, width=2880, norm=norm)


def _attention(fields: Fields) -> Attention:
    init, heads, bias = law(fields), fields.size("num_attention_heads", 64), fields.flag("attention_bias", True)
    return Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads if "num_key_value_heads" in fields.data else 8),
        head_size=fields.size("head_dim", None if "head_dim" in fields.data else 64),
        visibility="causal",
        rotary=whole_rope(fields, theta=150000.0, unsaid=YARN),
        sink=init,
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )


def _mixture(fields: Fields) -> MoE:
    init = law(fields)
    chosen = fields.size("num_experts_per_tok", fields.size("experts_per_token", 4))
    router = TopKRouter(
        experts=fields.size("num_local_experts", fields.size("num_experts", 128)),
        chosen=chosen,
        scores="softmax",
        over="chosen",
        dtype="compute",
        bias=init,
        init=init,
    )
    expert = GLU(
        hidden=fields.size("intermediate_size", 2880),
        activation=GELUSigmoid(slope=fields.number("swiglu_alpha", 1.702)),
        bias=True,
        limit=fields.number("swiglu_limit", 7.0),
        up_offset=1.0,
        init=init,
        out_init=init,
    )
    return MoE(router=router, expert=expert)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    attentions = [layer.mixer for layer in model.stack.layers]
    mixture = model.stack.layers[0].channel
    return decoder_fields(model) | attention_fields(attentions[0], model.width) | {
        "intermediate_size": mixture.expert.hidden,
        "num_local_experts": mixture.router.experts,
        "num_experts_per_tok": mixture.router.chosen,
        "swiglu_alpha": mixture.expert.activation.slope,
        "swiglu_limit": mixture.expert.limit,
        "attention_bias": attentions[0].bias,
        "rope_parameters": rope_fields(attentions[0].rotary),
        **window_fields(model),
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model; the columns of gate and up take turns in one of theirs."""
    layer, ours, theirs = "model.layers.{i}", f"{LAYER}.channel.experts", "model.layers.{i}.mlp.experts"
    sizes = {"F": model.stack.layers[0].channel.expert.hidden}
    pair = (f"{ours}.gate", f"{ours}.up")
    matrix, bias = "E I (F X) -> E I (F X)", "E (F X) -> E (F X)"
    kernels, biases = (tuple(f"{name}.{kind}" for name in pair) for kind in ("kernel", "bias"))
    return [
        *decoder_tensors(),
        *norm(f"{layer}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *attention_tensors(f"{layer}.self_attn", f"{LAYER}.mixer"),
        same(f"{layer}.self_attn.sinks", f"{LAYER}.mixer.sink"),
        *norm(f"{layer}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *linear(f"{layer}.mlp.router", f"{LAYER}.channel.router"),
        Rule(theirs=f"{theirs}.gate_up_proj", ours=kernels, layout=matrix, cut="X", sizes=sizes),
        Rule(theirs=f"{theirs}.gate_up_proj_bias", ours=biases, layout=bias, cut="X", sizes=sizes),
        same(f"{theirs}.down_proj", f"{ours}.down.kernel"),
        same(f"{theirs}.down_proj_bias", f"{ours}.down.bias"),
    ]


FAMILY = Family(
    model_type="gpt_oss",
    architectures=("GptOssForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
