"""Models that read one sequence and write another, and each half by itself."""

from typing import Any

import torch

from archlab.inputs import WHERE
from archlab.models import encoder_decoder as specs
from archlab_torch.model import Model
from archlab_torch.module import natives
from archlab_torch.runtime import context


@natives.register(specs.EncoderDecoder)
class EncoderDecoder(Model):
    """``logits = model({"tokens": …, "source_tokens": …})``, or ``model.decode(tokens, model.encode(source))``."""

    def encode(self, source: Any) -> Any:
        """The memory of a source: tokens (B, S), or a dict of them (or what the front reads) with "segments"."""
        source = source if isinstance(source, dict) else {"tokens": source}
        shape = tuple(next(iter(source.values())).shape[:2])
        ctx = context(self, shape, {}, self.policy, self.device)
        return self.spec.encode(self, source, ctx)

    def decode(self, tokens: Any, memory: Any) -> Any:
        """Logits (B, T, V) of tokens (B, T), or of a dict of them with their segments, given a memory."""
        inputs = tokens if isinstance(tokens, dict) else {"tokens": tokens}
        where = {key: inputs.get(key) for key in WHERE}
        ctx = context(self, tuple(inputs["tokens"].shape), where, self.policy, self.device).scoped()
        ctx.publish(self.spec.memory, memory)
        return self.spec.decode(self, inputs["tokens"], ctx, None)[0].to(getattr(torch, self.policy.output))
