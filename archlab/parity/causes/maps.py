"""Activations and norms done another way."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from archlab.activations import Activation, GELUErf, GELUSigmoid, GELUTanh, ReLU, SiLU, SquaredReLU
from archlab.config import type_name
from archlab.norms import LayerNorm, RMSNorm
from archlab.parity.causes import cause
from archlab.parity.trials import ForwardTrial, places, respecified

NORMS = (RMSNorm, LayerNorm)


@cause(ForwardTrial)
def another_activation(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """GELU by tanh for GELU by erf, SiLU for GELU, …"""
    for kind in (GELUErf, GELUTanh, GELUSigmoid, SiLU, ReLU, SquaredReLU):

        def swap(old: Any, kind: Any = kind) -> tuple[str, Any]:
            return f"{kind.__name__} in place of {type_name(type(old))}", kind()

        yield from respecified(trial, Activation, swap)


@cause(ForwardTrial)
def another_epsilon(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """The default of another library: Flax 1e-6, PyTorch 1e-5, BERT 1e-12."""
    for epsilon in (0.0, 1e-12, 1e-8, 1e-6, 1e-5, 1e-3):

        def swap(old: Any, epsilon: float = epsilon) -> tuple[str, Any]:
            return f"a norm's epsilon is {epsilon:g} in place of {old.epsilon:g}", old.replace(epsilon=epsilon)

        yield from respecified(trial, NORMS, swap)


@cause(ForwardTrial)
def another_norm(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """RMSNorm for LayerNorm and the other way round."""

    def swap(old: Any) -> tuple[str, Any] | None:
        if isinstance(old, LayerNorm):
            return ("RMSNorm in place of LayerNorm", RMSNorm(epsilon=old.epsilon)) if old.scale else None
        return "LayerNorm in place of RMSNorm", LayerNorm(epsilon=old.epsilon, bias=False)

    yield from respecified(trial, NORMS, swap)


@cause(ForwardTrial)
def unit_offset(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """The stored scale taken as an offset from 1, or not (Gemma)."""

    def swap(old: Any) -> tuple[str, Any]:
        factor = "the stored scale, without the 1" if old.unit_offset else "1 + the stored scale"
        return f"a norm multiplies by {factor}", old.replace(unit_offset=not old.unit_offset)

    yield from respecified(trial, RMSNorm, swap)


@cause(ForwardTrial)
def epsilon_outside_the_root(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """x / (√mean(x²) + ε) for x / √(mean(x²) + ε)."""

    def rms(self: RMSNorm, m: Any, x: Any, ctx: Any) -> Any:
        gain = 1.0 + m.scale if self.unit_offset else m.scale
        return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + self.epsilon) * gain

    def layer(self: LayerNorm, m: Any, x: Any, ctx: Any) -> Any:
        x = x - np.mean(x, axis=-1, keepdims=True)
        return affine(self, m, x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + self.epsilon))

    for kind, by in ((RMSNorm, rms), (LayerNorm, layer)):
        if any(places(trial.spec, kind)):
            yield trial.patched(f"{kind.__name__} adds epsilon outside the root", kind, "forward", by)


@cause(ForwardTrial)
def unbiased_variance(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """LayerNorm's variance divided by D − 1."""

    def layer(self: LayerNorm, m: Any, x: Any, ctx: Any) -> Any:
        x = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.sum(x * x, axis=-1, keepdims=True) / (x.shape[-1] - 1)
        return affine(self, m, x / np.sqrt(variance + self.epsilon))

    if any(places(trial.spec, LayerNorm)):
        yield trial.patched("LayerNorm divides its variance by D − 1 in place of D", LayerNorm, "forward", layer)


def affine(norm: LayerNorm, m: Any, y: Any) -> Any:
    """y · g + b, as far as the norm has them."""
    y = y * m.scale if norm.scale else y
    return y + m.bias if norm.bias else y
