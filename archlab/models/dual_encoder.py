"""Models that hold texts against images: CLIP."""

from typing import Any

from archlab.inits import Constant, FanInNormal, Init
from archlab.layers import Linear
from archlab.model import Model
from archlab.models.encoder import Encoder
from archlab.ops import upcast
from archlab.spec import Cost, Example, Input, Param, Parts, shared_parts


class DualEncoder(Model):
    """y_tb = e^s · u_t · v_b, u_t = unit(text_t W), v_b = unit(image_b V)  (CLIP, https://arxiv.org/abs/2103.00020).

    The output (B, T, B) says how well each token's text fits the image of each row of the batch. A text is a document:
    its numbers are the same at all of its tokens, read them at any. unit(x) = x / ‖x‖.

    width
        How many numbers u and v have.
    text, image
        What gives a state for each text and for each image: encoders whose heads pool.
    init, scale
        The laws of W and V, and of s, a number: the temperature is e^−s.
    """

    text: Encoder
    image: Encoder
    init: Init = FanInNormal()
    scale: Init = Constant(value=2.6592)

    def check(self) -> None:
        for name in ("text", "image"):
            tower = getattr(self, name)
            pools = getattr(tower.head, "pooling", None) is not None
            self.require(pools, name, "must have a head that pools: a Classifier of classes null for the state itself")
            self.require(not shared_parts(tower.tower.at(tower.width), name), name, "cannot have shared parts here")
        own, other = self.text.inputs(), self.image.inputs()
        self.require("tokens" in own, "text", "must read tokens")
        fixed = not own.keys() & other.keys() and all(isinstance(i.shape[0], int) for i in other.values())
        self.require(fixed, "image", "must read something of a fixed size")
        super().check()

    def inputs(self) -> dict[str, Input]:
        return self.text.inputs() | self.image.inputs()

    def limit(self, sequence: str = "T") -> int | None:
        return self.text.limit(sequence)

    def classes(self) -> None:
        return None

    def stateless(self) -> tuple[str, ...]:
        return ("text", "image")

    def sees_later(self) -> str | None:
        return "a DualEncoder reads a text at once, the token that is to be predicted too; use a LanguageModel"

    def params(self, width: int) -> dict[str, Param]:
        return {"scale": Param(shape=(1,), axes="H", init=self.scale)}

    def parts(self, width: int) -> Parts:
        linear = Linear(features=width, axes="D F", bias=False, init=self.init)
        towers = {"text": self.text, "image": self.image}
        return {name: tower.at(tower.width) for name, tower in towers.items()} | {
            f"{name}_projection": linear.at(tower.classes()) for name, tower in towers.items()
        }

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any, state: Any) -> tuple[Any, Any]:
        seen = {name: array for name, array in inputs.items() if name in self.image.inputs()}
        read = {name: array for name, array in inputs.items() if name not in seen}
        there = ctx.elsewhere(self.image.span({n: tuple(a.shape) for n, a in seen.items()}), None, None)
        texts, _ = m.text(read, ctx, None)
        images, _ = m.image(seen, there, None)
        v = ctx.rows(unit(ctx.xp, m.image_projection(images[:, 0], there)))
        u = unit(ctx.xp, m.text_projection(texts, ctx))
        return ctx.answer(lambda u: self.compared(m, u, v, ctx), u), state

    def compared(self, m: Any, u: Any, v: Any, ctx: Any) -> Any:
        """(B, T, B) of texts (B, T, P) and images (B, P)."""
        xp = ctx.xp
        return (u @ xp.permute_dims(v, (1, 0))) * xp.exp(xp.astype(m.scale, u.dtype))

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def saved(self, width: int, length: int) -> float:
        return 2.0 * width

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.fronts.patches import Patches
        from archlab.fronts.tokens import Tokens
        from archlab.heads.classifier import Classifier
        from archlab.inits import Normal
        from archlab.models.encoder import encoder_example

        first, end = Classifier(classes=None, pooling="first"), Classifier(classes=None, pooling="token", token=3)
        text: Any = encoder_example(Tokens(vocab=7, init=Normal(std=1.0)), end).spec
        image: Any = encoder_example(Patches(size=(6, 8), patch=(2, 4), channels=3, bias=False), first).spec
        waive = {
            "causal": "sees both directions", "decode": "a token sees later ones",
            "trained": "a text is held against the images of all rows",
        }  # fmt: skip
        return [Example(spec=cls(width=5, text=text, image=image), waive=tuple(waive.items()))]


def unit(xp: Any, x: Any) -> Any:
    """x / ‖x‖ along the last axis."""
    wide = upcast(xp, x)
    return xp.astype(wide / xp.sqrt(xp.sum(wide * wide, axis=-1, keepdims=True)), x.dtype)
