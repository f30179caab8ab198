"""Tables of positions, added to the embedding."""

from typing import Any

from jax import lax

from archlab import positions as specs
from archlab_jax.module import Module, natives


@natives.register(specs.LearnedPositions)
class LearnedPositions(Module):
    """y = x + P[position + offset]; rows that are alike read the table once, as one slice."""

    def forward(self, x: Any, ctx: Any) -> Any:
        table, places = self.table[...], ctx.positions + self.spec.offset
        rows = lax.dynamic_slice_in_dim(table, places[0, 0], x.shape[1]) if ctx.plain else table[places]
        return x + rows.astype(x.dtype)
