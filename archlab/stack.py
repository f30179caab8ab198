"""A pattern of layers, repeated."""

from typing import Any

from archlab.spec import Example, Layer, Parts, substate, updated


class Stack(Layer):
    """The layers of ``pattern`` in order, the whole ``repeat`` times, then those of ``tail`` once.

    Layer i of the pattern's r-th turn is ``layers.{r · len(pattern) + i}``. ``pattern=(local, local, global_),
    repeat=4, tail=(local,)`` makes 13 layers. Backends may scan over the turns; parameters are named
    and initialised layer by layer all the same.
    """

    pattern: tuple[Layer, ...]
    repeat: int
    tail: tuple[Layer, ...] = ()

    def check(self) -> None:
        self.require(len(self.pattern) > 0, "pattern", "must hold at least one layer")
        self.require(self.repeat > 0, "repeat", "must be > 0")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order."""
        return self.pattern * self.repeat + self.tail

    def parts(self, width: int) -> Parts:
        return {"layers": [layer.at(width) for layer in self.layers]}

    def field_of(self, child: str) -> str:
        index = int(child.removeprefix("layers."))
        turns = len(self.pattern) * self.repeat
        return f"pattern[{index % len(self.pattern)}]" if index < turns else f"tail[{index - turns}]"

    def depth(self, index: Any) -> Any:
        """How deep layer ``index`` is, from 0.0 to 1.0."""
        return index / max(len(self.layers) - 1, 1)

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        states = []
        for i, layer in enumerate(m.layers):
            x, new = layer(x, ctx.at_depth(self.depth(i)), substate(substate(state, "layers"), i))
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
            Example(spec=cls(pattern=(pre, post), repeat=2, tail=(post,))),  # type: ignore[arg-type]
        ]
