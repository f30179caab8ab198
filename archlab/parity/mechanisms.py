"""What mechanisms there are, and which files say what each of them computes."""

import ast
import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path

from archlab.backends import backend_names, find_backend
from archlab.config import registered
from archlab.spec import Spec

ROOT = Path(__file__).parents[2]


def mechanisms() -> dict[str, type[Spec]]:
    """Every spec a config can name."""
    return {name: cls for name, cls in registered(Spec).items() if issubclass(cls, Spec)}


def definition(cls: type[Spec]) -> str:
    """The file that defines a mechanism, relative to the project."""
    return _source(cls)


def natives(cls: type[Spec]) -> dict[str, str | None]:
    """The file of its native form by backend; None where the backend runs the definition."""
    found = {name: find_backend(name).natives.find_class(cls) for name in backend_names()}
    return {name: _source(native) if native else None for name, native in found.items()}


def files(cls: type[Spec]) -> list[str]:
    """The definition's file and those of the native forms."""
    return [definition(cls), *(file for file in natives(cls).values() if file is not None)]


def fingerprint(cls: type[Spec]) -> str:
    """A hash of the code in a mechanism's files, which comments and docstrings do not change."""
    code = [_plain(ast.parse((ROOT / file).read_text(encoding="utf-8"))) for file in files(cls)]
    return hashlib.sha256(repr(code).encode()).hexdigest()


def _source(cls: type) -> str:
    path = Path(inspect.getfile(cls))
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def _plain(node: object) -> object:
    """A syntax tree without docstrings and empty fields, of which each Python has others."""
    if isinstance(node, list):
        return [_plain(child) for child in node]
    if not isinstance(node, ast.AST):
        return node
    fields = {name: _plain(value) for name, value in _fields(node) if value is not None and value != []}
    return type(node).__name__, fields


def _fields(node: ast.AST) -> Iterable[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        documented = name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        yield name, value[1:] if documented and ast.get_docstring(node) is not None else value  # type: ignore[arg-type]
