"""Attention done another way: scale, mask, softmax, order of the heads."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from archlab import masks
from archlab.mixers import attention as attentions
from archlab.mixers.attention import Attention
from archlab.ops import LOWEST, masked_softmax
from archlab.parity.causes import cause
from archlab.parity.trials import ForwardTrial, parts_of, places, respecified, rounded, with_fields
from archlab.weights import Weights


@cause(ForwardTrial)
def another_score_scale(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """No 1/√K, 1/K, or 1/√D; no softcap."""
    first = next(parts_of(trial, Attention), None)
    if first is None:
        return
    _, spec, width = first  # stands for all: they have one size of head in nearly every model
    size = spec.size(width)
    now = "1/√K" if spec.scale is None else f"{spec.scale:g}"
    scales = {"is missing": 1.0, "is 1/K": 1 / size, "is 1/√D": width**-0.5, "is 1/√K": size**-0.5}
    for words, scale in scales.items():
        said = f"the scale of attention scores {words} (in place of {now})"
        yield from with_fields(trial, Attention, said, scale=scale)
    yield from with_fields(trial, Attention, "the softcap of attention scores is missing", softcap=None)


@cause(ForwardTrial)
def another_mask(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """No causal mask; a window that is missing or off by one; a mask shifted by one."""
    yield from with_fields(trial, Attention, "the causal mask is missing", visibility="bidirectional")
    yield from with_fields(trial, Attention, "the mask is causal", visibility="causal")
    yield from with_fields(trial, Attention, "the window of attention is missing", window=None)
    for step in (-1, 1):

        def swap(old: Any, step: int = step) -> tuple[str, Any] | None:
            if old.window is None:
                return None
            wrong = old.window + step
            return f"the window of attention is {wrong} in place of {old.window}", old.replace(window=wrong)

        yield from respecified(trial, Attention, swap)
    if any(places(trial.spec, Attention)):
        for step, words in ((1, "a query does not see its own position"), (-1, "a query sees the position after it")):
            yield trial.patched(words, attentions, "visible", _shifted(step))


def _shifted(step: int) -> Callable[..., Any]:
    def visible(ctx: Any, sight: Any, positions: Any, segments: Any) -> Any:
        return masks.visible(ctx, sight, positions + step, segments)

    return visible


@cause(ForwardTrial)
def masked_rows(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """A row that sees nothing becomes the mean of the values, or sees everything."""

    def softmax(xp: Any, scores: Any, mask: Any) -> Any:
        scores = np.where(mask, scores, LOWEST)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    if any(places(trial.spec, Attention)):
        words = "a fully masked row of attention gives the mean of the values in place of 0"
        yield trial.patched(words, attentions, "masked_softmax", softmax)
        yield trial.patched("a row that is to see nothing sees everything", attentions, "visible", _opened)


def _opened(*args: Any) -> Any:
    seen = masks.visible(*args)
    return seen | ~seen.any(axis=-1, keepdims=True)


@cause(ForwardTrial)
def softmax_in_low_precision(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Scores, or the weights that come of them, rounded to bfloat16."""

    def scores_first(xp: Any, scores: Any, mask: Any) -> Any:
        return masked_softmax(xp, rounded(scores), mask)

    def weights_after(xp: Any, scores: Any, mask: Any) -> Any:
        return rounded(masked_softmax(xp, scores, mask))

    if any(places(trial.spec, Attention)):
        yield trial.patched("attention's scores are rounded to bfloat16", attentions, "masked_softmax", scores_first)
        yield trial.patched("attention's weights are rounded to bfloat16", attentions, "masked_softmax", weights_after)


@cause(ForwardTrial)
def heads_in_another_order(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Keys and values tiled (query head h uses key head h mod G) in place of repeated (h // (H/G))."""
    weights = dict(trial.weights)
    for path, spec, _ in parts_of(trial, Attention):
        if 1 < spec.kv_heads < spec.heads:
            weights |= _reordered(weights, path, np.arange(spec.heads).reshape(-1, spec.kv_heads).T.ravel())
    if any(weights[path] is not array for path, array in trial.weights.items()):
        words = "key and value heads are tiled in place of repeated: query head h uses h mod G, not h // (H/G)"
        yield trial.but(words, weights=weights)


def _reordered(weights: Weights, path: str, order: np.ndarray) -> Weights:
    """The query heads of an attention, and the rows of its output that belong to them, in another order."""
    new = {}
    for name, axis in (("query.kernel", 1), ("query.bias", 0), ("out.kernel", 0)):
        full = f"{path}.{name}" if path else name
        if full in weights:
            array = np.moveaxis(weights[full], axis, 0)
            heads = array.reshape(len(order), -1, *array.shape[1:])[order]
            new[full] = np.moveaxis(heads.reshape(array.shape), 0, axis)
    return new
