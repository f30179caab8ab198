"""Update rules: the written equation, or PyTorch's fused kernels where they compute the same."""

import functools
from typing import Any

import torch
from array_api_compat import torch as xp

from archlab.optim.optimizer import Optimizer, by_rule, picked, together
from archlab_torch.module import Slot


@functools.singledispatch
def rule(spec: Optimizer, slots: list[Slot]) -> Any:
    """The update rule of ``spec`` on the parameters in ``slots``."""
    return Definition(spec, slots)


def rule_of_all(spec: Optimizer, slots: list[Slot], rule: Any = rule) -> Any:
    """The update rule of all parameters: ``spec``'s ``rule``, but for those that have one of their own."""
    own, others = by_rule([slot.param for slot in slots])
    if not own:
        return rule(spec, slots)

    def of(indices: list[int], rule: Any) -> Any:
        return rule(spec, [slots[i] for i in indices])

    return Apart([(own, of(own, Definition)), (others, of(others, rule))])


class Apart:
    """Several rules, each on the parameters at some indices."""

    def __init__(self, rules: list[tuple[list[int], Any]]) -> None:
        self.rules, self.count = rules, sum(len(indices) for indices, _ in rules)

    def update(self, rate: float) -> None:
        for _, rule in self.rules:
            rule.update(rate)

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        parts = [rule.export() for _, rule in self.rules]
        slots = [(indices, found) for (indices, _), (_, found) in zip(self.rules, parts, strict=True)]
        return parts[0][0], together(self.count, slots)

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        for indices, rule in self.rules:
            rule.restore(step, picked(indices, slots))


class Definition:
    """The optimiser's own :meth:`~archlab.optim.optimizer.Optimizer.update` on every parameter, in canonical layout."""

    def __init__(self, spec: Optimizer, slots: list[Slot]) -> None:
        self.slots, self.step = slots, 0
        self.rules = [spec.rule_of(slot.param) for slot in slots]
        self.state = [
            {name: slot.tensor.new_zeros(shape) for name, shape in rule.slots(slot.param.shape).items()}
            for slot, rule in zip(slots, self.rules, strict=True)
        ]

    @torch.no_grad()
    def update(self, rate: float) -> None:
        """One update from the parameters' gradients."""
        self.step += 1
        for slot, rule, state in zip(self.slots, self.rules, self.state, strict=True):
            p, g = slot.view(slot.tensor), slot.view(slot.tensor.grad)
            new, kept = rule.update(xp, p, g, state, rate, self.step, rule.decays(slot.param))
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
