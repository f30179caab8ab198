"""The model of transformers"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils import ModelOutput

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned
from archlab.hf.modeling.template.encoder import first


@dataclass
class Match(ModelOutput):
    """How well texts and images fit: ``logits_per_text`` (B, B), one row a text, and the same the other way round."""

    loss: Any = None
    logits_per_image: Any = None
    logits_per_text: Any = None


class ArchlabModel(ArchlabPreTrainedModel):
    """Texts against images: each text of the batch with each image.

    attention_mask
        (B, T) of the texts, 0 for padding; a row is one text.
    pixel_values
        (B, channels, height, width).
    return_loss
        Whether to give the loss of matching each text with the image of its row, and each image with its text.
    """

    def forward(
        self, input_ids: Any, pixel_values: Any, attention_mask: Any = None, position_ids: Any = None,
        token_type_ids: Any = None, return_loss: bool | None = None, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {"input_ids": input_ids, "token_type_ids": token_type_ids, "pixel_values": pixel_values}
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        y, _ = self.model(inputs, ctx, None)
        texts = first(y, ctx.segments)
        loss = added(self.matched(texts), ctx) if return_loss else None
        return returned(Match(loss=loss, logits_per_image=texts.mT, logits_per_text=texts), return_dict)

    def matched(self, texts: Any) -> Any:
        """The mean of both cross-entropies."""
        own = torch.arange(len(texts), device=texts.device)
        each = [torch.nn.functional.cross_entropy(logits.float(), own) for logits in (texts, texts.mT)]
        return sum(each) / 2
