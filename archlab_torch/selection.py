"""Keys that each query of attention chooses by what they hold."""

from typing import Any

from archlab import selection as specs
from archlab_torch.kernels import block_sparse
from archlab_torch.module import Module, natives


@natives.register(specs.TopBlocks)
class TopBlocks(Module):
    """A query's own block of positions and those that fit it best."""

    def attend(self, q: Any, k: Any, v: Any, *, scale: float, causal: bool) -> Any:
        """The attention (B, T, H, K) of whole rows, with the scores of chosen blocks only."""
        spec = self.spec
        return block_sparse.attend(q, k, v, block=spec.block, chosen=spec.chosen, scale=scale, causal=causal)
