"""Python files as they are written: what each defines and imports, and which names a piece of one reads."""

import ast
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from archlab.errors import InputError

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Read:
    """A name that a piece of code reads, with the node that stands there.

    kind
        "now" where it is read when the definition is executed (a base, a default), "later" where it is read in a call,
        "annotation" where nothing reads it.
    """

    name: str
    node: ast.Name
    kind: str


@dataclass
class Reads:
    """What a piece of code reads: names from outside it, attributes of anything, and array functions.

    ``chains`` has the attribute node around a name: ``random.normal``. ``imports`` are those within functions.
    """

    names: list[Read] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    arrays: set[str] = field(default_factory=set)
    chains: dict[ast.Name, ast.Attribute] = field(default_factory=dict)
    imports: list[ast.ImportFrom | ast.Import] = field(default_factory=list)


class Source:
    """One module's text: its definitions and imports by name, in order."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.tree = ast.parse(self.text)
        self.definitions: dict[str, Definition] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}
        for node in self.tree.body:
            for defined in names_of(node):
                self.definitions[defined] = node  # type: ignore[assignment]
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= imported(node, name)

    @property
    def title(self) -> str:
        """The first line of its docstring."""
        text = ast.get_docstring(self.tree) or self.name
        return text.splitlines()[0].rstrip(".")


@functools.cache
def source(name: str) -> Source | None:
    """The module of that name, which need not be imported; None where it has no Python text."""
    path = file_of(name)
    if path is None or path.suffix != ".py":
        return None
    try:
        return Source(name, path)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} cannot be read as Python: {error}; the definitions must lie in files") from None


def file_of(name: str) -> Path | None:
    """Where a module lies, which need not be imported."""
    path = getattr(sys.modules.get(name), "__file__", None)
    if path is None:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        path = None if found is None else found.origin
    return None if path is None else Path(path)


def names_of(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id


def imported(node: ast.Import | ast.ImportFrom, where: str) -> dict[str, tuple[str, str | None]]:
    """What an import in the module ``where`` binds: (module, name in it), the name None for the module itself."""
    if isinstance(node, ast.Import):
        return {
            a.asname or a.name.split(".")[0]: (a.name if a.asname else a.name.split(".")[0], None) for a in node.names
        }
    module = node.module or ""
    if node.level:
        file = file_of(where)
        package = where if file is not None and file.name == "__init__.py" else where.rpartition(".")[0]
        module = importlib.util.resolve_name("." * node.level + module, package)
    return {a.asname or a.name: (module, a.name) for a in node.names}


# --- what a piece of code reads -------------------------------------------------------------------------


class Reader(ast.NodeVisitor):
    """Collects :class:`Reads`. ``outer`` are the names that are bound around the piece."""

    def __init__(self, outer: frozenset[str] = frozenset()) -> None:
        self.reads = Reads()
        self.bound: list[frozenset[str]] = [outer]
        self.kind = "now"

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not any(node.id in names for names in self.bound):
            self.reads.names.append(Read(node.id, node, self.kind))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        value = node.value
        if "xp" in (getattr(value, "id", None), getattr(value, "attr", None)):
            self.reads.arrays.add(node.attr)
        else:
            self.reads.attributes.add(node.attr)
        if isinstance(value, ast.Name):
            self.reads.chains[value] = node
        self.visit(value)

    def visit_Call(self, node: ast.Call) -> None:
        """A text in getattr(x, "name") is an attribute."""
        if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            self.reads.attributes |= {text for text in texts if isinstance(text, str)}
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(part)
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for annotation in (node.returns, *(p.annotation for p in parameters if p)):
            self.annotation(annotation)
        own = frozenset(p.arg for p in parameters if p) | frozenset(_bound(node.body))
        self.inside(own, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(default)
        self.inside(frozenset(a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        for member in node.body:
            self.member(member, node)

    def member(self, member: ast.stmt, cls: ast.ClassDef) -> None:
        """A statement in the body of a class, where its own names hide those outside, but not in methods."""
        if isinstance(member, ast.FunctionDef):
            self.visit(member)
        else:
            self.bound.append(frozenset(n for other in cls.body for n in names_of(other)) - {*names_of(member)})
            self.visit(member)
            self.bound.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.annotation(node.annotation)
        for part in (node.target, node.value):
            if part is not None:
                self.visit(part)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.reads.imports.append(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.reads.imports.append(node)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        """Its variables are its own; the first iterable is read outside it, where they may have other meanings."""
        self.visit(node.generators[0].iter)
        own = frozenset(n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name))
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        conditions = [c for g in node.generators for c in g.ifs]
        self.bound.append(own)
        for part in (*parts, *conditions, *(g.iter for g in node.generators[1:])):
            self.visit(part)
        self.bound.pop()

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = comprehension  # noqa: N815

    def annotation(self, node: ast.expr | None) -> None:
        """Types: nothing reads them."""
        if node is not None:
            before, self.kind = self.kind, "annotation"
            self.visit(node)
            self.kind = before

    def inside(self, own: frozenset[str], body: list[ast.stmt] | list[ast.expr]) -> None:
        """The body of a function with names of its own."""
        before, self.kind = self.kind, "later"
        self.bound.append(own)
        for part in body:
            self.visit(part)
        self.bound.pop()
        self.kind = before


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a function binds, but for those that it imports; what is inside other functions is theirs."""
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name
        own = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
        if not isinstance(node, own):
            queue.extend(ast.iter_child_nodes(node))


def reads_of(node: ast.AST) -> Reads:
    """What a definition of a module reads."""
    reader = Reader()
    reader.visit(node)
    return reader.reads


def reads_of_head(node: ast.ClassDef) -> Reads:
    """What a class reads without its body."""
    reader = Reader()
    for part in (*node.decorator_list, *node.bases, *node.keywords):
        reader.visit(part)
    return reader.reads


def reads_of_member(member: ast.stmt, cls: ast.ClassDef) -> Reads:
    """What a statement of a class reads."""
    reader = Reader()
    reader.member(member, cls)
    return reader.reads
