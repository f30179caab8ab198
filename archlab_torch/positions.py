"""Tables of positions, added to the embedding."""

from typing import Any

import torch.nn.functional as F

from archlab import positions as specs
from archlab_torch.module import Module, natives


@natives.register(specs.LearnedPositions)
class LearnedPositions(Module):
    """y = x + P[position + offset]."""

    def forward(self, x: Any, ctx: Any) -> Any:
        first = self.spec.offset
        rows = self.table[first : first + x.shape[1]] if ctx.plain else F.embedding(ctx.positions + first, self.table)
        return x + rows.to(x.dtype)
