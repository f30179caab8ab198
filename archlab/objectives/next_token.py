"""Language modelling."""

from collections.abc import Sequence

from archlab.data.rows.rows import Row
from archlab.model import Model, check_causal
from archlab.objectives.objective import Batch, Draws, Objective, Vocabulary, check_vocabulary, shifted, stacked


class NextToken(Objective):
    """At each token the next one of its document: Σ −log p(token_t+1 | tokens up to t)."""

    ahead = 1

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        return shifted(*stacked(rows))

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_vocabulary(model, tokenizer, "tokens")
        check_causal(model)
