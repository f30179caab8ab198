"""Patches of an image."""

from typing import Any

from archlab.inits import FanInNormal, Init, Zeros
from archlab.layers import Linear
from archlab.ops import rearrange
from archlab.spec import Example, Front, Input, Param, Parts


class Patches(Front):
    """x = [learned tokens; patch_n W + b], patches of an image row by row  (ViT, https://arxiv.org/abs/2010.11929).

    The image is (B, height, width, ``channels``), a patch its pixels row by row, the channel fastest. That is a
    convolution whose stride is its size; PyTorch's weight is (out, channels, rows, columns).

    size, patch
        (height, width) in pixels of the image and of a patch.
    learned
        How many learned tokens come first: 1 for ViT's class token, more for registers.
    """

    size: tuple[int, int]
    patch: tuple[int, int]
    channels: int
    bias: bool
    learned: int = 1
    init: Init = FanInNormal()
    learned_init: Init = Zeros()

    def check(self) -> None:
        self.require(self.channels > 0, "channels", "must be > 0")
        self.require(self.learned >= 0, "learned", "must be ≥ 0")
        for name in ("size", "patch"):
            pair = getattr(self, name)
            self.require(len(pair) == 2 and min(pair) > 0, name, "must be two numbers > 0: height and width")
        whole = all(n % p == 0 for n, p in zip(self.size, self.patch, strict=True))
        self.require(whole, "patch", f"must divide the size {self.size}")

    def inputs(self) -> dict[str, Input]:
        return {"image": Input(kind="numbers", shape=(*self.size, self.channels))}

    def span(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int]:
        return shapes["image"][0], self.length

    @property
    def length(self) -> int:
        """T: learned tokens and patches."""
        return self.learned + (self.size[0] // self.patch[0]) * (self.size[1] // self.patch[1])

    def params(self, width: int) -> dict[str, Param]:
        if not self.learned:
            return {}
        return {"learned": Param(shape=(self.learned, width), axes="P D", init=self.learned_init, fan_in=width)}

    def parts(self, width: int) -> Parts:
        pixels = self.patch[0] * self.patch[1] * self.channels
        return {"linear": Linear(features=width, axes="C D", bias=self.bias, init=self.init).at(pixels)}

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any) -> tuple[Any, Any]:
        xp, (rows, columns) = ctx.xp, self.patch
        image = xp.astype(inputs["image"], ctx.dtype)
        pixels = rearrange(image, "B (N R) (M W) C -> B (N M) (R W C)", R=rows, W=columns)
        x = m.linear(pixels, ctx)
        if not self.learned:
            return x, ctx
        first = xp.broadcast_to(xp.astype(m.learned, x.dtype), (x.shape[0], *m.learned.shape))
        return xp.concat([first, x], axis=1), ctx

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.heads.classifier import Classifier
        from archlab.models.encoder import encoder_example

        spec, alone = cls(size=(6, 8), patch=(2, 4), channels=3, bias=True), "an image is no packed row"
        bare = spec.replace(learned=0, bias=False)
        first, each = Classifier(classes=3, pooling="first"), Classifier(classes=5, pooling=None)
        return [encoder_example(spec, first, padding=alone), encoder_example(bare, each, padding=alone)]
