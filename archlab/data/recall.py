"""Multi-query associative recall: does a model look up what it has read?"""

import numpy as np

from archlab import random
from archlab.errors import InputError

UNCOUNTED = -1


def recall_batch(seed: int, step: int, *, batch: int, pairs: int, vocab: int) -> dict[str, np.ndarray]:
    """``tokens`` and ``targets`` (B, 4 · pairs) of step ``step`` (https://arxiv.org/abs/2312.04927).

    A row is k₁ v₁ … k_n v_n and then the keys in another order, each with its value: q₁ a₁ … q_n a_n. Keys are
    different tokens of the lower half of the vocabulary, values any of the upper half. Only at a q the next token
    counts; elsewhere the target is negative. Raises :class:`InputError` where there are fewer keys than pairs.
    """
    half = vocab // 2
    if not 0 < pairs <= half:
        raise InputError(f"pairs is {pairs}; with a vocabulary of {vocab} it must lie in 1 … {half}")
    name = f"recall/{step}"
    keys = _order(seed, f"{name}/keys", batch, half)[:, :pairs]
    values = half + (random.uniform(seed, f"{name}/values", batch * pairs).reshape(batch, pairs) * half).astype(
        np.int64
    )
    order = _order(seed, f"{name}/order", batch, pairs)
    asked, answers = (np.take_along_axis(a, order, axis=1) for a in (keys, values))
    first, second = (np.stack(both, axis=-1).reshape(batch, -1) for both in ((keys, values), (asked, answers)))
    tokens = np.concatenate([first, second], axis=1).astype(np.int32)
    targets = np.full_like(tokens, UNCOUNTED)
    targets[:, 2 * pairs :: 2] = answers
    return {"tokens": tokens, "targets": targets}


def _order(seed: int, name: str, batch: int, count: int) -> np.ndarray:
    """(B, count): the numbers 0 … count − 1 in a random order for each row."""
    return np.argsort(random.uniform(seed, name, batch * count).reshape(batch, count), axis=1)
