"""The Flax NNX implementation of archlab's specs."""

import sys

from archlab.natives import load_libraries
from archlab_jax import activations, layers, model, norms, positions, rotary, selection, stack  # noqa: F401 - registered by importing
from archlab_jax.backend import JaxBackend
from archlab_jax.module import Builder, Module, View, natives

load_libraries(sys.modules[__name__])
native = natives.register
backend = JaxBackend()

__all__ = ["Builder", "JaxBackend", "Module", "View", "backend", "native"]
