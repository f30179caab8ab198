"""Positions computed or counted another way."""

from pathlib import Path

import torch

import archlab_torch.positions as torch_positions
import archlab_torch.rotary as torch_rotary
from archlab.importing import load_file
from archlab.mixers.attention import Attention
from archlab.rotary import LinearScaling, RoPE

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GPT = patches.GPT
LLAMA = patches.LLAMA
WIDE = patches.WIDE
fields = patches.fields
forward = patches.forward
llama = patches.llama


def turned(change):
    return forward(
        torch_rotary.RoPE, lambda right, self, x, ctx: right(self, x, ctx.replace(positions=change(ctx.positions)))
    )


def only_keys(right, self, x, ctx):
    return x if x.shape[2] == 4 else right(self, x, ctx)  # queries have four heads, keys two


def float32_phase(right, self, x, ctx):
    return right(self, x.float(), ctx).to(x.dtype)


def low_phase(right, self, x, ctx):
    rates = self.rates
    self.rates = rates.bfloat16()
    try:
        phase = (ctx.positions.bfloat16()[..., None] * self.rates)[:, :, None].to(x.dtype)
    finally:
        self.rates = rates
    cos, sin, (a, b) = torch.cos(phase), torch.sin(phase), x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


FAULTS = [
    Fault(
        "RoPE interleaved",
        fields(RoPE, layout="interleaved"),
        LLAMA,
        named="positions pair entries 'interleaved' in place of 'half'",
    ),
    Fault(
        "RoPE in halves",
        fields(RoPE, layout="half"),
        llama(rotary=RoPE(theta=10000.0, layout="interleaved")),
        named="positions pair entries 'half'",
    ),
    Fault("RoPE base", fields(RoPE, theta=500000.0), LLAMA, named="theta is 500000 in place of 10000"),
    Fault(
        "RoPE over the whole head",
        fields(RoPE, fraction=1.0),
        llama(rotary=RoPE(theta=10000.0, layout="half", fraction=0.5)),
        named="100% of each head is rotated in place of 50%",
    ),
    Fault(
        "RoPE scaling forgotten",
        fields(RoPE, scaling=None),
        llama(rotary=RoPE(theta=10000.0, layout="half", scaling=LinearScaling(factor=2.0))),
        named="the scaling of rotary positions is missing",
    ),
    Fault("RoPE the other way", turned(lambda p: -p), LLAMA, named="rotary positions turn the other way"),
    Fault("RoPE positions in bfloat16", turned(lambda p: p.bfloat16()), WIDE, by="law: precision"),
    Fault(
        "RoPE phases in bfloat16",
        forward(torch_rotary.RoPE, low_phase),
        LLAMA,
        named="rotary phases are computed in bfloat16",
    ),
    Fault("RoPE phases in float32", forward(torch_rotary.RoPE, float32_phase), LLAMA),
    Fault("RoPE of keys only", forward(torch_rotary.RoPE, only_keys), LLAMA, named="keys alone are rotated"),
    Fault("RoPE forgotten", fields(Attention, rotary=None), LLAMA, named="rotary positions are missing"),
    Fault(
        "learned positions off by one",
        forward(
            torch_positions.LearnedPositions,
            lambda right, self, x, ctx: right(self, x, ctx.replace(positions=ctx.positions + 1, plain=False)),
        ),
        GPT,
        named="positions are one too high",
    ),
    Fault(
        "learned positions run on through documents",
        forward(
            torch_positions.LearnedPositions,
            lambda right, self, x, ctx: right(
                self, x, ctx.replace(positions=torch.arange(x.shape[1]).expand(*x.shape[:2]))
            ),
        ),
        GPT,
        named="positions do not start over in each document",
    ),
    Fault(
        "learned positions forgotten",
        forward(torch_positions.LearnedPositions, lambda right, self, x, ctx: x),
        GPT,
        named="the table of positions is missing",
    ),
]
