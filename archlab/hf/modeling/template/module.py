"""The architecture as modules"""

from typing import Any

import torch
from torch import nn

from archlab.spec import Part, Shared, children, join


class Module(nn.Module):
    """A part of the architecture: its parameters and parts under their names. Its call is its definition's forward."""

    def __init__(self, part: Part, path: str = "") -> None:
        super().__init__()
        self.spec, self.width, self.path = part.spec, part.width, path
        for name, param in part.spec.params(part.width).items():
            setattr(self, name, nn.Parameter(torch.empty(param.shape)))
        for name, child in part.spec.parts(part.width).items():
            setattr(self, name, made(child, join(path, name)))

    def forward(self, x: Any, ctx: Any, *args: Any) -> Any:
        return self.spec.forward(self, x, ctx, *args)

    def start(self, seed: int) -> None:
        """First values of its own parameters: a pure function of the seed and each one's path."""
        for name, param in self.spec.params(self.width).items():
            value = getattr(self, name)
            if not getattr(value, "_is_hf_initialized", False):
                first = param.init.draw(seed, join(self.path, name), param.shape, param.fan_in)
                value.data.copy_(torch.from_numpy(first))

    def _get_name(self) -> str:
        return type(self.spec).__name__


def made(child: Any, path: str) -> Any:
    """A module for a part, a list or a dictionary of them; None for None."""
    if isinstance(child, list):
        return nn.ModuleList([Module(part, f"{path}.{i}") for i, part in enumerate(child)])
    if isinstance(child, dict):
        return nn.ModuleDict({name: Module(part, f"{path}.{name}") for name, part in child.items()})
    return None if child is None else Module(child, path)


def shared_parts(part: Part, path: str) -> dict[str, Part]:
    """The parts behind all :class:`Shared` in the tree of ``part``, by name."""
    if isinstance(part.spec, Shared):
        inner = part.spec.part.at(part.width)
        return {part.spec.name: inner} | shared_parts(inner, path)
    found: dict[str, Part] = {}
    for _, child in children(part):
        found |= shared_parts(child, path)
    return found
