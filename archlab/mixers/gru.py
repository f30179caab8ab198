"""The gated recurrent unit."""

from typing import Any, Literal

from archlab.inits import FanInNormal, Init, Zeros
from archlab.layers import Linear
from archlab.mixers.recurrent import Cell, Recurrent
from archlab.ops import sigmoid
from archlab.spec import Example, Param, Parts


class GRU(Cell):
    """One layer, one direction (https://arxiv.org/abs/1406.1078).

    r = σ(x W_r + h U_r + b_r);  z = σ(x W_z + h U_z + b_z);  h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}
    reset "after": n = tanh(x W_n + b + r ⊙ (h U_n + b_n)) (PyTorch, cuDNN, Flax);
    reset "before": n = tanh(x W_n + b + (r ⊙ h) U_n + b_n) (the paper)

    The columns of W and U are those of r, z, n. ``state_bias`` says which gates have a bias beside h U: "all"
    (PyTorch), "n" (Flax Linen) or "none" (Flax NNX).
    """

    gates = 3
    carried = ("hidden",)

    bias: bool
    state_bias: Literal["all", "n", "none"]
    reset: Literal["before", "after"] = "after"
    init: Init = FanInNormal()
    state_init: Init = FanInNormal()

    def params(self, width: int) -> dict[str, Param]:
        size = self.gates * self.hidden
        table = {"state_kernel": Param(shape=(self.hidden, size), axes="F F", init=self.state_init, fan_in=self.hidden)}
        biased = {"all": size, "n": self.hidden, "none": 0}[self.state_bias]
        return table | ({"state_bias": Param(shape=(biased,), axes="F", init=Zeros())} if biased else {})

    def parts(self, width: int) -> Parts:
        size = self.gates * self.hidden
        return {"input": Linear(features=size, axes="D F", bias=self.bias, init=self.init).at(width)}

    def step(self, m: Any, ctx: Any, carry: tuple[Any, ...], entered: Any) -> tuple[Any, ...]:
        (hidden,) = carry
        size, kernel = self.hidden, ctx.xp.astype(m.state_kernel, hidden.dtype)
        gates = hidden @ kernel[:, : 2 * size]
        offset = ctx.xp.zeros_like(kernel[0, :size])
        if self.state_bias != "none":
            bias = ctx.xp.astype(m.state_bias, hidden.dtype)
            gates = gates + bias[: 2 * size] if self.state_bias == "all" else gates
            offset = bias[-size:]
        gates = sigmoid(ctx.xp, entered[..., : 2 * size] + gates)
        r, z = gates[..., :size], gates[..., size:]
        if self.reset == "after":
            new = r * (hidden @ kernel[:, 2 * size :] + offset)
        else:
            new = (r * hidden) @ kernel[:, 2 * size :] + offset
        new = ctx.xp.tanh(entered[..., 2 * size :] + new)
        return ((1.0 - z) * new + z * hidden,)

    @classmethod
    def examples(cls) -> list[Example]:
        one = cls(hidden=16, bias=True, state_bias="all")
        other = cls(hidden=6, bias=False, state_bias="n", reset="before")
        return [Example(spec=one), Example(spec=Recurrent(cell=other, layers=2, out_bias=False), width=8)]
