"""The catalogue of causes: known ways in which "the same model" came out different, each of which can be tried.

A cause is a function that takes a trial (the definition as it is) and yields trials in which one thing is done the
wrong way. The one that reproduces what an implementation computed says what that implementation does. A new file in
this package is found without an edit here.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator

from archlab.parity.trials import Trial

Cause = Callable[[Trial], Iterator[Trial]]

_CAUSES: list[Cause] = []


def cause(function: Cause) -> Cause:
    """Decorator: enter a cause in the catalogue."""
    _CAUSES.append(function)
    return function


@functools.cache
def catalogue() -> tuple[Cause, ...]:
    """All causes."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.endswith("_test"):
            importlib.import_module(f"{__name__}.{module.name}")
    return tuple(_CAUSES)
