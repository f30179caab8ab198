"""Linear recurrences h_t = keep_t ⊙ h_{t−1} + add_t: in log T steps on an accelerator, token by token on a CPU.

A CPU has no lanes to fill: a loop reads every number once, where log T steps read all of them as often. Its derivative
is a loop too, from the last token to the first, behind an operator that compilers leave alone.
"""

from typing import Any

import torch


def linear_scan(keep: Any, add: Any, start: Any) -> Any:
    """h_t along axis 1 of (B, T, …), from ``start`` (B, …)."""
    return by_doubling(keep, add, start) if keep.is_cuda else by_tokens(keep, add, start)


def by_doubling(keep: Any, add: Any, start: Any) -> Any:
    """In step s = 1, 2, 4, … every token takes in what the s tokens before it have gathered. (PyTorch's associative
    scan is private, a prototype.)
    """
    add = torch.cat([add[:, :1] + (keep[:, 0] * start)[:, None], add[:, 1:]], dim=1)
    step = 1
    while step < keep.shape[1]:
        add = torch.cat([add[:, :step], keep[:, step:] * add[:, :-step] + add[:, step:]], dim=1)
        keep = torch.cat([keep[:, :step], keep[:, step:] * keep[:, :-step]], dim=1)
        step *= 2
    return add


@torch.library.custom_op("archlab::linear_scan", mutates_args=())
def by_tokens(keep: torch.Tensor, add: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """One token after the other."""
    h = torch.empty_like(add)
    for t in range(add.shape[1]):
        start = torch.addcmul(add[:, t], keep[:, t], start, out=h[:, t])
    return h


@torch.library.custom_op("archlab::linear_scan_back", mutates_args=())
def backwards(keep: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """d_t = grad_t + keep_{t+1} ⊙ d_{t+1}, from the last token, where d = grad."""
    d = torch.empty_like(grad)
    after = d[:, -1].copy_(grad[:, -1])
    for t in range(grad.shape[1] - 2, -1, -1):
        after = torch.addcmul(grad[:, t], keep[:, t + 1], after, out=d[:, t])
    return d


@by_tokens.register_fake
def _(keep: torch.Tensor, add: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(add)


@backwards.register_fake
def _(keep: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(grad)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[2], output)


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, Any, Any]:
    keep, start, h = ctx.saved_tensors
    d = backwards(keep, grad)
    before = torch.cat([start[:, None], h[:, :-1]], dim=1)
    return d * before, d, keep[:, 0] * d[:, 0]


by_tokens.register_autograd(_backward, setup_context=_keep)
