"""Linear recurrences in log T steps."""

from typing import Any

import torch


def linear_scan(keep: Any, add: Any, start: Any) -> Any:
    """h_t = keep_t ⊙ h_{t−1} + add_t along axis 1 of (B, T, …), from ``start`` (B, …).

    In step s = 1, 2, 4, … every token takes in what the s tokens before it have gathered. (PyTorch's associative scan
    is private, a prototype.)
    """
    add = torch.cat([add[:, :1] + (keep[:, 0] * start)[:, None], add[:, 1:]], dim=1)
    step = 1
    while step < keep.shape[1]:
        add = torch.cat([add[:, :step], keep[:, step:] * add[:, :-step] + add[:, step:]], dim=1)
        keep = torch.cat([keep[:, :step], keep[:, step:] * keep[:, :-step]], dim=1)
        step *= 2
    return add
