"""How a layer's output joins the residual stream.

A residual is a part of a block; it calls the layer (``branch``) between its norms. All share
y = skip_scale · x + branch_scale · drop(…), with dropout and drop path on the branch.
"""

from typing import Any

from archlab.layers import Dropout, DropPath
from archlab.spec import Example, Norm, Parts, Spec


class Residual(Spec):
    """A part that maps (x, ctx, branch, state) to (y, state)."""

    abstract = True

    dropout: float = 0.0
    drop_path: DropPath | None = None
    branch_scale: float = 1.0
    skip_scale: float = 1.0

    def check(self) -> None:
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    def norms(self, width: int) -> Parts:
        """The norms of this kind of residual."""
        raise NotImplementedError

    def parts(self, width: int) -> Parts:
        return self.norms(width) | {
            "dropout": Dropout(rate=self.dropout).at(width) if self.dropout else None,
            "drop_path": self.drop_path and self.drop_path.at(width),
        }

    def join(self, m: Any, x: Any, y: Any, ctx: Any) -> Any:
        """skip_scale · x + branch_scale · drop(y)."""
        if self.dropout:
            y = m.dropout(y, ctx)
        if self.drop_path:
            y = m.drop_path(y, ctx)
        y = y if self.branch_scale == 1.0 else y * self.branch_scale
        return (x if self.skip_scale == 1.0 else x * self.skip_scale) + y

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import residual_example

        return [residual_example(cls), residual_example(cls, branch_scale=0.5, skip_scale=2.0)]


class PlainResidual(Residual):
    """x + f(x), no norm  (ModernBERT's first attention, right after a norm)."""

    def norms(self, width: int) -> Parts:
        return {}

    def forward(self, m: Any, x: Any, ctx: Any, branch: Any, state: Any) -> tuple[Any, Any]:
        y, state = branch(x, ctx, state)
        return self.join(m, x, y, ctx), state


class PreNorm(Residual):
    """x + f(norm(x))  (GPT-2, Llama)."""

    norm: Norm

    def norms(self, width: int) -> Parts:
        return {"norm": self.norm.at(width)}

    def forward(self, m: Any, x: Any, ctx: Any, branch: Any, state: Any) -> tuple[Any, Any]:
        y, state = branch(m.norm(x, ctx), ctx, state)
        return self.join(m, x, y, ctx), state


class PostNorm(Residual):
    """norm(x + f(x))  (the first Transformer, BERT)."""

    norm: Norm

    def norms(self, width: int) -> Parts:
        return {"norm": self.norm.at(width)}

    def forward(self, m: Any, x: Any, ctx: Any, branch: Any, state: Any) -> tuple[Any, Any]:
        y, state = branch(x, ctx, state)
        return m.norm(self.join(m, x, y, ctx), ctx), state


class OutputNorm(Residual):
    """x + norm(f(x))  (OLMo 2, Swin 2)."""

    norm: Norm

    def norms(self, width: int) -> Parts:
        return {"norm": self.norm.at(width)}

    def forward(self, m: Any, x: Any, ctx: Any, branch: Any, state: Any) -> tuple[Any, Any]:
        y, state = branch(x, ctx, state)
        return self.join(m, x, m.norm(y, ctx), ctx), state


class SandwichNorm(Residual):
    """x + norm_out(f(norm_in(x)))  (Gemma 2)."""

    norm_in: Norm
    norm_out: Norm

    def norms(self, width: int) -> Parts:
        return {"norm_in": self.norm_in.at(width), "norm_out": self.norm_out.at(width)}

    def forward(self, m: Any, x: Any, ctx: Any, branch: Any, state: Any) -> tuple[Any, Any]:
        y, state = branch(m.norm_in(x, ctx), ctx, state)
        return self.join(m, x, m.norm_out(y, ctx), ctx), state
