"""The model of transformers"""

from typing import Any

from transformers.modeling_outputs import MaskedLMOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned, token_loss


class ArchlabForMaskedLM(ArchlabPreTrainedModel):
    """What token stands at each place.

    attention_mask
        (B, T), 0 for padding; further numbers are documents packed into one row.
    position_ids
        (B, T) places in a document; without them they count up in each document.
    """

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
        labels: Any = None, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {"input_ids": input_ids, "token_type_ids": token_type_ids}
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        output, _ = self.model(inputs, ctx, None)
        logits = self.spec.main(output)
        loss = None if labels is None else added(token_loss(logits, labels, kwargs.get("num_items_in_batch")), ctx)
        return returned(MaskedLMOutput(loss=loss, logits=logits), return_dict)
