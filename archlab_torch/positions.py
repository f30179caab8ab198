"""Tables of positions, added to the embedding."""

from typing import Any

import torch.nn.functional as F

from archlab import positions as specs
from archlab_torch.module import Module, natives


@natives.register(specs.LearnedPositions)
class LearnedPositions(Module):
    """y = x + P[position]."""

    def forward(self, x: Any, ctx: Any) -> Any:
        rows = self.table[: x.shape[1]] if ctx.plain else F.embedding(ctx.positions, self.table)
        return x + rows.to(x.dtype)
