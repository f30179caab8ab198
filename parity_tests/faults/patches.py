"""What a fault is, the models it is put into, and the kinds of patches."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import archlab_torch.activations as torch_activations
import archlab_torch.kernels.attention as torch_kernels
import archlab_torch.mixers.attention as torch_attention
from archlab.activations import GELUTanh
from archlab.importing import load_file
from archlab.model import LanguageModel, tiny_model
from archlab.norms import RMSNorm
from archlab.spec import Part
from archlab_torch.module import Builder

Patch = Callable[[pytest.MonkeyPatch], None]


models = load_file(Path(__file__).parents[1] / "small_models.py")
llama, gpt = functools.partial(models.llama, head_size=8), models.gpt  # so that 1/K is not 1/√D

GEMMA = llama().replace(norm=RMSNorm(epsilon=1e-5, unit_offset=True, cast="after"))
LLAMA, GPT, GPT_TANH, SQUARE = llama(), gpt(), gpt(GELUTanh()), tiny_model()
WIDE = llama(window=None)


@dataclass(frozen=True)
class Fault:
    """What is wrong, how, and in which model; what catches it (a stage of diff, or a law), and what diff calls it."""

    words: str
    inject: Patch
    model: LanguageModel
    by: str = "forward"
    named: str | None = None
    dtype: str = "float64"

    @property
    def name(self) -> str:
        return self.words.replace(" ", "-")


def built(kind: type, change: Callable[[Any], Any]) -> Patch:
    """PyTorch builds every part of ``kind`` from another spec."""

    def inject(patch: pytest.MonkeyPatch) -> None:
        right = Builder.module

        def module(self: Builder, part: Part, path: str) -> Any:
            if isinstance(part.spec, kind):
                part = Part(spec=change(part.spec), width=part.width)
            return right(self, part, path)

        patch.setattr(Builder, "module", module)

    return inject


def fields(kind: type, **changes: Any) -> Patch:
    return built(kind, lambda spec: spec.replace(**changes))


def function(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """``owner.name`` becomes ``make(what it was)``."""
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def forward(owner: type, change: Callable[..., Any]) -> Patch:
    """A module's forward becomes ``change(right, self, x, ctx, …)``."""
    return function(owner, "forward", lambda right: lambda self, *args: change(right, self, *args))


def activation(kind: type, by: Callable[[Any], Any]) -> Patch:
    table = torch_activations._FUNCTIONS
    return lambda patch: patch.setattr(torch_activations, "_FUNCTIONS", table | {kind: by})


def mask(change: Callable[..., Any]) -> Patch:
    """The mask that attention computes; the fast path for plain rows is taken from it, so that it is asked for."""

    def inject(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(torch_attention, "visible", change)
        right = torch_attention.Attention.forward
        asked = lambda self, x, ctx, state: right(self, x, ctx.replace(plain=False), state)  # noqa: E731
        patch.setattr(torch_attention.Attention, "forward", asked)

    return inject


def kernel(change: Callable[..., Any]) -> Patch:
    """The dense attention kernel becomes ``change(right, q, k, v, scale, mask, causal, bias, softcap, drop)``."""
    return function(torch_kernels, "_dense", lambda right: lambda *args: change(right, *args))
