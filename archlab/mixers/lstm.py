"""Long short-term memory."""

from typing import Any

from archlab.inits import FanInNormal, Init, Zeros
from archlab.layers import Linear
from archlab.mixers.recurrent import Cell, Recurrent
from archlab.ops import sigmoid
from archlab.spec import Example, Param, Parts


class LSTM(Cell):
    """One layer, one direction (https://www.bioinf.jku.at/publications/older/2604.pdf, with a forget gate).

    (i, f, g, o) = x_t W + h_{t−1} U + b;  c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g);  h_t = σ(o) ⊙ tanh(c_t)

    The columns of W and U are those of the gates in the order i, f, g, o, PyTorch's. There are two biases in PyTorch
    (``bias`` and ``state_bias``), one in Flax NNX (``state_bias`` alone): their sum counts.
    """

    gates = 4
    carried = ("hidden", "cell")

    bias: bool
    state_bias: bool
    init: Init = FanInNormal()
    state_init: Init = FanInNormal()

    def params(self, width: int) -> dict[str, Param]:
        size = self.gates * self.hidden
        kernel = Param(shape=(self.hidden, size), axes="F F", init=self.state_init, fan_in=self.hidden)
        bias = {"state_bias": Param(shape=(size,), axes="F", init=Zeros())} if self.state_bias else {}
        return {"state_kernel": kernel} | bias

    def parts(self, width: int) -> Parts:
        size = self.gates * self.hidden
        return {"input": Linear(features=size, axes="D F", bias=self.bias, init=self.init).at(width)}

    def step(self, m: Any, ctx: Any, carry: tuple[Any, ...], entered: Any) -> tuple[Any, ...]:
        hidden, cell = carry
        z = entered + hidden @ ctx.xp.astype(m.state_kernel, hidden.dtype)
        z = z + ctx.xp.astype(m.state_bias, z.dtype) if self.state_bias else z
        i, f, g, o = (z[..., n * self.hidden : (n + 1) * self.hidden] for n in range(self.gates))
        cell = sigmoid(ctx.xp, f) * cell + sigmoid(ctx.xp, i) * ctx.xp.tanh(g)
        return sigmoid(ctx.xp, o) * ctx.xp.tanh(cell), cell

    @classmethod
    def examples(cls) -> list[Example]:
        one = cls(hidden=16, bias=True, state_bias=True)
        both = Recurrent(cell=cls(hidden=5, bias=False, state_bias=True), layers=2, directions="both", out_bias=True)
        return [Example(spec=one), Example(spec=both, width=8, waive=Recurrent.two_ways())]
