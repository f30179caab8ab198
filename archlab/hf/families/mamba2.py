"""Mamba-2."""

import math
from collections.abc import Mapping
from typing import Any

from archlab.errors import InputError
from archlab.hf.families.mamba import (
    MIXER,
    OURS,
    TWINS,
    backbone,
    backbone_fields,
    backbone_tensors,
    conv,
    parameters,
    steps,
)
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, convolution, fused, norm
from archlab.hf.parts import ACTIVATIONS, law
from archlab.inits import LogRange
from archlab.mixers.mamba2 import Mamba2
from archlab.model import LanguageModel
from archlab.norms import GroupNorm, RMSNorm
from archlab.recurrence import Decay
from archlab.spec import Norm


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Mamba-2 blocks alone; the gate is a SiLU before the norm, which takes each group by itself."""
    fields.idle("chunk_size", "time_step_rank", "intermediate_size", "norm_before_gate", "hidden_dropout_prob")
    width, groups, heads = fields.size("hidden_size", 4096), fields.size("n_groups", 8), fields.size("num_heads", 128)
    size, expand = fields.size("head_dim", 64), fields.number("expand", 2.0)
    if heads * size != int(expand * width):
        raise InputError(f"{fields.where}: num_heads · head_dim = {heads * size} is not expand · hidden_size")
    low, high = step_limit(fields)
    mixer = Mamba2(
        heads=heads,
        head_size=size,
        state_size=fields.size("state_size", 128),
        groups=groups,
        norm=group_norm(groups, fields.number("layer_norm_epsilon", 1e-5), "before"),
        decay=Decay(rate=LogRange(), step=steps(fields), lowest=low, highest=high),
        conv=conv(fields),
        activation=fields.choice("hidden_act", ACTIVATIONS, "silu"),
        bias=fields.flag("use_bias", False),
        init=law(fields, 0.1),
    )
    return backbone(fields, mixer, width=width, vocab=32768, layers=64, tied=False)


def group_norm(groups: int, epsilon: float, cast: Any) -> Norm:
    """The norm inside a mixer."""
    if groups == 1:
        return RMSNorm(epsilon=epsilon, cast=cast)
    return GroupNorm(groups=groups, epsilon=epsilon, bias=False, statistics="rms")


def step_limit(fields: Fields) -> tuple[float, float | None]:
    """What the steps Δ are clipped to; infinity is written in two ways."""
    given = fields.raw("time_step_limit", (0.0, math.inf))
    limits = [float(x["__float__"]) if isinstance(x, Mapping) else x for x in given]
    limits = [None if x == math.inf else x for x in limits]
    return Fields({"time_step_limit": limits}, fields.where).read("time_step_limit", tuple[float, float | None])


def limit_fields(decay: Decay) -> dict[str, Any]:
    """``time_step_limit``, where there is one."""
    high = {"__float__": "Infinity"} if decay.highest is None else decay.highest
    return {"time_step_limit": [decay.lowest, high]} if decay.lowest or decay.highest is not None else {}


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    mixer = model.stack.layers[0].mixer
    if mixer.inner % model.width:
        raise Mismatch
    return backbone_fields(model) | limit_fields(mixer.decay) | {
        "num_heads": mixer.heads, "head_dim": mixer.head_size, "n_groups": mixer.groups,
        "expand": mixer.inner // model.width,
    }  # fmt: skip


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [*backbone_tensors(), *mixer_tensors(MIXER, OURS)]


def mixer_tensors(theirs: str, ours: str) -> list[Rule]:
    """What is inside a mixer, but for its output: z, x, b, c and s side by side."""
    mixed = ("value", "key", "query")
    own = {"dt_bias": "step_bias", "A_log": "log_rate", "D": "skip"}
    return [
        *fused(f"{theirs}.in_proj", [f"{ours}.{name}" for name in ("gate", *mixed, "step")]),
        *convolution(f"{theirs}.conv1d", *(f"{ours}.{name}_conv" for name in mixed)),
        *parameters(own, theirs, ours),
        *norm(f"{theirs}.norm", f"{ours}.norm"),
    ]


FAMILY = Family(
    model_type="mamba2",
    architectures=("Mamba2ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="backbone.",
    twins=TWINS,
)
