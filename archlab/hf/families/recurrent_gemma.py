"""RecurrentGemma."""

from typing import Any

import ml_dtypes

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.errors import InputError
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, convolution, linear, norm, same
from archlab.hf.parts import (
    ACTIVATIONS,
    TWINS,
    activation_name,
    attention_fields,
    attention_tensors,
    decoder,
    decoder_fields,
    glu_tensors,
)
from archlab.hf.rope import rope, rope_fields
from archlab.inits import FanInNormal, Normal, Ring
from archlab.mixers.attention import Attention
from archlab.mixers.rg_lru import RGLRU
from archlab.mixers.short_conv import ShortConv
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.spec import Mixer

BLOCK, LAYER = "model.layers.{i}", "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """RG-LRUs and attention in a window; embeddings times √D in bfloat16.

    In training, transformers bounds the slope of the root in √(1 − a²) by 1000; ours is unbounded.
    """
    fields.expect("embeddings_scale_by_sqrt_dim", True)
    fields.idle("final_w_init_variance_scale", "initializer_range", "_block_types", "max_position_embeddings")
    width, count = fields.size("hidden_size", 2560), fields.size("num_hidden_layers", 26)
    activation = fields.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    init = Normal(std=(fields.number("w_init_variance_scale", 0.01) / fields.size("conv1d_width", 4)) ** 0.5)
    hidden = fields.size("intermediate_size", 7680) // 2
    channel = GLU(hidden=hidden, activation=activation, bias=True, init=init, out_init=init)
    norm = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6), unit_offset=True, cast="after")
    out_init = FanInNormal(gain=(2.0 / count) ** 0.5)
    recurrent = RGLRU(
        hidden=fields.size("lru_width", width),
        heads=fields.size("num_attention_heads", 10),
        bias=True,
        conv=ShortConv(taps=fields.size("conv1d_width", 4), bias=True, init=init),
        gate=activation,
        decay=Ring(low=0.9, high=0.999),
        out_init=out_init,
    )
    mixers: dict[str, Mixer] = {"recurrent": recurrent, "attention": _attention(fields).replace(out_init=out_init)}
    kinds = fields.raw("block_types", ["recurrent", "recurrent", "attention"])
    if not isinstance(kinds, (list, tuple)) or not kinds or not all(kind in mixers for kind in kinds):
        raise InputError(f"{fields.where}: block_types is {kinds!r}; a list of {', '.join(mixers)} is needed")
    chosen = [mixers[kinds[i % len(kinds)]] for i in range(count)]
    layers = [Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm)) for mixer in chosen]
    return decoder(
        fields, layers, tied=True, vocab=256000, width=2560, norm=norm,
        embedding_scale=float(ml_dtypes.bfloat16(width**0.5)), softcap=fields.number("logits_soft_cap", 30.0),
    ).replace(embedding_init=init)  # fmt: skip


def _attention(fields: Fields) -> Attention:
    heads, rotary = fields.size("num_attention_heads", 10), rope(fields, fraction=0.5)
    if rotary.scaling is not None:
        raise InputError(f"{fields.where}: rope_type must be 'default' for this family")
    return Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads),
        head_size=fields.size("head_dim", None),
        visibility="causal",
        window=fields.size("attention_window_size", fields.size("sliding_window", 2048)),
        rotary=rotary,
        bias=fields.flag("attention_bias", False),
        out_bias=True,
        dropout=fields.number("attention_dropout", 0.0),
    )


def config(model: Any) -> dict[str, Any]:
    """The fields of a model; those of a kind of layer that it does not have are transformers' own."""
    mixers, channel = [layer.mixer for layer in model.stack.layers], model.stack.layers[0].channel
    attention = next((mixer for mixer in mixers if isinstance(mixer, Attention)), None)
    recurrent = next((mixer for mixer in mixers if isinstance(mixer, RGLRU)), None)
    fields = decoder_fields(model) | {
        "intermediate_size": 2 * channel.hidden,
        "hidden_activation": activation_name(channel.activation, "gelu_pytorch_tanh"),
        "block_types": ["attention" if isinstance(mixer, Attention) else "recurrent" for mixer in mixers],
        "logits_soft_cap": model.softcap,
    }
    if recurrent is not None:
        if recurrent.conv is None:
            raise Mismatch
        own = {"num_attention_heads": recurrent.heads, "lru_width": recurrent.hidden}
        fields |= own | {"conv1d_width": recurrent.conv.taps}
    if attention is not None:
        rotary: Any = attention.rotary
        fields |= attention_fields(attention, model.width) | {
            "attention_bias": attention.bias, "attention_window_size": attention.window,
            "rope_parameters": rope_fields(rotary) | {"partial_rotary_factor": rotary.fraction},
        }  # fmt: skip
    return fields


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        same("model.embed_tokens.weight", "embedding.table"),
        *norm("model.final_norm", "norm"),
        *linear("lm_head", "head"),
        *norm(f"{BLOCK}.temporal_pre_norm", f"{LAYER}.mixer_residual.norm"),
        *(rule.at(str(index)) for index, layer in enumerate(model.stack.layers) for rule in _tensors(layer.mixer)),
        *norm(f"{BLOCK}.channel_pre_norm", f"{LAYER}.channel_residual.norm"),
        *glu_tensors(f"{BLOCK}.mlp_block", f"{LAYER}.channel"),
    ]


def _tensors(mixer: Any) -> list[Rule]:
    """Those of a mixer; the bias of a gate is stored by head."""
    theirs, ours = f"{BLOCK}.temporal_block", f"{LAYER}.mixer"
    if isinstance(mixer, Attention):
        return attention_tensors(theirs, ours)
    maps, gates, rules = {"x": "value", "y": "gate", "out": "out"}, {"input": "input", "recurrent": "keep"}, []
    for name, part in maps.items():
        rules += linear(f"{theirs}.linear_{name}", f"{ours}.{part}")
    for name, part in gates.items():
        gate, by_head = f"{theirs}.rg_lru.{name}_gate", {"H": mixer.heads}
        bias = Rule(theirs=f"{gate}_bias", ours=(f"{ours}.{part}.bias",), layout="H K -> (H K)", sizes=by_head)
        rules += [same(f"{gate}_weight", f"{ours}.{part}.kernel"), bias]
    decay = same(f"{theirs}.rg_lru.recurrent_param", f"{ours}.decay")
    return [*rules, decay, *convolution(f"{theirs}.conv_1d", f"{ours}.conv")]


FAMILY = Family(
    model_type="recurrent_gemma",
    architectures=("RecurrentGemmaForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
