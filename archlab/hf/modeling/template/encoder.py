"""The model of transformers"""

from types import SimpleNamespace
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, returned


class ArchlabModel(ArchlabPreTrainedModel):
    """The last hidden states, and the pooled one where the architecture has a head.

    attention_mask
        (B, T), 0 for padding; further numbers are documents packed into one row.
    pixel_values
        (B, channels, height, width); ``input_features`` (B, T, features): what the architecture reads of these.
    """

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
        pixel_values: Any = None, input_features: Any = None, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {
            "input_ids": input_ids, "token_type_ids": token_type_ids, "pixel_values": pixel_values,
            "input_features": input_features,
        }  # fmt: skip
        inputs, ctx = self.whole(given, attention_mask, position_ids)
        states = []

        def head(x: Any, *args: Any) -> Any:
            states.append(x)
            return self.model.head(x, *args)

        parts = SimpleNamespace(front=self.model.front, tower=self.model.tower, head=head)
        y, _ = self.spec.forward(parts, inputs, ctx, None)
        hidden, pooled = (states[0], first(y, read_segments(self.spec, ctx))) if states else (y, None)
        return returned(BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled), return_dict)


def read_segments(spec: Any, ctx: Any) -> Any:
    """(B, T) documents of what an encoder gives: of frames, those that its tokens stand for."""
    return None if ctx.segments is None else ctx.segments[:, :: getattr(spec.front, "stride", 1)]


def first(y: Any, segments: Any) -> Any:
    """(B, C) of (B, T, C): what stands at each row's first token that is no padding."""
    if segments is None:
        return y[:, 0]
    start = torch.argmax((segments > 0).long(), dim=1)
    return y[torch.arange(len(y), device=y.device), start]
