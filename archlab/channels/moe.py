"""Mixtures of experts."""

from typing import Any

from archlab.activations import Activation, GELUTanh, SiLU
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.channels.routing import Router
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.config import FieldError
from archlab.inits import Init, Normal
from archlab.layers import Linear
from archlab.ops import sigmoid, upcast
from archlab.optim.sign_step import SignStep
from archlab.spec import Channel, Cost, Example, Map, Param, Part, Parts, children, substate, updated


class ExpertLinear(Map):
    """y_e = x_e W_e (+ b_e), a linear map for each of ``count`` experts; x is (…, E, D), or (…, 1, D) for all alike."""

    count: int
    linear: Linear

    def params(self, width: int) -> dict[str, Param]:
        return {
            name: Param(shape=(self.count, *p.shape), axes=f"E {p.axes}", init=p.init, fan_in=p.fan_in)
            for name, p in self.linear.params(width).items()
        }

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        y = by_expert(ctx.xp, x, ctx.xp.astype(m.kernel, x.dtype))
        return y + ctx.xp.astype(m.bias, x.dtype) if self.linear.bias else y

    def cost(self, width: int, length: int) -> Cost:
        return Cost()  # what a token costs depends on how many experts it goes to: the mixture knows

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=Experts(count=3, expert=MLP(hidden=6, activation=GELUTanh(), bias=True)), width=8)]


def by_expert(xp: Any, x: Any, w: Any) -> Any:
    """x (…, E, D) or (…, 1, D) times w (E, D, F): one product for each expert → (…, E, F)."""
    rows = xp.permute_dims(xp.reshape(x, (-1, *x.shape[-2:])), (1, 0, 2))
    y = xp.permute_dims(rows @ w, (1, 0, 2))
    return xp.reshape(y, (*x.shape[:-2], *y.shape[1:]))


class Experts(Map):
    """``count`` channels of one kind: y_e = f_e(x), (B, T, E, D).

    ``expert`` is any channel that is made of linear maps and activations. Its definition serves them all; its
    parameters are kept as stacks over the experts.
    """

    count: int
    expert: Channel

    def check(self) -> None:
        self.require(self.count > 0, "count", "must be > 0")
        self.require(self.expert.represents() is self.expert, "expert", "cannot be an expert; share the whole mixture")

    def parts(self, width: int) -> Parts:
        if self.expert.params(width) or self.expert.state(width, 1, 1):
            raise FieldError("", "has parameters or a state of its own; only its parts may have parameters")
        return {name: self._stacked(child) for name, child in children(self.expert.at(width))}

    def _stacked(self, child: Part) -> Part:
        if isinstance(child.spec, Linear):
            return ExpertLinear(count=self.count, linear=child.spec).at(child.width)
        if not isinstance(child.spec, Activation) or child.spec.params(child.width):
            raise FieldError(
                "", f"has a part {type(child.spec).__name__}; only linear maps and activations can be stacked"
            )
        return child

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return self.expert.forward(m, x[..., None, :], ctx, None)[0]

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(count=3, expert=GLU(hidden=6, activation=SiLU(), bias=False)), width=8)]


class MoE(Channel):
    """y = Σ_e w_e f_e(x) (+ σ(x W_g) · g(x)): w from the router, f_e the experts, g a channel that all tokens share.

    The sum is over all experts, most of whose weights are 0; what is native computes only the others.

    router
        Says the number of experts, E.
    expert
        What each expert is: a channel made of linear maps and activations, of which there are E.
    shared
        The channel g (DeepSeekMoE, https://arxiv.org/abs/2401.06066); None for none.
    shared_gate
        The law of W_g (D, 1) (Qwen2-MoE, https://arxiv.org/abs/2407.10671); None lets g count in full.
    """

    router: Router
    expert: Channel
    shared: Channel | None = None
    shared_gate: Init | None = None

    def check(self) -> None:
        self.require(self.shared is not None or self.shared_gate is None, "shared_gate", "needs a shared channel")

    def parts(self, width: int) -> Parts:
        gate = self.shared_gate and Linear(features=1, axes="D R", bias=False, init=self.shared_gate).at(width)
        return {
            "router": self.router.at(width),
            "experts": Experts(count=self._router().experts, expert=self.expert).at(width),
            "shared": self.shared and self.shared.at(width),
            "shared_gate": gate,
        }

    @property
    def most(self) -> int | None:
        """How many experts a token goes to at most; None for all of them."""
        return self._router().most

    def _router(self) -> Any:
        return self.router.represents()

    def field_of(self, child: str) -> str:
        return "expert" if child == "experts" else child

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, weights = ctx.xp, m.router(x, ctx)
        each = upcast(xp, m.experts(x, ctx.without_records()))  # natively there is no output of every expert to note
        return self.join(m, xp.sum(weights[..., None] * each, axis=-2), x, ctx, state)

    def join(self, m: Any, y: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        """The routed sum y, rounded to the dtype of x, and the shared channel."""
        xp, y = ctx.xp, ctx.xp.astype(y, x.dtype)
        if self.shared is None:
            return y, state
        shared, after = m.shared(x, ctx, substate(state, "shared"))
        if self.shared_gate is not None:
            gate = sigmoid(xp, upcast(xp, m.shared_gate(x, ctx)))
            shared = xp.astype(gate * upcast(xp, shared), x.dtype)
        return y + shared, updated(state, shared=after)

    def cost(self, width: int, length: int) -> Cost:
        parts = [child for _, child in children(self.expert.at(width))]
        weights = sum(child.spec.cost(child.width, length).weights for child in parts)
        return Cost(weights=self._router().mean * weights)

    def saved(self, width: int, length: int) -> float:
        return self._router().mean * (2.0 * width + self.expert.saved(width, length))

    @classmethod
    def examples(cls) -> list[Example]:
        gated = GLU(hidden=6, activation=SiLU(), bias=False)
        plain = MLP(hidden=5, activation=GELUTanh(), bias=True)
        groups = Groups(count=2, chosen=1, score="max")
        grouped = TopKRouter(experts=4, chosen=2, scores="softmax", total=1.0, groups=groups)
        full = TopKRouter(
            experts=3, chosen=2, scores="sigmoid", capacity=0.75, balance=0.5, z=0.1, correction=SignStep(size=1e-3)
        )
        waived = (
            ("decode", "capacity depends on the length of the whole document"),
            ("padding", "its auxiliary losses and loads are sums over all documents of a batch"),
        )
        return [
            Example(spec=cls(router=grouped, expert=gated, shared=gated, shared_gate=Normal(std=1.0)), width=8),
            Example(spec=cls(router=full, expert=plain), width=8, waive=waived),
        ]
