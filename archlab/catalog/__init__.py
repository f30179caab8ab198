"""The architecture catalogue: published designs as specs, in toy sizes that train on a laptop.

    from archlab import catalog

    catalog.names()                                # "deepseek-v3", "falcon-h1", …
    catalog.entry("llama-3").paper
    model = catalog.model("llama-3")               # in its own sizes
    model = catalog.model("llama-3", vocab=65, length=128)

An entry is one file of this package with a function from sizes to a spec, and a line in :mod:`archlab.catalog.sizes`;
a new file is found without an edit here.
"""

import functools
import importlib
import pkgutil

from archlab.catalog.entries import ENTRIES, Entry
from archlab.errors import InputError, nearest
from archlab.model import Model


def names() -> list[str]:
    """The names of all entries, sorted."""
    return sorted(_entries())


def entry(name: str) -> Entry:
    """The entry called ``name``: its title, its paper, its sizes, and what it says about itself."""
    found = _entries().get(name)
    if found is None:
        raise InputError(f"no architecture {name!r} in the catalogue; {nearest(name, _entries())}")
    return found


def model(name: str, *, vocab: int | None = None, length: int | None = None) -> Model:
    """The model of the entry ``name``, for another vocabulary and length than its own where they are given."""
    return entry(name).model(vocab=vocab, length=length)


@functools.cache
def _entries() -> dict[str, Entry]:
    """All entries by name: importing the files of this package registers them."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.endswith("_test"):
            importlib.import_module(f"{__name__}.{module.name}")
    return ENTRIES
