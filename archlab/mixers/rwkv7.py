"""RWKV-7's time mixing."""

import math
from typing import Any

from archlab.activations import Sigmoid, Tanh
from archlab.inits import Constant, FanInNormal, Init, Ones, Uniform, Zeros
from archlab.layers import Linear
from archlab.low_rank import LowRank
from archlab.norms import GroupNorm
from archlab.ops import merge_heads, sigmoid, split_heads, upcast
from archlab.recurrence import Recurrence, first_memory, mixed, shift_state, shifted
from archlab.spec import Cost, Example, Mixer, Norm, Param, Parts, State, updated

FIRST_VALUE = "rwkv7.first_value"
MIXED = ("receptance", "decay", "key", "value", "rate", "gate")
SLOWEST = math.exp(-0.5)


class RWKV7(Mixer):
    """A state per head under a decay for each key channel and a delta rule (https://arxiv.org/abs/2503.14456).

    S_t = S_{t−1} (diag(w_t) − κ_tᵀ (a_t ⊙ κ_t)) + v_tᵀ k_t;  o_t = S_t r_t
    y_t = ((norm(o_t) + (Σ r_t ⊙ ρ ⊙ k_t) v_t) ⊙ g_t) W_out

    Each of r, w, k, v, a, g sees x_t + μ ⊙ (x_{t−1} − x_t) with a μ of its own.
    w = exp(−e^{−1/2} σ(tanh(x A) B + b)) lies in (0.545, 1); a = σ(x A B + b); g = σ(x A) B.
    κ = k ⊙ ξ of length 1 in each head; k becomes k ⊙ (1 + (a − 1) ⊙ α).

    A layer without ``value_rank`` publishes its v, the model's first one; later ones move theirs towards it:
    v + (v_first − v) ⊙ σ(x A B + b). The state starts at 0 in every document. Paper → here: ξ → ``removal``,
    α → ``replacement``, ρ → ``bonus``, μ → ``mix_…``; official code → here: ``x_r`` … → ``mix_receptance`` …,
    ``w0 w1 w2`` → ``decay`` (bias, down, up), ``a…`` → ``rate``, ``g…`` → ``gate``, ``v0 v1 v2`` → ``value_mix``,
    ``k_k`` → ``removal``, ``k_a`` → ``replacement``, ``r_k`` → ``bonus``, ``ln_x`` → ``norm``.

    decay_rank, rate_rank, value_rank, gate_rank
        Columns of each A.
    norm
        Of o over each head: the published one is ``GroupNorm(groups=heads, epsilon=64e-5, bias=True)``.
    epsilon
        κ = k ξ / √(Σ (k ξ)² + ε).
    """

    heads: int
    decay_rank: int
    rate_rank: int
    gate_rank: int
    value_rank: int | None = None
    norm: Norm
    epsilon: float = 1e-12
    mix: Init = Uniform(low=0.0, high=1.0)
    init: Init = FanInNormal()

    def check(self) -> None:
        for name in ("heads", "decay_rank", "rate_rank", "gate_rank"):
            self.require(getattr(self, name) > 0, name, "must be > 0")
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")
        self.require(
            self.value_rank is None or self.value_rank > 0, "value_rank", "must be > 0, or null in a first layer"
        )

    def size(self, width: int) -> int:
        """K, the size of a head."""
        if width % self.heads:
            self.fail("heads", f"does not divide the width {width}")
        return width // self.heads

    def params(self, width: int) -> dict[str, Param]:
        head = (self.heads, self.size(width))
        table = {f"mix_{name}": Param(shape=(width,), axes="D", init=self.mix) for name in MIXED}
        return table | {
            "removal": Param(shape=(width,), axes="HK", init=Constant(value=0.85)),
            "replacement": Param(shape=(width,), axes="HK", init=Ones()),
            "bonus": Param(shape=head, axes="H K", init=Zeros()),
        }

    def parts(self, width: int) -> Parts:
        def low(rank: int, bias: bool, activation: Any = None) -> Any:
            spec = LowRank(rank=rank, features=width, axes="D HK", bias=bias, activation=activation, init=self.init)
            return spec.at(width)

        linear = Linear(features=width, axes="D HK", bias=False, init=self.init).at(width)
        return {
            "receptance": linear,
            "key": linear,
            "value": linear,
            "decay": low(self.decay_rank, True, Tanh()),
            "rate": low(self.rate_rank, True),
            "gate": low(self.gate_rank, False, Sigmoid()),
            "value_mix": low(self.value_rank, True) if self.value_rank else None,
            "norm": self.norm.at(width),
            "out": Linear(features=width, axes="HK D", bias=False, init=self.init).at(width),
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        size = self.size(width)
        return shift_state(width, batch) | {"memory": State(shape=(batch, self.heads, size, size), axes="B H K K")}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any, parallel: Recurrence | None = None) -> tuple[Any, Any]:
        """The definition; a native form passes a ``parallel`` form of :meth:`recur`."""
        before, same, state = shifted(ctx, x, state)
        r, decay, k, v, removal, rate, gate = self.project(m, x, before, ctx)
        inputs = (r, decay, k, v, removal, removal * rate, same, first_memory(ctx, state, v, k))
        o, memory = parallel(*inputs) if parallel and x.shape[1] > 1 else self.recur(ctx, *inputs)
        return self.read(m, o, r, k, v, gate, x, ctx), updated(state, memory=memory)

    def project(self, m: Any, x: Any, before: Any, ctx: Any) -> Any:
        """r, log w, k, v, κ, a by head (B, T, H, K), in float32 at least, and g (B, T, D)."""
        xp = ctx.xp
        seen = {name: mixed(ctx, x, before, getattr(m, f"mix_{name}")) for name in MIXED}
        r, k, v = (upcast(xp, getattr(m, n)(seen[n], ctx)) for n in ("receptance", "key", "value"))
        decay = -SLOWEST * sigmoid(xp, upcast(xp, m.decay(seen["decay"], ctx)))
        rate = sigmoid(xp, upcast(xp, m.rate(seen["rate"], ctx)))
        if self.value_rank is None:
            ctx.publish(FIRST_VALUE, v)
        else:
            v = v + (ctx.read(FIRST_VALUE, m.path) - v) * sigmoid(xp, upcast(xp, m.value_mix(seen["value"], ctx)))
        removal = self.by_head(k * xp.astype(m.removal, k.dtype))
        removal = removal / xp.sqrt(xp.sum(removal * removal, axis=-1, keepdims=True) + self.epsilon)
        k = k * (1.0 + (rate - 1.0) * xp.astype(m.replacement, k.dtype))
        r, decay, k, v, rate = (self.by_head(a) for a in (r, decay, k, v, rate))
        return r, decay, k, v, removal, rate, m.gate(seen["gate"], ctx)

    def by_head(self, a: Any) -> Any:
        return split_heads(a, self.heads)

    def recur(
        self, ctx: Any, r: Any, decay: Any, k: Any, v: Any, removal: Any, taken: Any, same: Any, memory: Any
    ) -> tuple[Any, Any]:
        """o (B, T, H, K) and the last memory, token by token; ``taken`` is a ⊙ κ."""
        xp = ctx.xp

        def step(memory: Any, inputs: Any) -> tuple[Any, Any]:
            r, decay, k, v, removal, taken, same = inputs
            memory = xp.where(same[:, None, None, None], memory, xp.zeros_like(memory))
            held = xp.sum(memory * removal[:, :, None, :], axis=-1)  # what the memory holds under κ
            written = v[..., None] * k[:, :, None, :] - held[..., None] * taken[:, :, None, :]
            memory = memory * xp.exp(decay)[:, :, None, :] + written
            return memory, xp.sum(memory * r[:, :, None, :], axis=-1)

        memory, o = ctx.scan(step, memory, (r, decay, k, v, removal, taken, same))
        return o, memory

    def read(self, m: Any, o: Any, r: Any, k: Any, v: Any, gate: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from what the memory gave."""
        xp = ctx.xp
        bonus = xp.sum(r * k * xp.astype(m.bonus, r.dtype), axis=-1, keepdims=True) * v
        y = m.norm(merge_heads(o), ctx) + merge_heads(bonus)
        return m.out(xp.astype(y, x.dtype) * gate, ctx)

    def cost(self, width: int, length: int) -> Cost:
        each = 8.0 * width * self.size(width)  # what is held, two writes, the read
        return Cost(visible=each, executed=each)

    def saved(self, width: int, length: int) -> float:
        return 14.0 * width

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import Block
        from archlab.norms import RMSNorm
        from archlab.residuals import PreNorm
        from archlab.stack import Stack

        norm = GroupNorm(groups=2, epsilon=1e-2, bias=True)
        base = cls(heads=2, decay_rank=3, rate_rank=4, gate_rank=5, norm=norm, epsilon=1e-3)
        mixers = (base, base.replace(value_rank=2))
        first, later = (Block(mixer=mixer, residual=PreNorm(norm=RMSNorm(epsilon=1e-2))) for mixer in mixers)
        return [
            Example(spec=base, width=8, length=36),
            Example(spec=Stack(first=(first,), pattern=(later,), repeat=2), width=8),
        ]
