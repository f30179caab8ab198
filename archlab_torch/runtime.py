"""The PyTorch side of a context: devices, meshes, precision and randomness."""

import atexit
import contextlib
import functools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from archlab import random
from archlab.context import Context
from archlab.errors import InputError
from archlab.ops import loop
from archlab.policy import Policy
from archlab.sharding import placement
from archlab_torch.kernels import namespace as xp


@contextlib.contextmanager
def precision(policy: Policy) -> Iterator[None]:
    """The numerics of a policy: the precision of float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if policy.matmul == "highest" else "high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def once(ctx: Context, key: Any, make: Callable[[], Any]) -> Any:
    """:meth:`archlab.context.Context.once`, but for what is compiled: that makes its own, and fuses it with its use.

    A compiler would have to guard what it left in the context, anew for every call.
    """
    return make() if torch.compiler.is_compiling() else ctx.once(key, make)


def is_eager(tensor: Any) -> bool:
    """Whether a kernel written for this CPU may take it: it lies here whole, and no compiler traces the call."""
    whole = type(tensor) in (torch.Tensor, torch.nn.Parameter)  # no DTensor, which is a part of one
    return whole and tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def device_of(policy: Policy) -> torch.device:
    """The device a policy asks for."""
    if policy.device == "tpu":
        raise InputError("policy.device=tpu: the torch backend runs on cpu and gpu; use --backend jax")
    if policy.device == "gpu" and not torch.cuda.is_available():
        raise InputError("policy.device=gpu: PyTorch sees no GPU; use policy.device=cpu")
    gpu = torch.cuda.is_available() and policy.device != "cpu"
    return torch.device("cuda" if gpu else "cpu")


def rank_and_size(policy: Policy) -> tuple[int, int]:
    """This process's place among the copies of the batch, and their number."""
    if policy.mesh.size == 1:
        return 0, 1
    if policy.mesh.tensor > 1:
        raise InputError("policy.mesh.tensor: the torch backend splits over data and fsdp; set tensor to 1")
    world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    if world != policy.mesh.size:
        raise InputError(
            f"policy.mesh needs {policy.mesh.size} processes, {world} are running; start them with torchrun "
            f"--nproc-per-node {policy.mesh.size} and torch.distributed.init_process_group"
        )
    return torch.distributed.get_rank(), world


def join(rank: int, size: int, store: Path | None) -> None:
    """Make this process one of ``size`` on this machine, until it ends. They meet at the file ``store``."""
    meeting = torch.distributed.FileStore(str(store), size)
    torch.distributed.init_process_group("gloo", store=meeting, rank=rank, world_size=size)
    atexit.register(torch.distributed.destroy_process_group)


def shard(module: nn.Module, slots: list[Any], policy: Policy) -> None:
    """Split parameters over the mesh (FSDP2): each layer of a stack gathers its own when it runs."""
    if rank_and_size(policy)[1] == 1:
        return
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    mesh = _device_mesh(device_of(policy).type, policy.mesh.data, policy.mesh.fsdp)
    dims = {id(slot.tensor): _shard_dim(slot, policy) for slot in slots}
    for part in [*(m for m in module.modules() if _is_layer(module, m)), module]:
        fully_shard(part, mesh=mesh, shard_placement_fn=lambda p: Shard(dims[id(p)]))
        part.set_gradient_divide_factor(1.0)  # type: ignore[operator] # losses are already divided by the count over the whole batch


@functools.lru_cache(maxsize=8)
def _device_mesh(device: str, data: int, fsdp: int) -> Any:
    """One mesh for equal shapes: each one made holds process groups, with threads, until the program ends."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (data, fsdp), mesh_dim_names=("data", "fsdp"))


def _shard_dim(slot: Any, policy: Policy) -> int:
    names = placement(slot.param.axes, slot.param.shape, policy.mesh)
    if "fsdp" not in names:
        return 0  # FSDP divides every parameter, and unevenly along the first axis alone
    dim = names.index("fsdp")
    return len(names) - 1 - dim if slot.transposed else dim


def _is_layer(root: nn.Module, module: nn.Module) -> bool:
    lists = [getattr(m, "layers", None) for m in root.modules()]
    layers = [layer for layers in lists if isinstance(layers, nn.ModuleList) for layer in layers]
    return any(module is layer for layer in layers) and any(True for _ in module.parameters())


class Masks:
    """Random masks from PyTorch's generator."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @classmethod
    @contextlib.contextmanager
    def of_step(cls, seed: int, step: int, rank: int, device: torch.device) -> Iterator["Masks"]:
        """The masks of one step, for its forward and backward pass."""
        with torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(f"{seed}/{step}/{rank}".encode()))
            yield cls(device)

    def keep(self, name: str, shape: tuple[int, ...], probability: Any) -> Any:
        return torch.rand(shape, device=self.device) < probability

    def dropout(self, layer: Any, x: Any, ctx: Context) -> Any:
        """The output of a dropout layer."""
        return F.dropout(x, layer.spec.rate)


