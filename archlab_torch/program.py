"""A spec under a policy: its module, and how it is called with NumPy."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from archlab import memory
from archlab.errors import InputError
from archlab.inputs import arguments, span
from archlab.model import Model
from archlab.policy import Policy
from archlab.reference import takes_state
from archlab.spec import Spec, State, state_schema
from archlab.weights import DTYPES
from archlab_torch.module import Builder, from_numpy, to_numpy
from archlab_torch.runtime import context, device_of, rank_and_size, shard


class Program:
    """One spec, width and policy with its weights, on this process's share of the batch."""

    def __init__(self, spec: Spec, width: int, policy: Policy, weights: Mapping[str, np.ndarray]) -> None:
        self.spec, self.policy, self.part = spec, policy, spec.at(width)
        self.rank, self.size = rank_and_size(policy)
        self.device = device_of(policy)
        self.module = build(spec, width, policy, weights)
        self.slots = self.module.slots
        shard(self.module, self.slots, policy)

    def call(self, x: Any, where: dict[str, Any], state: Any = None, start: int = 0, **notes: Any) -> tuple[Any, Any]:
        """(output, state) of the module."""
        return self.within(self.context(x, where, start, **notes), x, state)

    def context(self, x: Any, where: dict[str, Any], start: int = 0, **notes: Any) -> Any:
        """What the module's parts know beside their input in a call with ``x``."""
        return context(self.module, span(self.spec, x), where, self.policy, self.device, start, **notes)

    def within(self, ctx: Any, x: Any, state: Any) -> tuple[Any, Any]:
        """(output, state) of the module in a context; what compilers are given."""
        out = self.module(x, ctx, state) if takes_state(self.spec) else (self.module(x, ctx), state)
        if isinstance(self.spec, Model):
            return out[0].to(getattr(torch, self.policy.output)), out[1]
        return out

    def arguments(self, inputs: Mapping[str, Any], *, started: bool = False) -> tuple[Any, dict[str, Any]]:
        """This process's share of the input and of where its tokens stand, as tensors."""
        x, where = arguments(self.spec, inputs, DTYPES[self.policy.compute], started=started)
        x = {key: self.share(array) for key, array in x.items()} if isinstance(x, dict) else self.share(x)
        return x, {key: self.share(array) for key, array in where.items()}

    def share(self, array: Any) -> Any:
        """This process's rows of an array, on the device; integers become int64 indices."""
        if array is None:
            return None
        array = np.asarray(array)
        if array.shape[0] % self.size:
            raise InputError(f"a batch of {array.shape[0]} cannot be split over data × fsdp = {self.size} processes")
        rows = array.shape[0] // self.size
        part = array[self.rank * rows : (self.rank + 1) * rows] if self.size > 1 else array
        if part.dtype.kind in "iu":
            part = part.astype(np.int64)
        return from_numpy(part).to(self.device)

    def gather(self, tensor: torch.Tensor) -> np.ndarray:
        """All processes' rows of a tensor."""
        if self.size == 1:
            return to_numpy(tensor)
        pieces = [torch.empty_like(tensor) for _ in range(self.size)]
        torch.distributed.all_gather(pieces, tensor.detach().contiguous())
        return to_numpy(torch.cat(pieces))

    def initial_state(self, batch: int, length: int) -> Any:
        """Empty decoding state in the activations' dtype."""
        return empty_state(state_schema(self.part, batch, length), getattr(torch, self.policy.compute), self.device)


def empty_state(node: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """Tensors for a tree of :class:`archlab.spec.State`."""
    if isinstance(node, State):
        kind = dtype if node.dtype == "float" else torch.int64
        return torch.full(node.shape, node.fill, dtype=kind, device=device)
    if isinstance(node, list):
        return [empty_state(n, dtype, device) for n in node]
    return {key: empty_state(n, dtype, device) for key, n in node.items()}


def build(spec: Spec, width: int, policy: Policy, weights: Mapping[str, np.ndarray]) -> Any:
    """The module of a spec with the given canonical weights; ``module.slots`` says where each one is."""
    with memory.small_pages(), ThreadPoolExecutor(os.cpu_count()) as threads:
        builder = Builder(policy=policy, weights=weights, device=device_of(policy), threads=threads)
        module: Any = builder.module(spec.at(width), "")
        for copy in builder.copies:
            copy.result()
    module.slots = builder.slots
    return module


@contextlib.contextmanager
def recording(module: nn.Module, capture: bool) -> Iterator[None]:
    """Every part notes its output under its path, where that is asked for."""

    def note(part: Any, args: Any, output: Any) -> None:
        args[1].record(part.path, output)

    hooks = [part.register_forward_hook(note) for part in module.modules() if capture and hasattr(part, "path")]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
