"""Gradients against the slope of the reference."""

import functools
import zlib

import numpy as np

from archlab.parity import tolerances
from archlab.parity.bench import Bench
from archlab.parity.cases import cotangent


def slope_error(bench: Bench, variant: str, grads: dict[str, np.ndarray]) -> float:
    """|∇f · d − the slope of the reference along d| / ‖∇f‖ for a random d: ∇f · d is N(0, ‖∇f‖²)."""
    norm = float(np.sqrt(sum(np.sum(g * g) for g in grads.values())))
    direction = {p: cotangent(g.shape, bench.seed + zlib.crc32(p.encode())) for p, g in grads.items()}
    claimed = sum(float(np.sum(g * direction[p])) for p, g in grads.items())
    error = np.inf
    for size in tolerances.DIFFERENCE_STEPS:
        measured = bench.once(
            ("slope", variant, size, *direction), functools.partial(slope, bench, variant, direction, size)
        )
        error = min(error, abs(claimed - measured) / (norm or 1.0))
        if error <= tolerances.DIFFERENCE:
            break
    return error


def slope(bench: Bench, variant: str, direction: dict[str, np.ndarray], size: float) -> float:
    """The slope of Σ output · cotangent + auxiliary losses + drives along ``direction``, by four runs of the reference.

    What ``direction`` does not name stays as it is.
    """
    inputs = bench.variants[variant]
    start = dict(bench.weights) | ({"x": inputs["x"]} if "x" in direction else {})

    def value(steps: int) -> float:
        at = {p: a + steps * size * direction[p] if p in direction else a for p, a in start.items()}
        x = {"x": at.pop("x")} if "x" in at else {}
        result = bench.define(at, dict(inputs) | x)
        noted = sum(result.losses.values()) + sum(result.drives.values())
        return float(np.sum(result.output * bench.cotangent(variant)) + noted)

    return (8.0 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12.0 * size)
