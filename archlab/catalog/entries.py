"""What an entry of the catalogue is, and how a function becomes one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from archlab.catalog.sizes import SIZES
from archlab.errors import InputError, nearest
from archlab.model import Model

F = TypeVar("F", bound=Callable[..., Model])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A published architecture under a name.

    title, paper
        What it is called elsewhere, and where it is described.
    make
        The function from sizes to its spec: it takes as keywords the sizes that it reads.
    """

    name: str
    title: str
    paper: str
    make: Callable[..., Model]

    @property
    def sizes(self) -> Mapping[str, int]:
        """Its sizes in the catalogue; ``length`` is the longest sequence it is meant for."""
        if self.name not in SIZES:
            raise InputError(f"{self.name} has no sizes; give it a line in archlab/catalog/sizes.py")
        return dict(SIZES[self.name])

    @property
    def about(self) -> str:
        """What its function says: conventions, choices, and what is left out."""
        return inspect.getdoc(self.make) or ""

    def model(self, *, vocab: int | None = None, length: int | None = None) -> Model:
        """Its spec, for another vocabulary and length than its own where they are given."""
        given = {name: value for name, value in (("vocab", vocab), ("length", length)) if value is not None}
        read, sizes = inspect.signature(self.make).parameters, {**self.sizes, **given}
        self._check(read, sizes)
        return self.make(**{name: value for name, value in sizes.items() if name in read})

    def _check(self, read: Mapping[str, inspect.Parameter], sizes: Mapping[str, int]) -> None:
        """Raise :class:`InputError` where sizes and what the function reads do not fit; any entry has a ``length``."""
        for name, value in sizes.items():
            if name not in read and name != "length":
                raise InputError(f"{self.name}: {name} is a size that it does not read; {nearest(name, read)}")
            if value < 1:
                raise InputError(f"{self.name}: {name} is {value}; it must be > 0")
        for name in sorted({"length", *read}):
            if name not in sizes:
                raise InputError(f"{self.name}: the size {name} is missing; give it in archlab/catalog/sizes.py")


ENTRIES: dict[str, Entry] = {}


def architecture(name: str, title: str, paper: str) -> Callable[[F], F]:
    """Decorator: enter a function from sizes to a spec in the catalogue; several for several sizes of one design."""

    def register(make: F) -> F:
        assert name not in ENTRIES, f"two entries are called {name}"
        ENTRIES[name] = Entry(name=name, title=title, paper=paper, make=make)
        return make

    return register
