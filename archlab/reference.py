"""The ground truth: any spec, run as its definitions read, in NumPy float64. No framework is needed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.context import Context, Random, tables
from archlab.inputs import arguments, span
from archlab.model import Model
from archlab.ops import loop
from archlab.spec import Layer, Part, Spec, State, join, state_schema

NUMBERS = ("records", "losses", "drives")
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Module:
    """A part of a spec with its arrays: parameters and children under their names, callable."""

    def __init__(self, part: Part, weights: Mapping[str, np.ndarray], path: str = "") -> None:
        self.spec, self.path = part.spec, path
        for name in part.spec.params(part.width):
            setattr(self, name, weights[join(path, name)])
        for name, child in part.spec.parts(part.width).items():
            setattr(self, name, _child(child, weights, join(path, name)))

    def __call__(self, x: Any, ctx: Any, *args: Any) -> Any:
        out = self.spec.forward(self, x, ctx, *args)
        _context(x, ctx, args).record(self.path, out)
        return out


def _context(*values: Any) -> Context:
    return next(v for v in values if isinstance(v, Context))


def _child(child: Any, weights: Mapping[str, np.ndarray], path: str) -> Any:
    if child is None:
        return None
    if isinstance(child, list):
        return [Module(c, weights, f"{path}.{i}") for i, c in enumerate(child)]
    if isinstance(child, dict):
        return {key: Module(c, weights, f"{path}.{key}") for key, c in child.items()}
    return Module(child, weights, path)


@dataclass(frozen=True, kw_only=True)
class Result:
    """output: the logits or y. intermediates: every part's output by path. The rest: as it ended."""

    output: np.ndarray
    intermediates: dict[str, np.ndarray]
    state: Any
    losses: dict[str, Any]
    drives: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)


def run(
    spec: Spec,
    weights: Mapping[str, np.ndarray],
    inputs: Mapping[str, Any],
    *,
    width: int | None = None,
    state: Any = None,
    dtype: type = np.float64,
    random: Random | None = None,
) -> Result:
    """Run ``spec`` on ``inputs`` and keep every named intermediate.

    A model takes ``{"tokens": (B, T), …}`` (see :func:`archlab.inputs.prepare`); any other part takes
    ``{"x": (B, T, D), …}`` and needs no ``width``: it is D. ``state`` continues an earlier run (see
    :func:`initial_state`). A source of ``random`` masks switches dropout on.
    """
    x, where, part = _arguments(spec, inputs, width, state, dtype)
    canonical.check(part, weights)
    module = Module(part, {path: np.asarray(w, dtype=dtype) for path, w in weights.items()})
    notes = tables(capture=True)
    ctx = Context(
        xp=np, scan=_loop, erf=_erf, constant=np.asarray, stop_gradient=_same, dtype=np.dtype(dtype),
        shared=getattr(module, "shared", {}), random=random, **notes, **where,
    )  # fmt: skip
    out = module(x, ctx, state) if takes_state(spec) else (module(x, ctx), state)
    return result(out[0], out[1], notes, np.asarray)


def result(output: np.ndarray, state: Any, notes: Mapping[str, Any], convert: Callable[[Any], np.ndarray]) -> Result:
    """What a run gave, with what was noted on the way as NumPy arrays."""
    noted = {table: {name: convert(v) for name, v in (notes[table] or {}).items()} for table in NUMBERS}
    stats = {name: convert(total) / convert(count) for name, (total, count) in notes["stats"].items()}
    return Result(
        output=output, intermediates=noted["records"], state=state, losses=noted["losses"], drives=noted["drives"],
        stats=stats,
    )  # fmt: skip


def _same(value: Any) -> Any:
    return value


def _loop(step: Any, carry: Any, inputs: tuple) -> Any:
    return loop(np, step, carry, inputs)


def _arguments(spec: Spec, inputs: Mapping[str, Any], width: int | None, state: Any, dtype: type) -> Any:
    start = 0 if state is None else tokens_seen(state)
    x, where = arguments(spec, inputs, dtype, started=start > 0)
    part = spec.at(spec.width if isinstance(spec, Model) else width or x.shape[-1])
    shape = span(spec, x)
    if where["positions"] is None:
        where["positions"] = np.broadcast_to(np.arange(start, start + shape[1]), shape)
    return x, where, part


def takes_state(spec: Spec) -> bool:
    """Whether the definition has a state among its arguments: layers and models do, maps do not."""
    return isinstance(spec.represents(), (Layer, Model))


def initial_state(part: Part, batch: int, length: int, dtype: type = np.float64) -> Any:
    """The decoding state before the first token, for ``length`` tokens at most."""

    def make(node: Any) -> Any:
        if isinstance(node, State):
            return np.full(node.shape, node.fill, dtype=dtype if node.dtype == "float" else np.int64)
        return [make(n) for n in node] if isinstance(node, list) else {k: make(n) for k, n in node.items()}

    return make(state_schema(part, batch, length))


def tokens_seen(state: Any) -> int:
    """How many tokens a state has taken in: the largest ``index`` in it."""
    if isinstance(state, dict):
        if "index" in state:
            return int(np.max(np.asarray(state["index"])))
        return max((tokens_seen(s) for s in state.values()), default=0)
    return max((tokens_seen(s) for s in state), default=0) if isinstance(state, list) else 0
