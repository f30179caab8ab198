"""ModernBERT."""

from typing import Any

from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.errors import InputError
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.transform import Transform
from archlab.hf import encoders
from archlab.hf.encoders import BASE, MASKED, kind_of
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, fused, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, stack
from archlab.hf.rope import rope_fields, whole_rope
from archlab.inits import Init, TruncatedNormal
from archlab.mixers.attention import Attention
from archlab.models.encoder import Encoder
from archlab.norms import LayerNorm
from archlab.residuals import PlainResidual, PreNorm
from archlab.rotary import RoPE
from archlab.spec import OutputHead
from archlab.tower import Tower

WHOLE, LOCAL = "full_attention", "sliding_attention"
THETA = {WHOLE: ("global_rope_theta", 160000.0), LOCAL: ("local_rope_theta", 10000.0)}
POOLING = {"cls": "first", "mean": "mean"}
TOKENS = {"bos_token_id": 50281, "cls_token_id": 50281, "eos_token_id": 50282, "sep_token_id": 50282,
          "pad_token_id": 50283}  # fmt: skip
"""What transformers takes where a config does not say; it wants them below the vocabulary."""
HEAD = ("classifier_pooling", "classifier_dropout", "classifier_bias", "classifier_activation", "decoder_bias")


def model(fields: Fields, architecture: str) -> Encoder:
    """LayerNorm before each layer but the first attention, GeGLU, windows in most layers, two rotations."""
    fields.idle("mlp_dropout", "tie_word_embeddings", *HEAD)  # the first, which trains only, has no place in a GLU
    fields.idle("layer_norm_eps", "position_embedding_type", "sparse_prediction", "sparse_pred_ignore_index")
    fields.idle("deterministic_flash_attn", "reference_compile", "repad_logits_with_grad")
    count, vocab = fields.size("num_hidden_layers", 22), fields.size("vocab_size", 50368)
    init, out_init = _law(fields), _law(fields, (2 * count) ** -0.5)
    norm = LayerNorm(epsilon=fields.number("norm_eps", 1e-5), bias=fields.flag("norm_bias", False))
    heads, bias = fields.size("num_attention_heads", 12), fields.flag("attention_bias", False)
    whole = Attention(
        heads=heads, kv_heads=heads, visibility="bidirectional", bias=bias, out_bias=bias,
        rotary=_rotation(fields, WHOLE), dropout=fields.number("attention_dropout", 0.0), init=init, out_init=out_init,
    )  # fmt: skip
    reach = fields.size("local_attention", 128) // 2 + 1
    mixers = {WHOLE: whole, LOCAL: whole.replace(window=reach, rotary=_rotation(fields, LOCAL))}
    channel = GLU(
        hidden=fields.size("intermediate_size", 1152),
        activation=fields.choice("hidden_activation", ACTIVATIONS, "gelu"),
        bias=fields.flag("mlp_bias", False), init=init, out_init=out_init,
    )  # fmt: skip
    first, *others = (mixers[kind] for kind in _kinds(fields, count))
    layers = [
        Block(mixer=first, residual=PlainResidual()),
        Block(channel=channel, residual=PreNorm(norm=norm)),
        *(Block(mixer=mixer, channel=channel, residual=PreNorm(norm=norm)) for mixer in others),
    ]
    dropout = fields.number("embedding_dropout", 0.0)
    return Encoder(
        width=fields.size("hidden_size", 768),
        front=Tokens(vocab=vocab, init=init),
        tower=Tower(embedding_norm=norm, dropout=dropout, stack=stack(layers), norm=norm),
        head=_head(fields, architecture.removeprefix("ModernBert"), vocab, norm, out_init),
    )


def _law(fields: Fields, share: float = 1.0) -> Init:
    bound = fields.number("initializer_cutoff_factor", 2.0)
    return TruncatedNormal(std=share * fields.number("initializer_range", 0.02), bound=bound)


def _kinds(fields: Fields, count: int) -> list[str]:
    """Which layers have a window; an older config says how often one has none."""
    period = fields.size("global_attn_every_n_layers", 3)
    kinds = fields.items("layer_types", count) or [LOCAL if i % period else WHOLE for i in range(count)]
    if not set(kinds) <= set(THETA):
        raise InputError(f"{fields.where}: layer_types holds {kinds}; archlab knows {WHOLE} and {LOCAL} here")
    return kinds


def _rotation(fields: Fields, kind: str) -> RoPE:
    """The rotation of one kind of layers; an older config's ``rope_scaling`` is of both."""
    theta, tables = fields.number(*THETA[kind]), fields.table("rope_parameters")
    if fields.data.get(THETA[kind][0], theta) is None:  # null as the local one was the global one
        theta = fields.number(*THETA[WHOLE])
    said: dict[str, Any] = {"rope_type": "default"}
    if tables is not None:
        said = dict(tables.raw(kind, said))
        tables.idle(*THETA)
        tables.done()
    said |= fields.raw("rope_scaling", {})
    longest = fields.size("max_position_embeddings", 8192)
    read = {"rope_theta": theta, "rope_parameters": said, "max_position_embeddings": longest}
    return whole_rope(Fields(read, f"{fields.where}: {kind}"))


