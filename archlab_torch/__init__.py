"""The PyTorch implementation of archlab's specs."""

import os
import sys

from archlab.natives import load_libraries

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch looks at it once: large tensors on the CPU in large pages

from archlab_torch import activations, layers, model, norms, positions, rotary, selection, stack  # noqa: F401 - registered by importing
from archlab_torch.backend import TorchBackend
from archlab_torch.module import Builder, Module, natives

load_libraries(sys.modules[__name__])
native = natives.register
backend = TorchBackend()

__all__ = ["Builder", "Module", "TorchBackend", "backend", "native"]
