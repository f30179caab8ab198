"""The model of transformers"""

from typing import Any

from transformers.modeling_outputs import ImageClassifierOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned


class ArchlabForImageClassification(ArchlabPreTrainedModel):
    """What is in an image (B, channels, height, width): logits (B, classes)."""

    main_input_name = "pixel_values"

    def forward(self, pixel_values: Any, labels: Any = None, return_dict: bool | None = None, **kwargs: Any) -> Any:
        inputs, ctx = self.whole({"pixel_values": pixel_values}, None, None)
        y, _ = self.model(inputs, ctx, None)
        logits = y[:, 0]
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, logits=logits, pooled_logits=logits, config=self.config)
        return returned(ImageClassifierOutput(loss=added(loss, ctx), logits=logits), return_dict)
