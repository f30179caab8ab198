"""What named accelerators can do at most, as their makers publish it."""

import re
from dataclasses import dataclass

from archlab.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Dense matrix products of one chip in TFLOP/s, by precision; None where its maker names no figure.

    Where a data sheet gives figures "with sparsity", these are half of them.
    """

    name: str
    float8: float | None
    bfloat16: float
    tf32: float | None
    float32: float | None
    source: str


_A100 = "https://www.nvidia.com/en-us/data-center/a100/"
_H100 = "https://www.nvidia.com/en-us/data-center/h100/"
_H200 = "https://www.nvidia.com/en-us/data-center/h200/"
_L4, _L40S = "https://www.nvidia.com/en-us/data-center/l4/", "https://www.nvidia.com/en-us/data-center/l40s/"
_HGX = "https://www.nvidia.com/en-us/data-center/hgx/"
_TPU = "https://cloud.google.com/tpu/docs/"

# The names are those by which CUDA and JAX call a device, whole: a slice of one (MIG) has another and does less.
KNOWN: dict[str, Peaks] = {
    r"NVIDIA A100-(SXM4|PCIE)-(40|80)GB|NVIDIA A100 80GB PCIe": Peaks(
        name="A100", float8=None, bfloat16=312, tf32=156, float32=19.5, source=_A100
    ),
    r"NVIDIA H100 80GB HBM3": Peaks(name="H100 SXM", float8=1979, bfloat16=989.5, tf32=494.5, float32=67, source=_H100),
    r"NVIDIA H100 PCIe": Peaks(name="H100 PCIe", float8=1513, bfloat16=756.5, tf32=378, float32=51, source=_H100),
    r"NVIDIA H200": Peaks(name="H200 SXM", float8=1979, bfloat16=989.5, tf32=494.5, float32=67, source=_H200),
    r"NVIDIA B200": Peaks(name="B200", float8=4500, bfloat16=2250, tf32=1100, float32=75, source=_HGX),
    r"NVIDIA L4": Peaks(name="L4", float8=242.5, bfloat16=121, tf32=60, float32=30.3, source=_L4),
    r"NVIDIA L40S": Peaks(name="L40S", float8=733, bfloat16=362, tf32=183, float32=91.6, source=_L40S),
    r"TPU v4": Peaks(name="TPU v4", float8=None, bfloat16=275, tf32=None, float32=None, source=_TPU + "v4"),
    r"TPU v5( lite|e)": Peaks(name="TPU v5e", float8=None, bfloat16=197, tf32=None, float32=None, source=_TPU + "v5e"),
    r"TPU v5p?": Peaks(name="TPU v5p", float8=None, bfloat16=459, tf32=None, float32=None, source=_TPU + "v5p"),
    r"TPU v6( lite|e)": Peaks(name="TPU v6e", float8=None, bfloat16=918, tf32=None, float32=None, source=_TPU + "v6e"),
}


def find(device: str) -> Peaks | None:
    """The peaks of the device that its framework calls ``device``; None where they are not known."""
    return next((peaks for pattern, peaks in KNOWN.items() if re.fullmatch(pattern, device)), None)


def peak_flops(device: str, policy: Policy) -> float | None:
    """FLOP/s of all devices of a policy in the precision of its matrix products; None where that is not known."""
    peaks = find(device)
    if peaks is None or policy.device == "cpu":
        return None
    peak: float | None
    if policy.matmul == "float8":
        peak = peaks.float8
    elif policy.compute in ("bfloat16", "float16"):
        peak = peaks.bfloat16  # all of these do both at one speed, or do not name the other
    elif policy.compute == "float32":
        peak = peaks.float32 if policy.matmul == "highest" else peaks.tf32
    else:
        peak = None
    return None if peak is None else 1e12 * peak * policy.mesh.size
