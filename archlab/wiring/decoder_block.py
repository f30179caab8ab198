"""A layer that reads its own sequence and another one."""

from typing import Any

from archlab.residuals import Residual
from archlab.spec import Channel, Example, Layer, Mixer, Parts, substate, updated


class DecoderBlock(Layer):
    """x ← residual(mixer); x ← residual(cross); x ← residual(channel)  (https://arxiv.org/abs/1706.03762).

    cross
        A mixer that reads what an encoder has published: :class:`archlab.mixers.cross_attention.CrossAttention`.
    """

    mixer: Mixer
    cross: Mixer
    channel: Channel
    residual: Residual

    def parts(self, width: int) -> Parts:
        table: Parts = {}
        for name in ("mixer", "cross", "channel"):
            table |= {f"{name}_residual": self.residual.at(width), name: getattr(self, name).at(width)}
        return table

    def field_of(self, child: str) -> str:
        return "residual" if child.endswith("_residual") else child

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        for name in ("mixer", "cross", "channel"):
            x, new = getattr(m, f"{name}_residual")(x, ctx, getattr(m, name), substate(state, name))
            state = updated(state, **{name: new})
        return x, state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.models.encoder_decoder import EncoderDecoder

        return EncoderDecoder.examples()[:1]
