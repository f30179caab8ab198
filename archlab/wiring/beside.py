"""Layers that read something of long ago beside their input: Zamba's shared block."""

from typing import Any

from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Example, Layer, Parts, substate, updated


class Publish(Layer):
    """y = x, left under ``name`` for later layers of the stack."""

    name: str

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        ctx.publish(self.name, x)
        return x, state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [beside_example()]


class Beside(Layer):
    """y = x + layer([x; z]) W, z what is published under ``name``, W (2 D, D).

    Zamba (https://arxiv.org/abs/2405.16712): z is the embedding, and ``layer``, of twice the width, is
    :class:`archlab.spec.Shared` by all that stand between Mamba layers; each has a W of its own.
    """

    name: str
    layer: Layer
    init: Init = FanInNormal()

    def parts(self, width: int) -> Parts:
        out = Linear(features=width, axes="C D", bias=False, init=self.init)
        return {"layer": self.layer.at(2 * width), "out": out.at(2 * width)}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        both = ctx.xp.concat([x, ctx.xp.astype(ctx.read(self.name, m.path), x.dtype)], axis=-1)
        y, new = m.layer(both, ctx, substate(state, "layer"))
        return x + m.out(y, ctx), updated(state, layer=new)

    @classmethod
    def examples(cls) -> list[Example]:
        return [beside_example()]


def beside_example() -> Example:
    """A model with one block that stands twice beside the embedding, for the battery."""
    from archlab.block import residual_example
    from archlab.model import tiny_model
    from archlab.residuals import PreNorm
    from archlab.spec import Shared
    from archlab.stack import Stack

    block: Any = residual_example(PreNorm).spec
    shared = Beside(name="embedding", layer=Shared(name="block", part=block))  # type: ignore[arg-type]
    stack = Stack(first=(Publish(name="embedding"), shared), pattern=(block, shared), repeat=1)
    return Example(spec=tiny_model(width=8).replace(stack=stack))
