"""The architecture as values"""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archlab.config import FieldError

TYPES: dict[str, Any] = {}


class Config:
    """A part of the architecture's description: frozen values by name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, kw_only=True)(cls)
        TYPES[cls.__name__] = cls

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Work out what follows from the values."""

    def require(self, condition: bool, field: str, message: str) -> None:
        """Reject the value of ``field`` unless the condition holds."""
        if not condition:
            self.fail(field, message)

    def fail(self, field: str, message: str) -> None:
        """Reject the value of ``field``."""
        raise FieldError(field, f"{getattr(self, field)!r} {message}")

    def replace(self, **changes: Any) -> Any:
        """A copy with other values."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def into(self, kind: Any, **others: Any) -> Any:
        """One of another kind with the values that both have, and ``others``."""
        mine, theirs = ({field.name for field in dataclasses.fields(cls)} for cls in (type(self), kind))  # type: ignore[arg-type]
        return kind(**{name: getattr(self, name) for name in mine & theirs} | others)

    def represents(self) -> Any:
        """What this one stands for: itself, unless it is a wrapper."""
        return self


def read(value: Any, annotation: str = "") -> Any:
    """The value of a field from plain data. A mapping is of the class that it or the field's annotation names."""
    if isinstance(value, list | tuple):
        return tuple(read(item, annotation) for item in value)
    if not isinstance(value, dict):
        return value
    named = [value["type"]] if "type" in value else [name for name in re.findall(r"\w+", annotation) if name in TYPES]
    if not named or (annotation.startswith("dict") and "type" not in value):
        return {name: read(item, annotation.removeprefix("dict")) for name, item in value.items()}
    cls = TYPES[named[0]]
    annotations = {field.name: str(field.type) for field in dataclasses.fields(cls)}
    return cls(**{name: read(item, annotations[name]) for name, item in value.items() if name != "type"})


@dataclass(frozen=True, kw_only=True)
class Param:
    """A learned array: its shape, its logical axes, the law of its first value, and how many inputs one output sums."""

    shape: tuple[int, ...]
    axes: str
    init: Any
    fan_in: int = 1
    rule: Any = None


@dataclass(frozen=True, kw_only=True)
class State:
    """An array carried from one decoding step to the next, filled with ``fill`` at first."""

    shape: tuple[int, ...]
    axes: str
    dtype: str = "float"
    fill: float = 0


class Table:
    """Notes by name. It is no dict: what wraps layers to share them out copies dicts, and notes would be lost."""

    def __init__(self, notes: Any = ()) -> None:
        self.data = {name: notes[name] for name in notes}

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.data[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def get(self, name: str, default: Any = None) -> Any:
        """The note of that name, or ``default``."""
        return self.data.get(name, default)

    def items(self) -> Any:
        """Names with notes."""
        return self.data.items()

    def keys(self) -> Any:
        """Names."""
        return self.data.keys()

    def values(self) -> Any:
        """Notes."""
        return self.data.values()
