"""Mixtral."""

from typing import Any

from archlab.block import Block
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
    law,
    swiglu,
)
from archlab.hf.rope import rope_fields, whole_rope
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm

LAYER = "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Mistral's layer with experts: a softmax over all, of which the chosen ones' share is what counts."""
    fields.expect("router_jitter_noise", 0.0)  # of inputs in training
    fields.expect("mlp_bias", False)
    init, epsilon = law(fields), fields.number("rms_norm_eps", 1e-5)
    heads = fields.size("num_attention_heads", 32)
    attention = Attention(
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads if "num_key_value_heads" in fields.data else 8),
        head_size=fields.size("head_dim", None),
        visibility="causal",
        window=fields.size("sliding_window", None),
        rotary=whole_rope(fields, theta=1e6),
        bias=False,
        out_bias=False,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )
    router = TopKRouter(
        experts=fields.size("num_local_experts", fields.size("num_experts", 8)),
        chosen=fields.size("num_experts_per_tok", 2),
        scores="softmax",
        over="chosen",
        dtype="compute",
        init=init,
    )
    fields.idle("max_position_embeddings")
    channel = MoE(router=router, expert=swiglu(fields, init, fields.size("intermediate_size", 14336)))
    layer = Block(mixer=attention, channel=channel, residual=PreNorm(norm=RMSNorm(epsilon=epsilon)))
    layers = [layer] * fields.size("num_hidden_layers", 32)
    return decoder(fields, layers, tied=False, vocab=32000, width=4096, norm=RMSNorm(epsilon=epsilon))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    return decoder_fields(model) | attention_fields(layer.mixer, model.width) | {
        "intermediate_size": layer.channel.expert.hidden,
        "hidden_act": activation_name(layer.channel.expert.activation),
        "sliding_window": layer.mixer.window,
        "num_local_experts": layer.channel.router.experts,
        "num_experts_per_tok": layer.channel.router.chosen,
        "rope_parameters": rope_fields(layer.mixer.rotary),
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    layer, mixture = "model.layers.{i}", "model.layers.{i}.block_sparse_moe"
    maps = {"w1": "gate", "w3": "up", "w2": "down"}
    return [
        *decoder_tensors(),
        *norm(f"{layer}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *attention_tensors(f"{layer}.self_attn", f"{LAYER}.mixer"),
        *norm(f"{layer}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *linear(f"{mixture}.gate", f"{LAYER}.channel.router"),
        *(
            rule
            for theirs, ours in maps.items()
            for rule in linear(f"{mixture}.experts.{{e}}.{theirs}", f"{LAYER}.channel.experts.{ours}")
        ),
    ]


FAMILY = Family(
    model_type="mixtral",
    architectures=("MixtralForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