class Portable(random.Portable):
    """The masks of every backend. PyTorch has no arithmetic on uint32: a word is the low half of an int64."""

    xp, word = xp, torch.int64

    def __init__(self, seed: int, step: int, rank: int, device: torch.device) -> None:
        # torch.compile would compile anew for each step that is not a tensor, and make a variable of a second seed.
        super().__init__(seed, torch.tensor(step, device=device), rank)
        torch.compiler.assume_constant_result(_words)  # it cannot trace a hash; said here, since it imports for seconds
        self.device, self.stream = device, str(seed)

    @classmethod
    @contextlib.contextmanager
    def of_step(cls, seed: int, step: int, rank: int, device: torch.device) -> Iterator["Portable"]:
        """The masks of one step, for its forward and backward pass."""
        yield cls(seed, step, rank, device)

    def key(self, name: str) -> Any:
        return _words(self.stream, name)

    def dropout(self, layer: Any, x: Any, ctx: Context) -> Any:
        """The output of a dropout layer, as its definition has it."""
        return layer.spec.forward(layer, x, ctx)


def _words(stream: str, name: str) -> tuple[int, int]:
    return random.words(int(stream), name)


class Missing:
    """No masks: what asks for one is told how to give them."""

    def keep(self, name: str, shape: tuple[int, ...], probability: Any) -> Any:
        raise InputError(
            f"{name}: policy.random=portable needs a seed and a step in train() mode; "
            "call with random=archlab.random.Portable(seed, step), or eval() first"
        )

    def dropout(self, layer: Any, x: Any, ctx: Context) -> Any:
        return self.keep(layer.path, x.shape, 1.0)


SOURCES: dict[str, Any] = {"fast": Masks, "portable": Portable}
"""Where masks come from, by ``policy.random``."""


scan = functools.partial(loop, xp)


def constant(device: torch.device, value: Any, dtype: Any = None) -> Any:
    """A NumPy array among the activations."""
    return torch.as_tensor(np.asarray(value), dtype=dtype, device=device)


def same(value: Any) -> Any:
    """The sum over one process."""
    return value


class Total(torch.autograd.Function):
    """The sum over all processes. Each of them reads it, so that its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Any) -> Any:
        value = value.clone()
        torch.distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Total.apply(grad)


def all_rows(rank: int, size: int, value: torch.Tensor) -> torch.Tensor:
    """(size · B, …): the rows of all processes, in order."""
    empty = torch.zeros_like(value)
    return Total.apply(torch.stack([value if other == rank else empty for other in range(size)])).flatten(0, 1)


def context(
    module: Any, shape: tuple[int, ...], where: dict[str, Any], policy: Policy, device: torch.device,
    start: int = 0, **notes: Any,
) -> Context:  # fmt: skip
    """The context of a call on (B, T) tokens; ``start`` is the position after those of the state."""
    positions = where.get("positions")
    plain = positions is None and where.get("segments") is None and where.get("prefix") is None and start == 0
    if positions is None:
        positions = (torch.arange(shape[1], device=device) + start).expand(*shape)
    rank, size = rank_and_size(policy)
    return Context(
        xp=xp, scan=scan, erf=torch.erf, constant=functools.partial(constant, device), stop_gradient=torch.detach,
        dtype=getattr(torch, policy.compute), positions=positions, segments=where.get("segments"),
        prefix=where.get("prefix"), plain=plain, total=Total.apply if size > 1 else same,
        rows=functools.partial(all_rows, rank, size) if size > 1 else same,
        shared=getattr(module, "shared", {}), **notes,
    )  # fmt: skip
