"""What a name in a definition stands for: another definition, a library's, or a module."""

import ast
import functools
import importlib
import sys
from dataclasses import dataclass

from archlab.errors import InputError
from archlab.hf.modeling.sources import file_of, source

TEMPLATE = "archlab.hf.modeling.template"
ALLOWED = ("numpy", "torch", "transformers")

REPLACED = {
    ("archlab.config", "Config"): (f"{TEMPLATE}.values", "Config"),
    ("archlab.context", "Table"): (f"{TEMPLATE}.values", "Table"),
    ("archlab.spec", "Param"): (f"{TEMPLATE}.values", "Param"),
    ("archlab.spec", "State"): (f"{TEMPLATE}.values", "State"),
    ("archlab.spec", "shared_parts"): (f"{TEMPLATE}.module", "shared_parts"),
    ("einops", "einsum"): (f"{TEMPLATE}.axes", "einsum"),
    ("einops", "rearrange"): (f"{TEMPLATE}.axes", "rearrange"),
    ("einops", "repeat"): (f"{TEMPLATE}.axes", "repeat"),
}
"""What has another form in the file than in archlab."""


@dataclass(frozen=True)
class Symbol:
    """A definition: the module that it stands in, and its name there."""

    module: str
    name: str

    @property
    def node(self) -> ast.stmt:
        found = source(self.module)
        assert found is not None
        return found.definitions[self.name]


@dataclass(frozen=True)
class External:
    """A name from a library that stays one: ``import numpy as np`` or ``from math import sqrt``."""

    module: str
    name: str | None
    bound: str

    def __str__(self) -> str:
        if self.name is None:
            return f"import {self.module}" + (f" as {self.bound}" if self.bound != self.module else "")
        return f"from {self.module} import {self.name}" + (f" as {self.bound}" if self.bound != self.name else "")


@dataclass(frozen=True)
class ModuleOf:
    """A module whose definitions are taken over: what stands after the dot counts."""

    module: str


Target = Symbol | External | ModuleOf | None


def symbol_of(cls: type) -> Symbol:
    """Where a class is defined."""
    found = source(cls.__module__)
    if found is None or cls.__qualname__ not in found.definitions:
        raise InputError(
            f"{cls.__module__}.{cls.__qualname__} does not stand at the top of a file, so its definition cannot be "
            "written into another; put it into a file of its own"
        )
    return _replaced(cls.__module__, cls.__qualname__)


def resolved(module: str, name: str, local: dict[str, tuple[str, str | None]] | None = None) -> Target:
    """What ``name`` stands for in a module; ``local`` are imports within a function."""
    found = source(module)
    assert found is not None
    if local and name in local:
        return _imported(name, *local[name])
    if name in found.definitions:
        return _replaced(module, name)
    return _imported(name, *found.imports[name]) if name in found.imports else None


def within(module: str, name: str) -> Target:
    """What ``module.name`` stands for."""
    return _imported(name, module, name)


def _replaced(module: str, name: str) -> Symbol:
    return Symbol(*REPLACED.get((module, name), (module, name)))


def _imported(bound: str, module: str, name: str | None) -> Target:
    if name is not None and (module, name) in REPLACED:
        return _replaced(module, name)
    if module == f"{TEMPLATE}.configuration":
        return External(".configuration_archlab", name, bound)
    if _stays(module):
        return External(module, name, bound)
    if name is None:
        return ModuleOf(module)
    found = source(module)
    if found is not None and name in found.definitions:
        return _replaced(module, name)
    if found is not None and name in found.imports:
        return _imported(name, *found.imports[name])
    if source(f"{module}.{name}") is not None:
        return ModuleOf(f"{module}.{name}")
    return _behind_a_door(module, name)


def _behind_a_door(module: str, name: str) -> Symbol:
    """A name that a module finds when it is asked for."""
    value = getattr(importlib.import_module(module), name, None)
    home, defined = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    found = source(home) if home else None
    if found is None or defined not in found.definitions:
        raise InputError(f"{module}.{name} has no definition in Python that could be written into another file")
    return _replaced(found.name, str(defined))


@functools.cache
def _stays(module: str) -> bool:
    """Whether a module is a library that the file imports. Raises :class:`InputError` for one that it may not."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top in ALLOWED:
        return True
    file = file_of(top)
    if top != "archlab" and (file is None or "site-packages" in file.parts) and top not in _own():
        raise InputError(
            f"a definition uses {module}, which the file cannot import: it has Python's own library, "
            f"{', '.join(ALLOWED)} alone; write the definition with the functions of ctx.xp"
        )
    return False


def _own() -> set[str]:
    """The packages that bring specs of their own."""
    from archlab.config import registered

    return {cls.__module__.split(".")[0] for cls in registered().values()}
