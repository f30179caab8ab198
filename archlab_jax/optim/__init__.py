"""Update rules: the written equation under ``jit``, or optax where it computes the same."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from archlab.optim.optimizer import Optimizer, by_rule, picked, together
from archlab.spec import Param


@functools.singledispatch
def rule(spec: Optimizer, params: list[Param], stacked: list[bool]) -> Any:
    """The update rule of ``spec`` on a list of leaves, of which some are the parameters of several layers, stacked."""
    return Definition(spec, params, stacked)


def rule_of_all(spec: Optimizer, params: list[Param], stacked: list[bool], rule: Any = rule) -> Any:
    """The update rule of all leaves: ``spec``'s ``rule``, but for parameters that have one of their own."""
    own, others = by_rule(params)
    if not own:
        return rule(spec, params, stacked)

    def of(indices: list[int], rule: Any) -> Any:
        return rule(spec, [params[i] for i in indices], [stacked[i] for i in indices])

    return Apart([(own, of(own, Definition)), (others, of(others, rule))])


class Apart:
    """Several rules, each on the leaves at some indices."""

    def __init__(self, rules: list[tuple[list[int], Any]]) -> None:
        self.rules, self.count = rules, sum(len(indices) for indices, _ in rules)

    def initial(self, leaves: list[Any]) -> Any:
        return [rule.initial([leaves[i] for i in indices]) for indices, rule in self.rules]

    def update(self, leaves: list[Any], grads: list[Any], state: Any, rate: Any) -> tuple[list[Any], Any]:
        new, states = list(leaves), []
        for (indices, rule), own in zip(self.rules, state, strict=True):
            moved, own = rule.update([leaves[i] for i in indices], [grads[i] for i in indices], own, rate)
            states.append(own)
            for i, leaf in zip(indices, moved, strict=True):
                new[i] = leaf
        return new, states

    def export(self, state: Any) -> tuple[Any, dict[str, list[Any]]]:
        parts = [rule.export(own) for (_, rule), own in zip(self.rules, state, strict=True)]
        slots = [(indices, found) for (indices, _), (_, found) in zip(self.rules, parts, strict=True)]
        return parts[0][0], together(self.count, slots)

    def restore(self, state: Any, step: int, slots: dict[str, list[Any]]) -> Any:
        return [
            rule.restore(own, step, picked(indices, slots))
            for (indices, rule), own in zip(self.rules, state, strict=True)
        ]


class Definition:
    """The optimiser's own :meth:`~archlab.optim.optimizer.Optimizer.update` on every leaf, layer by layer."""

    def __init__(self, spec: Optimizer, params: list[Param], stacked: list[bool]) -> None:
        self.rules = [spec.rule_of(param) for param in params]
        self.params, self.stacked = params, stacked

    def initial(self, leaves: list[Any]) -> Any:
        slots = []
        for rule, param, leaf, stacked in zip(self.rules, self.params, leaves, self.stacked, strict=True):
            layers = leaf.shape[:1] if stacked else ()
            slots.append({name: jnp.zeros(layers + s, leaf.dtype) for name, s in rule.slots(param.shape).items()})
        return jnp.zeros((), jnp.int32), slots

    def update(self, leaves: list[Any], grads: list[Any], state: Any, rate: Any) -> tuple[list[Any], Any]:
        step, slots = state
        new, kept = [], []
        for i, (p, g, own) in enumerate(zip(leaves, grads, slots, strict=True)):
            one = functools.partial(self.one, i, rate.astype(p.dtype), step + 1)
            p, own = (jax.vmap(one) if self.stacked[i] else one)(p, g, own)
            new.append(p)
            kept.append(own)
        return new, (step + 1, kept)

    def one(self, i: int, rate: Any, t: Any, p: Any, g: Any, slots: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A parameter and its slots after an update."""
        rule = self.rules[i]
        p_new, slots = rule.update(jnp, p, g, slots, rate, t, rule.decays(self.params[i]))
        return p_new.astype(p.dtype), {name: a.astype(p.dtype) for name, a in slots.items()}

    def export(self, state: Any) -> tuple[Any, dict[str, list[Any]]]:
        """(number of updates, slots by name as lists of leaves, None where a parameter has no such slot)."""
        step, slots = state
        names = dict.fromkeys(name for own in slots for name in own)
        return step, {name: [own.get(name) for own in slots] for name in names}

    def restore(self, state: Any, step: int, slots: dict[str, list[Any]]) -> Any:
        """``state`` with its contents replaced."""
        filled = [{name: slots[name][i] for name in own} for i, own in enumerate(state[1])]
        return jnp.asarray(step, jnp.int32), filled
