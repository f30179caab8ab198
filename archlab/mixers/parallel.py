"""Several mixers side by side on one input."""

from typing import Any

from archlab.config import Config
from archlab.spec import Example, Mixer, Parts, substate, updated


class Branch(Config):
    """One of several mixers, with what its input and its output are multiplied by."""

    mixer: Mixer
    in_scale: float = 1.0
    out_scale: float = 1.0


class ParallelMixers(Mixer):
    """y = Σ_i out_scale_i · mixer_i(in_scale_i · x).

    Falcon-H1 (https://arxiv.org/abs/2507.22448) has attention beside Mamba-2.
    """

    branches: tuple[Branch, ...]

    def check(self) -> None:
        self.require(len(self.branches) > 0, "branches", "must hold at least one")

    def parts(self, width: int) -> Parts:
        return {"branches": [branch.mixer.at(width) for branch in self.branches]}

    def field_of(self, child: str) -> str:
        return f"branches[{child.removeprefix('branches.')}].mixer"

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        total, states = 0.0, []
        for i, (branch, mixer) in enumerate(zip(self.branches, m.branches, strict=True)):
            seen = x if branch.in_scale == 1.0 else x * branch.in_scale
            y, new = mixer(seen, ctx, substate(substate(state, "branches"), i))
            total = total + (y if branch.out_scale == 1.0 else y * branch.out_scale)
            states.append(new)
        return total, updated(state, branches=states)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.attention import attention_example
        from archlab.mixers.rg_lru import RGLRU

        attention: Any = attention_example(kv_heads=2).spec
        other = RGLRU(hidden=6, heads=2, bias=False, conv=None)
        branches = (Branch(mixer=attention, out_scale=0.7), Branch(mixer=other, in_scale=1.3))
        return [Example(spec=cls(branches=branches))]
