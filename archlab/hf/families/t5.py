"""T5, as first published and as 1.1 (Flan-T5 is one)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name
from archlab.hf.tensors import Tensors
from archlab.inits import Normal
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.model import Head
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.score_bias import PositionBias, PublishedBias, RelativeBias, ReusedBias
from archlab.spec import Channel, Layer
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.decoder_block import DecoderBlock

HEAD, TABLE = "lm_head.weight", "shared.weight"


def model(fields: Fields, architecture: str) -> EncoderDecoder:
    """Biases by distance in the first layer of either side, reused in the others; RMSNorm first, no other biases.

    Where ``tie_word_embeddings`` is false (1.1) the head is its own and states are not scaled, unless
    ``scale_decoder_outputs`` says so. Dropout inside the feed-forward layer and after the last norm has no field.
    """
    fields.idle("classifier_dropout", "n_positions", "output_past", "is_decoder")
    width, factor = fields.size("d_model", 512), fields.number("initializer_factor", 1.0)
    law, drop = Normal(std=factor * width**-0.5), fields.number("dropout_rate", 0.1)
    heads, size = fields.size("num_heads", 8), fields.size("d_kv", 64)
    many: dict[str, Any] = {
        "heads": heads, "kv_heads": heads, "head_size": size, "scale": 1.0, "bias": False, "out_bias": False,
        "dropout": drop, "init": law, "query_init": Normal(std=factor * (width * size) ** -0.5),
        "out_init": Normal(std=factor * (heads * size) ** -0.5),
    }  # fmt: skip
    last = RMSNorm(epsilon=fields.number("layer_norm_epsilon", 1e-6))
    residual, channel = PreNorm(norm=last, dropout=drop), _channel(fields, law, factor)
    buckets = fields.size("relative_attention_num_buckets", 32)
    furthest = fields.size("relative_attention_max_distance", 128)

    def layer(seen: Visibility, bias: PositionBias) -> Layer:
        mixer = Attention(visibility=seen, score_bias=bias, **many)
        if seen == "bidirectional":
            return Block(mixer=mixer, channel=channel, residual=residual)
        return DecoderBlock(mixer=mixer, cross=CrossAttention(**many), channel=channel, residual=residual)

    def tower(seen: Visibility, count: int) -> Tower:
        both = seen == "bidirectional"
        bias = RelativeBias(heads=heads, buckets=buckets, max_distance=furthest, bidirectional=both, init=law)
        first, later = layer(seen, PublishedBias(name="bias", bias=bias)), layer(seen, ReusedBias(name="bias"))
        stack = Stack(first=(first,), pattern=(later,), repeat=count - 1) if count > 1 else None
        return Tower(dropout=drop, stack=stack or Stack(pattern=(first,), repeat=1), norm=last)

    layers = fields.size("num_layers", 6)
    tied = fields.flag("tie_word_embeddings", True)
    return EncoderDecoder(
        vocab=fields.size("vocab_size", 32128),
        width=width,
        start=fields.read("decoder_start_token_id", int, fields.read("pad_token_id", int, 0)),
        embedding_init=Normal(std=factor),
        encoder=tower("bidirectional", layers),
        decoder=tower("causal", fields.size("num_decoder_layers", layers)),
        head=None if tied else Head(bias=False, init=Normal(std=factor)),
        logit_scale=width**-0.5 if fields.flag("scale_decoder_outputs", tied) else None,
    )


def _channel(fields: Fields, law: Normal, factor: float) -> Channel:
    """``feed_forward_proj`` is "f" or "gated-f"; "gated-gelu" has meant the tanh form ever since 1.1."""
    said = fields.text("feed_forward_proj", "relu")
    gated = fields.flag("is_gated_act", said.startswith("gated-"))
    name = "gelu_new" if said == "gated-gelu" else said.removeprefix("gated-")
    hidden = fields.size("d_ff", 2048)
    activation = fields.choice("dense_act_fn", ACTIVATIONS, name)
    kind: Any = GLU if gated else MLP
    return kind(
        hidden=hidden, activation=activation, bias=False, init=law, out_init=Normal(std=factor * hidden**-0.5)
    )  # fmt: skip


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer = model.decoder.stack.layers[0]
    mixer, gated = layer.mixer, isinstance(layer.channel, GLU)
    name = activation_name(layer.channel.activation, *(("gelu_python",) if gated else ()))
    act = f"gated-{'gelu' if name == 'gelu_pytorch_tanh' else name}" if gated else name
    factor = model.embedding_init.std if isinstance(model.embedding_init, Normal) else 1.0
    return {
        "vocab_size": model.vocab, "d_model": model.width, "d_kv": mixer.size(model.width),
        "d_ff": layer.channel.hidden, "num_heads": mixer.heads, "feed_forward_proj": act,
        "num_layers": len(model.encoder.stack.layers), "num_decoder_layers": len(model.decoder.stack.layers),
        "relative_attention_num_buckets": mixer.score_bias.bias.buckets,
        "relative_attention_max_distance": mixer.score_bias.bias.max_distance,
        "layer_norm_epsilon": model.decoder.norm.epsilon, "dropout_rate": model.decoder.dropout,
        "initializer_factor": factor, "decoder_start_token_id": model.start,
        "tie_word_embeddings": model.head is None, "scale_decoder_outputs": model.logit_scale is not None,
    }  # fmt: skip


def told(config: Mapping[str, Any], tensors: Tensors) -> Mapping[str, Any]:
    """Newer versions write ``tie_word_embeddings`` as true in any case: a head that differs is one all the same."""
    if not {HEAD, TABLE} <= set(tensors.entries) or config.get("tie_word_embeddings") is False:
        return config
    if np.array_equal(tensors.read(HEAD), tensors.read(TABLE)):
        return config
    return dict(config) | {
        "tie_word_embeddings": False, "scale_decoder_outputs": config.get("scale_decoder_outputs") is not False,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    rules = [same(TABLE, "embedding.table"), *linear("lm_head", "head")]
    channel = GATED if isinstance(model.decoder.stack.layers[0].channel, GLU) else PLAIN
    steps = MIXERS | {"channel": ("DenseReluDense", channel)}
    for side, parts in (("encoder", ("mixer", "channel")), ("decoder", ("mixer", "cross", "channel"))):
        rules += norm(f"{side}.final_layer_norm", f"{side}.norm")
        for step, part in enumerate(parts):
            theirs, ours, (name, maps) = f"{side}.block.{{i}}.layer.{step}", f"{side}.stack.layers.{{i}}", steps[part]
            rules += norm(f"{theirs}.layer_norm", f"{ours}.{part}_residual.norm")
            rules += [rule for a, b in maps.items() for rule in linear(f"{theirs}.{name}.{a}", f"{ours}.{part}.{b}")]
        bias = "layer.0.SelfAttention.relative_attention_bias.weight"
        rules.append(same(f"{side}.block.0.{bias}", f"{side}.stack.layers.0.mixer.score_bias.bias.table"))
    return rules


HEADS = {"q": "query", "k": "key", "v": "value", "o": "out"}
MIXERS = {"mixer": ("SelfAttention", HEADS), "cross": ("EncDecAttention", HEADS)}
PLAIN, GATED = {"wi": "up", "wo": "down"}, {"wi_0": "gate", "wi_1": "up", "wo": "down"}

FAMILY = Family(
    model_type="t5",
    architectures=("T5ForConditionalGeneration",),
    model=model,
    config=config,
    tensors=tensors,
    told=told,
    ignored=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
    twins=dict.fromkeys((HEAD, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), TABLE),
)
