"""Update rules: the written equation, or PyTorch's fused kernels where they compute the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from array_api_compat import torch as xp

from archlab.natives import Natives
from archlab.optim.optimizer import Optimizer, Treatment, by_rule, picked, together
from archlab_torch.module import Slot


@dataclass(frozen=True, kw_only=True)
class Treated:
    """A parameter in its place, and the factors of its learning rate and its weight decay."""

    slot: Slot
    rate: float
    decay: float


rules = Natives("torch")
"""Which class is the native form of which optimiser."""


def rule(spec: Optimizer, params: list[Treated]) -> Any:
    """The update rule of ``spec`` on some parameters: its native form, or its definition."""
    return (rules.find(spec) or Definition)(spec, params)


def rule_of_all(treatments: Mapping[str, Treatment], slots: list[Slot], rule: Any = rule) -> Any:
    """The update rule of the parameters in ``slots``: for each rule among their treatments, what ``rule`` makes it."""
    found = [treatments[slot.path] for slot in slots]
    params = [Treated(slot=s, rate=how.rate, decay=how.decay) for s, how in zip(slots, found, strict=True)]
    rules = [(rule(spec, [params[i] for i in indices]), indices) for spec, indices in by_rule(h.rule for h in found)]
    return rules[0][0] if len(rules) == 1 else Apart(rules)


class Apart:
    """Several rules, each on the parameters at some indices."""

    def __init__(self, rules: list[tuple[Any, list[int]]]) -> None:
        self.rules, self.count = rules, sum(len(indices) for _, indices in rules)

    def update(self, rate: float) -> None:
        for rule, _ in self.rules:
            rule.update(rate)

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        parts = [rule.export() for rule, _ in self.rules]
        slots = [(indices, found) for (_, indices), (_, found) in zip(self.rules, parts, strict=True)]
        return parts[0][0], together(self.count, slots)

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        for rule, indices in self.rules:
            rule.restore(step, picked(indices, slots))


class Definition:
    """The optimiser's own :meth:`~archlab.optim.optimizer.Optimizer.update` on every parameter, in canonical layout."""

    def __init__(self, spec: Optimizer, params: list[Treated]) -> None:
        self.spec, self.params, self.step = spec, params, 0
        self.state = [
            {name: p.slot.tensor.new_zeros(shape) for name, shape in spec.slots(p.slot.param.shape).items()}
            for p in params
        ]

    @torch.no_grad()
    def update(self, rate: float) -> None:
        """One update from the parameters' gradients."""
        self.step += 1
        for param, state in zip(self.params, self.state, strict=True):
            slot = param.slot
            p, g = slot.view(slot.tensor), slot.view(slot.tensor.grad)
            new, kept = self.spec.update(xp, p, g, state, rate * param.rate, self.step, param.decay)
            p.copy_(new)
            for name, array in kept.items():
                state[name].copy_(array)

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        """(number of updates, slots by name in canonical layout, None where a parameter has no such slot)."""
        names = dict.fromkeys(name for own in self.state for name in own)
        return self.step, {name: [own.get(name) for own in self.state] for name in names}

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        """Replace the state's contents."""
        self.step = step
        for i, own in enumerate(self.state):
            for name, tensor in own.items():
                tensor.copy_(slots[name][i])


class Kept:
    """What native rules share: arrays of each parameter's own shape and layout by slot name, and the step counted."""

    def __init__(self, params: list[Treated], *names: str) -> None:
        self.params, self.step = params, 0
        self.tensors: list[torch.Tensor] = [p.slot.tensor for p in params]
        self.state = {name: [torch.zeros_like(tensor) for tensor in self.tensors] for name in names}

    @property
    def grads(self) -> list[Any]:
        return [tensor.grad for tensor in self.tensors]

    def shrink(self, rate: float, weight_decay: float) -> None:
        """p ← p − rate · weight_decay · p, with each parameter's own factors."""
        factors = [1.0 - rate * p.rate * p.decay * weight_decay for p in self.params]
        torch._foreach_mul_(self.tensors, factors)

    def move(self, steps: Any, rate: float) -> None:
        """p ← p − rate · step, with each parameter's own factor."""
        torch._foreach_mul_(steps, [-rate * p.rate for p in self.params])
        torch._foreach_add_(self.tensors, steps)

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        return self.step, {
            name: [p.slot.view(tensor) for p, tensor in zip(self.params, tensors, strict=True)]
            for name, tensors in self.state.items()
        }

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        self.step = step
        for name, tensors in self.state.items():
            for param, tensor, value in zip(self.params, tensors, slots[name], strict=True):
                param.slot.view(tensor).copy_(value)


def is_split(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies on several processes."""
    return hasattr(tensor, "to_local")


def groups(params: list[Treated], weight_decay: float) -> list[dict[str, Any]]:
    """PyTorch's parameter groups: parameters of equal factors together, each group with its "factor" of the rate."""
    return [
        {"params": [params[i].slot.tensor for i in indices], "weight_decay": decay * weight_decay, "factor": rate}
        for (rate, decay), indices in alike(params).items()
    ]


def alike(params: list[Treated]) -> dict[tuple[float, float], list[int]]:
    """The indices of parameters with equal factors, by their factors of the rate and of decay."""
    found: dict[tuple[float, float], list[int]] = {}
    for i, p in enumerate(params):
        found.setdefault((p.rate, p.decay), []).append(i)
    return found


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group of :func:`groups` its learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
