"""Arrays as the definitions see them, on PyTorch"""

from typing import Any

import numpy as np
import torch


class Arrays:
    """The array API on PyTorch, as far as the definitions use it. What is not here is PyTorch's own of that name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def all(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.all(x) if axis is None else torch.all(x, dim=axis, keepdim=keepdims)

    def any(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.any(x) if axis is None else torch.any(x, dim=axis, keepdim=keepdims)

    def argmax(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.argmax(x, dim=axis, keepdim=keepdims)

    def argmin(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.argmin(x, dim=axis, keepdim=keepdims)

    def argsort(self, x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        return torch.argsort(x, dim=axis, descending=descending, stable=stable)

    def astype(self, x: Any, dtype: Any) -> Any:
        return x.to(dtype)

    def broadcast_to(self, x: Any, shape: Any) -> Any:
        return torch.broadcast_to(x, tuple(shape))

    def concat(self, arrays: Any, axis: int = 0) -> Any:
        return torch.cat(tuple(arrays), dim=axis)

    def cumulative_sum(self, x: Any, axis: int = -1) -> Any:
        return torch.cumsum(x, dim=axis)

    def expand_dims(self, x: Any, axis: int = 0) -> Any:
        return torch.unsqueeze(x, axis)

    def flip(self, x: Any, axis: Any = None) -> Any:
        axis = range(x.ndim) if axis is None else axis
        return torch.flip(x, (axis,) if isinstance(axis, int) else tuple(axis))

    def max(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.amax(x, dim=() if axis is None else axis, keepdim=keepdims)

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.mean(x) if axis is None else torch.mean(x, dim=axis, keepdim=keepdims)

    def min(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.amin(x, dim=() if axis is None else axis, keepdim=keepdims)

    def permute_dims(self, x: Any, axes: Any) -> Any:
        return torch.permute(x, tuple(axes))

    def prod(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.prod(x) if axis is None else torch.prod(x, dim=axis, keepdim=keepdims)

    def repeat(self, x: Any, repeats: Any, axis: Any = None) -> Any:
        return torch.repeat_interleave(x, repeats, dim=axis)

    def sort(self, x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        return torch.sort(x, dim=axis, descending=descending, stable=stable).values

    def squeeze(self, x: Any, axis: Any) -> Any:
        return torch.squeeze(x, axis)

    def stack(self, arrays: Any, axis: int = 0) -> Any:
        return torch.stack(tuple(arrays), dim=axis)

    def std(self, x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
        return torch.std(x, dim=axis, correction=correction, keepdim=keepdims)

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return torch.sum(x) if axis is None else torch.sum(x, dim=axis, keepdim=keepdims)

    def take(self, x: Any, indices: Any, axis: int) -> Any:
        return torch.index_select(x, axis, indices)

    def take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Any:
        return torch.take_along_dim(x, indices, dim=axis)

    def var(self, x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
        return torch.var(x, dim=axis, correction=correction, keepdim=keepdims)


xp = Arrays()


def constant(device: Any, value: Any, dtype: Any = None) -> Any:
    """A NumPy array among the activations."""
    return torch.as_tensor(np.asarray(value), dtype=dtype, device=device)


class Masks:
    """Random masks for dropout, from PyTorch's generator."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def keep(self, name: str, shape: tuple[int, ...], probability: Any) -> Any:
        """Booleans, true with ``probability``; ``name`` is the path of the part that asks."""
        return torch.rand(shape, device=self.device) < probability
