"""Products with kernels that are held as integers and scales (see :mod:`archlab.quantization`).

In bfloat16 PyTorch has kernels that widen the integers in registers: on CPUs for both forms, on NVIDIA GPUs for 4 bits.
Elsewhere a kernel is widened as a whole, one at a time, and multiplied; compilers fuse the two. (The one that GPUs have
for 8 bits reads memory column by column and is left out.)
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from archlab.quantization import Format, Quantized, quantize
from archlab_torch.kernels.linear import linear, sums_rows
from archlab_torch.module import from_numpy

MOST = 16
"""Rows up to which the kernel of CPUs for 8 bits is faster than to widen and multiply."""
TILE = 16
"""Inputs that it reads at a time, from aligned memory, without a look at whether they are there."""


class Held(nn.Module):
    """A kernel in integers: x (…, D) → x W (…, F)."""

    def forward(self, x: Any) -> Any:
        return linear(x, self.wide(x.dtype))

    def wide(self, dtype: torch.dtype) -> Any:
        """Wᵀ (F, D)."""
        raise NotImplementedError


class Int8(Held):
    """``codes`` (F, D) and ``scales`` (F)."""

    codes: torch.Tensor
    scales: torch.Tensor

    def __init__(self, found: Quantized, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("codes", _tensor(found.codes.T, device))
        self.register_buffer("scales", _tensor(found.scales[0], device))

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        few = len(rows) <= MOST and rows.shape[1] % TILE == 0 and not sums_rows(x.device, len(rows))
        if not few or x.dtype != torch.bfloat16 or x.device.type != "cpu":
            return super().forward(x)
        product = torch.ops.archlab.int8_product if torch.compiler.is_compiling() else _int8_product
        return product(rows, self.codes, self.scales).reshape(*x.shape[:-1], -1)

    def wide(self, dtype: torch.dtype) -> Any:
        return self.codes.to(dtype) * self.scales.to(dtype)[:, None]


_library = torch.library.Library("archlab", "FRAGMENT")
_library.define("int8_product(Tensor x, Tensor codes, Tensor scales) -> Tensor")


def _int8_product(x: Any, codes: Any, scales: Any) -> Any:
    """x (N, D) of any layout in memory, in bfloat16."""
    x = x.contiguous()
    x = x.clone() if x.data_ptr() % (2 * TILE) else x
    return torch._weight_int8pack_mm(x, codes, scales.to(x.dtype))


_library.impl("int8_product", _int8_product, "CPU")


@torch.library.register_fake("archlab::int8_product", lib=_library)
def _shape(x: Any, codes: Any, scales: Any) -> Any:
    return x.new_empty(len(x), len(codes))


class Int4(Held):
    """``pairs`` (F, groups, J) of a group's first J inputs in their upper and its last J in their lower bits.

    ``scales`` (F, groups). Halves beside each other rather than neighbours: each is read as a vector.
    """

    pairs: torch.Tensor
    scales: torch.Tensor

    def __init__(self, found: Quantized, device: torch.device) -> None:
        super().__init__()
        first, last = np.split(found.codes.T.reshape(*found.scales.T.shape, -1), 2, axis=-1)
        self.register_buffer("pairs", _tensor((first << 4) | (last & 15), device))
        self.register_buffer("scales", _tensor(found.scales.T, device))

    def forward(self, x: Any) -> Any:
        if not sums_rows(x.device, x.numel() // x.shape[-1]):
            return super().forward(x)
        upper, lower = x.reshape(self.pairs.shape[1], 2, -1).unbind(1)  # where the compiler would first unpack all
        first, last = self.halves(x.dtype)
        return (
            ((first * upper + last * lower) * self.scales[..., None]).sum((-1, -2)).to(x.dtype).view(*x.shape[:-1], -1)
        )

    def halves(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """The codes (F, groups, J) of the first and the last inputs of each group."""
        return (self.pairs >> 4).to(dtype), ((self.pairs << 4) >> 4).to(dtype)

    def wide(self, dtype: torch.dtype) -> Any:
        grouped = torch.stack(self.halves(dtype), dim=2) * self.scales.to(dtype)[..., None, None]
        return grouped.view(len(self.pairs), -1)


class Packed4(Held):
    """4 bits in the layout of the device's kernel, which multiplies in bfloat16; beside each scale stands 0."""

    codes: torch.Tensor
    scales: torch.Tensor

    def __init__(self, found: Quantized, device: torch.device) -> None:
        super().__init__()
        codes, scales = (found.codes.T + 8).astype(np.uint8), _tensor(found.scales, device).bfloat16()
        groups, self.features = scales.shape
        self.group = codes.shape[1] // groups
        if device.type == "cpu":
            self.product = torch.ops.aten._weight_int4pack_mm_for_cpu
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(_tensor(codes.astype(np.int32), device), 1)
        else:
            self.product = torch.ops.aten._weight_int4pack_mm
            pairs = _tensor((codes[:, 0::2] << 4) | codes[:, 1::2], device)
            packed = torch.ops.aten._convert_weight_to_int4pack(pairs, _tiles(codes.shape[1]))
        self.register_buffer("codes", packed)
        self.register_buffer("scales", torch.stack([scales, torch.zeros_like(scales)], dim=-1).contiguous())

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1]).bfloat16().contiguous()
        y = self.product(rows, self.codes, self.group, self.scales)
        return y.to(x.dtype).reshape(*x.shape[:-1], self.features)

    @staticmethod
    def takes(found: Quantized, device: torch.device) -> bool:
        """Whether there is a kernel for such sides on ``device``."""
        width, features = found.codes.shape
        if device.type == "cpu":
            return features % 16 == 0
        nvidia = device.type == "cuda" and torch.version.hip is None
        return nvidia and torch.cuda.get_device_capability(device) >= (8, 0) and features % 8 == 0 and width % 32 == 0


def held(kernel: np.ndarray, form: Format, device: torch.device, dtype: torch.dtype) -> Held:
    """A kernel (D, F) in ``form``, for inputs of ``dtype``."""
    found = quantize(kernel, form)
    if form.bits == 8:
        return Int8(found, device)
    return (Packed4 if dtype == torch.bfloat16 and Packed4.takes(found, device) else Int4)(found, device)


def _tiles(width: int) -> int:
    """How many tiles of 16 inputs a GPU's thread reads at a time: as many as divide the width."""
    return next(tiles for tiles in (8, 4, 2) if width % (16 * tiles) == 0)


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A copy in memory of PyTorch's own, which is aligned."""
    return from_numpy(np.ascontiguousarray(array)).to(device, copy=True)
