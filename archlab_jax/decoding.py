"""Generation step by step."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from archlab import decoding
from archlab.inputs import split
from archlab.model import Model
from archlab.policy import Policy
from archlab.sampling import Sampling
from archlab.weights import DTYPES
from archlab_jax.program import program
from archlab_jax.runtime import devices, loop_options, place_state, precision

ROOM = 32
"""The least room for what one call draws: calls for fewer tokens share a program."""


class Decoder(decoding.Decoder):
    """Compiled once for each length it is fed; the state's buffers are reused."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy
    ) -> None:  # fmt: skip
        super().__init__(model, batch=batch, length=length)
        self.policy = policy
        with precision(policy):
            self.program = program(model, model.width, policy, side_by_side=_side_by_side(policy, batch))
            self.leaves = self.program.leaves(weights)
        self.state = self.empty(batch)
        self._logits = jax.jit(self._run, donate_argnums=3, static_argnames=("every", "fresh"))
        options, static = loop_options(policy), ("sampling", "vocab")
        self._loop = jax.jit(self._write, donate_argnums=1, static_argnames=static, compiler_options=options)
        empty = functools.partial(self.program.empty_state, batch, length)
        self._empty = jax.jit(lambda state: empty(), donate_argnums=0, keep_unused=True)  # in the old one's buffers
        self._place = jax.jit(_placed, donate_argnums=0)

    def empty(self, batch: int) -> Any:
        with precision(self.policy):
            return self.program.initial_state(batch, self.length)

    def emptied(self) -> Any:
        with precision(self.policy):
            return place_state(self._empty(self.state), self.policy)

    def placed(self, row: int, one: Any) -> Any:
        with precision(self.policy):
            return self._place(self.state, np.int32(row), one)

    def _run(self, leaves: Any, own: Any, where: Any, state: Any, *, every: bool = False, fresh: bool = False) -> Any:
        logits, state = self.program.call(leaves, own, where, state, fresh=fresh)
        logits = self.model.main(logits)
        return logits if every else logits[:, -1], state

    def logits(self, inputs: decoding.Inputs, *, every: bool = False) -> np.ndarray:
        own, where = split(self.model, inputs, DTYPES[self.policy.compute])
        with precision(self.policy):
            logits, self.state = self._logits(self.leaves, own, where, self.state, every=every, fresh=self.seen == 0)
        return np.asarray(logits)

    def drawn(self, tokens: np.ndarray, uniforms: np.ndarray, sampling: Sampling, vocab: int | None) -> np.ndarray:
        count = len(uniforms)
        room = np.zeros((max(ROOM, 1 << (count - 1).bit_length()), len(tokens)), dtype=np.float32)
        room[:count] = uniforms
        with precision(self.policy):
            drawn, self.state = self._loop(
                self.leaves, self.state, tokens, self._next, room, np.int32(count), sampling=sampling, vocab=vocab
            )
        return np.asarray(drawn)[:count].T

    def _write(
        self, leaves: Any, state: Any, tokens: Any, positions: Any, uniforms: Any, count: Any, *, sampling: Sampling,
        vocab: int | None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """(tokens drawn (room, B), state) after ``count`` turns: take in a token, draw the next."""
        ones = jnp.ones_like(tokens)[:, None]

        def turn(i: Any, carry: Any) -> Any:
            tokens, state, out = carry
            where = {"positions": (positions + i)[:, None], "segments": ones, "prefix": None}
            logits, state = self._run(leaves, {"tokens": tokens[:, None]}, where, state)
            drawn = sampling.choose(logits[:, :vocab].astype(jnp.float32), uniforms[i], jnp).astype(jnp.int32)
            return drawn, state, out.at[i].set(drawn)

        start = jnp.asarray(tokens), state, jnp.zeros(uniforms.shape, dtype=jnp.int32)
        _, state, out = jax.lax.fori_loop(0, count, turn, start)
        return out, state


def _placed(state: Any, row: Any, one: Any) -> Any:
    return jax.tree.map(lambda all_rows, single: all_rows.at[row].set(single[0]), state, one)


def _side_by_side(policy: Policy, batch: int) -> bool:
    """Whether maps of the same input are one product: calls are few then, which counts where there are few rows.

    On CPUs they run beside each other on the threads from two rows on, and that is faster.
    """
    return policy.mesh.size == 1 and (batch == 1 or devices(policy)[0].platform != "cpu")
