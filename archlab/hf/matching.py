"""Whether a spec is one that a Hugging Face family has, whoever wrote it down and however it is trained."""

from typing import Any

from archlab.channels.top_k_router import TopKRouter
from archlab.config import Config, FieldError
from archlab.errors import InputError
from archlab.hf.family import Family, Mismatch, find, supported
from archlab.hf.fields import Fields
from archlab.inits import Init
from archlab.layers import DropPath
from archlab.mixers.multi_head import MultiHead
from archlab.model import Model
from archlab.optim.optimizer import Optimizer
from archlab.spec import walk
from archlab.stack import Stack

TRAINING = ("dropout", "balance", "z")
"""Fields that change nothing but training."""


def same_function(one: Model, other: Model) -> bool:
    """Whether two specs have the same parameters and compute the same; how they are trained may differ."""
    return _plain(one, _sizes(one)) == _plain(other, _sizes(other))


def match(model: Model) -> tuple[Family, str, dict[str, Any]] | None:
    """The family that ``model`` is one of, the architecture, and the fields of its config; None where it is none."""
    for name in supported():
        family = find(name)
        fields = fields_of(family, model)
        if fields is not None:
            return family, family.name_of(model), fields
    return None


def fields_of(family: Family, model: Model) -> dict[str, Any] | None:
    """The config fields that make ``model`` one of ``family``, or None where none do."""
    try:
        config = family.config(model)
        again = family.model(Fields(config), family.name_of(model))
    except (Mismatch, AttributeError, IndexError, KeyError, TypeError, InputError, FieldError):
        return None
    return config if same_function(model, again) else None


def _sizes(model: Model) -> dict[int, int]:
    """The width that each spec of a tree gets, by identity."""
    return {id(part.spec): part.width for _, part in walk(model.root())}


def _plain(value: Any, widths: dict[int, int]) -> Any:
    """A value without first values, rates of dropout, auxiliary losses, rules and ways of saying the same."""
    if isinstance(value, Init):
        return "init"
    if isinstance(value, DropPath):
        return None
    if isinstance(value, Optimizer):
        return "rule"
    if isinstance(value, Stack):
        return ["layers", *(_plain(layer, widths) for layer in value.layers)]
    if isinstance(value, Config):
        return {"type": type(value).__name__} | _fields(value, widths)
    if isinstance(value, (tuple, list)):
        return [_plain(item, widths) for item in value]
    return float(f"{value:.14g}") if isinstance(value, float) else value  # 1/√32 has several last digits


def _fields(config: Config, widths: dict[int, int]) -> dict[str, Any]:
    values = {name: getattr(config, name) for name in config.__dataclass_fields__ if name not in TRAINING}  # type: ignore[attr-defined]
    if isinstance(config, MultiHead) and id(config) in widths:
        size = config.size(widths[id(config)])
        values |= {"head_size": size, "scale": config.factor(size)}
    if isinstance(config, TopKRouter) and config.sums_to_one():
        values |= {"over": "chosen", "total": None}
    values = {name: value for name, value in values.items() if not _first_value(name, value)}
    return {name: _plain(value, widths) for name, value in values.items()}


def _first_value(name: str, value: Any) -> bool:
    """Whether it is a law of a matrix that is there either way (its own, or that of all the others)."""
    return name in ("init", "query_init", "out_init") and (value is None or isinstance(value, Init))
