"""GPT-2."""

from typing import Any

from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, head, law, stack, std
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm

LAYER = "stack.layers.{i}"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Learned positions, LayerNorm before each layer, biases; matrices are stored as (in, out)."""
    fields.expect("add_cross_attention", False)
    fields.idle("reorder_and_upcast_attn", "n_ctx", *(f"summary_{name}" for name in SUMMARY))
    width, heads, init = fields.size("n_embd", 768), fields.size("n_head", 12), law(fields)
    norm = LayerNorm(epsilon=fields.number("layer_norm_epsilon", 1e-5), bias=True)
    layer = Block(
        mixer=Attention(
            heads=heads,
            kv_heads=heads,
            visibility="causal",
            scale=None if fields.flag("scale_attn_weights", True) else 1.0,
            bias=True,
            out_bias=True,
            dropout=fields.number("attn_pdrop", 0.1),
            init=init,
            out_init=init,
        ),
        channel=MLP(
            hidden=fields.size("n_inner", 4 * width),
            activation=fields.choice("activation_function", ACTIVATIONS, "gelu_new"),
            bias=True,
            init=init,
            out_init=init,
        ),
        residual=PreNorm(norm=norm, dropout=fields.number("resid_pdrop", 0.1)),
    )
    return LanguageModel(
        vocab=fields.size("vocab_size", 50257),
        width=width,
        embedding_init=init,
        positions=LearnedPositions(length=fields.size("n_positions", 1024), init=init),
        dropout=fields.number("embd_pdrop", 0.1),
        stack=stack(_scaled(fields, layer, fields.size("n_layer", 12))),
        norm=norm,
        head=head(fields, init, tied=True),
    )


def _scaled(fields: Fields, layer: Any, count: int) -> list[Block]:
    """``count`` layers; the scores of the n-th are divided by n where the config asks for it (Mistral's GPT-2)."""
    if not fields.flag("scale_attn_by_inverse_layer_idx", False):
        return [layer] * count
    factor = layer.mixer.factor(layer.mixer.size(fields.size("n_embd", 768)))
    return [layer.replace(mixer=layer.mixer.replace(scale=factor / n)) for n in range(1, count + 1)]


SUMMARY = ("type", "use_proj", "activation", "proj_to_labels", "first_dropout")


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.stack.layers[0]
    factors = {other.mixer.factor(other.mixer.size(model.width)) for other in model.stack.layers}
    return {
        "vocab_size": model.vocab,
        "n_embd": model.width,
        "n_layer": len(model.stack.layers),
        "n_head": layer.mixer.heads,
        "n_inner": layer.channel.hidden,
        "n_positions": model.positions.length,
        "activation_function": activation_name(layer.channel.activation, "gelu_new"),
        "layer_norm_epsilon": model.norm.epsilon,
        "scale_attn_weights": max(factors) != 1.0,
        "scale_attn_by_inverse_layer_idx": len(factors) > 1,
        "attn_pdrop": layer.mixer.dropout,
        "resid_pdrop": layer.residual.dropout,
        "embd_pdrop": model.dropout,
        "initializer_range": std(model.embedding_init),
        "tie_word_embeddings": model.head is None,
    }


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    block = "transformer.h.{i}"
    qkv = tuple(f"{LAYER}.mixer.{name}" for name in ("query", "key", "value"))
    return [
        same("transformer.wte.weight", "embedding.table"),
        same("transformer.wpe.weight", "positions.table"),
        *norm("transformer.ln_f", "norm"),
        Rule(theirs="lm_head.weight", ours=("head.kernel",), layout="O I -> I O"),
        *norm(f"{block}.ln_1", f"{LAYER}.mixer_residual.norm"),
        *norm(f"{block}.ln_2", f"{LAYER}.channel_residual.norm"),
        Rule(
            theirs=f"{block}.attn.c_attn.weight", ours=tuple(f"{p}.kernel" for p in qkv), layout="I X -> I X", cut="X"
        ),
        Rule(theirs=f"{block}.attn.c_attn.bias", ours=tuple(f"{p}.bias" for p in qkv), layout="X -> X", cut="X"),
        *_conv1d(f"{block}.attn.c_proj", f"{LAYER}.mixer.out"),
        *_conv1d(f"{block}.mlp.c_fc", f"{LAYER}.channel.up"),
        *_conv1d(f"{block}.mlp.c_proj", f"{LAYER}.channel.down"),
    ]


def _conv1d(theirs: str, ours: str) -> list[Rule]:
    """A map that is stored as ours are."""
    return [same(f"{theirs}.weight", f"{ours}.kernel"), same(f"{theirs}.bias", f"{ours}.bias")]


FAMILY = Family(
    model_type="gpt2",
    architectures=("GPT2LMHeadModel",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="transformer.",
    ignored=(r".*\.attn\.(bias|masked_bias)",),
    twins={"lm_head.weight": "transformer.wte.weight"},
)
