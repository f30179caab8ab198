"""Several residual streams, and layers that read and write mixtures of them."""

from typing import Any

from archlab.config import FieldError
from archlab.inits import Constant, Eye, Init, OneHot, Ones, Zeros
from archlab.ops import einsum, rearrange, upcast
from archlab.spec import Channel, Cost, Example, Layer, Mixer, Norm, Param, Parts, substate, updated


class Streams(Layer):
    """y = Σ_s layer([x, …, x])_s: the residual stream ``count`` times, side by side, and their sum at the end.

    ``layer`` has ``count`` times the width; a stack of :class:`HyperBlock` is meant.
    """

    count: int
    layer: Layer

    def check(self) -> None:
        self.require(self.count > 0, "count", "must be > 0")

    def parts(self, width: int) -> Parts:
        return {"layer": self.layer.at(self.count * width)}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        streams, inner = m.layer(ctx.xp.concat([x] * self.count, axis=-1), ctx, substate(state, "layer"))
        return ctx.xp.sum(rearrange(streams, "B T (M D) -> B T M D", M=self.count), axis=2), updated(state, layer=inner)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(count=2, layer=block_example(2)), width=8)]


class HyperBlock(Layer):
    """A mixer, a channel or both, in dynamic hyper-connections (https://arxiv.org/abs/2409.19606).

    Of M streams h (M × D), for each of the two, with n = norm(h) stream by stream:
    in = α · h, α = a + s_α tanh(n W_α) (M);  h ← β ⊗ f(in) + (R + s_ρ tanh(n W_ρ))ᵀ h;  β = b + s_β tanh(n W_β) (M)

    Paper → here: A_m → ``read`` (a), A_r → ``keep`` (R), B → ``write`` (b); the authors' ``dynamic_alpha_fn`` is W_α
    beside W_ρ, ``dynamic_beta_fn`` W_β; there s_ρ is s_α.

    streams
        M; the width is M times that of the mixer and the channel.
    norm
        Of each stream, for the dynamic part.
    start
        The stream that the layer reads at first.
    inner_norm
        Of what the mixer and the channel read (pre-norm).
    """

    streams: int
    mixer: Mixer | None = None
    channel: Channel | None = None
    norm: Norm
    inner_norm: Norm
    start: int = 0
    scale: Init = Constant(value=0.01)
    init: Init = Zeros()

    def check(self) -> None:
        self.require(bool(self.mixer or self.channel), "mixer", "and channel are both absent: give one")
        self.require(self.streams > 0, "streams", "must be > 0")
        self.require(0 <= self.start < self.streams, "start", f"must lie in 0 … {self.streams - 1}")

    @property
    def layers(self) -> dict[str, Layer]:
        """The mixer and the channel, those that there are."""
        return {n: layer for n, layer in (("mixer", self.mixer), ("channel", self.channel)) if layer}

    def size(self, width: int) -> int:
        """D, the width of one stream."""
        if width % self.streams:
            raise FieldError("streams", f"{self.streams} do not divide the width {width}")
        return width // self.streams

    def params(self, width: int) -> dict[str, Param]:
        count, size = self.streams, self.size(width)
        table: dict[str, Param] = {}
        for name in self.layers:
            table |= {
                f"{name}_read": Param(shape=(count,), axes="M", init=OneHot(index=self.start)),
                f"{name}_keep": Param(shape=(count, count), axes="M M", init=Eye()),
                f"{name}_write": Param(shape=(count,), axes="M", init=Ones()),
                f"{name}_read_kernel": Param(shape=(size,), axes="D", init=self.init, fan_in=size),
                f"{name}_keep_kernel": Param(shape=(size, count), axes="D M", init=self.init, fan_in=size),
                f"{name}_write_kernel": Param(shape=(size,), axes="D", init=self.init, fan_in=size),
                f"{name}_scales": Param(shape=(3,), axes="M", init=self.scale),
            }
        return table

    def parts(self, width: int) -> Parts:
        table: Parts = {}
        for name, layer in self.layers.items():
            table |= {
                name: layer.at(self.size(width)),
                f"{name}_norm": self.inner_norm.at(self.size(width)),
                f"{name}_streams_norm": self.norm.at(self.size(width)),
            }
        return table

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        for name in self.layers:
            x, inner = self.connect(m, name, x, ctx, substate(state, name))
            state = updated(state, **{name: inner})
        return x, state

    def connect(self, m: Any, name: str, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        """The streams (B, T, MD) after the mixer or the channel."""
        xp, h = ctx.xp, upcast(ctx.xp, rearrange(x, "B T (M D) -> B T M D", M=self.streams))
        normed = getattr(m, f"{name}_streams_norm")(h, ctx)
        own = {n: xp.astype(getattr(m, f"{name}_{n}"), h.dtype) for n in ("read", "keep", "write", "scales")}
        kernel = {n: xp.astype(getattr(m, f"{name}_{n}_kernel"), h.dtype) for n in ("read", "keep", "write")}
        s = own["scales"]
        read = own["read"] + s[0] * xp.tanh(einsum(normed, kernel["read"], "B T M D, D -> B T M"))
        keep = own["keep"] + s[1] * xp.tanh(einsum(normed, kernel["keep"], "B T M D, D N -> B T M N"))
        write = own["write"] + s[2] * xp.tanh(einsum(normed, kernel["write"], "B T M D, D -> B T M"))
        taken = xp.astype(einsum(read, h, "B T M, B T M D -> B T D"), x.dtype)
        y, state = getattr(m, name)(getattr(m, f"{name}_norm")(taken, ctx), ctx, state)
        h = einsum(keep, h, "B T M N, B T M D -> B T N D") + write[..., None] * upcast(xp, y)[:, :, None, :]
        return xp.astype(rearrange(h, "B T M D -> B T (M D)"), x.dtype), state

    def cost(self, width: int, length: int) -> Cost:
        each = 2.0 * width * (2 + self.streams) + 2.0 * width * (2 + self.streams)  # the coefficients, their use
        return Cost(weights=each * len(self.layers))

    def saved(self, width: int, length: int) -> float:
        return 2.0 * width * len(self.layers)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=block_example(2), width=16)]


def block_example(streams: int) -> HyperBlock:
    """A small block, for the battery."""
    from archlab.activations import GELUTanh
    from archlab.channels.mlp import MLP
    from archlab.mixers.attention import attention_example
    from archlab.norms import RMSNorm

    mixer: Any = attention_example(heads=2, kv_heads=1).spec
    channel, norm = MLP(hidden=6, activation=GELUTanh(), bias=False), RMSNorm(epsilon=1e-2)
    return HyperBlock(streams=streams, mixer=mixer, channel=channel, norm=norm, inner_norm=norm, start=1)
