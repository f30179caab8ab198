"""A pattern of layers, repeated."""

from collections.abc import Iterator
from typing import Any

from archlab.spec import Example, Layer, Parts, substate, updated


class Stack(Layer):
    """The layers of ``first`` once, those of ``pattern`` in order, the whole ``repeat`` times, those of ``tail`` once.

    They are ``layers.0``, ``layers.1``, … in this order. ``pattern=(local, local, global_), repeat=4, tail=(local,)``
    makes 13 layers. Backends may scan over the turns; parameters are named and initialised layer by layer all the same.

    What a layer publishes (:meth:`archlab.context.Context.publish`) later layers of the stack can read; what a layer of
    the pattern publishes, only those of its turn.
    """

    pattern: tuple[Layer, ...]
    repeat: int
    first: tuple[Layer, ...] = ()
    tail: tuple[Layer, ...] = ()

    def check(self) -> None:
        self.require(len(self.pattern) > 0, "pattern", "must hold at least one layer")
        self.require(self.repeat > 0, "repeat", "must be > 0")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order."""
        return self.first + self.pattern * self.repeat + self.tail

    @property
    def turns(self) -> range:
        """The indices of the layers at which a turn begins."""
        start = len(self.first)
        return range(start, start + len(self.pattern) * self.repeat, len(self.pattern))

    def parts(self, width: int) -> Parts:
        return {"layers": [layer.at(width) for layer in self.layers]}

    def field_of(self, child: str) -> str:
        index = int(child.removeprefix("layers."))
        if index < self.turns.start:
            return f"first[{index}]"
        if index < self.turns.stop:
            return f"pattern[{(index - self.turns.start) % len(self.pattern)}]"
        return f"tail[{index - self.turns.stop}]"

    def depth(self, index: Any) -> Any:
        """How deep layer ``index`` is, from 0.0 to 1.0."""
        return index / max(len(self.layers) - 1, 1)

    def contexts(self, ctx: Any) -> Iterator[Any]:
        """Each layer's context: its depth, and what it can read."""
        outer = turn = ctx.scoped()
        for i in range(len(self.layers)):
            turn = outer.scoped() if i in self.turns else outer if i == self.turns.stop else turn
            yield turn.at_depth(self.depth(i))

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        states = []
        for i, (layer, inner) in enumerate(zip(m.layers, self.contexts(ctx), strict=True)):
            x, new = layer(x, inner, substate(substate(state, "layers"), i))
            states.append(new)
        return x, updated(state, layers=states)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import residual_example
        from archlab.residuals import PostNorm, PreNorm

        pre, post = (residual_example(kind).spec for kind in (PreNorm, PostNorm))
        return [
            Example(spec=cls(pattern=(pre,), repeat=3)),  # type: ignore[arg-type]
            Example(spec=cls(first=(post,), pattern=(pre, post), repeat=2, tail=(post,))),  # type: ignore[arg-type]
        ]
