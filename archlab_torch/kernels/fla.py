"""Recurrences by the kernels of flash-linear-attention (https://github.com/fla-org/flash-linear-attention).

One is taken on NVIDIA GPUs, in half precision, under ``policy.attention`` "auto", where the package is installed and
the kernel passes a test against archlab's own form: outputs, the last memory and all gradients, on random rows of one
document and of several, with the model's sizes of heads. One that fails is named in a warning, and not used.
"""

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from archlab.recurrence import Recurrence
from archlab_torch.module import Builder

DEVICES = ("cuda",)
DTYPES = ("bfloat16", "float16")
MULTIPLE = 8
"""How many noise floors off a kernel may be: it also rounds what lies between its inputs and its output (keys times β,
solved systems, each chunk's memory), half a dozen roundings. Another equation is off by a hundred floors."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A function of the package.

    names
        Of its arguments, in the order of the recurrence's own; None for one that it does without.
    exact, negative
        Arguments that stay in float32; arguments that have the other sign there.
    """

    module: str
    function: str
    names: tuple[str | None, ...]
    exact: tuple[str, ...]
    negative: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *arrays: Any, dtype: torch.dtype, **others: Any) -> tuple[Any, Any]:
        """(outputs, last memory (N, H, K, V))."""
        given: dict[str, Any] = {}
        for name, array in zip(self.names, arrays, strict=True):
            if name is not None:
                array = -array if name in self.negative else array
                given[name] = array if name in self.exact else array.to(dtype)
        call = getattr(importlib.import_module(self.module), self.function)
        return call(**given, **self.options, scale=1.0, output_final_state=True, **others)


KERNELS = {
    "gated delta rule": Kernel(
        module="fla.ops.gated_delta_rule", function="chunk_gated_delta_rule", names=("q", "k", "v", "beta", "g"),
        exact=("g",),
    ),
    "delta rule": Kernel(
        module="fla.ops.delta_rule", function="chunk_delta_rule", names=("q", "k", "v", "beta", None), exact=(),
    ),
    "mamba 2": Kernel(
        module="fla.ops.simple_gla", function="chunk_simple_gla", names=("q", "k", "v", "g"), exact=("g",)
    ),
    "rwkv 7": Kernel(
        module="fla.ops.rwkv7", function="chunk_rwkv7", names=("r", "w", "k", "v", "a", "b"), exact=("w",),
        negative=("a",), options={"safe_gate": True},  # −0.61 < w < 0
    ),
}  # fmt: skip
"""By mechanism."""


