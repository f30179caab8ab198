"""A bundle as one file that can be read."""

import ast
import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable

from archlab.hf.modeling.bundle import Bundle
from archlab.hf.modeling.resolving import TEMPLATE, External, Symbol
from archlab.hf.modeling.sources import Source, source

NOTES = re.compile(r"  # (type: ignore|noqa|fmt: skip).*$")
HEAD = ("values", "axes", "arrays", "module")  # files of the template that come before the definitions
WIDTH = 120


def names(bundle: Bundle) -> dict[Symbol | External, str]:
    """What each definition and import is called in the file: as where it stands, unless two would be called alike."""
    table: dict[Symbol | External, str] = {}
    taken = {*dir(builtins), *keyword.kwlist}
    targets: list[Symbol | External] = [*bundle.externals, *bundle.symbols]
    for target in targets:
        plain = target.bound if isinstance(target, External) else target.name
        tail = target.module.rpartition(".")[2]
        if target in bundle.chained:
            plain = f"{tail}_{plain}"
        options = [plain, f"{plain}_of_{tail}", *(f"{plain}_{i}" for i in range(2, len(bundle.symbols) + 3))]
        table[target] = next(option for option in options if option not in taken)
        taken.add(table[target])
    return table


def written(bundle: Bundle, title: str, about: str) -> str:
    """The file: what it is, imports, what runs the definitions, the definitions, and the classes of transformers."""
    called = names(bundle)
    order = list(bundle.modules())
    head = [f"{TEMPLATE}.{name}" for name in HEAD]
    tail = [module for module in order if module.startswith(TEMPLATE) and module not in head]
    middle = [module for module in order if module not in head and module not in tail]
    parts = [f'"""{title}\n\n{about.strip()}\n"""', "from __future__ import annotations", imports(bundle, called)]
    parts += [section(bundle, called, module) for module in head if module in order]
    parts += [absent(bundle, called), *(section(bundle, called, module) for module in middle)]
    parts += [section(bundle, called, module) for module in tail]
    text = "\n\n".join(part for part in parts if part)
    return re.sub(r"\n{4,}", "\n\n\n", text) + "\n"


def imports(bundle: Bundle, called: dict[Symbol | External, str]) -> str:
    """The imports: Python's own library, others, and the file beside this one."""
    groups: dict[int, list[str]] = {}
    plain: dict[str, list[str]] = {}
    for external in bundle.externals:
        renamed = External(external.module, external.name, called[external])
        if external.name is None:
            groups.setdefault(_rank(external.module), []).append(str(renamed))
        else:
            plain.setdefault(external.module, []).append(str(renamed).partition(" import ")[2])
    for module, found in plain.items():
        line = f"from {module} import {', '.join(sorted(set(found), key=_caseless))}"
        groups.setdefault(_rank(module), []).append(line)
    return "\n\n".join("\n".join(sorted(groups[rank], key=_import_order)) for rank in sorted(groups))


def _rank(module: str) -> int:
    if module.startswith("."):
        return 2
    return 1 if module.split(".")[0] in ("numpy", "torch", "transformers") else 0


def _caseless(name: str) -> tuple[str, str]:
    return name.lower(), name


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line.lower()


def absent(bundle: Bundle, called: dict[Symbol | External, str]) -> str:
    """Types that definitions mention and this architecture has none of."""
    taken = set(called.values())
    found = sorted({symbol.name for symbol in bundle.types if symbol not in bundle.symbols} - taken)
    if not found:
        return ""
    text = " = ".join(found) + " = Any"
    comment = "# Kinds of parts that definitions below know of, and of which this architecture has none."
    lines = textwrap.wrap(text, WIDTH - 4, break_long_words=False)
    joined = lines[0] if len(lines) == 1 else " \\\n    ".join(lines)
    return f"\n{comment}\n{joined}\n"


# --- sections -------------------------------------------------------------------------------------------


