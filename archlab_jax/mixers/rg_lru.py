"""The real-gated linear recurrent unit by an associative scan."""

from typing import Any

import jax

from archlab.mixers import rg_lru as specs
from archlab.spec import updated
from archlab_jax.module import Module, View, natives


@natives.register(specs.RGLRU)
class RGLRU(Module):
    """h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ i_t ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec, m = self.spec, View(self)
        keep, add, hidden, segments, state = spec.project(m, x, ctx, state)
        add = add.at[:, 0].add(keep[:, 0] * hidden)
        _, h = jax.lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (keep, add), axis=1)
        return spec.read(m, h, x, ctx), updated(state, hidden=h[:, -1], segment=segments[:, -1])
