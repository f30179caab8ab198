"""Rotary positions as Hugging Face configs say them: ``rope_parameters``, or ``rope_theta`` and ``rope_scaling``."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from archlab.errors import InputError
from archlab.hf.family import Mismatch
from archlab.hf.fields import Fields
from archlab.rotary import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RoPE,
    RopeScaling,
    YarnScaling,
)

Layout = Literal["half", "interleaved"]


class Lengths(NamedTuple):
    """How long sequences may be, and how long they were before they were stretched, where that is said apart."""

    longest: int
    original: int | None


def rope(
    fields: Fields,
    *,
    theta: float = 10000.0,
    layout: Layout = "half",
    fraction: float = 1.0,
    layer_type: str = "",
    unsaid: Mapping[str, Any] | None = None,
    longest: int = 2048,
    original: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> RoPE:
    """The rotation that a config asks for.

    ``theta``, ``fraction``, ``longest`` (``max_position_embeddings``) and ``original``
    (``original_max_position_embeddings``) are what it has where it says nothing; ``unsaid`` is the table that stands
    for one that is missing. ``layer_type`` names the entry of a config that has several rotations. ``aliases`` are
    further names of kinds.
    """
    table = rope_table(fields, layer_type, unsaid)
    base, part = fields.number("rope_theta", theta), fields.number("partial_rotary_factor", fraction)
    lengths = Lengths(
        longest=fields.size("max_position_embeddings", longest),
        original=fields.size("original_max_position_embeddings", original),
    )
    if table is None:
        return RoPE(theta=base, layout=layout, fraction=part)
    base, part = table.number("rope_theta", base), table.number("partial_rotary_factor", part)
    return RoPE(theta=base, layout=layout, fraction=part, scaling=_scaling(table, lengths, aliases or {}))


def rope_table(fields: Fields, layer_type: str = "", unsaid: Mapping[str, Any] | None = None) -> Fields | None:
    """Where a config speaks of its rotation: ``rope_scaling``, else ``rope_parameters``, else ``unsaid``."""
    for name in ("rope_scaling", "rope_parameters"):
        table = fields.table(name)
        if table is not None and table.data:
            fields.idle("rope_parameters")
            return table.table(layer_type) if layer_type in table else table
    return None if unsaid is None else Fields(unsaid, fields.where)


def whole_rope(fields: Fields, **said: Any) -> RoPE:
    """:func:`rope` for a family that turns heads whole, where transformers would pass over a share."""
    rotary = rope(fields, **said)
    if rotary.fraction != 1.0:
        raise InputError(f"{fields.where}: partial_rotary_factor is {rotary.fraction}; this family rotates whole heads")
    return rotary


def paired(fields: Fields, rotary: RoPE, size: int) -> None:
    """Raise :class:`InputError` where a part of a head of ``size`` turns that is no number of pairs."""
    if int(size * rotary.fraction) % 2:
        share = f"{fields.where}: partial_rotary_factor is {rotary.fraction}"
        raise InputError(f"{share}, which turns an odd number of the {size} entries of a head; archlab turns pairs")


def _scaling(table: Fields, lengths: Lengths, aliases: Mapping[str, str]) -> RopeScaling | None:
    table.idle("rope_theta", "partial_rotary_factor", "max_position_embeddings")
    kind = table.text("rope_type", table.raw("type", "default"))
    kind = aliases.get(kind, kind)
    table.idle("type", "rope_type")
    if kind not in _KINDS:
        raise InputError(f"{table.where}: rope_type is {kind!r}; archlab has {', '.join(_KINDS)}")
    scaling = _KINDS[kind](table, lengths)
    table.done()
    return scaling


def _default(table: Fields, lengths: Lengths) -> None:
    table.idle("factor", "original_max_position_embeddings")


def _linear(table: Fields, lengths: Lengths) -> RopeScaling:
    table.idle("original_max_position_embeddings")
    return LinearScaling(factor=table.number("factor"))


def _dynamic(table: Fields, lengths: Lengths) -> RopeScaling:
    table.idle("original_max_position_embeddings")
    return DynamicNTKScaling(factor=table.number("factor"), original_length=lengths.longest)


def _original(table: Fields, lengths: Lengths) -> int:
    """How long sequences were before they were stretched; what stands beside the table comes first."""
    inside = table.size("original_max_position_embeddings", lengths.longest)
    return lengths.original or inside


def _yarn(table: Fields, lengths: Lengths) -> RopeScaling:
    original = _original(table, lengths)
    factor = table.number("factor", lengths.longest / original)
    given, all_dim = table.number("mscale", None), table.number("mscale_all_dim", None)
    magnitude = table.number("attention_factor", None)
    if magnitude is None and given and all_dim:
        magnitude = magnitude_of(factor, given) / magnitude_of(factor, all_dim)
    return YarnScaling(
        factor=factor,
        original_length=original,
        beta_fast=table.number("beta_fast", 32.0),
        beta_slow=table.number("beta_slow", 1.0),
        attention_factor=magnitude,
        ends="whole" if table.flag("truncate", True) else "exact",
    )


def magnitude_of(factor: float, share: float = 1.0) -> float:
    """YaRN's factor of rotated vectors, 0.1 · share · ln(factor) + 1."""
    return 0.1 * share * math.log(factor) + 1.0 if factor > 1 else 1.0


