"""How far apart is too far: every tolerance of the parity battery, once, with its reason.

Float64 on a CPU takes rounding away as an excuse: its unit roundoff is 1.1e-16 and the examples sum a few
thousand terms at most, so two right implementations differ by 1e-15 to 1e-13 (measured), while the mildest
known difference of definition (an epsilon of 1e-6 for 1e-5, a tanh GELU for an erf one, a phase in float32)
moves an output by 1e-8 or more. The limits stand between the two.

Low precision has no absolute limit: an ill-conditioned case is off by more in every implementation. Its
error is held to a small multiple of the case's own noise floor, which is measured: see :func:`sensitivities`, and
:meth:`archlab.parity.bench.Bench.forward_floors` for what float32 adds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Forward pass, float64: max|a − b| / max|b|. Rounding reaches 1e-13, the mildest wrong definition 1e-8.
FORWARD = 1e-10

# Gradients, float64, see `gradient_error`: one backward pass more of rounding than FORWARD.
GRADIENT = 1e-9

# The gradient along a random direction against a central difference of the reference with four points. A step h
# cuts off h⁴ · f⁗' / 30 and rounds by about 1e-16 · |f| / h, and |f| may be 100 times ‖∇f‖: 1e-10 at h = 1e-4.
# Where a kink (of a ReLU) lies within the step, a shorter one steps past it, at 1e-8 and less rounding. A wrong
# gradient is off by 1e-3 or more at every step.
DIFFERENCE = 1e-7
DIFFERENCE_STEPS = (1e-4, 1e-5, 1e-6)

# Errors in low precision, in noise floors (see `sensitivities`). The floor moves each weight and input by one unit
# roundoff; a real computation also rounds what lies between. In bfloat16 sums are accumulated in float32, so that
# few roundings are left, and they add like a random walk: up to 1.7 floors measured. In float32 the sums round too, in
# another order in every framework and on every machine. The floor of an output holds the definition's own order: up to
# 2.2 floors measured. A weight's gradient is a sum over all tokens, for which there is no such order to go by: up to
# 5.7 floors measured where 2,048 tokens are summed, 1 to 4 elsewhere. What is wrong in precision (phases, softmax or a
# norm in bfloat16, products in TF32) is off by 100 floors and more.
FLOORS = {"float32": 4.0, "bfloat16": 3.0}
GRADIENT_FLOORS = {"float32": 6.0, "bfloat16": 3.0}
LIMITED = ("float64", *FLOORS)  # the dtypes that there are limits for, from the finest to the coarsest

# Losses of 20 training steps from equal weights and batches, relative. Each step adds some rounding, and Adam
# divides by √ν, which enlarges it while ν is small; float32 starts at 6e-8 and stays below 1e-5.
TRAINING = {"float64": 1e-9, "float32": 1e-5}

# Bit-equal: causality, leakage between documents, padding, weights in and out.
EXACT = 0.0

# Half the distance from 1 to the next number: the largest relative error of one rounding.
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}

Arrays = Mapping[str, np.ndarray]


def relative(value: Any, truth: Any) -> float:
    """max|value − truth| / max|truth|; infinite where the shapes differ or a value is not finite."""
    value, truth = np.asarray(value, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    return _against(value, truth, _size(truth))


def gradient_errors(value: Arrays, truth: Arrays, least: float = 0.01) -> dict[str, float]:
    """The error of each gradient; infinite for one that is missing on a side.

    It is relative to its own largest entry, but at least to ``least`` of the largest entry of all gradients:
    some gradients are zero in exact arithmetic (that of a key bias, for example) and hold only rounding of what
    they sum. In low precision that rounding is noise of the size of the largest gradient's, and ``least`` is 1.
    """
    smallest = least * max(_size(g) for g in truth.values())
    return {
        path: _against(value[path], truth[path], max(_size(truth[path]), smallest))
        if path in value and path in truth
        else np.inf
        for path in truth.keys() | value.keys()
    }


def gradient_error(value: Arrays, truth: Arrays, least: float = 0.01) -> tuple[float, str]:
    """The largest of :func:`gradient_errors`, and whose it is."""
    errors = gradient_errors(value, truth, least)
    worst = max(errors, key=lambda path: errors[path])
    return errors[worst], worst


def difference(value: Any, truth: Any) -> float:
    """max|value − truth|, 0 only if both are equal everywhere; infinite where a value is not finite."""
    return _against(np.asarray(value, np.float64), np.asarray(truth, np.float64), 1.0)


def _size(array: Any) -> float:
    return float(np.max(np.abs(np.asarray(array, dtype=np.float64)), initial=0.0))


def _against(value: Any, truth: Any, scale: float) -> float:
    value, truth = np.asarray(value, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if value.shape != truth.shape or not np.isfinite(value).all():
        return np.inf
    gap = _size(value - truth)
    return gap / scale if scale > 0 else (0.0 if gap == 0 else np.inf)


def sensitivities(errors_after: Callable[[int, float], Mapping[str, float]]) -> dict[str, float]:
    """By how much each result moves in relation to its weights and inputs.

    ``errors_after(seed, size)`` computes in float64 with every weight and input moved by a random relative amount
    of at most ``size``, and says how far each result moved. The largest of four draws counts.
    """
    size = 1e-6
    draws = [errors_after(seed, size) for seed in range(4)]
    return {name: max(draw[name] for draw in draws) / size for name in draws[0]}


def floor(sensitivity: float, dtype: str) -> float:
    """The error that a computation in ``dtype`` cannot avoid, because its inputs are known to one roundoff only."""
    return ROUNDOFF[dtype] * max(sensitivity, 1.0)
