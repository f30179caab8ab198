"""Matrix products of rows that are sorted by group, each group with a matrix of its own.

PyTorch's own (``grouped_mm``) takes no float64; elsewhere it is a loop over the groups, behind an operator that
compilers leave alone: how many rows a group has is known only when it runs.

A row's product does not depend on which other rows there are. A matrix's gradient is a sum over its rows, and where
they stand decides in which order a CPU adds more than some hundred of them: other rows move its last bits then.
"""

from typing import Any

import torch
import torch.nn.functional as F

# Matrices are filled up to multiples: what is left over goes through other instructions, which round otherwise.
TILE = 8
ALIGNED = 16  # bytes, for rows of what grouped_mm reads


def product(x: Any, w: Any, ends: Any) -> Any:
    """Rows x (N, D), those before ``ends[0]`` times w[0], and so on: w (G, D, F) → (N, F)."""
    if x.is_cuda and x.dtype == torch.bfloat16 and all(2 * n % ALIGNED == 0 for n in w.shape[1:]):
        return F.grouped_mm(x, w, offs=ends.to(torch.int32))
    return grouped_matmul(x, w, ends)


def add(y: Any, b: Any, group: Any) -> Any:
    """y + b[group], b (G, F), computed in float32 and rounded once, as is the sum that is the gradient of b."""
    wide = torch.promote_types(y.dtype, torch.float32)
    return (y.to(wide) + b.to(wide).index_select(0, group)).to(y.dtype)


@torch.library.custom_op("archlab::grouped_matmul", mutates_args=())
def grouped_matmul(x: torch.Tensor, w: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """:func:`product` by a loop over the groups."""
    y = x.new_empty(x.shape[0], w.shape[2])
    for group, (start, end) in enumerate(bounds(ends)):
        y[start:end] = (filled(x[start:end]) @ filled(w[group]))[: end - start, : w.shape[2]]
    return y


@torch.library.custom_op("archlab::grouped_outer", mutates_args=())
def grouped_outer(x: torch.Tensor, y: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """xᵀ y (G, D, F) of each group's rows x (N, D) and y (N, F)."""
    w = x.new_empty(ends.shape[0], x.shape[1], y.shape[1])
    for group, (start, end) in enumerate(bounds(ends)):
        w[group] = (filled(x[start:end]).T @ filled(y[start:end]))[: x.shape[1], : y.shape[1]]
    return w


def bounds(ends: torch.Tensor) -> list[tuple[int, int]]:
    """The first row of each group and the one after its last."""
    stops = ends.tolist()
    return list(zip([0, *stops[:-1]], stops, strict=True))


def filled(x: torch.Tensor) -> torch.Tensor:
    """A matrix with rows and columns of zeros up to multiples of :data:`TILE`."""
    rows, columns = (-size % TILE for size in x.shape)
    return F.pad(x, (0, columns, 0, rows)) if rows or columns else x


@grouped_matmul.register_fake
def _(x: torch.Tensor, w: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[0], w.shape[2])


@grouped_outer.register_fake
def _(x: torch.Tensor, y: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    return x.new_empty(ends.shape[0], x.shape[1], y.shape[1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, Any, None]:
    x, w, ends = ctx.saved_tensors
    return grouped_matmul(grad, w.mT, ends), grouped_outer(x, grad, ends), None


grouped_matmul.register_autograd(_backward, setup_context=_keep)
