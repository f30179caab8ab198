"""Gated DeltaNet."""

import math
from typing import Any

from archlab.activations import Activation, Identity, SiLU
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.mixers.short_conv import ShortConv, convolved
from archlab.norms import RMSNorm
from archlab.ops import merge_heads, sigmoid, split_heads, upcast
from archlab.recurrence import Decay, Recurrence, continued, first_memory
from archlab.spec import Cost, Example, Mixer, Norm, Param, Parts, State, updated


class GatedDeltaNet(Mixer):
    """A state per head that forgets by α and overwrites what it holds under a key (https://arxiv.org/abs/2412.06464).

    S_t = α_t S_{t−1} (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ;  o_t = S_t q_t / √K
    y_t = (norm(o_t) ⊙ f(x_t W_gate)) W_out

    q, k and v are x through a matrix, a short convolution and an activation; then q and k have length 1
    (x / √(Σ x² + ε)). β_t = ``beta_range`` · σ(x_t W_β); with 2 eigenvalues of I − β k kᵀ may be negative
    (https://arxiv.org/abs/2411.12537).
    The state starts at 0 in every document. Paper → here: S (d_v × d_k) → ``memory`` (V × K), heads → ``heads``.

    decay
        None for α = 1: DeltaNet (https://arxiv.org/abs/2406.06484).
    heads, key_heads
        States, and heads of queries and keys; each of the latter serves heads/key_heads states (Qwen3-Next).
    key_size, value_size
        K and V of a head.
    epsilon
        ε of the lengths of q and k.
    conv
        The convolution before q, k and v, each with weights of its own; None for none.
    gate
        f; None for no gate.
    """

    heads: int
    key_heads: int
    key_size: int
    value_size: int
    epsilon: float
    norm: Norm
    decay: Decay | None = Decay()
    conv: ShortConv | None = ShortConv(taps=4, bias=False)
    activation: Activation = SiLU()
    gate: Activation | None = SiLU()
    beta_range: float = 1.0
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.heads > 0, "heads", "must be > 0")
        divides = self.key_heads > 0 and self.heads % self.key_heads == 0
        self.require(divides, "key_heads", f"must divide heads = {self.heads}")
        self.require(self.key_size > 0, "key_size", "must be > 0")
        self.require(self.value_size > 0, "value_size", "must be > 0")
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")
        self.require(0 < self.beta_range <= 2, "beta_range", "must lie in (0, 2]: the state would grow")

    def params(self, width: int) -> dict[str, Param]:
        return self.decay.params(self.heads) if self.decay else {}

    def parts(self, width: int) -> Parts:
        keys, values = self.key_heads * self.key_size, self.heads * self.value_size
        sizes = {"query": (keys, "D GK"), "key": (keys, "D GK"), "value": (values, "D HK"), "beta": (self.heads, "D H")}
        if self.decay:
            sizes["step"] = (self.heads, "D H")
        if self.gate:
            sizes["gate"] = (values, "D HK")
        table: Parts = {
            n: Linear(features=size, axes=axes, bias=False, init=self.init).at(width)
            for n, (size, axes) in sizes.items()
        }
        if self.conv:
            table |= {f"{n}_conv": self.conv.at(size) for n, size in zip(QKV, (keys, keys, values), strict=True)}
        table |= {"activation": self.activation.at(values), "norm": self.norm.at(self.value_size)}
        table["gate_activation"] = self.gate and self.gate.at(values)
        return table | {"out": Linear(features=width, axes="HK D", bias=False, init=self.init).at(values)}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {
            "memory": State(shape=(batch, self.heads, self.value_size, self.key_size), axes="B H K K"),
            "segment": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any, parallel: Recurrence | None = None) -> tuple[Any, Any]:
        """The definition; a native form passes a ``parallel`` form of :meth:`recur`."""
        q, k, v, beta, decay, state = self.project(m, x, ctx, state)
        segments, same = continued(ctx, state)
        inputs = (q, k, v, beta, decay, same, first_memory(ctx, state, v, k))
        o, memory = parallel(*inputs) if parallel and x.shape[1] > 1 else self.recur(ctx, *inputs)
        state = updated(state, memory=memory, segment=segments[:, -1])
        return self.read(m, ctx.xp.astype(o, x.dtype), x, ctx), state

    def project(self, m: Any, x: Any, ctx: Any, state: Any) -> Any:
        """q, k (B, T, H, K), v (B, T, H, V), β and log α (B, T, H) in float32 at least, and the state."""
        xp = ctx.xp
        (q, k, v), state = convolved(m, QKV, x, ctx, state)
        q, k = (split_heads(a, self.key_heads) for a in (q, k))
        q, k = (a / xp.sqrt(xp.sum(a * a, axis=-1, keepdims=True) + self.epsilon) for a in (q, k))
        q, k = (xp.repeat(a, self.heads // self.key_heads, axis=2) for a in (q, k))
        v = split_heads(v, self.heads)
        beta = self.beta_range * sigmoid(xp, upcast(xp, m.beta(x, ctx)))
        decay = self.decay.log(m, m.step(x, ctx), ctx)[0] if self.decay else xp.zeros_like(beta)
        return q / math.sqrt(self.key_size), k, v, beta, decay, state

    def recur(self, ctx: Any, q: Any, k: Any, v: Any, beta: Any, decay: Any, same: Any, memory: Any) -> Any:
        """The outputs (B, T, H, V) and the last memory, token by token."""
        xp = ctx.xp

        def step(memory: Any, inputs: Any) -> tuple[Any, Any]:
            q, k, v, beta, decay, same = inputs
            kept = xp.where(same[:, None], xp.exp(decay), xp.zeros_like(decay))
            memory = kept[..., None, None] * memory
            held = xp.sum(memory * k[:, :, None, :], axis=-1)  # what the memory holds under k
            memory = memory + (beta[..., None] * (v - held))[..., None] * k[:, :, None, :]
            return memory, xp.sum(memory * q[:, :, None, :], axis=-1)

        memory, o = ctx.scan(step, memory, (q, k, v, beta, decay, same))
        return o, memory

    def read(self, m: Any, o: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from the states' outputs (B, T, H, V)."""
        y = merge_heads(m.norm(o, ctx))
        if self.gate:
            y = y * m.gate_activation(m.gate(x, ctx), ctx)
        return m.out(y, ctx)

    def cost(self, width: int, length: int) -> Cost:
        each = 6.0 * self.heads * self.key_size * self.value_size  # what is held under k, the write, the read
        return Cost(visible=each, executed=each)

    def saved(self, width: int, length: int) -> float:
        return self.heads * (2.0 * self.value_size + 2.0 * self.key_size + 2.0)

    @classmethod
    def examples(cls) -> list[Example]:
        base = cls(heads=2, key_heads=2, key_size=6, value_size=4, epsilon=1e-3, norm=RMSNorm(epsilon=1e-2))
        plain = base.replace(decay=None, conv=None, gate=None, activation=Identity(), beta_range=2.0)
        return [
            Example(spec=base, length=70),
            Example(spec=base.replace(heads=4, beta_range=2.0, conv=ShortConv(taps=3, bias=True))),
            Example(spec=plain),
        ]


QKV = ("query", "key", "value")
