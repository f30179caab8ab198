"""The real-gated linear recurrent unit by an associative scan."""

from typing import Any

from archlab.mixers import rg_lru as specs
from archlab.spec import updated
from archlab_torch.kernels.scan import linear_scan
from archlab_torch.module import Module, natives


@natives.register(specs.RGLRU)
class RGLRU(Module):
    """h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ i_t ⊙ u_t."""

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        spec = self.spec
        keep, add, hidden, segments, state = spec.project(self, x, ctx, state)
        h = linear_scan(keep, add, hidden)
        return spec.read(self, h, x, ctx), updated(state, hidden=h[:, -1], segment=segments[:, -1])
