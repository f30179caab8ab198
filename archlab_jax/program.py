"""A spec under a policy as pure, compiled functions of flat leaves."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from archlab.context import plain, tables
from archlab.inputs import arguments, span
from archlab.model import Model
from archlab.policy import Policy
from archlab.reference import takes_state
from archlab.spec import Spec, State, schema, state_schema
from archlab.weights import DTYPES, check
from archlab_jax.layers import lay_side_by_side
from archlab_jax.module import Builder, Module, Split
from archlab_jax.runtime import compiler_options, context, place_batch, place_params, place_state, precision


class Program:
    """One spec, width and policy, built once; its functions compile on first use of a shape."""

    def __init__(self, spec: Spec, width: int, policy: Policy, side_by_side: bool) -> None:
        self.spec, self.policy, self.part = spec, policy, spec.at(width)
        empty = {path: np.broadcast_to(np.float32(0), p.shape) for path, p in schema(self.part).items()}
        with precision(policy):
            # shapes alone: the arrays come with the weights
            lay = lay_side_by_side if side_by_side else lambda module: module
            self.split = Split(nnx.eval_shape(lambda: lay(build(spec, width, policy, empty))))
        options = compiler_options(policy)
        self.forward = jax.jit(self._forward, static_argnames="capture", compiler_options=options)
        self.backward = jax.jit(self._backward, static_argnames="capture", compiler_options=options)

    def leaves(self, weights: Mapping[str, np.ndarray]) -> list[jax.Array]:
        """Canonical weights on the policy's devices."""
        check(self.part, weights)
        packed = self.split.pack(weights, DTYPES[self.policy.param])
        return place_params(self.split.variables, packed, self.policy)

    def call(
        self, leaves: list[Any], x: Any, where: dict[str, Any], state: Any = None, start: Any = 0, **notes: Any
    ) -> tuple[Any, Any]:
        """(output, state) of the module with these leaves, traceable."""
        module = self.split.module(leaves)
        ctx = context(module, span(self.spec, x), where, self.policy, start, **notes)
        out = module(x, ctx, state) if takes_state(self.spec) else (module(x, ctx), state)
        return (out[0].astype(self.policy.output), out[1]) if isinstance(self.spec, Model) else out

    def _forward(self, leaves: Any, x: Any, where: Any, state: Any, start: Any, capture: bool) -> Any:
        notes = tables(capture)
        output, state = self.call(leaves, x, where, state, start, **notes)
        return output, state, plain(notes)

    def _backward(self, leaves: Any, x: Any, where: Any, cotangent: Any, capture: bool) -> Any:
        def objective(leaves: Any, x: Any) -> Any:
            output, _, notes = self._forward(leaves, x, where, None, 0, capture)
            noted = sum(notes["losses"].values()) + sum(notes["drives"].values())
            return jnp.sum(output * cotangent) + noted, (output, notes)

        if isinstance(x, dict):
            grads, notes = jax.grad(objective, has_aux=True)(leaves, x)
            return grads, None, notes
        grads, notes = jax.grad(objective, argnums=(0, 1), has_aux=True)(leaves, x)
        return *grads, notes

    def arguments(self, inputs: Mapping[str, Any], *, started: bool = False) -> tuple[Any, dict[str, Any]]:
        """The input and where its tokens stand, on the policy's devices."""
        x, where = arguments(self.spec, inputs, DTYPES[self.policy.compute], started=started)
        return place_batch((x, where), self.policy)

    def initial_state(self, batch: int, length: int) -> Any:
        """Empty decoding state in the activations' dtype, where a program leaves the next one."""
        return place_state(self.empty_state(batch, length), self.policy)

    def empty_state(self, batch: int, length: int) -> Any:
        """Its arrays."""

        def make(node: State) -> Any:
            dtype = self.policy.compute if node.dtype == "float" else jnp.int32
            return jnp.full(node.shape, node.fill, dtype=dtype)

        tree = state_schema(self.part, batch, length)
        return jax.tree.map(make, tree, is_leaf=lambda n: isinstance(n, State))


def build(spec: Spec, width: int, policy: Policy, weights: Mapping[str, np.ndarray]) -> Module:
    """The NNX module of a spec with the given canonical weights."""
    return Builder(policy=policy, weights=weights).module(spec.at(width), "")


@functools.lru_cache(maxsize=64)
def program(spec: Spec, width: int, policy: Policy, side_by_side: bool = False) -> Program:
    """The program of a spec; the same one for equal arguments, so that its compilations are shared.

    ``side_by_side``: with one kernel for maps of the same input (:func:`archlab_jax.layers.lay_side_by_side`).
    """
    return Program(spec, width, policy, side_by_side)
