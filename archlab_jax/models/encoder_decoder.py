"""Models that read one sequence and write another, and each half by itself."""

from typing import Any

from archlab.inputs import WHERE
from archlab.models import encoder_decoder as specs
from archlab_jax.model import Model
from archlab_jax.module import View, natives
from archlab_jax.runtime import context


@natives.register(specs.EncoderDecoder)
class EncoderDecoder(Model):
    """``logits = model({"tokens": …, "source_tokens": …})``, or ``model.decode(tokens, model.encode(source))``."""

    def encode(self, source: Any) -> Any:
        """The memory of a source: tokens (B, S), or a dict of them (or what the front reads) with "segments"."""
        source = source if isinstance(source, dict) else {"tokens": source}
        ctx = context(self, next(iter(source.values())).shape[:2], {}, self.policy)
        return self.spec.encode(View(self), source, ctx)

    def decode(self, tokens: Any, memory: Any) -> Any:
        """Logits (B, T, V) of tokens (B, T), or of a dict of them with their segments, given a memory."""
        inputs = tokens if isinstance(tokens, dict) else {"tokens": tokens}
        where = {key: inputs.get(key) for key in WHERE}
        ctx = context(self, inputs["tokens"].shape, where, self.policy).scoped()
        ctx.publish(self.spec.memory, memory)
        return self.spec.decode(View(self), inputs["tokens"], ctx, None)[0].astype(self.policy.output)
