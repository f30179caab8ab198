"""Diffusion by masks."""

from collections.abc import Sequence

import numpy as np

from archlab.data.rows.rows import Row
from archlab.model import Model
from archlab.objectives.masked_tokens import check_unmasking
from archlab.objectives.objective import UNASKED, Batch, Draws, Objective, Vocabulary, placed, stacked


class MaskedDiffusion(Objective):
    """Masked diffusion: LLaDA's bound of the likelihood  (https://arxiv.org/abs/2502.09992, equation 3).

    For each row a time t is drawn from U(least, 1), and each token is masked with probability t. The loss is
    Σ over masked tokens of −log p(token | the row as it is masked) / t, divided by the number of all tokens: so
    each is a target, with the weight 1/t where it is masked and 0 where not. Marks are tokens like others: a model must
    learn to write where a text ends.

    least
        Bounds the weights (LLaDA's code: 0.001).
    """

    least: float = 1e-3
    roles = ("mask",)

    def check(self) -> None:
        self.require(0 < self.least < 1, "least", "must lie strictly between 0 and 1")

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        tokens, segments = stacked(rows)
        real = np.ones(tokens.shape, dtype=bool) if segments is None else segments > 0
        time = self.least + (1 - self.least) * draws.uniform("time", len(tokens), 1)
        masked = real & (draws.uniform("which", *tokens.shape) < time)
        return {
            "tokens": np.where(masked, np.int32(tokenizer.id_of("mask")), tokens),
            "targets": np.where(real, tokens, UNASKED),
            "weights": np.where(masked, 1 / time, 0).astype(np.float32),
        } | placed(segments)

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_unmasking(model, tokenizer, type(self).__name__)