def section(bundle: Bundle, called: dict[Symbol | External, str], module: str) -> str:
    """The definitions of one file under a line that says which."""
    found = source(module)
    assert found is not None
    blocks: list[str] = []
    done: set[ast.stmt] = set()
    before: ast.stmt | None = None
    for symbol in bundle.of_module(module):
        node = symbol.node
        if node in done:
            continue
        done.add(node)
        constants = all(isinstance(n, ast.Assign | ast.AnnAssign) for n in (before, node))
        blocks += ["\n" if constants and before is not None else "\n\n\n", definition(bundle, called, symbol, found)]
        before = node
    place = "" if module.startswith(TEMPLATE) else f"\n# {shown(found)}"
    return f"\n# --- {found.title} ---{place}\n" + "".join(blocks).lstrip("\n").join(["\n\n", "\n"])


def shown(found: Source) -> str:
    """A file as the reader of another one knows it."""
    if found.name.startswith("archlab_user_"):
        return found.path.name
    parts = found.name.split(".")
    return "/".join(parts) + (".py" if found.path.name != "__init__.py" else "/__init__.py")


def definition(bundle: Bundle, called: dict[Symbol | External, str], symbol: Symbol, found: Source) -> str:
    """A definition's text with names as they are in the file, a class with the members that it keeps."""
    node = symbol.node
    removed = _removed(bundle, symbol, node)
    edits = _edits(bundle, called, symbol, node)
    start, end = _first_line(node), _last_line(node, found)
    lines = []
    for number in range(start, end + 1):
        if number not in removed:
            lines.append(NOTES.sub("", _edited(found.lines[number - 1], edits.get(number, []))))
    if isinstance(node, ast.ClassDef) and not bundle.symbols[symbol]:
        lines.append("    pass")
    text = "\n".join(lines).rstrip()
    return re.sub(r"\n{3,}", "\n\n", text) if isinstance(node, ast.ClassDef) else text


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _last_line(node: ast.stmt, found: Source) -> int:
    """With the text that documents a constant, which stands below it."""
    end = node.end_lineno or node.lineno
    place = found.tree.body.index(node)
    following = found.tree.body[place + 1] if place + 1 < len(found.tree.body) else None
    documents = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
    if (
        isinstance(node, ast.Assign | ast.AnnAssign)
        and documents
        and following is not None
        and following.lineno == end + 1
    ):
        return following.end_lineno or end
    return end


def _removed(bundle: Bundle, symbol: Symbol, node: ast.stmt) -> set[int]:
    """The lines of members that a class does not keep, of imports within functions, and the blank ones before them."""
    found = source(symbol.module)
    assert found is not None
    kept = bundle.symbols[symbol]
    gone: list[ast.stmt] = []
    if isinstance(node, ast.ClassDef):
        gone += [member for member in node.body if member not in kept]
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            gone.append(inner)
    removed: set[int] = set()
    for member in gone:
        first = _first_line(member)
        last = member.end_lineno or first
        removed |= set(range(first, last + 1))
        above = first - 1
        while found.lines[above - 1].strip().startswith("#"):
            removed.add(above)
            above -= 1
        below = found.lines[last] if last < len(found.lines) else ""
        while above > node.lineno and not found.lines[above - 1].strip() and not below.strip():
            removed.add(above)
            above -= 1
    return removed


Edit = tuple[int, int, str]


def _edits(
    bundle: Bundle, called: dict[Symbol | External, str], symbol: Symbol, node: ast.stmt
) -> dict[int, list[Edit]]:
    """Where names become others, by line: (first byte, last byte, text)."""
    edits: dict[int, list[Edit]] = {}
    for inner in ast.walk(node):
        target = bundle.uses.get(inner)  # type: ignore[call-overload]
        if target in called and ast.unparse(inner) != called[target]:
            assert isinstance(inner, ast.expr)
            edits.setdefault(inner.lineno, []).append((inner.col_offset, inner.end_col_offset or 0, called[target]))
    if called[symbol] != symbol.name:
        for line, start in _own_places(node, symbol.name):
            edits.setdefault(line, []).append((start, start + len(symbol.name.encode()), called[symbol]))
    return edits


def _own_places(node: ast.stmt, name: str) -> Iterable[tuple[int, int]]:
    """Where a definition says its name."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.lineno, node.col_offset + len("class " if isinstance(node, ast.ClassDef) else "def ")
    else:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and inner.id == name:
                yield inner.lineno, inner.col_offset


def _edited(line: str, edits: list[Edit]) -> str:
    data = line.encode()
    for start, end, text in sorted(edits, reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data.decode()
