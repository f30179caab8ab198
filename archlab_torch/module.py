"""A spec as a PyTorch module."""

import dataclasses
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from archlab.natives import Natives
from archlab.policy import Policy
from archlab.spec import Param, Part, join

natives = Natives("torch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slot:
    """Where a canonical parameter lives: an attribute of a module, transposed or not."""

    path: str
    param: Param
    module: nn.Module
    name: str
    transposed: bool

    @property
    def tensor(self) -> nn.Parameter:
        return getattr(self.module, self.name)

    def view(self, tensor: Any) -> Any:
        """A tensor in the layout of the module as a canonical one, on the same memory."""
        return tensor.T if self.transposed else tensor

    def pack(self, array: np.ndarray) -> np.ndarray:
        """A canonical array in the layout of the module."""
        return np.asarray(self.view(array), order="C")

    def unpack(self, tensor: torch.Tensor) -> np.ndarray:
        """A tensor in the layout of the module as a canonical array."""
        return np.asarray(to_numpy(self.view(tensor)), order="C")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Builder:
    """Makes modules from parts: the policy, and where their parameters come from.

    ``slots`` collects where each canonical parameter went. Values are copied, and matrices turned, by ``threads``: a
    parameter holds its values once all ``copies`` are done.
    """

    policy: Policy
    weights: Mapping[str, np.ndarray]
    device: torch.device
    threads: Executor
    copies: list[Future[Any]] = dataclasses.field(default_factory=list)
    slots: list[Slot] = dataclasses.field(default_factory=list)

    def module(self, part: Part, path: str) -> nn.Module:
        cls = natives.find(part.spec) or Module
        return cls(part, self, path)

    def child(self, child: Any, path: str) -> Any:
        """A module for a child part, a list or dict of them for a list or dict; None for None."""
        if isinstance(child, list):
            return nn.ModuleList([self.module(c, f"{path}.{i}") for i, c in enumerate(child)])
        if isinstance(child, dict):
            return nn.ModuleDict({key: self.module(c, f"{path}.{key}") for key, c in child.items()})
        return None if child is None else self.module(child, path)

    def param(self, module: nn.Module, name: str, param: Param, path: str, *, transposed: bool = False) -> None:
        """Set the parameter at ``path`` as ``module.<name>``."""
        slot = Slot(path=path, param=param, module=module, name=name, transposed=transposed)
        given = slot.view(from_numpy(self.weights[path]))
        value = torch.empty(given.shape, dtype=getattr(torch, self.policy.param), device=self.device)
        self.copies.append(self.threads.submit(value.copy_, given))
        setattr(module, name, nn.Parameter(value))
        self.slots.append(slot)


class Module(nn.Module):
    """A part of a spec: parameters and parts under their canonical names; its definition is its call."""

    if TYPE_CHECKING:
        spec: Any

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        super().__init__()
        self.spec, self.width, self.path = part.spec, part.width, path
        for name, param in part.spec.params(part.width).items():
            builder.param(self, name, param, join(path, name))
        self.build(part, builder, path)

    def build(self, part: Part, builder: Builder, path: str) -> None:
        """Make the child modules."""
        for name, child in part.spec.parts(part.width).items():
            setattr(self, name, builder.child(child, join(path, name)))

    def forward(self, x: Any, ctx: Any, *args: Any) -> Any:
        """The spec's definition; a native module overrides it."""
        return self.spec.forward(self, x, ctx, *args)

    def _get_name(self) -> str:
        return type(self.spec).__name__


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values, bit for bit; a sharded one is gathered."""
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16).copy()
    return tensor.numpy().copy()


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """An array's values, bit for bit."""
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
