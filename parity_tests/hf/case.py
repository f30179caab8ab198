"""What a case of a family is, and the model of transformers that it makes."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any
from unittest import mock

import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tiny model of a family, with some of what its config can say.

    config
        Fields for transformers' own config class.
    architecture
        A class of transformers; None for the family's usual one.
    length, batch
        Of the tokens it is tried on: longer than any window.
    inexact
        Why the gate is not held to the letter for a measure ("logits", "gradient", "generation", "left padding", …), by
        measure; shown in the table.
    prepare
        What is done to a new model of transformers before it gets its weights, where no config says it: (module).
    """

    name: str
    config: dict[str, Any]
    architecture: str | None = None
    length: int = 24
    batch: int = 2
    inexact: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Any], None] | None = None

    def new(self, model_type: str, architecture: str) -> Any:
        """A model of transformers with the weights that its class begins with."""
        import transformers

        config = transformers.AutoConfig.for_model(model_type, **self.config)
        config._attn_implementation = "eager"
        config._experts_implementation = "eager"
        module = getattr(transformers, architecture)(config).eval()
        if self.prepare:
            self.prepare(module)
        return module


def cases(model_type: str) -> tuple[Case, ...]:
    """Those of a family."""
    return importlib.import_module(f"parity_tests.hf.cases.{model_type}").CASES


@contextmanager
def lifted() -> Iterator[None]:
    """transformers as float64 throughout.

    Its code names float32 where it wants more than bfloat16: in norms, softmaxes, frequencies and states. Whatever it
    calls float32 is float64 in here, so that its float64 is one.
    """
    double, single = torch.float64, torch.float32
    with (
        lifted_defaults(single, double),
        mock.patch.object(torch, "float32", double),
        mock.patch.object(torch, "float", double),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        before = torch.get_default_dtype()
        torch.set_default_dtype(double)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def lifted_defaults(single: Any, double: Any) -> Iterator[None]:
    """The same for arguments' defaults in its models, which were read when they were defined."""
    found = [(each, each.__defaults__) for each in functions_of_models() if single in (each.__defaults__ or ())]
    for each, defaults in found:
        each.__defaults__ = tuple(double if value is single else value for value in defaults)
    try:
        yield
    finally:
        for each, defaults in found:
            each.__defaults__ = defaults


def functions_of_models() -> Iterator[Any]:
    """Functions and methods of those models of transformers that are loaded."""
    modules = [module for name, module in sys.modules.items() if name.startswith("transformers.models.")]
    for module in modules:
        owners = [module, *(item for item in vars(module).values() if isinstance(item, type))]
        for owner in owners:
            yield from (item for item in vars(owner).values() if isinstance(item, FunctionType))


def their_model(model_type: str, case: Case, architecture: str, seed: int = 0) -> Any:
    """The model of transformers in float32, evaluation mode, every parameter moved away from special values."""
    torch.manual_seed(seed)
    module = case.new(model_type, architecture)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * (0.8 / parameter.shape[-1] ** 0.5))
            else:
                parameter.add_(0.2 * noise)
        for buffer in saved_buffers(model_type, module).values():
            buffer.add_(0.2 * torch.randn(buffer.shape, generator=generator))
    return module


def saved_buffers(model_type: str, module: Any) -> dict[str, torch.Tensor]:
    """What is saved of a model beside its parameters and is weights of ours: what training moves without a gradient."""
    from archlab.hf.family import find

    skipped, learned = find(model_type).ignored, dict(module.named_parameters(remove_duplicate=False))
    return {
        name: tensor
        for name, tensor in module.state_dict().items()
        if name not in learned
        and tensor.is_floating_point()
        and not any(re.fullmatch(pattern, name) for pattern in skipped)
    }


def their_double(model_type: str, case: Case, architecture: str, module: Any) -> Any:
    """The same model in float64, its tables too; use it under :func:`lifted`."""
    with lifted():
        double = case.new(model_type, architecture).double()
        double.load_state_dict({name: tensor.double() for name, tensor in module.state_dict().items()}, strict=False)
        double.tie_weights(recompute_mapping=False)
    return double


def arrays(state: dict[str, Any]) -> dict[str, np.ndarray]:
    """Tensors as NumPy."""
    return {name: tensor.detach().numpy() for name, tensor in state.items()}
