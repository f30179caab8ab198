"""How ``policy.weights`` holds the kernels of linear maps in a decoder: as small integers times scales.

A kernel W (D, F) is cut along D into groups. In each group's column, with codes from −m to m and a the largest |W|,

    s = a / m,   c = round(W / s),   and what is computed with is c · s.

``int8`` has m = 127 and one group, so that each output has one scale; ``int4`` has m = 7 and groups of 32 inputs. It is
the symmetric rounding of https://arxiv.org/abs/2208.07339 ("absmax") with the groups of https://arxiv.org/abs/2206.01861,
for weights alone: activations stay in ``policy.compute``. Decoding reads every weight for each token, and is at best as
fast as these are read.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.policy import Policy


@dataclass(frozen=True)
class Format:
    """Codes of ``bits`` bits, and a scale for every ``group`` inputs; for all of them where it is None."""

    bits: int
    group: int | None

    @property
    def largest(self) -> int:
        """The largest code; the smallest is its negative."""
        return 2 ** (self.bits - 1) - 1


FORMATS = {"int8": Format(8, None), "int4": Format(4, 32)}


@dataclass(frozen=True)
class Quantized:
    """W = ``codes`` (…, D, F) int8 times ``scales`` (…, groups, F) float32, each for D / groups rows."""

    codes: np.ndarray
    scales: np.ndarray

    def wide(self) -> np.ndarray:
        """W (…, D, F) in float64, without rounding."""
        *outer, groups, features = self.scales.shape
        grouped = self.codes.reshape(*outer, groups, -1, features) * self.scales[..., None, :].astype(np.float64)
        return grouped.reshape(self.codes.shape)


def format_of(policy: "Policy", linear: Any, width: int) -> Format | None:
    """How the kernel of ``linear``, an :class:`archlab.layers.Linear` of ``width`` inputs, is held; None for floats.

    Those stay that come from a low rank, which are small and which latent attention reads as matrices, those that
    choose experts, and those whose groups would not come out even.
    """
    form = FORMATS.get(policy.weights)
    kept = linear.axes.startswith("R") or "E" in linear.axes
    even = form is not None and (form.group is None or width % form.group == 0)
    return form if even and not kept else None


def quantize(kernel: np.ndarray, form: Format) -> Quantized:
    """The kernel (…, D, F) in ``form``. A group of zeros has the scale 0; one with a NaN or an infinity becomes NaN."""
    *outer, width, features = kernel.shape
    grouped = np.asarray(kernel, dtype=np.float32).reshape(*outer, -1, form.group or width, features)
    scales = np.abs(grouped).max(axis=-2) / np.float32(form.largest)
    usable = np.isfinite(scales) & (scales > 0)
    codes = np.where(usable[..., None, :], grouped, 0) / np.where(usable, scales, 1)[..., None, :]
    scales = np.where(np.isfinite(scales), scales, np.float32(np.nan))
    return Quantized(np.rint(codes).astype(np.int8).reshape(kernel.shape), scales)


def check_float(policy: "Policy") -> None:
    """Raise :class:`InputError` where weights are asked for in a form that only decoding and evaluation know."""
    if policy.weights != "float":
        raise InputError(
            f"policy.weights={policy.weights}: integers have no gradients and make no module, they are for decoders; "
            "set policy.weights=float"
        )
