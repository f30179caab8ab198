"""Linear recurrences in log T steps."""

from typing import Any

import jax


def linear_scan(keep: Any, add: Any, start: Any) -> Any:
    """h_t = keep_t ⊙ h_{t−1} + add_t along axis 1 of (B, T, …), from ``start`` (B, …)."""
    add = add.at[:, 0].add(keep[:, 0] * start)
    return jax.lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (keep, add), axis=1)[1]
