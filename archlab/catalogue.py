"""Importing this registers every type a config can name: the spine's and each file of the two libraries.

A new file in ``archlab/mixers`` or ``archlab/channels`` is found without an edit here.
"""

import importlib
import pkgutil

import archlab.channels
import archlab.mixers
import archlab.model

for _library in (archlab.mixers, archlab.channels):
    for _module in pkgutil.iter_modules(_library.__path__):
        if not _module.name.endswith("_test"):
            importlib.import_module(f"{_library.__name__}.{_module.name}")