def _longrope(table: Fields, lengths: Lengths) -> RopeScaling:
    original = _original(table, lengths)
    factor = table.number("factor", lengths.longest / original)
    magnitude = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return LongRopeScaling(
        short=table.read("short_factor", tuple[float, ...]),
        long=table.read("long_factor", tuple[float, ...]),
        original_length=original,
        attention_factor=table.number("attention_factor", magnitude),
    )


def _llama3(table: Fields, lengths: Lengths) -> RopeScaling:
    return Llama3Scaling(
        factor=table.number("factor"),
        low_factor=table.number("low_freq_factor"),
        high_factor=table.number("high_freq_factor"),
        original_length=_original(table, lengths),
    )


_KINDS: dict[str, Any] = {
    "default": _default, "linear": _linear, "dynamic": _dynamic, "yarn": _yarn, "longrope": _longrope,
    "llama3": _llama3,
}  # fmt: skip


# --- the other way --------------------------------------------------------------------------------------


def rope_config(rotary: RoPE, layout: Layout = "half") -> dict[str, Any]:
    """``rope_parameters``, and ``max_position_embeddings`` where a rotation depends on it."""
    table = {"rope_parameters": rope_fields(rotary, layout)}
    match rotary.scaling:
        case DynamicNTKScaling(original_length=length):
            return table | {"max_position_embeddings": length}
    return table


def rope_fields(rotary: RoPE, layout: Layout = "half") -> dict[str, Any]:
    """``rope_parameters`` for a rotation. Raises :class:`Mismatch` where they cannot say it."""
    if not isinstance(rotary, RoPE) or rotary.layout != layout:
        raise Mismatch
    table: dict[str, Any] = {"rope_type": "default", "rope_theta": rotary.theta}
    if rotary.fraction != 1.0:
        table["partial_rotary_factor"] = rotary.fraction
    match rotary.scaling:
        case None:
            return table
        case LinearScaling(factor=factor):
            return table | {"rope_type": "linear", "factor": factor}
        case DynamicNTKScaling(factor=factor):
            return table | {"rope_type": "dynamic", "factor": factor}
        case LongRopeScaling() as s:
            return table | {
                "rope_type": "longrope", "short_factor": list(s.short), "long_factor": list(s.long),
                "attention_factor": s.attention_factor, "original_max_position_embeddings": s.original_length,
            }  # fmt: skip
        case Llama3Scaling() as s:
            return table | {
                "rope_type": "llama3", "factor": s.factor, "low_freq_factor": s.low_factor,
                "high_freq_factor": s.high_factor, "original_max_position_embeddings": s.original_length,
            }  # fmt: skip
        case YarnScaling() as s:
            given = {} if s.attention_factor is None else {"attention_factor": s.attention_factor}
            return table | given | {
                "rope_type": "yarn", "factor": s.factor, "original_max_position_embeddings": s.original_length,
                "beta_fast": s.beta_fast, "beta_slow": s.beta_slow, "truncate": s.ends == "whole",
            }  # fmt: skip
    raise Mismatch
