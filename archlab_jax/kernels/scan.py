"""Linear recurrences h_t = keep_t ⊙ h_{t−1} + add_t: in log T steps on an accelerator, token by token on a CPU.

A CPU has no lanes to fill: a loop reads every number once, where log T steps read all of them as often. Its derivative
is a loop too, from the last token to the first.
"""

from typing import Any

import jax
import jax.numpy as jnp


def linear_scan(keep: Any, add: Any, start: Any) -> Any:
    """h_t along axis 1 of (B, T, …), from ``start`` (B, …)."""
    return by_tokens(keep, add, start) if jax.default_backend() == "cpu" else by_doubling(keep, add, start)


def by_doubling(keep: Any, add: Any, start: Any) -> Any:
    """In step s = 1, 2, 4, … every token takes in what the s tokens before it have gathered."""
    add = add.at[:, 0].add(keep[:, 0] * start)
    return jax.lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (keep, add), axis=1)[1]


@jax.custom_vjp
def by_tokens(keep: Any, add: Any, start: Any) -> Any:
    """One token after the other."""
    return _loop(keep, add, start, reverse=False)


def _loop(keep: Any, add: Any, start: Any, *, reverse: bool) -> Any:
    def step(h: Any, inputs: Any) -> tuple[Any, Any]:
        h = inputs[0] * h + inputs[1]
        return h, h

    rows = (jnp.moveaxis(keep, 1, 0), jnp.moveaxis(add, 1, 0))
    return jnp.moveaxis(jax.lax.scan(step, start, rows, reverse=reverse)[1], 0, 1)


def _forward(keep: Any, add: Any, start: Any) -> tuple[Any, Any]:
    h = by_tokens(keep, add, start)
    return h, (keep, start, h)


def _backward(kept: Any, grad: Any) -> tuple[Any, Any, Any]:
    """d_t = grad_t + keep_{t+1} ⊙ d_{t+1}, from the last token, where d = grad."""
    keep, start, h = kept
    after = jnp.concatenate([keep[:, 1:], jnp.zeros_like(keep[:, :1])], axis=1)
    d = _loop(after, grad, jnp.zeros_like(start), reverse=True)
    before = jnp.concatenate([start[:, None], h[:, :-1]], axis=1)
    return d * before, d, keep[:, 0] * d[:, 0]


by_tokens.defvjp(_forward, _backward)
