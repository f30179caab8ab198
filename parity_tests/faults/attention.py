"""Attention computed another way."""

from pathlib import Path

import torch

import archlab_torch.kernels.attention as torch_kernels
import archlab_torch.mixers.attention as torch_attention
from archlab.importing import load_file
from archlab.masks import visible
from archlab.mixers.attention import Attention
from archlab.norms import RMSNorm
from archlab.score_bias import ALiBi

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GPT = patches.GPT
LLAMA = patches.LLAMA
WIDE = patches.WIDE
fields = patches.fields
function = patches.function
kernel = patches.kernel
llama = patches.llama
mask = patches.mask


def tiled(right, q, k, v, *rest):
    repeats = q.shape[2] // k.shape[2]
    return right(q, k.repeat(1, 1, repeats, 1), v.repeat(1, 1, repeats, 1), *rest)


def rounded_scores(right, *args):
    plain = torch.softmax
    torch_kernels.torch.softmax = lambda scores, dim: plain(scores.bfloat16().to(scores.dtype), dim=dim)
    try:
        return right(*args)
    finally:
        torch_kernels.torch.softmax = plain


def mean_of_values(right, q, k, v, scale, mask, *rest):
    y = right(q, k, v, scale, mask, *rest)
    if mask is None:
        return y
    mean = v.mean(dim=1, keepdim=True).repeat_interleave(q.shape[2] // v.shape[2], dim=2)
    return torch.where(mask.any(dim=-1)[:, :, None, None], y, mean)


def opened(*args):
    seen = visible(*args)
    return seen | ~seen.any(dim=-1, keepdim=True)


def everything_seen(ctx, sight, positions, segments):
    ones = torch.ones_like(ctx.positions)
    return visible(ctx.replace(segments=ones), sight, positions, torch.ones_like(segments))


def aligned_top_left(ctx, sight, positions, segments):
    start = torch.arange(ctx.positions.shape[1]).expand_as(ctx.positions)
    return visible(ctx.replace(positions=start), sight, positions, segments)


def one_slot(right, self, k, v, ctx, state):
    """The cache forgets that it was written to: every step writes into the same slots."""
    keys, new = right(self, k, v, ctx, state)
    return (keys, new) if state is None else (keys, new | {"index": state["index"]})


FAULTS = [
    Fault("no scale of scores", fields(Attention, scale=1.0), LLAMA, named="the scale of attention scores is missing"),
    Fault("scores scaled by 1/K", fields(Attention, scale=1 / 8), LLAMA, named="the scale of attention scores is 1/K"),
    Fault(
        "scores scaled by 1/√D", fields(Attention, scale=1 / 4), LLAMA, named="the scale of attention scores is 1/√D"
    ),
    Fault(
        "no softcap of scores", fields(Attention, softcap=None), GPT, named="the softcap of attention scores is missing"
    ),
    Fault(
        "no norm of queries and keys",
        fields(Attention, qk_norm=None),
        llama(qk_norm=RMSNorm(epsilon=1e-5)),
        named="the norm of queries and keys is missing",
    ),
    Fault("no causal mask", fields(Attention, visibility="bidirectional"), WIDE, named="the causal mask is missing"),
    Fault("no window", fields(Attention, window=None), LLAMA, named="the window of attention is missing"),
    Fault(
        "window one too wide", fields(Attention, window=10), LLAMA, named="the window of attention is 10 in place of 9"
    ),
    Fault(
        "the next token is seen",
        mask(lambda c, sight, p, s: visible(c, sight, p - 1, s)),
        WIDE,
        named="a query sees the position after it",
    ),
    Fault("documents see each other", mask(everything_seen), WIDE, named="tokens see other documents of their row"),
    Fault("a row that sees nothing sees all", mask(opened), WIDE, named="a row that is to see nothing sees everything"),
    Fault(
        "mean of values for a row that sees nothing", kernel(mean_of_values), WIDE, named="gives the mean of the values"
    ),
    Fault(
        "prefix forgotten",
        fields(Attention, visibility="causal"),
        llama(visibility="prefix", window=None),
        named="the mask is causal",
    ),
    Fault("key heads tiled", kernel(tiled), LLAMA, named="key and value heads are tiled"),
    Fault(
        "softmax of scores in bfloat16",
        kernel(rounded_scores),
        WIDE,
        named="attention's scores are rounded to bfloat16",
    ),
    Fault(
        "slopes of ALiBi over another range",
        fields(ALiBi, slope_range=4.0),
        llama(rotary=None, score_bias=ALiBi()),
        named="ALiBi's slopes go down to 2^-4",
    ),
    Fault("mask of a step aligned top left", mask(aligned_top_left), WIDE, by="law: decode"),
    Fault(
        "cache position not advanced",
        function(torch_attention.Attention, "remember", lambda right: lambda *args: one_slot(right, *args)),
        WIDE,
        by="law: decode",
    ),
]
