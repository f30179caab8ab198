"""A linear map whose matrix is block-diagonal."""

from typing import Any

from archlab.inits import FanInNormal, Init, Zeros
from archlab.ops import rearrange, upcast
from archlab.spec import Cost, Example, FieldError, Map, Param


class BlockLinear(Map):
    """y = x W (+ b), W block-diagonal with ``blocks`` square blocks: each part of x is mapped by itself."""

    blocks: int
    bias: bool
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.blocks > 0, "blocks", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        if width % self.blocks:
            raise FieldError("blocks", f"{self.blocks} do not divide the width {width}")
        size = width // self.blocks
        kernel = Param(shape=(self.blocks, size, size), axes="H K K", init=self.init, fan_in=size)
        return {"kernel": kernel} | ({"bias": Param(shape=(width,), axes="HK", init=Zeros())} if self.bias else {})

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        parts = rearrange(x, "... (H K) -> ... H K", H=self.blocks)
        y = parts[..., None, :] @ ctx.xp.astype(m.kernel, x.dtype)
        y = rearrange(y, "... H I L -> ... (H I L)")
        if self.bias:
            y = ctx.xp.astype(upcast(ctx.xp, y) + upcast(ctx.xp, m.bias), x.dtype)
        return y

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * width * width / self.blocks)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(blocks=4, bias=True)), Example(spec=cls(blocks=1, bias=False), width=6)]
