"""What a model is fed: tokens, and where they stand. Checked once, on the host, for all backends."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from archlab.errors import InputError, nearest
from archlab.model import Model
from archlab.spec import Spec

WHERE = ("positions", "segments", "prefix")
KEYS = ("tokens", *WHERE)


def arguments(spec: Spec, inputs: Mapping[str, Any], dtype: Any) -> tuple[Any, dict[str, np.ndarray | None]]:
    """What a spec is called with: a model's checked tokens, or else ``x`` in ``dtype``; and where its tokens stand."""
    if isinstance(spec, Model):
        ready = prepare(spec, inputs)
        return {"tokens": ready["tokens"]}, {key: ready[key] for key in WHERE}
    x = np.asarray(inputs["x"]).astype(dtype)
    return x, {k: None if inputs.get(k) is None else np.asarray(inputs[k], dtype=np.int32) for k in WHERE}


def prepare(model: Model, inputs: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
    """Checked inputs with every key of :data:`KEYS`, int32; ``None`` where a key may stay unsaid.

    tokens
        (B, T) ids.
    segments
        (B, T) document numbers, 0 for padding. Without them a row is one document.
    positions
        (B, T); without them they count up inside each document.
    prefix
        (B,) or (B, T) lengths of the prefix that may be seen from before it ends.
    """
    for key in inputs:
        if key not in KEYS:
            raise InputError(f"unknown input {key!r}; {nearest(key, KEYS)}")
    tokens = _integers("tokens", inputs.get("tokens"))
    if tokens.ndim != 2:
        raise InputError(f"tokens have the shape {tokens.shape}; (batch, time) is needed")
    _within("tokens", tokens, model.vocab, "vocabulary")
    out: dict[str, np.ndarray | None] = {"tokens": tokens}
    out["segments"] = _like("segments", inputs.get("segments"), tokens)
    out["positions"] = _like("positions", inputs.get("positions"), tokens)
    if out["segments"] is not None and out["positions"] is None:
        out["positions"] = document_positions(out["segments"])
    _check_length(model, tokens, out["positions"])
    prefix = inputs.get("prefix")
    if prefix is not None:
        prefix = np.asarray(prefix)
        prefix = np.repeat(prefix[:, None], tokens.shape[1], axis=1) if prefix.ndim == 1 else prefix
    out["prefix"] = _like("prefix", prefix, tokens)
    return out


def document_positions(segments: np.ndarray) -> np.ndarray:
    """(B, T): each token's place in its run of equal segment numbers."""
    time = np.arange(segments.shape[1])
    starts = np.ones(segments.shape, dtype=bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return (time - np.maximum.accumulate(np.where(starts, time, 0), axis=1)).astype(np.int32)


def _integers(name: str, value: Any) -> np.ndarray:
    if value is None:
        raise InputError(f"the input {name!r} is missing")
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} have the dtype {array.dtype}; integers are needed")
    if array.size == 0:
        raise InputError(f"{name} are empty: shape {array.shape}")
    return array


def _like(name: str, value: Any, tokens: np.ndarray) -> np.ndarray | None:
    if value is None:
        return None
    array = _integers(name, value)
    if array.shape != tokens.shape:
        raise InputError(f"{name} have the shape {array.shape}, tokens have {tokens.shape}; they must be equal")
    if array.min() < 0:
        raise InputError(f"{name} hold {array.min()}; they must be ≥ 0")
    return array.astype(np.int32)


def _within(name: str, array: np.ndarray, limit: int, what: str) -> None:
    bad = np.argwhere((array < 0) | (array >= limit))
    if len(bad):
        row, column = bad[0]
        place = f"{name}[{row}, {column}] is {array[row, column]}"
        raise InputError(f"{place}, outside the {what} 0 … {limit - 1}; take them from the model's own tokenizer")


def _check_length(model: Model, tokens: np.ndarray, positions: np.ndarray | None) -> None:
    limit = model.limit()
    last = tokens.shape[1] - 1 if positions is None else int(positions.max())
    if limit is not None and last >= limit:
        raise InputError(f"a token stands at position {last}, but the model knows positions 0 … {limit - 1}")
