"""Recurrent networks with nonlinear cells: layers of them, in one direction or both."""

from typing import Any, ClassVar, Literal

from archlab.layers import Dropout, Linear
from archlab.recurrence import continued
from archlab.spec import SEES, Cost, Example, FieldError, Mixer, Parts, State, substate, updated


class Cell(Mixer):
    """A recurrence over ``hidden`` units: maps (B, T, D) to (B, T, F), token by token, from 0 in every document.

    A cell says how many ``gates`` it has, what is ``carried`` from token to token (the first is its output), and its
    :meth:`step`. It can be a mixer by itself where ``hidden`` is the width.
    """

    abstract = True
    gates: ClassVar[int]
    carried: ClassVar[tuple[str, ...]]

    hidden: int

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        kept = {name: State(shape=(batch, self.hidden), axes="B F") for name in self.carried}
        return kept | {"segment": State(shape=(batch,), axes="B", dtype="int")}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, entered = ctx.xp, m.input(x, ctx)
        segments, same, carry = self.start(entered[:, 0, :1], ctx, state)

        def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
            entered, same = inputs
            carry = tuple(xp.where(same[:, None], c, xp.zeros_like(c)) for c in carry)
            carry = self.step(m, ctx, carry, entered)
            return carry, carry[0]

        carry, hidden = ctx.scan(step, carry, (entered, same))
        return hidden, self.remember(state, segments, carry)

    def start(self, like: Any, ctx: Any, state: Any) -> tuple[Any, Any, tuple[Any, ...]]:
        """(B, T) documents, whether each token goes on with its neighbour's, and what is carried (B, F) each.

        ``like`` (B, 1) has the dtype of the activations.
        """
        xp, zeros = ctx.xp, ctx.xp.zeros_like(ctx.xp.repeat(like, self.hidden, axis=1))
        carry = tuple(zeros if state is None else xp.astype(state[name], zeros.dtype) for name in self.carried)
        return *continued(ctx, state), carry

    def remember(self, state: Any, segments: Any, carry: tuple[Any, ...]) -> Any:
        """The state after the last token."""
        return updated(state, segment=segments[:, -1], **dict(zip(self.carried, carry, strict=True)))

    def step(self, m: Any, ctx: Any, carry: tuple[Any, ...], entered: Any) -> tuple[Any, ...]:
        """What is carried on, from what was and the input's share of the gates (B, gates · F)."""
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * self.gates * self.hidden * self.hidden)

    def saved(self, width: int, length: int) -> float:
        return float((self.gates + len(self.carried)) * self.hidden)


class Backward(Mixer):
    """``cell`` from the last token of each document to the first."""

    cell: Cell

    def parts(self, width: int) -> Parts:
        return {"cell": self.cell.at(width)}

    def sees_later(self) -> str | None:
        return f"it reads from the end, {SEES}"

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp = ctx.xp
        places = (ctx.positions, ctx.segments, ctx.prefix)
        positions, segments, prefix = (None if a is None else xp.flip(a, axis=1) for a in places)
        turned = ctx.replace(positions=positions, segments=segments, prefix=prefix, plain=False)
        y, _ = m.cell(xp.flip(x, axis=1), turned, None)
        return xp.flip(y, axis=1), state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.gru import GRU

        cell = GRU(hidden=16, bias=True, state_bias="all")
        return [Example(spec=cls(cell=cell), waive=Recurrent.two_ways())]


class Recurrent(Mixer):
    """``layers`` of a cell, each reading the one before; in both directions the outputs stand side by side.

    out_bias
        Whether the matrix back to the width has a bias; None for no matrix: then hidden · directions is the width.
    dropout
        Between layers.
    """

    cell: Cell
    layers: int
    directions: Literal["forward", "both"] = "forward"
    out_bias: bool | None = None
    dropout: float = 0.0

    def check(self) -> None:
        self.require(self.layers > 0, "layers", "must be > 0")
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    @property
    def inner(self) -> int:
        """Width of a layer's output."""
        return self.cell.hidden * (2 if self.directions == "both" else 1)

    def parts(self, width: int) -> Parts:
        if self.out_bias is None and self.inner != width:
            raise FieldError(
                "out_bias", f"null means no matrix, but the layers give {self.inner} and the width is {width}"
            )
        widths = [width] + [self.inner] * (self.layers - 1)
        table: Parts = {"forward_layers": [self.cell.at(w) for w in widths]}
        if self.directions == "both":
            table["backward_layers"] = [Backward(cell=self.cell).at(w) for w in widths]
        table["dropout"] = Dropout(rate=self.dropout).at(self.inner) if self.dropout else None
        out = self.out_bias is not None and Linear(features=width, axes="F D", bias=self.out_bias).at(self.inner)
        return table | {"out": out or None}

    def field_of(self, child: str) -> str:
        return "cell" if "layers" in child else child

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        states = []
        for i, layer in enumerate(m.forward_layers):
            y, new = layer(x, ctx, substate(substate(state, "forward_layers"), i))
            states.append(new)
            if self.directions == "both":
                back, _ = m.backward_layers[i](x, ctx, None)
                y = ctx.xp.concat([y, back], axis=-1)
            x = m.dropout(y, ctx) if self.dropout and i + 1 < self.layers else y
        x = m.out(x, ctx) if self.out_bias is not None else x
        return x, updated(state, forward_layers=states)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @staticmethod
    def two_ways() -> tuple[tuple[str, str], ...]:
        """What an example waives that reads from the end too."""
        return (("causal", "reads from the end too"), ("decode", "a token sees later ones"))

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.gru import GRU

        cell = GRU(hidden=8, bias=True, state_bias="all")
        return [
            Example(spec=cls(cell=cell, layers=2, directions="both", dropout=0.2), waive=cls.two_ways()),
            Example(spec=cls(cell=cell, layers=1, out_bias=True)),
        ]
