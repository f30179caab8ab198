"""The model of transformers"""

from typing import Any

from transformers.modeling_outputs import TokenClassifierOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned, token_loss


class ArchlabForTokenClassification(ArchlabPreTrainedModel):
    """What each token, patch or frame is: logits (B, T, classes).

    attention_mask
        (B, T), 0 for padding; further numbers are documents packed into one row.
    pixel_values
        (B, channels, height, width); ``input_features`` (B, T, features): what the architecture reads of these.
    """

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
        pixel_values: Any = None, input_features: Any = None, labels: Any = None, return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {
            "input_ids": input_ids, "token_type_ids": token_type_ids, "pixel_values": pixel_values,
            "input_features": input_features,
        }  # fmt: skip
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        logits, _ = self.model(inputs, ctx, None)
        loss = None if labels is None else added(token_loss(logits, labels, kwargs.get("num_items_in_batch")), ctx)
        return returned(TokenClassifierOutput(loss=loss, logits=logits), return_dict)
