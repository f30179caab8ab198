"""Python files named by path, a user's specs and configs; and names that are imported when they are asked for."""

import hashlib
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archlab.errors import InputError


def load_file(path: str | Path) -> types.ModuleType:
    """Import a Python file by path, once for each content it has. The file is code and is executed."""
    path = Path(path).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    identity = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()  # an edited file is another module
    name = f"archlab_user_{path.stem}_{identity[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__archlab_source__ = str(path)  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def doors(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: each name of ``where`` is imported from its module when it is first asked for."""

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(where[name]), name)

    return find
