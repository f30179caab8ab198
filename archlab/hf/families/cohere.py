"""Cohere's Command R and R+, and Aya."""

from typing import Any

from archlab.block import ParallelBlock
from archlab.channels.glu import GLU
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
from archlab.norms import GroupNorm, LayerNorm
from archlab.residuals import PreNorm

LAYER = "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Attention and SwiGLU side by side behind one norm without a bias; RoPE of neighbours; scaled logits."""
    fields.idle("max_position_embeddings", "model_max_length", "pretraining_tp")
    init, width, heads = law(fields), fields.size("hidden_size", 8192), fields.size("num_attention_heads", 64)
    epsilon, bias = fields.number("layer_norm_eps", 1e-5), fields.flag("attention_bias", False)
    size = fields.size("head_dim", width // heads)
    norm = LayerNorm(epsilon=epsilon, bias=False)
    normed: dict[str, Any] = {}
    if fields.flag("use_qk_norm", False):
        normed = {"qk_norm": GroupNorm(size=size, epsilon=epsilon, bias=False), "qk_norm_over": "heads"}
    mixer = Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads),
        head_size=size,
        visibility="causal",
        rotary=whole_rope(fields, theta=500000.0, layout="interleaved"),
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
        **normed,
    )
    activation = fields.choice("hidden_act", ACTIVATIONS, "silu")
    hidden = fields.size("intermediate_size", 22528)
    channel = GLU(hidden=hidden, activation=activation, bias=False, init=init, out_init=init)
    layer = ParallelBlock(mixer=mixer, channel=channel, residual=PreNorm(norm=norm))
    layers = [layer] * fields.size("num_hidden_layers", 40)
    scale = fields.number("logit_scale", 0.0625)
    return decoder(fields, layers, tied=True, vocab=256000, width=width, norm=norm, logit_scale=scale)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    return decoder_fields(model) | attention_fields(layer.mixer, model.width) | {
        "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation),
        "layer_norm_eps": model.norm.epsilon,
        "logit_scale": model.logit_scale,
        "attention_bias": layer.mixer.bias,
        "use_qk_norm": layer.mixer.qk_norm is not None,
        "rope_parameters": rope_fields(layer.mixer.rotary, "interleaved"),
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model; norms of queries and keys are stored by head."""
    block = "model.layers.{i}"
    attention = {rule.theirs: rule for rule in attention_tensors(f"{block}.self_attn", f"{LAYER}.mixer")}
    for name, part in {"q_norm": "query_norm", "k_norm": "key_norm"}.items():
        theirs, ours = f"{block}.self_attn.{name}.weight", f"{LAYER}.mixer.{part}.scale"
        sizes = {"K": model.stack.layers[0].mixer.size(model.width)}
        attention[theirs] = Rule(theirs=theirs, ours=(ours,), layout="H K -> (H K)", sizes=sizes)
    return [
        *decoder_tensors(),
        *norm(f"{block}.input_layernorm", f"{LAYER}.residual.norm"),
        *attention.values(),
        *glu_tensors(f"{block}.mlp", f"{LAYER}.channel"),
    ]


FAMILY = Family(
    model_type="cohere",
    architectures=("CohereForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
