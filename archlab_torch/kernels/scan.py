"""Linear recurrences in log T steps."""

from typing import Any

import torch.nn.functional as F


def linear_scan(keep: Any, add: Any) -> Any:
    """h_t = keep_t ⊙ h_{t−1} + add_t along axis 1 of (B, T, C), h_{−1} = 0.

    In step s = 1, 2, 4, … every token takes in what the s tokens before it have gathered. (PyTorch's associative scan
    is private, a prototype.)
    """
    step = 1
    while step < keep.shape[1]:
        before = F.pad(add[:, :-step], (0, 0, step, 0))
        kept = F.pad(keep[:, :-step], (0, 0, step, 0))
        add, keep = keep * before + add, keep * kept
        step *= 2
    return add
