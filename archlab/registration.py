"""Importing this registers every type a config can name: the spine's and each file of the libraries.

A new file in ``archlab/mixers``, ``archlab/channels`` or ``archlab/optim`` is found without an edit here.
"""

import importlib
import pkgutil

import archlab.adaptive_depth
import archlab.block
import archlab.channels
import archlab.hyper_connections
import archlab.mixers
import archlab.model
import archlab.optim
import archlab.run_config

for _library in (archlab.mixers, archlab.channels, archlab.optim):
    for _module in pkgutil.iter_modules(_library.__path__):
        if not _module.name.endswith("_test"):
            importlib.import_module(f"{_library.__name__}.{_module.name}")
