"""Generation step by step."""

from collections.abc import Mapping

import numpy as np
import torch

from archlab import decoding
from archlab.inputs import split
from archlab.model import Model
from archlab.policy import Policy
from archlab.sampling import Sampling
from archlab.weights import DTYPES, check
from archlab_torch.kernels import namespace as xp
from archlab_torch.layers import Linear
from archlab_torch.module import to_numpy
from archlab_torch.program import Program
from archlab_torch.runtime import precision


class Decoder(decoding.Decoder):
    """The state's buffers are written in place."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy
    ) -> None:  # fmt: skip
        super().__init__(model, batch=batch, length=length)
        self.policy = policy
        check(model.root(), weights)
        self.program = Program(model, model.width, policy, weights)
        self.state = self.program.initial_state(batch, length)
        for part in self.program.module.modules():
            if isinstance(part, Linear):
                part.pack(batch)

    def logits(self, inputs: decoding.Inputs, *, every: bool = False) -> np.ndarray:
        own, where = (
            {name: self.program.share(array) for name, array in table.items()}
            for table in split(self.model, inputs, DTYPES[self.policy.compute])
        )
        with precision(self.policy), torch.no_grad():
            logits, self.state = self.program.call(own, where, self.state)
        logits = self.model.main(logits)
        return to_numpy(logits if every else logits[:, -1])

    def drawn(self, tokens: np.ndarray, uniforms: np.ndarray, sampling: Sampling, vocab: int | None) -> np.ndarray:
        share, columns = self.program.share, []
        given, positions, numbers = share(tokens), share(self._next), share(uniforms.T.astype(np.float32))
        ones = torch.ones_like(given)[:, None]
        with precision(self.policy), torch.no_grad():
            for column in numbers.T:
                where = {"positions": positions[:, None], "segments": ones, "prefix": None}
                logits, self.state = self.program.call({"tokens": given[:, None]}, where, self.state)
                given = sampling.choose(self.model.main(logits)[:, -1, :vocab].float(), column, xp)
                positions = positions + 1
                columns.append(given)
        return to_numpy(torch.stack(columns, dim=1)).astype(np.int32)
