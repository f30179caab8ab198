"""Gemma 2."""

from collections.abc import Mapping
from typing import Any

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.errors import InputError
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, norm
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
)
from archlab.hf.rope import rope_fields, whole_rope
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import SandwichNorm
from archlab.rotary import RoPE

LAYER = "stack.layers.{i}"
LOCAL, WHOLE = "sliding_attention", "full_attention"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Every other layer has a window; scores and logits are capped."""
    fields.expect("use_bidirectional_attention", None, False)  # what it does depends on the kernel
    whole = attention(fields, rotary=whole_rope(fields)).replace(
        softcap=fields.optional("attn_logit_softcapping", float, 50.0)
    )
    local = whole.replace(window=fields.size("sliding_window", 4096))
    return gemma(fields, {LOCAL: local, WHOLE: whole}, period=2, vocab=256000, softcap=30.0)


def attention(fields: Fields, rotary: RoPE) -> Attention:
    """Grouped queries whose scores are divided by √query_pre_attn_scalar."""
    init, bias = law(fields), fields.flag("attention_bias", False)
    return Attention(
        heads=fields.size("num_attention_heads", 8),
        kv_heads=fields.size("num_key_value_heads", 4),
        head_size=fields.size("head_dim", 256),
        scale=fields.number("query_pre_attn_scalar", 256) ** -0.5,
        visibility="causal",
        rotary=rotary,
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )


def scale(fields: Fields) -> RMSNorm:
    """The norm that stands everywhere."""
    return RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6), unit_offset=True, cast="after")


def gemma(
    fields: Fields, mixers: Mapping[str, Attention], *, period: int, vocab: int, softcap: float | None
) -> LanguageModel:
    """Layers by ``layer_types``, each ``period``-th whole by default; norms before and after each, scaled embeddings.

    ``softcap`` is what the family caps logits with.
    """
    fields.idle("max_position_embeddings", "hidden_act")
    init, norm, width = law(fields), scale(fields), fields.size("hidden_size", 2304)
    activation = fields.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    hidden = fields.size("intermediate_size", 9216)
    channel = GLU(hidden=hidden, activation=activation, bias=False, init=init, out_init=init)
    count = fields.size("num_hidden_layers", 26)
    kinds = fields.items("layer_types", count, [LOCAL if (i + 1) % period else WHOLE for i in range(count)])
    unknown = next((kind for kind in kinds if kind not in mixers), None)
    if unknown is not None:
        raise InputError(f"{fields.where}: layer_types has {unknown!r}; this family has {', '.join(mixers)}")
    residual = SandwichNorm(norm_in=norm, norm_out=norm)
    layers = [Block(mixer=mixers[kind], channel=channel, residual=residual) for kind in kinds]
    cap = fields.optional("final_logit_softcapping", float, softcap)
    return decoder(
        fields, layers, tied=True, vocab=vocab, width=width, norm=norm, embedding_scale=width**0.5, softcap=cap
    )


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    mixer = model.stack.layers[0].mixer
    return gemma_fields(model) | {
        "attn_logit_softcapping": mixer.softcap, "rope_parameters": rope_fields(mixer.rotary),
    }  # fmt: skip


def gemma_fields(model: Any) -> dict[str, Any]:
    """The fields that :func:`gemma` and :func:`attention` read."""
    mixers = [layer.mixer for layer in model.stack.layers]
    window = next((mixer.window for mixer in mixers if mixer.window), None)
    return decoder_fields(model) | attention_fields(mixers[0], model.width) | {
        "intermediate_size": model.stack.layers[0].channel.hidden,
        "hidden_activation": activation_name(model.stack.layers[0].channel.activation, "gelu_pytorch_tanh"),
        "attention_bias": mixers[0].bias,
        "query_pre_attn_scalar": round(mixers[0].factor(mixers[0].size(model.width)) ** -2),
        "layer_types": [LOCAL if mixer.window else WHOLE for mixer in mixers],
        "final_logit_softcapping": model.softcap,
    } | ({"sliding_window": window} if window else {})  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    block = "model.layers.{i}"
    return [
        *decoder_tensors(),
        *norm(f"{block}.input_layernorm", f"{LAYER}.mixer_residual.norm_in"),
        *attention_tensors(f"{block}.self_attn", f"{LAYER}.mixer"),
        *norm(f"{block}.post_attention_layernorm", f"{LAYER}.mixer_residual.norm_out"),
        *norm(f"{block}.pre_feedforward_layernorm", f"{LAYER}.channel_residual.norm_in"),
        *glu_tensors(f"{block}.mlp", f"{LAYER}.channel"),
        *norm(f"{block}.post_feedforward_layernorm", f"{LAYER}.channel_residual.norm_out"),
    ]


FAMILY = Family(
    model_type="gemma2",
    architectures=("Gemma2ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
