"""Which linear maps ``policy.matmul=float8`` computes in float8, and how values are scaled into it.

Each tensor is multiplied by the largest power of two that keeps it within the format, rounded, and the product divided
by both scales: x and W in e4m3, the gradient of y in e5m2. Sums are made in float32 (https://arxiv.org/abs/2209.05433;
scales from the tensor itself, as torchao's dynamic tensorwise recipe has them). A power of two changes no digit, so
that what is multiplied is the same everywhere, whether a device has such products or computes them in a wider dtype.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.layers import Linear
    from archlab.policy import Policy

FORWARD, BACKWARD = "float8_e4m3fn", "float8_e5m2"
LARGEST: dict[str, float] = {FORWARD: 448.0, BACKWARD: 57344.0}
SMALLEST = 2.0**-100  # a tensor of zeros has no scale of its own
MULTIPLE = 16  # what hardware asks of the sides of such products
CAPABILITY = (8, 9)  # of NVIDIA GPUs: Ada and Hopper are the first that have them
EXACT = ("V", "E")  # maps onto the vocabulary, to experts or from them stay: they choose


def takes(policy: "Policy", linear: "Linear", width: int) -> bool:
    """Whether ``linear`` of ``width`` inputs is computed in float8."""
    sides = (width, linear.features)
    return (
        policy.matmul == "float8"
        and policy.weights == "float"
        and all(side % MULTIPLE == 0 for side in sides)
        and not any(axis.startswith(EXACT) for axis in linear.axes.split())
    )


def missing(device: str) -> str:
    """What to say where a device has no such products."""
    return (
        f"policy.matmul=float8: {device} has no float8 products (NVIDIA GPUs have them from compute capability "
        f"{'.'.join(map(str, CAPABILITY))} on); set policy.matmul=default"
    )
