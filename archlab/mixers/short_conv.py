"""The short convolution that recurrent mixers put before their state."""

from collections.abc import Sequence
from typing import Any

from archlab.inits import Init, Uniform, Zeros
from archlab.ops import upcast
from archlab.spec import Cost, Example, Mixer, Param, State, substate, updated


def convolved(
    m: Any, names: Sequence[str], x: Any, ctx: Any, state: Any, scales: Any = None
) -> tuple[list[Any], Any]:  # fmt: skip
    """x through each of a mixer's maps, its convolution "…_conv" where there is one, and ``activation``; and the state.

    In float32 at least. What a map gives is multiplied with what ``scales`` has under its name.
    """
    arrays = []
    for name in names:
        a, conv = getattr(m, name)(x, ctx), f"{name}_conv"
        a = a if scales is None else a * getattr(scales, name)
        if m.spec.conv:
            a, inner = getattr(m, conv)(a, ctx, substate(state, conv))
            state = updated(state, **{conv: inner})
        arrays.append(upcast(ctx.xp, m.activation(a, ctx)))
    return arrays, state


class ShortConv(Mixer):
    """y_t = Σ_{j < W} w_j ⊙ x_{t−j} (+ b) within a document: a causal convolution of each channel by itself.

    ``taps`` is W; w_0 multiplies the token itself. (PyTorch's ``Conv1d`` counts its taps from the oldest token.) The
    default law is what ``Conv1d`` draws from, U(±1/√W), at four taps.
    """

    taps: int
    bias: bool
    init: Init = Uniform(low=-0.5, high=0.5)

    def check(self) -> None:
        self.require(self.taps > 0, "taps", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        kernel = Param(shape=(self.taps, width), axes="W C", init=self.init, fan_in=self.taps)
        return {"kernel": kernel} | ({"bias": Param(shape=(width,), axes="C", init=Zeros())} if self.bias else {})

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        if self.taps == 1:
            return {}
        return {
            "inputs": State(shape=(batch, self.taps - 1, width), axes="B W C"),
            "segments": State(shape=(batch, self.taps - 1), axes="B W", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, length = ctx.xp, x.shape[1]
        segments = ctx.documents
        before, those = self.before(xp, x, segments, state)
        inputs, owners = xp.concat([before, x], axis=1), xp.concat([those, segments], axis=1)
        y = xp.zeros_like(upcast(xp, x))  # one rounding at the end
        for j in range(self.taps):
            start = self.taps - 1 - j
            same = owners[:, start : start + length] == segments
            taken = upcast(xp, inputs[:, start : start + length])
            y = y + xp.astype(m.kernel[j], y.dtype) * xp.where(same[..., None], taken, xp.zeros_like(taken))
        y = xp.astype(y + xp.astype(m.bias, y.dtype) if self.bias else y, x.dtype)
        if self.taps == 1:
            return y, state
        return y, updated(state, inputs=inputs[:, length:], segments=owners[:, length:])

    def before(self, xp: Any, x: Any, segments: Any, state: Any) -> tuple[Any, Any]:
        """The W − 1 inputs before ``x`` and their documents; where there are none, zeros of no document."""
        if state is not None and self.taps > 1:
            return xp.astype(state["inputs"], x.dtype), xp.astype(state["segments"], segments.dtype)
        none = xp.zeros_like(xp.repeat(x[:, :1], self.taps - 1, axis=1))
        return none, xp.zeros_like(xp.repeat(segments[:, :1], self.taps - 1, axis=1))

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * self.taps * width)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(taps=4, bias=True)), Example(spec=cls(taps=1, bias=False), width=8)]
