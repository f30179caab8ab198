"""GPT-NeoX: GPT-NeoX-20B, Pythia, RedPajama-INCITE."""

from typing import Any

from archlab.block import Block, ParallelBlock
from archlab.channels.mlp import MLP
from archlab.errors import InputError
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, fused, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, decoder, decoder_fields, law
from archlab.hf.rope import rope, rope_fields
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE

LAYER = "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Attention and MLP side by side, each with a norm of its own; a share of each head is rotated.

    Branches are dropped out one by one in transformers, their sum here.
    """
    fields.idle("max_position_embeddings", "is_decoder", "classifier_dropout")
    fields.idle("attention_probs_dropout_prob", "hidden_dropout_prob")  # GPT-NeoX-20B's, which nothing reads
    init, heads, width = law(fields), fields.size("num_attention_heads", 64), fields.size("hidden_size", 6144)
    bias, dropout = fields.flag("attention_bias", True), fields.number("hidden_dropout", 0.0)
    norm = LayerNorm(epsilon=fields.number("layer_norm_eps", 1e-5), bias=True)
    mixer = Attention(
        heads=heads,
        kv_heads=heads,
        visibility="causal",
        rotary=rotation(fields, width // heads),
        bias=bias,
        out_bias=bias,
        dropout=fields.number("attention_dropout", 0.0),
        init=init,
        out_init=init,
    )
    channel = MLP(
        hidden=fields.size("intermediate_size", 24576),
        activation=fields.choice("hidden_act", ACTIVATIONS, "gelu"),
        bias=True,
        init=init,
        out_init=init,
    )
    residual = PreNorm(norm=norm, dropout=dropout)
    layer: Block | ParallelBlock = Block(mixer=mixer, channel=channel, residual=residual)
    if fields.flag("use_parallel_residual", True):
        layer = ParallelBlock(mixer=mixer, channel=channel, residual=residual, channel_norm=norm)
    layers = [layer] * fields.size("num_hidden_layers", 44)
    return decoder(fields, layers, tied=False, vocab=50432, width=6144, norm=norm, dropout=dropout)


def rotation(fields: Fields, size: int) -> RoPE:
    """The rotation of heads of ``size``, by the names that the family has for its base and its share."""
    base, share = fields.number("rotary_emb_base", 10000.0), fields.number("rotary_pct", 0.25)
    fields.expect("rope_theta", base)
    fields.expect("partial_rotary_factor", share)
    rotary = rope(fields, theta=base, fraction=share)
    if int(size * rotary.fraction) % 2:
        raise InputError(f"{fields.where}: rotary_pct is {rotary.fraction}, an odd number of a head's {size} entries")
    return rotary


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    return decoder_fields(model) | {
        "num_attention_heads": layer.mixer.heads,
        "intermediate_size": layer.channel.hidden,
        "hidden_act": activation_name(layer.channel.activation),
        "layer_norm_eps": model.norm.epsilon,
        "attention_bias": layer.mixer.bias,
        "use_parallel_residual": isinstance(layer, ParallelBlock),
        "rope_parameters": {"partial_rotary_factor": 1.0} | rope_fields(layer.mixer.rotary),
        "attention_dropout": layer.mixer.dropout,
        "hidden_dropout": layer.residual.dropout,
    }


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model; queries, keys and values of each head stand together."""
    block, heads = "gpt_neox.layers.{i}", model.stack.layers[0].mixer.heads
    qkv = [f"{LAYER}.mixer.{name}" for name in ("query", "key", "value")]
    parallel = isinstance(model.stack.layers[0], ParallelBlock)
    before, between = ("residual.norm", "channel_norm") if parallel else (
        "mixer_residual.norm", "channel_residual.norm"
    )  # fmt: skip
    return [
        same("gpt_neox.embed_in.weight", "embedding.table"),
        *norm("gpt_neox.final_layer_norm", "norm"),
        *linear("embed_out", "head"),
        *norm(f"{block}.input_layernorm", f"{LAYER}.{before}"),
        *norm(f"{block}.post_attention_layernorm", f"{LAYER}.{between}"),
        *fused(f"{block}.attention.query_key_value", qkv, "(H X)", H=heads),
        *linear(f"{block}.attention.dense", f"{LAYER}.mixer.out"),
        *linear(f"{block}.mlp.dense_h_to_4h", f"{LAYER}.channel.up"),
        *linear(f"{block}.mlp.dense_4h_to_h", f"{LAYER}.channel.down"),
    ]


FAMILY = Family(
    model_type="gpt_neox",
    architectures=("GPTNeoXForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="gpt_neox.",
    ignored=(r".*\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
    twins={"embed_out.weight": "gpt_neox.embed_in.weight"},
)
