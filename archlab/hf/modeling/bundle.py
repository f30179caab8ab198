"""What of all source a spec needs to run: definitions that are reached from it, and what they import."""

import ast
import functools
import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archlab.errors import InputError
from archlab.hf.modeling.sources import (
    Reads,
    file_of,
    imported,
    names_of,
    reads_of,
    reads_of_head,
    reads_of_member,
    source,
)

TEMPLATE = "archlab.hf.modeling.template"
ALLOWED = ("numpy", "torch", "transformers")
CHECKED = "__setattr__"
LEFT_OUT = {"examples", "variants", "cost", "saved", "sees_later", "limit"}
"""Methods of specs that only archlab asks. ``check`` is one more, unless it works something out."""

SHAKEN = (f"{TEMPLATE}.arrays", f"{TEMPLATE}.values")  # files of the template of which only what is used is taken
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


@dataclass
class Bundle:
    """Everything reached: definitions in the order in which they were, the members that classes keep, and imports.

    ``uses`` says for each place where a name stands what it stands for; ``before`` which modules must come first.
    """

    symbols: dict[Symbol, list[ast.stmt]] = field(default_factory=dict)
    externals: dict[External, None] = field(default_factory=dict)
    types: dict[Symbol, None] = field(default_factory=dict)
    uses: dict[ast.expr, Symbol | External] = field(default_factory=dict)
    before: dict[str, dict[str, None]] = field(default_factory=dict)
    chained: set[Symbol] = field(default_factory=set)
    _attributes: set[str] = field(default_factory=set)
    _waiting: dict[str, list[tuple[Symbol, ast.stmt]]] = field(default_factory=dict)

    def add(self, symbol: Symbol) -> None:
        """Take in a definition and all that it needs."""
        if symbol in self.symbols:
            return
        self.symbols[symbol] = []
        node = symbol.node
        if not isinstance(node, ast.ClassDef):
            self._follow(symbol, reads_of(node))
            return
        self._follow(symbol, reads_of_head(node))
        for member in node.body:
            names = self._asked_for(symbol, member)
            if names is None:
                self._keep(symbol, member)
            for name in names or ():
                self._waiting.setdefault(name, []).append((symbol, member))
                if name in self._attributes:
                    self._keep(symbol, member)

    def _asked_for(self, symbol: Symbol, member: ast.stmt) -> list[str] | None:
        """The names by which a member of a class is asked for; None where it is always kept, [] where never."""
        names = list(names_of(member))
        if symbol.module.startswith(TEMPLATE) and symbol.module not in SHAKEN:
            return None
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            constant = "ClassVar" in ast.unparse(member.annotation)
            return [member.target.id] if constant else None
        if not names or names[0].startswith("__"):
            return None
        if names[0] == "check" and not symbol.module.startswith(TEMPLATE):
            return None if CHECKED in ast.unparse(member) else []
        return [] if names[0] in LEFT_OUT else names

    def _keep(self, symbol: Symbol, member: ast.stmt) -> None:
        node = symbol.node
        assert isinstance(node, ast.ClassDef)
        if member not in self.symbols[symbol]:
            self.symbols[symbol].append(member)
            self._follow(symbol, reads_of_member(member, node))

    def _follow(self, symbol: Symbol, reads: Reads) -> None:
        local = {name: found for node in reads.imports for name, found in imported(node, symbol.module).items()}
        for read in reads.names:
            expression: ast.expr = read.node
            target = resolved(symbol.module, read.name, local)
            while isinstance(target, ModuleOf) and expression in reads.chains:
                expression = reads.chains[expression]
                target = within(target.module, expression.attr)  # type: ignore[attr-defined]
            if isinstance(target, ModuleOf):
                raise InputError(f"{symbol.module}: the module {target.module} is used as a value; import what is used")
            if target is not None:
                self._use(symbol, target, expression, read.kind)
                self._chain(target, expression)
        for attribute in (reads.attributes | reads.arrays) - self._attributes:
            self._attributes.add(attribute)
            for owner, member in self._waiting.get(attribute, []):
                self._keep(owner, member)

    def _use(self, symbol: Symbol, target: Symbol | External, place: ast.expr, kind: str) -> None:
        self.uses[place] = target
        if isinstance(target, External):
            self.externals[target] = None
        elif kind == "annotation" and isinstance(target.node, ast.ClassDef):
            self.types[target] = None
        else:
            if kind == "now" and target.module != symbol.module:
                self.before.setdefault(symbol.module, {})[target.module] = None
            self.add(target)

    def _chain(self, target: Symbol | External, place: ast.expr) -> None:
        if isinstance(target, Symbol) and isinstance(place, ast.Attribute):
            self.chained.add(target)

    def modules(self) -> Iterator[str]:
        """The modules of all definitions, each after those that it needs when it is executed."""
        done: dict[str, None] = {}

        def visit(module: str) -> None:
            if module not in done:
                done[module] = None
                for other in self.before.get(module, {}):
                    visit(other)
                order.append(module)

        order: list[str] = []
        for symbol in self.symbols:
            visit(symbol.module)
        return iter(order)

    def of_module(self, module: str) -> list[Symbol]:
        """Its definitions in the order of the file."""
        found = [symbol for symbol in self.symbols if symbol.module == module]
        return sorted(found, key=lambda symbol: symbol.node.lineno)


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


def bundled(roots: Iterable[Symbol]) -> Bundle:
    """All that the roots need."""
    bundle = Bundle()
    for root in roots:
        bundle.add(root)
    return bundle
