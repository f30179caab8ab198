"""The model of transformers"""

from typing import Any

from transformers import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from archlab.hf.modeling.template.base import ArchlabPreTrainedModel, added, returned, token_loss
from archlab.hf.modeling.template.decoding import ArchlabCache, placed


class ArchlabForCausalLM(ArchlabPreTrainedModel, GenerationMixin):
    """A language model: logits of the token after each one, and generate() with the model's own decoding state.

    attention_mask
        (B, T), 0 for padding, which no token sees. Prompts of unequal length are padded on the left. Further numbers
        are documents packed into one row: a token sees its own alone.
    position_ids
        (B, T) places in a document; without them they count up in each document, and go on where the state ends.
    prefix
        (B,) how many tokens at its start a document may see although they come later (prefix language models).
    use_cache
        Whether to give the decoding state back as ``past_key_values``: by default where one is given.
    """

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # forward makes an ArchlabCache

    def forward(
        self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, prefix: Any = None,
        past_key_values: ArchlabCache | None = None, labels: Any = None, use_cache: bool | None = None,
        logits_to_keep: Any = 0, return_dict: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        cache = past_key_values
        if cache is None and use_cache:
            cache = ArchlabCache(self.spec.root())
        positions, segments = placed(input_ids, attention_mask, position_ids, cache)
        if prefix is not None:
            prefix = (prefix[:, None] if prefix.ndim == 1 else prefix[:, -input_ids.shape[1] :]).expand(positions.shape)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        ctx = self.context(positions, segments, prefix=prefix, score=lambda head, x: head(x[:, kept]))
        state = None
        if cache is not None:
            batch, count = input_ids.shape
            state = cache.prepared(batch, count, self.dtype, input_ids.device)
        output, state = self.model({"tokens": input_ids}, ctx, state)
        if cache is not None:
            cache.keep(state, positions, segments)
        loss = None if labels is None else added(self.loss(output, labels, kwargs.get("num_items_in_batch")), ctx)
        return returned(
            CausalLMOutputWithPast(loss=loss, logits=self.spec.main(output), past_key_values=cache), return_dict
        )

    def loss(self, output: Any, labels: Any, count: Any = None) -> Any:
        """The mean loss of next tokens; in training further answers count with their weights."""
        total = self.shifted_loss(self.spec.main(output), labels, count)
        if self.training:
            for k, answer in enumerate(self.spec.answers(), 1):
                total = total + answer.weight * self.shifted_loss(output[:, :, k], labels, count)
        return total

    def shifted_loss(self, logits: Any, labels: Any, count: Any) -> Any:
        """Each place is asked for the label of the next one."""
        return token_loss(logits[:, :-1], labels[:, 1:], count)
