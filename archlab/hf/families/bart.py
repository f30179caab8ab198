"""BART."""

from typing import Any

from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, std
from archlab.inits import Normal, Zeros
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.norms import LayerNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PostNorm
from archlab.spec import Layer
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock

BASE = "BartModel"
UNUSED = 2
"""Rows of a table of positions before the first position's."""


def model(fields: Fields, architecture: str) -> EncoderDecoder:
    """LayerNorm after each layer and of the embeddings, learned positions, one table for all tokens and the logits.

    A checkpoint of ``BartModel`` is one whose logits have no bias. Dropout inside the feed-forward layer, and of whole
    layers, has no field.
    """
    for name, usual in (("normalize_before", False), ("normalize_embedding", True), ("add_final_layer_norm", False),
                        ("static_position_embeddings", False), ("add_bias_logits", False),
                        ("tie_word_embeddings", True), ("is_decoder", False)):  # fmt: skip
        fields.expect(name, usual)
    fields.idle(*IDLE)
    width, init = fields.size("d_model", 1024), Normal(std=fields.number("init_std", 0.02))
    norm, drop = LayerNorm(epsilon=1e-5, bias=True), fields.number("dropout", 0.1)
    attention_drop, length = fields.number("attention_dropout", 0.0), fields.size("max_position_embeddings", 1024)
    activation, residual = (
        fields.choice("activation_function", ACTIVATIONS, "gelu"), PostNorm(norm=norm, dropout=drop)
    )  # fmt: skip

    def tower(side: str) -> Tower:
        heads, hidden = fields.size(f"{side}_attention_heads", 16), fields.size(f"{side}_ffn_dim", 4096)
        many: dict[str, Any] = {
            "heads": heads, "kv_heads": heads, "bias": True, "out_bias": True, "dropout": attention_drop, "init": init,
            "out_init": init,
        }  # fmt: skip
        channel = MLP(hidden=hidden, activation=activation, bias=True, init=init, out_init=init)
        layer: Layer = Block(
            mixer=Attention(visibility="bidirectional", **many), channel=channel, residual=residual
        )  # fmt: skip
        if side == "decoder":
            past, cross = Attention(visibility="causal", **many), CrossAttention(**many)
            layer = DecoderBlock(mixer=past, cross=cross, channel=channel, residual=residual)
        return Tower(
            positions=LearnedPositions(length=length, offset=UNUSED, init=init),
            embedding_norm=norm,
            dropout=drop,
            stack=Stack(pattern=(layer,), repeat=fields.size(f"{side}_layers", 12)),
            norm=None,
        )

    return EncoderDecoder(
        vocab=fields.size("vocab_size", 50265),
        width=width,
        start=fields.read("decoder_start_token_id", int, 2),
        embedding_init=init,
        embedding_scale=width**0.5 if fields.flag("scale_embedding", False) else None,
        encoder=tower("encoder"),
        decoder=tower("decoder"),
        head=None,
        logit_bias=None if architecture == BASE else Zeros(),
    )


IDLE = (
    "activation_dropout", "encoder_layerdrop", "decoder_layerdrop", "classifier_dropout", "classif_dropout",
    "_num_labels", "num_hidden_layers", "output_past", "force_bos_token_to_be_generated", "extra_pos_embeddings",
)  # fmt: skip


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.decoder.stack.layers[0]
    side: dict[str, Any] = {}
    for name, tower in (("encoder", model.encoder), ("decoder", model.decoder)):
        first = tower.stack.layers[0]
        side |= {
            f"{name}_layers": len(tower.stack.layers), f"{name}_attention_heads": first.mixer.heads,
            f"{name}_ffn_dim": first.channel.hidden,
        }  # fmt: skip
    return side | {
        "vocab_size": model.vocab, "d_model": model.width, "max_position_embeddings": model.decoder.positions.length,
        "activation_function": activation_name(layer.channel.activation), "dropout": model.decoder.dropout,
        "attention_dropout": layer.mixer.dropout, "init_std": std(model.embedding_init),
        "scale_embedding": model.embedding_scale is not None, "decoder_start_token_id": model.start,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    rules = [
        same("model.shared.weight", "embedding.table"),
        Rule(theirs="final_logits_bias", ours=("logit_bias",), layout="1 V -> V"),
    ]
    for side in ("encoder", "decoder"):
        theirs, ours = f"model.{side}.layers.{{i}}", f"{side}.stack.layers.{{i}}"
        rules += [
            same(f"model.{side}.embed_positions.weight", f"{side}.positions.table"),
            *norm(f"model.{side}.layernorm_embedding", f"{side}.embedding_norm"),
            *linear(f"{theirs}.fc1", f"{ours}.channel.up"),
            *linear(f"{theirs}.fc2", f"{ours}.channel.down"),
            *norm(f"{theirs}.final_layer_norm", f"{ours}.channel_residual.norm"),
        ]
        for name, part in (("self_attn", "mixer"), ("encoder_attn", "cross")):
            rules += norm(f"{theirs}.{name}_layer_norm", f"{ours}.{part}_residual.norm")
            for letter, of in (("q", "query"), ("k", "key"), ("v", "value"), ("out", "out")):
                rules += linear(f"{theirs}.{name}.{letter}_proj", f"{ours}.{part}.{of}")
    return rules


FAMILY = Family(
    model_type="bart",
    architectures=("BartForConditionalGeneration", BASE),
    model=model,
    config=config,
    tensors=tensors,
    architecture=lambda model: BASE if model.logit_bias is None else "BartForConditionalGeneration",
    prefix="model.",
    ignored=(r".*(encoder|decoder)\.version",),
    twins=dict.fromkeys(
        ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
        "model.shared.weight",
    ),
)
