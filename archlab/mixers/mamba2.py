"""Mamba-2."""

from typing import Any, Literal

from archlab.activations import Activation, Identity, SiLU
from archlab.config import Config
from archlab.inits import FanInNormal, Init, LogUniform, Ones
from archlab.layers import Linear
from archlab.mixers.short_conv import ShortConv, convolved
from archlab.norms import RMSNorm
from archlab.ops import merge_heads, split_heads
from archlab.recurrence import Decay, Recurrence, continued, first_memory
from archlab.spec import Cost, Example, Mixer, Norm, Param, Parts, State, updated


class Scales(Config):
    """What the projections of a :class:`Mamba2` are multiplied with, biases included."""

    gate: float = 1.0
    value: float = 1.0
    key: float = 1.0
    query: float = 1.0
    step: float = 1.0


class Mamba2(Mixer):
    """A diagonal state-space model with one decay per head (SSD, https://arxiv.org/abs/2405.21060).

    S_t = α_t S_{t−1} + Δ_t x_t b_tᵀ;  o_t = S_t c_t + d x_t, with α and Δ as in :class:`~archlab.recurrence.Decay`
    y_t = norm(o_t ⊙ f(z_t)) W_out

    x, b and c come from matrices, a short convolution and an activation, z and s from matrices. The state starts at 0
    in every document. Paper → here: X → ``value``, B → ``key``, C → ``query``, A and Δ → ``decay``, Z → ``gate``,
    N → ``state_size``, P → ``head_size``. Elsewhere all projections are one matrix with columns in the order z, x, b,
    c, s, and the convolutions of x, b and c are one.

    groups
        How many pairs of b and c there are; heads/groups heads share one.
    skip
        The law of d, a number for each head; None for none.
    scales
        What z, x, b, c and s are multiplied with first (Falcon-H1, https://arxiv.org/abs/2507.22448: what muP asks
        for); None for nothing.
    gate_place
        Where f(z) multiplies: "before" the norm, as Mamba-2 does, or "after" it.
    bias, out_bias
        Whether the projections to x, b, c, z and s have biases, and whether W_out has one; None: as they.
    init, out_init
        The laws of the matrices, and of W_out where it has one of its own.
    """

    heads: int
    head_size: int
    state_size: int
    groups: int
    norm: Norm | None
    decay: Decay = Decay()
    conv: ShortConv | None = ShortConv(taps=4, bias=True)
    activation: Activation = SiLU()
    gate: Activation = SiLU()
    gate_place: Literal["before", "after"] = "before"
    skip: Init | None = Ones()
    scales: Scales | None = None
    bias: bool = False
    out_bias: bool | None = None
    init: Init = FanInNormal()
    out_init: Init | None = None

    def check(self) -> None:
        self.require(self.heads > 0, "heads", "must be > 0")
        self.require(self.head_size > 0, "head_size", "must be > 0")
        self.require(self.state_size > 0, "state_size", "must be > 0")
        divides = self.groups > 0 and self.heads % self.groups == 0
        self.require(divides, "groups", f"must divide heads = {self.heads}")
        fixed = self.gate_place == "before" or self.norm is not None
        self.require(fixed, "gate_place", "says where the gate stands beside the norm, and norm is null")

    @property
    def inner(self) -> int:
        """Width of x, z and o."""
        return self.heads * self.head_size

    def params(self, width: int) -> dict[str, Param]:
        table = self.decay.params(self.heads)
        return table | ({"skip": Param(shape=(self.heads,), axes="H", init=self.skip)} if self.skip else {})

    def parts(self, width: int) -> Parts:
        shared = self.groups * self.state_size
        sizes = {"gate": self.inner, "value": self.inner, "key": shared, "query": shared, "step": self.heads}
        axes = {"gate": "D HK", "value": "D HK", "key": "D GN", "query": "D GN", "step": "D H"}
        table: Parts = {
            n: Linear(features=size, axes=axes[n], bias=self.bias, init=self.init).at(width)
            for n, size in sizes.items()
        }
        if self.conv:
            table |= {f"{n}_conv": self.conv.at(sizes[n]) for n in MIXED}
        table |= {"activation": self.activation.at(self.inner), "gate_activation": self.gate.at(self.inner)}
        table["norm"] = self.norm and self.norm.at(self.inner)
        out_bias = self.bias if self.out_bias is None else self.out_bias
        out = Linear(features=width, axes="HK D", bias=out_bias, init=self.out_init or self.init)
        return table | {"out": out.at(self.inner)}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {
            "memory": State(shape=(batch, self.heads, self.head_size, self.state_size), axes="B H K N"),
            "segment": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any, parallel: Recurrence | None = None) -> tuple[Any, Any]:
        """The definition; a native form passes a ``parallel`` form of :meth:`recur`."""
        q, k, v, step, decay, state = self.project(m, x, ctx, state)
        segments, same = continued(ctx, state)
        inputs = (q, k, step[..., None] * v, decay, same, first_memory(ctx, state, v, k))
        o, memory = parallel(*inputs) if parallel and x.shape[1] > 1 else self.recur(ctx, *inputs)
        return self.read(m, o, v, x, ctx), updated(state, memory=memory, segment=segments[:, -1])

    def project(self, m: Any, x: Any, ctx: Any, state: Any) -> Any:
        """c, b (B, T, H, N), x (B, T, H, P), Δ and log α (B, T, H) in float32 at least, and the state."""
        (v, k, q), state = convolved(m, MIXED, x, ctx, state, self.scales)
        v = split_heads(v, self.heads)
        k, q = (split_heads(a, self.groups) for a in (k, q))
        k, q = (ctx.xp.repeat(a, self.heads // self.groups, axis=2) for a in (k, q))
        decay, step = self.decay.log(m, self.scaled(m, "step", x, ctx), ctx)
        return q, k, v, step, decay, state

    def scaled(self, m: Any, name: str, x: Any, ctx: Any) -> Any:
        """The projection ``name`` of x, times its scale."""
        y = getattr(m, name)(x, ctx)
        return y if self.scales is None else y * getattr(self.scales, name)

    def recur(self, ctx: Any, q: Any, k: Any, v: Any, decay: Any, same: Any, memory: Any) -> tuple[Any, Any]:
        """S_t c_t (B, T, H, P) and the last memory, token by token; v is Δ x."""
        xp = ctx.xp

        def step(memory: Any, inputs: Any) -> tuple[Any, Any]:
            q, k, v, decay, same = inputs
            kept = xp.where(same[:, None], xp.exp(decay), xp.zeros_like(decay))
            memory = kept[..., None, None] * memory + v[..., None] * k[:, :, None, :]
            return memory, xp.sum(memory * q[:, :, None, :], axis=-1)

        memory, o = ctx.scan(step, memory, (q, k, v, decay, same))
        return o, memory

    def read(self, m: Any, o: Any, v: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from S_t c_t and x (B, T, H, P)."""
        xp = ctx.xp
        if self.skip:
            o = o + xp.astype(m.skip, o.dtype)[:, None] * v
        y = xp.astype(merge_heads(o), x.dtype)
        gate = m.gate_activation(self.scaled(m, "gate", x, ctx), ctx)
        y = y * gate if self.gate_place == "before" else y
        y = m.norm(y, ctx) if self.norm else y
        return m.out(y * gate if self.gate_place == "after" else y, ctx)

    def cost(self, width: int, length: int) -> Cost:
        each = 5.0 * self.inner * self.state_size  # the decay, the write, the read
        return Cost(visible=each, executed=each)

    def saved(self, width: int, length: int) -> float:
        return 4.0 * self.inner + 2.0 * self.heads * self.state_size

    @classmethod
    def examples(cls) -> list[Example]:
        base = cls(heads=4, head_size=6, state_size=5, groups=2, norm=RMSNorm(epsilon=1e-2))
        slow = Decay(rate=LogUniform(low=0.5, high=2.0), lowest=0.01, highest=0.05)
        bare = base.replace(conv=None, skip=None, norm=None, activation=Identity(), bias=True, decay=slow)
        scales = Scales(gate=0.7, value=1.3, key=0.6, query=1.5, step=0.8)
        return [
            Example(spec=base, length=70),
            Example(spec=base.replace(groups=1, gate_place="after", gate=Identity(), scales=scales, out_bias=True)),
            Example(spec=bare),
        ]


MIXED = ("value", "key", "query")  # what the convolution sees
