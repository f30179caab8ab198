"""Frames of a signal, a spectrogram for example, through convolutions."""

from typing import Any

from archlab.activations import Activation
from archlab.inits import FanInNormal, Init, Zeros
from archlab.ops import upcast
from archlab.spec import Cost, Example, Front, Input, Param, Parts, Spec


class Convolution(Spec):
    """y_t = f(Σ_j x_{st + j − p} W_j + b), j = 0 … W − 1, p = ⌊(W − 1)/2⌋, s the ``stride``, within a document.

    It maps (x, ctx) to (y, ctx): y (B, ⌈T/s⌉, F), whose tokens stand at ⌊position/s⌋. Documents begin at multiples
    of s. PyTorch's ``Conv1d`` with ``padding`` p; its weight is (out, in, taps), ours (taps, in, out).
    """

    features: int
    taps: int
    stride: int = 1
    bias: bool
    activation: Activation
    init: Init = FanInNormal()

    def check(self) -> None:
        for name in ("features", "taps", "stride"):
            self.require(getattr(self, name) > 0, name, "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        shape = (self.taps, width, self.features)
        kernel = Param(shape=shape, axes="W C D", init=self.init, fan_in=self.taps * width)
        return {"kernel": kernel} | (
            {"bias": Param(shape=(self.features,), axes="D", init=Zeros())} if self.bias else {}
        )

    def parts(self, width: int) -> Parts:
        return {"activation": self.activation.at(self.features)}

    def forward(self, m: Any, x: Any, ctx: Any) -> tuple[Any, Any]:
        return self.finished(m, self.summed(m, x, ctx), x, ctx)

    def summed(self, m: Any, x: Any, ctx: Any) -> Any:
        """Σ_j x_{st + j − p} W_j, in float32 at least."""
        xp, length, before = ctx.xp, x.shape[1], (self.taps - 1) // 2
        segments, last = ctx.documents, self.taps - 1 - before
        x, owners = ((xp.concat([_none(xp, a, before), a, _none(xp, a, last)], axis=1)) for a in (x, segments))
        here, y = segments[:, :: self.stride], 0.0
        for j in range(self.taps):
            taken = x[:, j : j + length : self.stride]
            same = owners[:, j : j + length : self.stride] == here
            taken = xp.where(same[..., None], taken, xp.zeros_like(taken))
            y = y + upcast(xp, taken @ xp.astype(m.kernel[j], x.dtype))
        return y

    def finished(self, m: Any, y: Any, x: Any, ctx: Any) -> tuple[Any, Any]:
        """y with its bias, through the activation; and where its tokens stand."""
        xp = ctx.xp
        y = xp.astype(y + xp.astype(m.bias, y.dtype) if self.bias else y, x.dtype)
        if self.stride > 1:
            segments = None if ctx.segments is None else ctx.segments[:, :: self.stride]
            ctx = ctx.replace(positions=ctx.positions[:, :: self.stride] // self.stride, segments=segments)
        return m.activation(y, ctx), ctx

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * self.taps * width * self.features / self.stride)

    @classmethod
    def examples(cls) -> list[Example]:
        return Frames.examples()


class Frames(Front):
    """x = frames (B, T, ``features``) through ``convolutions``, one after the other; the last makes it D wide.

    Whisper's front end: 80 features, two convolutions of three taps with GELU, the second of stride 2
    (https://arxiv.org/abs/2212.04356).
    """

    features: int
    convolutions: tuple[Convolution, ...]

    def check(self) -> None:
        self.require(self.features > 0, "features", "must be > 0")
        self.require(len(self.convolutions) > 0, "convolutions", "must hold at least one")

    @property
    def stride(self) -> int:
        """How many frames a token stands for."""
        product = 1
        for convolution in self.convolutions:
            product *= convolution.stride
        return product

    def inputs(self) -> dict[str, Input]:
        return {"frames": Input(kind="numbers", shape=("T", self.features), unit=self.stride)}

    def parts(self, width: int) -> Parts:
        made = self.convolutions[-1].features
        if made != width:
            self.fail("convolutions", f"make {made} features of a frame; the model is {width} wide")
        widths = (self.features, *(convolution.features for convolution in self.convolutions))
        return {"convolutions": [c.at(n) for c, n in zip(self.convolutions, widths, strict=False)]}

    def field_of(self, child: str) -> str:
        return f"convolutions[{child.rpartition('.')[2]}]"

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any) -> tuple[Any, Any]:
        x = ctx.xp.astype(inputs["frames"], ctx.dtype)
        for convolution in m.convolutions:
            x, ctx = convolution(x, ctx)
        return x, ctx

    def saved(self, width: int, length: int) -> float:
        return float(self.features)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.activations import GELUErf, Identity
        from archlab.models.encoder_decoder import seq2seq_example

        first = Convolution(features=6, taps=3, bias=True, activation=GELUErf())
        second = Convolution(features=16, taps=4, stride=2, bias=False, activation=Identity())
        return [seq2seq_example(source=cls(features=5, convolutions=(first, second)))]


def _none(xp: Any, a: Any, count: int) -> Any:
    """``count`` entries (B, count, …) of zeros."""
    return xp.zeros_like(xp.repeat(a[:, :1], count, axis=1))
