"""A larger vocabulary for a model that is there: more rows in its tables, everything else as it was."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from archlab import weights as canonical
from archlab.axes import axis_names
from archlab.errors import InputError
from archlab.model import Model
from archlab.spec import schema
from archlab.weights import Weights

Rows = Literal["init", "mean"]


def extended(model: Model, vocab: int) -> Model:
    """``model`` with a vocabulary of ``vocab`` tokens, wherever its spec names it."""
    old = model.vocabulary()
    if old is None:
        raise InputError(f"a {type(model).__name__} reads no tokens: it has no vocabulary to extend")
    if vocab < old:
        raise InputError(f"the vocabulary has {old} tokens and can only grow; {vocab} are asked for")
    return Model.from_dict(_replaced(model.to_dict(), old, vocab))


def _replaced(data: Any, old: int, new: int) -> Any:
    if isinstance(data, list):
        return [_replaced(item, old, new) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: new if key == "vocab" and value == old else _replaced(value, old, new) for key, value in data.items()}


def extend(
    model: Model, weights: Mapping[str, np.ndarray], vocab: int, *, rows: Rows = "init", seed: int = 0
) -> tuple[Model, Weights]:
    """The model and its weights with ``vocab`` tokens: old entries bit for bit, new ones after them.

    rows
        What new entries of each parameter with an axis V are: "init" draws them by its law, as if the model had been
        made with them, "mean" takes the mean of the old ones, which changes the probabilities of old tokens least.
    """
    canonical.check(model.root(), weights)
    grown = extended(model, vocab)
    before, after = schema(model.root()), schema(grown.root())
    drawn = canonical.initial(grown.root(), seed, "float64")
    out = {}
    for path, param in after.items():
        old = np.asarray(weights[path])
        if param.shape == before[path].shape:
            out[path] = old
            continue
        axis = axis_names(param.axes).index("V")
        fresh = np.split(drawn[path], [old.shape[axis]], axis=axis)[1]
        if rows == "mean":
            fresh = np.broadcast_to(old.astype(np.float64).mean(axis=axis, keepdims=True), fresh.shape)
        out[path] = np.concatenate([old, fresh.astype(old.dtype)], axis=axis)
    return grown, out
