"""The loss of a language model, as the backends' ``cross_entropy`` computes it."""

from typing import Any

import numpy as np

from archlab.model import Model


def answered(xp: Any, model: Model, output: Any, batch: Any) -> list[tuple[str, float, Any, Any]]:
    """(name, weight, logits (B, T, V), targets) of each answer in a model's output, the main one first.

    ``batch`` has the targets, and positions where documents do not all begin at the row's start.
    """
    targets, positions = batch["targets"], batch.get("positions")
    found = [("main", 1.0, model.main(output), targets)]
    for k, (name, weight, skip) in enumerate(model.answers(), start=1):
        logits, those = output[:, :, k], targets
        if skip and positions is None:
            logits, those = logits[:, skip:], targets[:, skip:]
        elif skip:
            those = xp.where(positions >= skip, targets, xp.full_like(targets, -1))
        found.append((name, weight, logits, those))
    return found


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, int]:
    """(Σ −log softmax(logits)[target], number of targets ≥ 0) over logits (B, T, V) and targets (B, T).

    A target below 0 does not count. The mean over any set of batches is the sum of the first over the sum of the
    second: accumulation, padding and data parallelism do not change it.
    """
    counted = targets >= 0
    return float(np.sum(token_losses(logits, targets) * counted)), int(counted.sum())


def token_losses(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B, T) nats: −log softmax(logits)[target]; for a target below 0, of token 0."""
    return -np.take_along_axis(log_softmax(logits), np.maximum(targets, 0)[..., None], axis=-1)[..., 0]


def token_slopes(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B, T, V): the derivative of :func:`token_losses` along the logits, softmax(logits) − onehot(target)."""
    slopes = np.exp(log_softmax(logits))
    index = np.maximum(targets, 0)[..., None]
    np.put_along_axis(slopes, index, np.take_along_axis(slopes, index, axis=-1) - 1.0, axis=-1)
    return slopes


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """x − log Σ exp x over the last axis, in float64."""
    logits = np.asarray(logits, dtype=np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
