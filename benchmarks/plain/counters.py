"""What a program computes and moves, read off it and not timed: the same number on every machine and every day.

Of JAX it is the compiler's own analysis. Of PyTorch, which has no compiled program, it is every operation that reaches
the dispatcher: FLOPs of the products by PyTorch's own counter, and as bytes what each operation reads and writes. Views
cost nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Count:
    """FLOPs and bytes of a program, and how many operations it is where they are called one by one."""

    flops: float
    bytes: float
    calls: int = 0


def of_xla(lowered: Any, compiled: Any) -> Count:
    """Of a JAX program: the FLOPs that it asks for, and the bytes that its compiled form moves.

    FLOPs of the compiled form would count what fusions work out twice to spare memory, bytes of the other one
    arrays that no compiler would store.
    """
    return Count(flops=lowered.cost_analysis()["flops"], bytes=compiled.cost_analysis()["bytes accessed"])


def of_torch(run: Callable[[], Any]) -> Count:
    """Of what ``run`` does in PyTorch."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    moved: list[int] = []

    class Bytes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            moved.append(traffic(func, args, kwargs or {}, out))
            return out

    products = FlopCounterMode(display=False, custom_mapping=_formulas(torch))
    with Bytes(), products:
        run()
    return Count(flops=products.get_total_flops(), bytes=sum(moved), calls=len(moved))


MADE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
FREE = (*MADE, "_unsafe_view", "lift_fresh", "detach")
"""Operations whose schema does not say that they touch no data."""


def traffic(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """Bytes that an operation reads and writes; what it changes in place it does both to."""
    name = func.overloadpacket.__name__
    if name in FREE or func.is_view:
        return 0
    schema = func._schema.arguments
    given = dict(zip((a.name for a in schema), args, strict=False)) | kwargs
    written = [given.get(a.name) for a in schema if a.alias_info is not None and a.alias_info.is_write]
    changed = {id(t) for t in _tensors(written)}
    read = sum(_size(t) for t in _tensors(list(given.values())))
    return (
        read + sum(_size(t) for t in _tensors(written)) + sum(_size(t) for t in _tensors(out) if id(t) not in changed)
    )


def _tensors(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for one in tree:
            yield from _tensors(one)
    elif hasattr(tree, "untyped_storage"):
        yield tree


def _size(tensor: Any) -> int:
    """Bytes of the different elements of a tensor: an expanded axis holds one."""
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= length if stride else min(length, 1)
    return count * tensor.element_size()


def _formulas(torch: Any) -> dict[Any, Callable[..., int]]:
    """FLOPs of operations that PyTorch's counter does not know: its attention on CPUs, and oneDNN's linear map."""
    from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

    aten, mkldnn = torch.ops.aten, torch.ops.mkldnn

    def forward(q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_flop_count(q, k, v)

    def backward(grad: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_backward_flop_count(grad, q, k, v)

    def linear(x: Any, weight: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        rows = 1
        for length in x[:-1]:
            rows *= length
        return 2 * rows * x[-1] * weight[0]

    table = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    if hasattr(mkldnn, "_linear_pointwise"):
        table[mkldnn._linear_pointwise] = linear
    return table