def _head(fields: Fields, kind: str, vocab: int, norm: LayerNorm, init: Init) -> OutputHead | None:
    if kind == BASE:
        return None
    activation = fields.choice("classifier_activation", ACTIVATIONS, "gelu")
    transform = Transform(activation=activation, bias=fields.flag("classifier_bias", False), norm=norm, init=init)
    rate = fields.number("classifier_dropout", 0.0)
    match kind:
        case "ForMaskedLM":
            return encoders.masked_head(fields, vocab, transform, bias=fields.flag("decoder_bias", True))
        case "ForQuestionAnswering":
            return encoders.span_head(fields, transform=transform, dropout=rate)
    pooling: Any = fields.choice("classifier_pooling", POOLING, "cls") if kind == encoders.SEQUENCE else None
    return Classifier(classes=encoders.labels(fields), pooling=pooling, transform=transform, dropout=rate)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    tower, layers = model.tower, model.tower.stack.layers
    mixers, channel = [layers[0].mixer, *(layer.mixer for layer in layers[2:])], layers[1].channel
    kinds = {mixer: LOCAL if mixer.window else WHOLE for mixer in mixers}
    init, windows = mixers[0].init, {mixer.window for mixer in mixers if mixer.window}
    reach = {"local_attention": 2 * (max(windows) - 1)} if windows else {}
    law = isinstance(init, TruncatedNormal)
    cut = {"initializer_range": init.std, "initializer_cutoff_factor": init.bound} if law else {}
    missing = {name: None for name, token in TOKENS.items() if token >= model.vocabulary()}
    return _head_fields(model) | cut | reach | missing | {
        "vocab_size": model.vocabulary(), "hidden_size": model.width, "num_hidden_layers": len(mixers),
        "num_attention_heads": mixers[0].heads, "intermediate_size": channel.hidden,
        "hidden_activation": activation_name(channel.activation, "gelu"), "mlp_bias": channel.bias,
        "attention_bias": mixers[0].bias, "attention_dropout": mixers[0].dropout, "embedding_dropout": tower.dropout,
        "norm_eps": tower.norm.epsilon, "norm_bias": tower.norm.bias, "layer_types": [kinds[m] for m in mixers],
        "rope_parameters": {kind: rope_fields(mixer.rotary) for mixer, kind in kinds.items()},
    }  # fmt: skip


def _head_fields(model: Any) -> dict[str, Any]:
    """The fields that :func:`_head` reads."""
    head, found = model.head, encoders.head_fields(model)
    if head is None:
        return found
    transform = {
        "classifier_activation": activation_name(head.transform.activation, "gelu"),
        "classifier_bias": head.transform.bias,
    }
    if kind_of(model) == MASKED:
        return found | transform | {"decoder_bias": head.out.bias if head.out else head.bias}
    found |= transform | {"classifier_dropout": head.dropout}
    names = [name for name, ours in POOLING.items() if ours == getattr(head, "pooling", None)]
    return found | ({"classifier_pooling": names[0]} if names else {})


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    kind = kind_of(model)
    base, theirs = "" if kind == BASE else "model.", "decoder" if kind == MASKED else "classifier"
    rules = [
        same(f"{base}embeddings.tok_embeddings.weight", "front.embedding.table"),
        *norm(f"{base}embeddings.norm", "tower.embedding_norm"),
        *norm(f"{base}final_norm", "tower.norm"),
        *linear("head.dense", "head.transform.linear"),
        *norm("head.norm", "head.transform.norm"),
        same("decoder.bias", "head.bias"),
        *linear(theirs, "head.out"),
    ]
    for i in range(len(model.tower.stack.layers) - 1):
        rules += _layer(f"{base}layers.{i}", *(f"tower.stack.layers.{n}" for n in (i + (i > 0), i + 1)))
    return rules


def _layer(theirs: str, mixer: str, channel: str) -> list[Rule]:
    """A layer of theirs; the first one is two of ours."""
    return [
        *norm(f"{theirs}.attn_norm", f"{mixer}.mixer_residual.norm"),
        *fused(f"{theirs}.attn.Wqkv", [f"{mixer}.mixer.{name}" for name in ("query", "key", "value")]),
        *linear(f"{theirs}.attn.Wo", f"{mixer}.mixer.out"),
        *norm(f"{theirs}.mlp_norm", f"{channel}.channel_residual.norm"),
        *fused(f"{theirs}.mlp.Wi", [f"{channel}.channel.{name}" for name in ("gate", "up")]),
        *linear(f"{theirs}.mlp.Wo", f"{channel}.channel.down"),
    ]


FAMILY = Family(
    model_type="modernbert",
    architectures=encoders.named("ModernBert"),
    model=model,
    config=config,
    tensors=tensors,
    architecture=lambda model: "ModernBert" + kind_of(model),
    prefix="model.",
    twins={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    spare=(r"head\..*", r"decoder\..*"),
)
