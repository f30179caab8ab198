"""Generation step by step."""

from collections.abc import Mapping

import numpy as np
import torch

from archlab import decoding
from archlab.inputs import WHERE
from archlab.model import Model
from archlab.policy import Policy
from archlab.weights import check
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

    def logits(self, inputs: decoding.Inputs) -> np.ndarray:
        where = {key: self.program.share(inputs[key]) for key in WHERE}
        with precision(self.policy), torch.no_grad():
            tokens = {"tokens": self.program.share(inputs["tokens"])}
            logits, self.state = self.program.call(tokens, where, self.state)
        return to_numpy(logits[:, -1])
