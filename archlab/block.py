"""The wiring of a mixer and a channel mixer into one layer."""

from typing import Any

from archlab.activations import GELUTanh
from archlab.channels.mlp import MLP
from archlab.norms import LayerNorm, RMSNorm
from archlab.residuals import PreNorm, Residual
from archlab.spec import Channel, Example, Layer, Mixer, Norm, Parts, substate, updated


class Block(Layer):
    """x ← residual(mixer); x ← residual(channel). Either may be absent (Mamba has no channel)."""

    mixer: Mixer | None = None
    channel: Channel | None = None
    residual: Residual

    def check(self) -> None:
        self.require(bool(self.mixer or self.channel), "mixer", "and channel are both absent: give one")

    def parts(self, width: int) -> Parts:
        table: Parts = {}
        for name, layer in (("mixer", self.mixer), ("channel", self.channel)):
            if layer:
                table |= {f"{name}_residual": self.residual.at(width), name: layer.at(width)}
        return table

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if self.mixer:
            x, mixed = m.mixer_residual(x, ctx, m.mixer, substate(state, "mixer"))
            state = updated(state, mixer=mixed)
        if self.channel:
            x, mixed = m.channel_residual(x, ctx, m.channel, substate(state, "channel"))
            state = updated(state, channel=mixed)
        return x, state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.layers import DropPath

        dropping = PreNorm(norm=RMSNorm(epsilon=1e-5), dropout=0.2, drop_path=DropPath(rate=0.3))
        return [
            residual_example(PreNorm),
            Example(spec=cls(mixer=_mixer(), residual=dropping)),
            Example(spec=cls(channel=_channel(), residual=dropping)),
        ]


class ParallelBlock(Layer):
    """x + mixer(norm(x)) + channel(norm'(x)): both read the same x.

    Without ``channel_norm`` one norm serves both (GPT-J, PaLM, Falcon-7B); with it each has its own
    (GPT-NeoX). Dropout and scales are the ``join`` of :class:`archlab.residuals.Residual`.
    """

    mixer: Mixer
    channel: Channel
    residual: PreNorm
    channel_norm: Norm | None = None

    def parts(self, width: int) -> Parts:
        return {
            "residual": self.residual.at(width),
            "mixer": self.mixer.at(width),
            "channel_norm": self.channel_norm and self.channel_norm.at(width),
            "channel": self.channel.at(width),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        def both(normed: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
            mixed, mixer = m.mixer(normed, ctx, substate(state, "mixer"))
            own = m.channel_norm(x, ctx) if self.channel_norm else normed
            fed, channel = m.channel(own, ctx, substate(state, "channel"))
            return mixed + fed, updated(state, mixer=mixer, channel=channel)

        return m.residual(x, ctx, both, state)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        residual = PreNorm(norm=LayerNorm(epsilon=1e-5, bias=True))
        own = LayerNorm(epsilon=1e-3, bias=True)
        return [
            Example(spec=cls(mixer=_mixer(), channel=_channel(), residual=residual)),
            Example(spec=cls(mixer=_mixer(), channel=_channel(), residual=residual, channel_norm=own)),
        ]


def _mixer() -> Mixer:
    from archlab.mixers.attention import Attention

    return Attention(heads=4, kv_heads=2, visibility="causal", bias=False, out_bias=False)


def _channel() -> Channel:
    return MLP(hidden=24, activation=GELUTanh(), bias=True)


def residual_example(kind: type[Residual], **fields: Any) -> Example:
    """A small block with every norm of ``kind`` an RMSNorm."""
    from dataclasses import fields as dataclass_fields

    names = [f.name for f in dataclass_fields(kind) if "norm" in f.name]  # type: ignore[arg-type]
    norms: dict[str, Any] = {name: RMSNorm(epsilon=1e-5) for name in names}
    return Example(spec=Block(mixer=_mixer(), channel=_channel(), residual=kind(**norms, **fields)))
