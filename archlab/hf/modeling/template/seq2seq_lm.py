"""The model of transformers"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from archlab.context import Context
from archlab.hf.modeling.template.base import (
    NAMES,
    ArchlabPreTrainedModel,
    added,
    documents,
    named,
    places,
    returned,
    token_loss,
)
from archlab.hf.modeling.template.decoding import ArchlabCache, placed


@dataclass
class Memory(BaseModelOutput):
    """What the encoder made of a source: states (B, S, D), and the document of each (B, S)."""

    segments: Any = None


class ArchlabForSeq2SeqLM(ArchlabPreTrainedModel, GenerationMixin):
    """Reads one sequence and writes another; generate() runs the encoder once.

    attention_mask
        (B, S) of the source, 0 for padding.
    decoder_attention_mask, decoder_position_ids
        (B, T) of what is written: 0 for padding, on the left; and places, which count up where they are not given.
    labels
        (B, T) tokens to write. Without ``decoder_input_ids`` they are these, moved right behind the start token.
    use_cache
        Whether to give the decoding state back as ``past_key_values``: by default where one is given.
    """

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # forward makes an ArchlabCache

    def get_encoder(self, *args: Any, **kwargs: Any) -> Any:
        return Reader(self)

    @property
    def main_input_name(self) -> str:  # type: ignore[override]
        """What the encoder reads, by transformers' name."""
        fed = {name.removeprefix("source_") for name in self.spec.inputs() if name.startswith("source_")}
        return next(name for name, own in NAMES.items() if own in fed and own != "token_types")

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None, decoder_position_ids: Any = None, token_type_ids: Any = None,
        pixel_values: Any = None, input_features: Any = None, encoder_outputs: Any = None,
        past_key_values: ArchlabCache | None = None, labels: Any = None, use_cache: bool | None = None,
        return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        given = {
            "input_ids": input_ids, "token_type_ids": token_type_ids, "pixel_values": pixel_values,
            "input_features": input_features,
        }  # fmt: skip
        tokens = self.moved_right(labels) if decoder_input_ids is None else decoder_input_ids
        cache: Any = past_key_values
        if cache is None and use_cache:
            cache = ArchlabCache(self.spec.root())
        positions, segments = placed(tokens, decoder_attention_mask, decoder_position_ids, cache)
        ctx = self.context(positions, segments)
        if cache is None or not cache.seen:
            memory = self.encoded(given, attention_mask, ctx) if encoder_outputs is None else encoder_outputs
            ctx.publish(self.spec.memory, self.known(memory, attention_mask))
        logits, cache = self.written(tokens, ctx, cache)
        loss = None if labels is None else added(token_loss(logits, labels, kwargs.get("num_items_in_batch")), ctx)
        output = Seq2SeqLMOutput(loss=loss, logits=logits, past_key_values=cache)
        return returned(output, return_dict)

    def encoded(self, given: dict[str, Any], mask: Any, ctx: Context) -> Memory:
        """What the encoder makes of a source."""
        segments = None if mask is None else documents(mask)
        source = named(given) | ({} if segments is None else {"segments": segments, "positions": places(segments)})
        made = self.spec.encode(self.model, source, ctx)
        return Memory(last_hidden_state=made["x"], segments=made["segments"])

    def known(self, memory: Any, mask: Any) -> dict[str, Any]:
        """An encoder's output as the decoder reads it."""
        x, segments = memory["last_hidden_state"], memory.get("segments")
        if segments is None:
            segments = torch.ones(x.shape[:2], dtype=torch.int64, device=x.device) if mask is None else documents(mask)
        return {"x": x, "segments": segments}

    def written(self, tokens: Any, ctx: Context, cache: ArchlabCache | None) -> tuple[Any, ArchlabCache | None]:
        """Logits of the tokens, and the cache after them."""
        state = None
        if cache is not None:
            source = ctx.published[self.spec.memory]["x"].shape[1] if self.spec.memory in ctx.published else 0
            batch, count = tokens.shape
            state = cache.prepared(batch, count, self.dtype, tokens.device, least=source)
        logits, state = self.spec.decode(self.model, tokens, ctx, state)
        if cache is not None:
            cache.keep(state, ctx.positions, ctx.segments)
        return logits, cache

    def moved_right(self, labels: Any) -> Any:
        """The labels behind the start token, without the last one; −100 becomes the start token too."""
        if labels is None:
            raise ValueError("nothing is written: give decoder_input_ids or labels")
        tokens = torch.cat([torch.full_like(labels[:, :1], self.spec.start), labels[:, :-1]], dim=1)
        return torch.where(tokens == -100, self.spec.start, tokens)

    def prepare_decoder_input_ids_from_labels(self, labels: Any) -> Any:
        """What the decoder reads where ``labels`` are to be written."""
        return self.moved_right(labels)


class Reader:
    """The encoder alone, as generate() calls it."""

    def __init__(self, model: ArchlabForSeq2SeqLM) -> None:
        self.model, self.main_input_name = model, model.main_input_name

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, pixel_values: Any = None,
        input_features: Any = None, **kwargs: Any,
    ) -> Memory:  # fmt: skip
        given = {
            "input_ids": input_ids, "token_type_ids": token_type_ids, "pixel_values": pixel_values,
            "input_features": input_features,
        }  # fmt: skip
        ctx = self.model.context(torch.zeros((1, 1), dtype=torch.int64, device=self.model.device), None)
        return self.model.encoded(given, attention_mask, ctx)

    __call__ = forward
