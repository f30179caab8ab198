"""Mamba's recurrence for CPUs, a token at a time, in one pass.

What a token's state is made of exists for that token alone: (B, T, F, N) numbers a quantity would go through memory
several times, and sums over their last axis are slow in XLA. Only the states are kept, for the backward pass.
"""

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_vjp
def scan(step: Any, u: Any, rate: Any, b: Any, c: Any, same: Any, start: Any) -> tuple[Any, Any]:
    """S_t c_t (B, T, F) and the last S, of S_t = exp(−A Δ_t) ⊙ S_{t−1} + (Δ_t u_t) b_tᵀ.

    Δ and u (B, T, F), A (F, N), b and c (B, T, N), ``same`` (B, T): where it is false S_{t−1} is dropped; S (B, F, N).
    """
    return _forward(step, u, rate, b, c, same, start)[0]  # a compiler drops what is kept for the backward pass


def _forward(step: Any, u: Any, rate: Any, b: Any, c: Any, same: Any, start: Any) -> tuple[Any, Any]:
    def turn(memory: Any, token: Any) -> tuple[Any, Any]:
        step, u, b, c, same = token
        new = _written(memory, _kept(step, rate, same), step, u, b)
        return new, (_read(new, c), memory)

    last, (o, before) = jax.lax.scan(turn, start, _by_token(step, u, b, c, same))
    return (jnp.moveaxis(o, 0, 1), last), (step, u, rate, b, c, same, before)


def _backward(saved: Any, grads: Any) -> tuple[Any, ...]:
    step, u, rate, b, c, same, before = saved
    of_o, of_last = grads

    def turn(slopes: Any, token: Any) -> tuple[Any, Any]:
        of_memory, of_rate = slopes
        (step, u, b, c, same, of_o), before = token[:-1], token[-1]
        of_memory = of_memory + of_o[..., None] * c[:, None, :]
        kept = _kept(step, rate, same)
        of_c = _across(_written(before, kept, step, u, b), of_o)
        of_added, of_b = _read(of_memory, b), _across(of_memory, step * u)
        of_before = of_memory * kept
        exponent = of_before * before  # the slope of −A Δ
        of_step = of_added * u - jnp.sum(exponent * rate, axis=-1)
        of_rate = of_rate - jnp.sum(exponent * step[..., None], axis=0)
        return (of_before, of_rate), (of_step, of_added * step, of_b, of_c)

    tokens = (*_by_token(step, u, b, c, same, of_o), before)
    (of_start, of_rate), found = jax.lax.scan(turn, (of_last, jnp.zeros_like(rate)), tokens, reverse=True)
    of_step, of_u, of_b, of_c = _by_token(*found)
    return of_step, of_u, of_rate, of_b, of_c, None, of_start


scan.defvjp(_forward, _backward)


def _kept(step: Any, rate: Any, same: Any) -> Any:
    """How much of each number of a state remains (B, F, N)."""
    return jnp.where(same[:, None, None], jnp.exp(-step[..., None] * rate), 0)


def _written(memory: Any, kept: Any, step: Any, u: Any, b: Any) -> Any:
    """A token's state, from that of the one before."""
    return kept * memory + (step * u)[..., None] * b[:, None, :]


def _read(memory: Any, c: Any) -> Any:
    """(B, F, N) and (B, N) → (B, F), as a product."""
    return jnp.einsum("bfn,bn->bf", memory, c, precision="highest")


def _across(memory: Any, o: Any) -> Any:
    """(B, F, N) and (B, F) → (B, N), as a product."""
    return jnp.einsum("bfn,bf->bn", memory, o, precision="highest")


def _by_token(*arrays: Any) -> tuple[Any, ...]:
    """The first two axes, rows and tokens, swapped."""
    return tuple(jnp.moveaxis(a, 1, 0) for a in arrays)
