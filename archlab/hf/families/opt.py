"""OPT."""

from typing import Any

from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, head, stack, std
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Factors, LanguageModel
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PostNorm, PreNorm

LAYER = "stack.layers.{i}"
EPSILON = 1e-5
"""That of LayerNorm in PyTorch, which no config names."""


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Learned positions from row 2, LayerNorm before each layer or after it, ReLU, a table that may be narrower."""
    fields.expect("layerdrop", 0.0)
    fields.idle("activation_dropout")
    init, width = Normal(std=fields.number("init_std", 0.02)), fields.size("hidden_size", 768)
    heads, bias = fields.size("num_attention_heads", 12), fields.flag("enable_bias", True)
    learned = fields.flag("layer_norm_elementwise_affine", True)
    norm = LayerNorm(epsilon=EPSILON, bias=learned, scale=learned)
    before = fields.flag("do_layer_norm_before", True)
    bare = fields.flag("_remove_final_layer_norm", False)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            visibility="causal",
            bias=bias,
            out_bias=bias,
            dropout=fields.number("attention_dropout", 0.0),
            init=init,
            out_init=init,
        ),
        channel=MLP(
            hidden=fields.size("ffn_dim", 3072),
            activation=fields.choice("activation_function", ACTIVATIONS, "relu"),
            bias=bias,
            init=init,
            out_init=init,
        ),
        residual=(PreNorm if before else PostNorm)(norm=norm, dropout=fields.number("dropout", 0.1)),
    )
    narrow = fields.size("word_embed_proj_dim", width)
    return LanguageModel(
        vocab=fields.size("vocab_size", 50272),
        width=width,
        embedding_init=init,
        factors=None if narrow == width else Factors(width=narrow, init=init),
        positions=LearnedPositions(length=fields.size("max_position_embeddings", 2048), offset=2, init=init),
        stack=stack([layer] * fields.size("num_hidden_layers", 12)),
        norm=norm if before and not bare else None,
        head=head(fields, init, tied=True),
    )


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    before = isinstance(layer.residual, PreNorm)
    return {
        "vocab_size": model.vocab,
        "hidden_size": model.width,
        "word_embed_proj_dim": model.table_width(model.width),
        "num_hidden_layers": len(model.stack.layers),
        "num_attention_heads": layer.mixer.heads,
        "ffn_dim": layer.channel.hidden,
        "activation_function": activation_name(layer.channel.activation),
        "max_position_embeddings": model.positions.length,
        "do_layer_norm_before": before,
        "_remove_final_layer_norm": before and model.norm is None,
        "enable_bias": layer.mixer.bias,
        "layer_norm_elementwise_affine": layer.residual.norm.scale,
        "dropout": layer.residual.dropout,
        "attention_dropout": layer.mixer.dropout,
        "init_std": std(model.embedding_init),
        "tie_word_embeddings": model.head is None,
    }


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    block = "model.decoder.layers.{i}"
    maps = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
    return [
        same("model.decoder.embed_tokens.weight", "embedding.table"),
        same("model.decoder.embed_positions.weight", "positions.table"),
        *linear("model.decoder.project_in", "enter"),
        *linear("model.decoder.project_out", "leave"),
        *norm("model.decoder.final_layer_norm", "norm"),
        *linear("lm_head", "head"),
        *(rule for name, part in maps.items() for rule in linear(f"{block}.self_attn.{name}", f"{LAYER}.mixer.{part}")),
        *norm(f"{block}.self_attn_layer_norm", f"{LAYER}.mixer_residual.norm"),
        *linear(f"{block}.fc1", f"{LAYER}.channel.up"),
        *linear(f"{block}.fc2", f"{LAYER}.channel.down"),
        *norm(f"{block}.final_layer_norm", f"{LAYER}.channel_residual.norm"),
    ]


FAMILY = Family(
    model_type="opt",
    architectures=("OPTForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins={"lm_head.weight": "model.decoder.embed_tokens.weight"},
)
