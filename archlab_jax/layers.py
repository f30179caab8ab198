"""Linear map, embedding and dropout."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from archlab import float8
from archlab import layers as specs
from archlab.ops import upcast
from archlab.quantization import format_of
from archlab.spec import Part
from archlab_jax.kernels import float8 as rounded
from archlab_jax.module import Builder, Module, natives
from archlab_jax.runtime import devices


def broadcast(operation: Callable[[Any, Any], Any], x: Any, param: Any) -> Any:
    """``operation(x, param)`` in the dtype of x, for a vector of parameters.

    It is computed in float32 and rounded once, which gives the same bits; but the parameter's gradient, a sum over
    all tokens, is then accumulated in float32 too. In bfloat16 that sum would stop growing after some hundred terms.
    """
    return operation(upcast(jnp, x), upcast(jnp, param.astype(x.dtype))).astype(x.dtype)


def matmul(x: Any, w: Any) -> Any:
    """x w: x (..., D), w (D, F).

    On CPUs the places of x are one axis: the gradient of w contracts over it, and XLA's CPU backend is fast with one.
    """
    if jax.default_backend() != "cpu":
        return jnp.dot(x, w)
    return jnp.dot(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1])


@natives.register(specs.Linear)
class Linear(Module):
    """y = x W (+ b); the kernel is (in, out)."""

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        super().__init__(part, builder, path)
        self.kernel.set_metadata(form=format_of(builder.policy, part.spec, part.width))
        self.float8 = float8.takes(builder.policy, part.spec, part.width)
        if self.float8:
            rounded.check(devices(builder.policy)[0])

    @property
    def plain(self) -> bool:
        """Whether it multiplies by its kernel as it is."""
        return not self.float8 and self.kernel.form is None

    def forward(self, x: Any, ctx: Any) -> Any:
        y = self.product(x)
        return broadcast(jnp.add, y, self.bias[...]) if self.spec.bias else y

    def product(self, x: Any) -> Any:
        """x W."""
        if self.kernel.form is not None:
            return self.kernel.get_value().matmul(x)
        product = rounded.matmul if self.float8 else matmul
        return product(x, self.kernel[...].astype(x.dtype))


def joint(linears: Sequence[Linear], x: Any, ctx: Any) -> list[Any]:
    """Several linear maps of one x, as one matrix product where that pays and nobody listens to them one by one."""
    first, ends = linears[0], np.cumsum([linear.spec.features for linear in linears])
    if ctx.records is not None or not _alike(linears):
        return [linear(x, ctx) for linear in linears]
    laid = first.kernel.shape[-1] == ends[-1]  # by lay_side_by_side
    if not laid and not specs.side_by_side(x, linears):
        return [linear(x, ctx) for linear in linears]
    kernels = [linear.kernel[...].astype(x.dtype) for linear in (linears[:1] if laid else linears)]
    y = matmul(x, kernels[0] if laid else jnp.concatenate(kernels, axis=1))
    if first.spec.bias:
        y = broadcast(jnp.add, y, jnp.concatenate([linear.bias[...] for linear in linears]))
    return jnp.split(y, ends[:-1], axis=-1)


def _alike(linears: Sequence[Linear]) -> bool:
    """Whether one product can be all of them."""
    biased = linears[0].spec.bias
    return all(linear.plain and linear.spec.bias == biased for linear in linears)


def lay_side_by_side(module: Module) -> Module:
    """``module`` with one kernel for all maps that a part calls by :func:`joint`, which it names by ``beside``.

    The first of these has it, and none of them can be called alone.
    """
    for _, part in nnx.iter_graph(module):
        for names in getattr(part, "beside", ()):
            linears = [getattr(part, name) for name in names]
            if _alike(linears):
                linears[0].kernel = _one_kernel([linear.kernel for linear in linears])
                for linear in linears[1:]:
                    linear.kernel = linears[0].kernel
    return module


def _one_kernel(kernels: Sequence[nnx.Param]) -> nnx.Param:
    paths = tuple(path for kernel in kernels for path in kernel.paths)
    value = jnp.concatenate([kernel[...] for kernel in kernels], axis=-1)
    held = {"axes": kernels[0].axes, "stacked": kernels[0].stacked, "form": None, "maps": len(kernels)}
    return nnx.Param(value, paths=paths, **held)


@natives.register(specs.Embedding)
class Embedding(Module):
    """y = E[token]."""

    def forward(self, tokens: Any, ctx: Any) -> Any:
        return jnp.take(self.table[...], tokens, axis=0).astype(ctx.dtype)


@natives.register(specs.Dropout)
class Dropout(Module):
    """y = x · keep / (1 − rate) in training."""

    def forward(self, x: Any, ctx: Any) -> Any:
        if ctx.random is None:
            return x
        keep = ctx.random.keep(self.path, x.shape, 1.0 - self.spec.rate)
        return jnp.where(keep, x / (1.0 - self.spec.rate), 0).astype(x.dtype)