class Runs(NamedTuple):
    """Where rows (B, T) of several documents lie one after the other: a run is what one document has of one row.

    offsets
        (N + 1,): where each begins, and where the last one ends.
    row, first
        (N,): its row, and whether it begins it.
    last
        (B,): each row's last.
    """

    offsets: Any
    row: Any
    first: Any
    last: Any

    @classmethod
    def of(cls, documents: Any) -> "Runs":
        length = documents.shape[1]
        starts = torch.ones_like(documents, dtype=torch.bool)
        starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
        begin = starts.flatten().nonzero()[:, 0]
        offsets = torch.cat([begin, begin.new_tensor([documents.numel()])])
        return cls(offsets, begin // length, begin % length == 0, starts.sum(dim=1).cumsum(0) - 1)


Run = Callable[..., tuple[Any, Any]]
"""A kernel as a recurrence of a call: its context, then the inputs of the mixer's own form."""


def chosen(name: str, own: Recurrence, builder: Builder, key_size: int, value_size: int) -> Run | None:
    """The kernel for the mechanism ``name`` of a module that is being built; None where its ``own`` form is to run."""
    policy, device = builder.policy, builder.device
    if policy.attention != "auto" or device.type not in DEVICES or policy.compute not in DTYPES:
        return None
    kernel = _passed(name, own, device, policy.compute, key_size, value_size)
    if kernel is None:
        return None

    def of_call(ctx: Any, *inputs: Any) -> tuple[Any, Any]:
        runs = None if ctx.plain else ctx.once("runs of documents", lambda: Runs.of(ctx.documents))
        return run(kernel, runs, ctx.dtype, *inputs)

    return torch.compiler.disable(of_call)  # here, since it imports for seconds


def parallel(kernel: Run | None, own: Recurrence, ctx: Any) -> Recurrence:
    """The recurrence of a call."""
    return own if kernel is None else functools.partial(kernel, ctx)


def run(kernel: Kernel, runs: Runs | None, dtype: torch.dtype, *inputs: Any) -> tuple[Any, Any]:
    """Outputs (B, T, H, V) and the last memory (B, H, V, K), as the mixers' own forms give them from ``inputs``.

    Without ``runs`` every row is one document.
    """
    *arrays, same, memory = inputs
    memory = torch.where(same[:, :1, None, None], memory, 0)
    if runs is None:
        o, last = kernel(*arrays, dtype=dtype, initial_state=memory.mT.contiguous())
        return o.to(memory.dtype), last.mT
    begin = torch.where(runs.first[:, None, None, None], memory[runs.row], 0).mT.contiguous()
    flat = (a.flatten(0, 1)[None] for a in arrays)
    o, last = kernel(*flat, dtype=dtype, initial_state=begin, cu_seqlens=runs.offsets)
    return o[0].unflatten(0, same.shape).to(memory.dtype), last[runs.last].mT


# --- the test ------------------------------------------------------------------------------------------


@functools.cache
def _passed(
    name: str, own: Recurrence, device: torch.device, compute: str, key_size: int, value_size: int
) -> Kernel | None:
    """The kernel, if it is there and does what ``own`` does; tried once a process."""
    kernel = KERNELS[name]
    try:
        importlib.import_module("fla")
    except ModuleNotFoundError:
        return None
    try:
        wrong = _worst(kernel, own, device, compute, key_size, value_size)
    except Exception as error:  # whatever a compiler or a driver may raise
        wrong = f"raises {type(error).__name__}: {error}"
    if not wrong:
        return kernel
    warnings.warn(f"{kernel.module}.{kernel.function} {wrong}; archlab computes the {name} by itself", stacklevel=2)
    return None


def _worst(kernel: Kernel, own: Recurrence, device: torch.device, compute: str, key_size: int, value_size: int) -> str:
    """What is wrong with a kernel; nothing if it is right."""
    dtype = getattr(torch, compute)
    unit = torch.finfo(dtype).eps / 2
    documents = torch.ones(2, 100, dtype=torch.int64, device=device)
    documents[1, 37:] = 2
    for runs, rows in ((None, documents[:1].expand(2, -1)), (Runs.of(documents), documents)):
        same = torch.ones_like(rows, dtype=torch.bool)
        same[:, 1:] = rows[:, 1:] == rows[:, :-1]
        arrays = _draws(kernel, key_size, value_size, device, dtype)
        moved = {n: a * (1 + unit * torch.empty_like(a).uniform_(-1, 1)) for n, a in arrays.items()}
        truth, near = (_results(own, table, same) for table in (arrays, moved))
        got = _results(functools.partial(run, kernel, runs, dtype), arrays, same)
        for what, value in truth.items():
            limit = MULTIPLE * max(unit, _distance(near[what], value))
            error = _distance(got[what], value)
            if not error <= limit:
                return f"is off by {error:.1e} in {what}, more than {limit:.1e}"
    return ""


def _draws(kernel: Kernel, key_size: int, value_size: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments by name, and the first "memory", as mixers make them, rounded to ``dtype``."""
    source = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Any:
        return torch.randn(2, *shape, generator=source, device=device)

    keys = normal(100, 2, key_size)
    unit = torch.nn.functional.normalize(normal(100, 2, key_size), dim=-1)
    table: dict[str, Callable[[], Any]] = {
        "q": lambda: normal(100, 2, key_size) / key_size**0.5,
        "r": lambda: normal(100, 2, key_size) / key_size**0.5,
        "k": lambda: torch.nn.functional.normalize(keys, dim=-1),
        "v": lambda: normal(100, 2, value_size),
        "beta": lambda: torch.sigmoid(normal(100, 2)),
        "g": lambda: torch.nn.functional.logsigmoid(normal(100, 2) + 3),
        "w": lambda: -0.6 * torch.sigmoid(normal(100, 2, key_size)),
        "a": lambda: unit,
        "b": lambda: unit * torch.sigmoid(normal(100, 2, key_size)),
    }
    drawn = {name: table[name]() for name in kernel.names if name} | {"memory": normal(2, value_size, key_size)}
    drawn |= {"": torch.zeros(2, 100, 2, device=device)} if None in kernel.names else {}
    order = [*(name or "" for name in kernel.names), "memory"]
    return {name: drawn[name].to(dtype).float() for name in order}


def _results(recurrence: Recurrence, arrays: Mapping[str, Any], same: Any) -> dict[str, Any]:
    """The output, the last memory, and the gradients of a random product with both, by name."""
    with torch.enable_grad():
        leaves = {name: array.clone().requires_grad_() for name, array in arrays.items()}
        *inputs, memory = leaves.values()
        o, last = recurrence(*inputs, same, memory)
        source = torch.Generator(o.device).manual_seed(1)
        slopes = [torch.randn(a.shape, generator=source, device=o.device) for a in (o, last)]
        wanted = {name: leaf for name, leaf in leaves.items() if name}
        grads = torch.autograd.grad((o, last), list(wanted.values()), slopes)
    found = {f"the gradient of {name}": grad for name, grad in zip(wanted, grads, strict=True)}
    return {"its output": o.detach(), "its last memory": last.detach()} | found


def _distance(value: Any, truth: Any) -> float:
    """‖value − truth‖ / ‖truth‖."""
    return float(torch.linalg.vector_norm(value.float() - truth.float()) / torch.linalg.vector_norm(truth.float()))
