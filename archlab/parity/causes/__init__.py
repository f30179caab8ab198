"""The catalogue of causes: known ways in which "the same model" came out different, each of which can be tried.

A cause is a function that takes a trial (the definition as it is) and yields trials in which one thing is done the
wrong way. The one that reproduces what an implementation computed says what that implementation does. A new file in
this package is found without an edit here.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from archlab.parity.trials import Trial

T = TypeVar("T", bound=Trial)
Cause = Callable[[Any], Iterator[Any]]

_CAUSES: dict[type[Trial], list[Cause]] = {}


def cause(kind: type[T]) -> Callable[[Callable[[T], Iterator[T]]], Callable[[T], Iterator[T]]]:
    """Decorator: enter a cause in the catalogue for one kind of trial."""

    def enter(function: Callable[[T], Iterator[T]]) -> Callable[[T], Iterator[T]]:
        _CAUSES.setdefault(kind, []).append(function)
        return function

    return enter


def catalogue(kind: type[Trial]) -> tuple[Cause, ...]:
    """All causes for a kind of trial."""
    _import_all()
    return tuple(_CAUSES.get(kind, ()))


@functools.cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        if not module.name.endswith("_test"):
            importlib.import_module(f"{__name__}.{module.name}")
