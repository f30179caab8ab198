"""Gemma 3, what reads and writes text of it."""

from typing import Any

from archlab.hf.families.gemma2 import LOCAL, WHOLE, attention, gemma, gemma_fields, scale, tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import TWINS
from archlab.hf.rope import rope_fields, whole_rope
from archlab.model import LanguageModel
from archlab.rotary import RoPE

THETA = {WHOLE: ("rope_theta", 1000000.0), LOCAL: ("rope_local_base_freq", 10000.0)}


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Five layers with a window to one without, each kind with a rotation of its own, norms of queries and keys."""
    fields.idle("attn_logit_softcapping", "_sliding_window_pattern")  # transformers reads neither
    window, seen = fields.size("sliding_window", 4096), "causal"
    if fields.flag("use_bidirectional_attention", False):
        window, seen = window // 2 + 1, "bidirectional"
    whole = attention(fields, rotation(fields, WHOLE)).replace(visibility=seen, qk_norm=scale(fields))
    local = whole.replace(window=window, rotary=rotation(fields, LOCAL))
    period = fields.size("sliding_window_pattern", 6)
    return gemma(fields, {LOCAL: local, WHOLE: whole}, period=period, vocab=262208, softcap=None)


def rotation(fields: Fields, kind: str) -> RoPE:
    """The rotation of one kind of layers; an older config's ``rope_scaling`` is of those without a window."""
    theta, tables = fields.number(*THETA[kind]), fields.table("rope_parameters")
    said: dict[str, Any] = {}
    if tables is not None:
        said |= tables.raw(kind, {})
        tables.idle(*THETA)
        tables.done()
    if kind == WHOLE:
        said |= fields.raw("rope_scaling", {})
    longest = fields.size("max_position_embeddings", 131072)
    read = {"rope_theta": theta, "rope_parameters": said, "max_position_embeddings": longest}
    return whole_rope(Fields(read, f"{fields.where}: {kind}"))


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    fields, mixers = gemma_fields(model), [layer.mixer for layer in model.stack.layers]
    both = mixers[0].visibility == "bidirectional"
    if both and "sliding_window" in fields:
        fields["sliding_window"] = 2 * (fields["sliding_window"] - 1)
    rotaries = {WHOLE if mixer.window is None else LOCAL: mixer.rotary for mixer in mixers}
    return fields | {
        "use_bidirectional_attention": both,
        "rope_parameters": {kind: rope_fields(rotary) for kind, rotary in rotaries.items()},
    }  # fmt: skip


FAMILY = Family(
    model_type="gemma3_text",
    architectures=("Gemma3ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
