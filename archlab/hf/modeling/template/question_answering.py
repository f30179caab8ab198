"""The model of transformers"""

from typing import Any

import torch
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned


class ArchlabForQuestionAnswering(ArchlabPreTrainedModel):
    """Where in a text an answer begins and ends: logits (B, T) of its first token and of its last one.

    attention_mask
        (B, T), 0 for padding, which counts for nothing in the loss.
    """

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
        start_positions: Any = None, end_positions: Any = None, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {"input_ids": input_ids, "token_type_ids": token_type_ids}
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        y, _ = self.model(inputs, ctx, None)
        loss = None
        if start_positions is not None and end_positions is not None:
            within = y if ctx.segments is None else torch.where((ctx.segments > 0)[..., None], y, -1e30)
            loss = added(self.loss_function(within[..., 0], within[..., 1], start_positions, end_positions), ctx)
        output = QuestionAnsweringModelOutput(loss=loss, start_logits=y[..., 0], end_logits=y[..., 1])
        return returned(output, return_dict)
