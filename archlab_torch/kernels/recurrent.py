"""PyTorch's fused recurrent layers, on rows that hold several documents."""

from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_sequence

from archlab.spec import Part
from archlab_torch.module import Builder, Module


class Cell(Module):
    """A cell by a fused layer; the definition where it cannot run.

    ``kind`` is the layer's class, ``weights()`` what it is called with: "weight_ih", "weight_hh" and a "bias" of each.
    """

    kind: Any

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        layer = self.kind(part.width, part.spec.hidden, batch_first=True, device="meta")
        self.fused = (layer,)  # in a tuple: the weights that it would have are none of this module's

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if not self.fits(ctx):
            return self.spec.forward(self, x, ctx, state)
        segments, same, carry = self.spec.start(x[:, 0, :1], ctx, state)
        y, carry = run(self.fused[0], self.weights(), x, carry, same, ctx.plain)
        return y, self.spec.remember(state, segments, carry)

    def fits(self, ctx: Any) -> bool:
        """Whether the layer can run: no intermediates to show, no graph for a compiler to read, weights in floats."""
        return ctx.records is None and not torch.compiler.is_compiling() and self.input.plain


def run(
    layer: nn.RNNBase, weights: dict[str, Any], x: Any, carry: tuple[Any, ...], same: Any, plain: bool
) -> tuple[Any, tuple[Any, ...]]:
    """Outputs (B, T, F) and what is carried on (B, F) each; where ``same`` (B, T) is false, it starts from 0.

    Every run of tokens of one document is a sequence of its own, unless rows are ``plain``, one document each.
    """
    weights = {f"{name}_l0": w.to(x.dtype) for name, w in weights.items()}
    if plain:
        y, last = functional_call(layer, weights, (x, _pack(carry)))
        return y, _unpack(last)
    starts = ~same
    starts[:, 0] = True
    first = starts.flatten().nonzero()[:, 0]
    lengths = torch.diff(first, append=first.new_tensor([starts.numel()])).tolist()
    goes_on = same.flatten()[first][:, None]
    row = first // starts.shape[1]
    begin = tuple(torch.where(goes_on, c[row], 0) for c in carry)
    pieces = pack_sequence(list(x.flatten(0, 1).split(lengths)), enforce_sorted=False)
    y, last = functional_call(layer, weights, (pieces, _pack(begin)))
    final = torch.diff(row, append=row.new_tensor([-1])) != 0
    return torch.cat(nn.utils.rnn.unpack_sequence(y)).view(*x.shape[:2], -1), tuple(c[final] for c in _unpack(last))


def _pack(carry: tuple[Any, ...]) -> Any:
    packed = tuple(c[None].contiguous() for c in carry)
    return packed if len(packed) > 1 else packed[0]


def _unpack(carry: Any) -> tuple[Any, ...]:
    return tuple(c[0] for c in (carry if isinstance(carry, tuple) else (carry,)))
