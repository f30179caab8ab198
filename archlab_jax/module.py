"""A spec as a Flax NNX module."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from archlab.natives import Natives
from archlab.policy import Policy
from archlab.spec import Param, Part, join
from archlab_jax.kernels.quantization import held

natives = Natives("jax")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turns:
    """What a scanned stack repeats: its path, the length of its pattern and the number of turns."""

    path: str
    length: int
    count: int

    def paths(self, path: str) -> tuple[str, ...]:
        """The paths, turn by turn, of a part of the first turn; what is not in the stack keeps its own."""
        layers = join(self.path, "layers.")
        if not path.startswith(layers):
            return (path,) * self.count
        index, dot, rest = path.removeprefix(layers).partition(".")
        return tuple(f"{layers}{turn * self.length + int(index)}{dot}{rest}" for turn in range(self.count))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Builder:
    """Makes modules from parts: the policy, and where their parameters come from.

    ``turns`` is what a scanned stack sets. A parameter inside is then the stack of that layer's parameter over
    all turns.
    """

    policy: Policy
    weights: Mapping[str, np.ndarray]
    turns: Turns | None = None

    def module(self, part: Part, path: str) -> "Module":
        cls = natives.find(part.spec) or Module
        return cls(part, self, path)

    def child(self, child: Any, path: str) -> Any:
        """A module for a child part, a list or dict of them for a list or dict; None for None."""
        if isinstance(child, list):
            return nnx.List([self.module(c, f"{path}.{i}") for i, c in enumerate(child)])
        if isinstance(child, dict):
            return nnx.Dict({key: self.module(c, f"{path}.{key}") for key, c in child.items()})
        return nnx.data(None) if child is None else self.module(child, path)

    def param(self, param: Param, path: str) -> nnx.Param:
        """The variable at ``path``; it remembers its canonical paths, its logical axes and how a program holds it.

        ``maps`` is how many parameters of as many linear maps it holds, side by side.
        """
        paths = self.paths(path)
        arrays = [self.weights[p] for p in paths]
        stacked = self.turns is not None
        value = np.stack(arrays) if stacked else arrays[0]
        axes = f"L {param.axes}".strip() if stacked else param.axes
        dtype = jnp.dtype(self.policy.param)
        return nnx.Param(jnp.asarray(value, dtype=dtype), paths=paths, axes=axes, stacked=stacked, form=None, maps=1)

    def paths(self, path: str) -> tuple[str, ...]:
        """The canonical paths of the parameters that the variable at ``path`` holds."""
        return (path,) if self.turns is None else self.turns.paths(path)


class Module(nnx.Module):
    """A part of a spec: parameters and parts under their canonical names; its definition is its call."""

    if TYPE_CHECKING:
        spec: Any

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, part: Part, builder: Builder, path: str) -> None:
        self.spec, self.width, self.path = part.spec, part.width, path
        for name, param in part.spec.params(part.width).items():
            setattr(self, name, builder.param(param, join(path, name)))
        self.build(part, builder, path)

    def build(self, part: Part, builder: Builder, path: str) -> None:
        """Make the child modules."""
        for name, child in part.spec.parts(part.width).items():
            setattr(self, name, builder.child(child, join(path, name)))

    def __call__(self, x: Any, ctx: Any, *args: Any) -> Any:
        out = self.forward(x, ctx, *args)
        ctx.record(self.path, out)
        return out

    def forward(self, x: Any, ctx: Any, *args: Any) -> Any:
        """The spec's definition; a native module overrides it."""
        return self.spec.forward(View(self), x, ctx, *args)


class View:
    """A module as definitions read it: a parameter's name gives its array."""

    __slots__ = ("_module",)

    def __init__(self, module: Module) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return value[...] if isinstance(value, nnx.Variable) else value


class Split:
    """A module split once: flat leaves for the hot loop, and the way back to a module inside ``jit``."""

    def __init__(self, module: Module) -> None:
        self.graph, state = nnx.split(module)
        self.variables = jax.tree.leaves(state, is_leaf=lambda v: isinstance(v, nnx.Variable))
        self.leaves, self._tree = jax.tree.flatten(state)

    def module(self, leaves: list[Any]) -> Any:
        return nnx.merge(self.graph, jax.tree.unflatten(self._tree, leaves))

    def pack(self, weights: Mapping[str, np.ndarray], dtype: Any) -> list[Any]:
        """Canonical arrays in the leaves' order and layout; None where there is none for a leaf.

        A variable with a ``form`` (:class:`archlab.quantization.Format`) gets a tuple of arrays that hold it so.
        """
        return [self._join(v, weights, dtype) if v.paths[0] in weights else None for v in self.variables]

    @staticmethod
    def _join(variable: nnx.Variable, weights: Mapping[str, np.ndarray], dtype: Any) -> Any:
        arrays = [np.asarray(weights[path]) for path in variable.paths]
        starts = range(0, len(arrays), len(arrays) // variable.maps)
        each = [np.stack(arrays[i : i + starts.step]) if variable.stacked else arrays[i] for i in starts]
        array = each[0] if variable.maps == 1 else np.concatenate(each, axis=-1)
        return array.astype(dtype) if variable.form is None else held(array, variable.form)

    def unpack(self, leaves: list[Any]) -> dict[str, np.ndarray]:
        """Arrays in the leaves' order and layout by canonical path; those that are None are left out."""
        table: dict[str, np.ndarray] = {}
        for variable, leaf in zip(self.variables, leaves, strict=True):
            if leaf is not None:
                array = np.asarray(leaf)
                table.update(zip(variable.paths, array if variable.stacked else [array], strict=True))
        return table
