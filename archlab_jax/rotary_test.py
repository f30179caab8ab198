"""What XLA's CPU backend makes of rotary positions."""

import re

import numpy as np

from archlab import Attention, Block, Normal, PreNorm, RMSNorm, RoPE, Stack
from archlab.policy import Policy
from archlab.weights import initial
from archlab_jax.program import program

LENGTH, HEADS, SIZE = 32, 4, 8


def stack():
    rotary = RoPE(theta=10000.0, layout="half")
    heads = {"heads": HEADS, "kv_heads": HEADS, "init": Normal(std=1.0)}
    mixer = Attention(visibility="causal", rotary=rotary, bias=False, out_bias=False, **heads)
    return Stack(pattern=(Block(mixer=mixer, residual=PreNorm(norm=RMSNorm(epsilon=1e-5))),), repeat=3)


def test_a_sine_is_worked_out_once_for_all_rows_heads_and_layers():
    width, spec = HEADS * SIZE, stack()
    made = program(spec, width, Policy())
    leaves = made.leaves(initial(spec.at(width), 0))
    x, where = made.arguments({"x": np.ones((2, LENGTH, width), np.float32)})
    compiled = made.forward.lower(leaves, x, where, None, 0, capture=False).compile().as_text()
    loops = [body for body in re.split(r"\n(?=%|ENTRY)", compiled) if " sine(" in body]
    assert len(loops) == 1
    (shape,) = re.findall(r"ROOT .*? = f32\[([\d,]+)\]", loops[0])
    assert np.prod([int(n) for n in shape.split(",")]) == LENGTH * SIZE // 2
