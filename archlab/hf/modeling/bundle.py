"""What of all source a spec needs to run: definitions that are reached from it, and what they import."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archlab.errors import InputError
from archlab.hf.modeling.resolving import TEMPLATE, External, ModuleOf, Symbol, resolved, within
from archlab.hf.modeling.sources import Reads, imported, names_of, reads_of, reads_of_head, reads_of_member

CHECKED = "__setattr__"
LEFT_OUT = {"examples", "variants", "cost", "saved", "sees_later", "limit"}
"""Methods of specs that only archlab asks. ``check`` is one more, unless it works something out."""

SHAKEN = (f"{TEMPLATE}.arrays", f"{TEMPLATE}.values")  # files of the template of which only what is used is taken


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


def bundled(roots: Iterable[Symbol]) -> Bundle:
    """All that the roots need."""
    bundle = Bundle()
    for root in roots:
        bundle.add(root)
    return bundle
