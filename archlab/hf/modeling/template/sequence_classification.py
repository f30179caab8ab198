"""The model of transformers"""

from typing import Any

from transformers.modeling_outputs import SequenceClassifierOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned
from archlab.hf.modeling.template.encoder import first, read_segments


class ArchlabForSequenceClassification(ArchlabPreTrainedModel):
    """What a whole input is: logits (B, classes).

    attention_mask
        (B, T), 0 for padding; a row is one document.
    input_features
        (B, T, features), in place of ``input_ids`` where the architecture reads frames.
    """

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
        input_features: Any = None, labels: Any = None, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {"input_ids": input_ids, "token_type_ids": token_type_ids, "input_features": input_features}
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        y, _ = self.model(inputs, ctx, None)
        logits = first(y, read_segments(self.spec, ctx))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, logits=logits, pooled_logits=logits, config=self.config)
        return returned(SequenceClassifierOutput(loss=added(loss, ctx), logits=logits), return_dict)
