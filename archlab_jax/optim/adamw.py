"""AdamW, from optax's own parts."""

from typing import Any

import jax.numpy as jnp
import optax

from archlab.optim import adamw as specs
from archlab.spec import Param
from archlab_jax.optim import rule


@rule.register(specs.AdamW)
class AdamW:
    """The update rule of :class:`archlab.optim.adamw.AdamW` on a list of leaves."""

    def __init__(self, spec: specs.AdamW, params: list[Param], stacked: list[bool]) -> None:
        self.rule = optax.chain(
            optax.scale_by_adam(b1=spec.beta1, b2=spec.beta2, eps=spec.epsilon),
            optax.add_decayed_weights(spec.weight_decay, mask=[spec.decays(param) for param in params]),
        )

    def initial(self, leaves: list[Any]) -> Any:
        return self.rule.init(leaves)

    def update(self, leaves: list[Any], grads: list[Any], state: Any, rate: Any) -> tuple[list[Any], Any]:
        updates, state = self.rule.update(grads, state, leaves)
        return [p - rate.astype(p.dtype) * u for p, u in zip(leaves, updates, strict=True)], state

    def export(self, state: Any) -> tuple[Any, dict[str, list[Any]]]:
        return state[0].count, {"mu": state[0].mu, "nu": state[0].nu}

    def restore(self, state: Any, step: int, slots: dict[str, list[Any]]) -> Any:
        adam = state[0]._replace(count=jnp.asarray(step, jnp.int32), mu=slots["mu"], nu=slots["nu"])
        return (adam, *state[1:])
