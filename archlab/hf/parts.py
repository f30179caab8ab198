"""What many families share: fields that mean the same in all of them, and the tensors of a layer like Llama's."""

from collections.abc import Sequence
from typing import Any

from archlab import activations as acts
from archlab.activations import Activation
from archlab.channels.glu import GLU
from archlab.errors import InputError
from archlab.hf.family import Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, linear, norm, same
from archlab.inits import Init, Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.spec import Layer
from archlab.stack import Stack

ACTIVATIONS: dict[str, Activation] = {
    "silu": acts.SiLU(), "swish": acts.SiLU(), "gelu": acts.GELUErf(), "gelu_python": acts.GELUErf(),
    "gelu_pytorch_tanh": acts.GELUTanh(), "gelu_new": acts.GELUTanh(), "gelu_fast": acts.GELUTanh(),
    "quick_gelu": acts.GELUSigmoid(), "relu": acts.ReLU(), "relu2": acts.SquaredReLU(), "tanh": acts.Tanh(),
    "sigmoid": acts.Sigmoid(), "linear": acts.Identity(),
}  # fmt: skip
"""Their names, the one that is written first of each kind."""


def activation_name(activation: Activation, *preferred: str) -> str:
    """Their name of an activation, one of ``preferred`` where several mean the same."""
    for name in (*preferred, *ACTIVATIONS):
        if ACTIVATIONS[name] == activation:
            return name
    raise Mismatch


def law(fields: Fields, default: float = 0.02) -> Init:
    """The first values of matrices and tables: N(0, initializer_range²)."""
    return Normal(std=fields.number("initializer_range", default))


def std(init: Init) -> float:
    """``initializer_range`` for a law; transformers' own where it is another one."""
    return init.std if isinstance(init, Normal) else 0.02


def head(fields: Fields, init: Init, *, tied: bool) -> Head | None:
    """The output matrix, None where it is the embedding's; ``tied`` is the family's default."""
    return None if fields.flag("tie_word_embeddings", tied) else Head(bias=False, init=init)


def swiglu(fields: Fields, init: Init, hidden: int, *, act: str = "hidden_act", default: str = "silu") -> GLU:
    """The gated channel, SwiGLU unless the config says otherwise."""
    bias = fields.flag("mlp_bias", False)
    activation = fields.choice(act, ACTIVATIONS, default)
    return GLU(hidden=hidden, activation=activation, bias=bias, init=init, out_init=init)


def stack(layers: Sequence[Layer]) -> Stack:
    """A list of layers as a pattern that repeats, with what stands before and after it; the shortest one."""
    count = len(layers)
    best: Stack | None = None
    for first in range(min(count, 8)):
        for period in range(1, min(count - first, 16) + 1):
            repeat = 1
            pattern = tuple(layers[first : first + period])
            while tuple(layers[first + repeat * period : first + (repeat + 1) * period]) == pattern:
                repeat += 1
            tail = tuple(layers[first + repeat * period :])
            made = Stack(first=tuple(layers[:first]), pattern=pattern, repeat=repeat, tail=tail)
            if best is None or _said(made) < _said(best):
                best = made
    assert best is not None
    return best


def _said(stack: Stack) -> int:
    """How many layers are written down."""
    return len(stack.first) + len(stack.pattern) + len(stack.tail)


# --- layers with and without a window ------------------------------------------------------------------------

LOCAL, WHOLE = "sliding_attention", "full_attention"


def windows(fields: Fields, layers: int, window: int | None, unsaid: Sequence[str]) -> list[int | None]:
    """The window of each layer, None for none, by ``layer_types``; ``unsaid`` are these where they are missing."""
    kinds = fields.items("layer_types", layers, unsaid)
    for kind in kinds:
        if kind not in (LOCAL, WHOLE):
            raise InputError(f"{fields.where}: layer_types has {kind!r}; this kind of model has {LOCAL!r}, {WHOLE!r}")
        if kind == LOCAL and window is None:
            raise InputError(f"{fields.where}: layer_types has {LOCAL!r}, but by the config there is no window")
    return [window if kind == LOCAL else None for kind in kinds]


def window_fields(model: LanguageModel) -> dict[str, Any]:
    """The window and the kind of each layer."""
    found = [layer.mixer.window for layer in model.stack.layers]  # type: ignore[attr-defined]
    return {
        "sliding_window": next((window for window in found if window), None),
        "layer_types": [LOCAL if window else WHOLE for window in found],
    }


# --- layers with and without experts ---------------------------------------------------------------------------


def layers_with_experts(fields: Fields, layers: int) -> list[bool]:
    """Which layers have experts: every ``decoder_sparse_step``-th but those of ``mlp_only_layers``."""
    dense, step = fields.read("mlp_only_layers", tuple[int, ...], []), fields.size("decoder_sparse_step", 1)
    return [index not in dense and (index + 1) % step == 0 for index in range(layers)]


# --- decoders in Llama's manner -----------------------------------------------------------------------------


def decoder(
    fields: Fields, layers: Sequence[Layer], *, tied: bool, vocab: int, width: int, **more: Any
) -> LanguageModel:
    """Embedding, layers, RMSNorm (``rms_norm_eps``) unless ``more`` has another norm, output matrix."""
    init = law(fields)
    norm = more.pop("norm", None) or RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-6))
    return LanguageModel(
        vocab=fields.size("vocab_size", vocab), width=fields.size("hidden_size", width), embedding_init=init,
        stack=stack(layers), norm=norm, head=head(fields, init, tied=tied), **more,
    )  # fmt: skip


def decoder_fields(model: LanguageModel) -> dict[str, Any]:
    """The fields that :func:`decoder` reads."""
    return {
        "vocab_size": model.vocab, "hidden_size": model.width, "num_hidden_layers": len(model.stack.layers),
        "tie_word_embeddings": model.head is None, "initializer_range": std(model.embedding_init),
    } | ({"rms_norm_eps": model.norm.epsilon} if isinstance(model.norm, RMSNorm) else {})  # fmt: skip


def attention_fields(attention: Attention, width: int) -> dict[str, Any]:
    """Heads, their size, and the rate of dropout."""
    return {
        "num_attention_heads": attention.heads, "num_key_value_heads": attention.kv_heads,
        "head_dim": attention.size(width), "attention_dropout": attention.dropout,
    }  # fmt: skip


def attention_tensors(theirs: str, ours: str) -> list[Rule]:
    """q_proj, k_proj, v_proj, o_proj, and the norms of queries and keys."""
    maps = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "out"}
    rules = [rule for name, part in maps.items() for rule in linear(f"{theirs}.{name}", f"{ours}.{part}")]
    return rules + norm(f"{theirs}.q_norm", f"{ours}.query_norm") + norm(f"{theirs}.k_norm", f"{ours}.key_norm")


def glu_tensors(theirs: str, ours: str) -> list[Rule]:
    """gate_proj, up_proj, down_proj; of experts where ``{e}`` stands in theirs."""
    maps = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
    return [rule for name, part in maps.items() for rule in linear(f"{theirs}.{name}", f"{ours}.{part}")]


def decoder_tensors() -> list[Rule]:
    """What stands around the layers."""
    return [
        same("model.embed_tokens.weight", "embedding.table"),
        *norm("model.norm", "norm"),
        *linear("lm_head", "head"),
    ]


TWINS = {"lm_head.weight": "model.embed_tokens.weight"}
"""A tied head that is saved all the same."""
