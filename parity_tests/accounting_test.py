"""Counts from the spec alone against what the frameworks count in the built models.

PyTorch's counter sees matrix products only, so it must agree to the last operation. XLA also counts every
elementwise operation and every sum, so its count lies between ours and ours plus these, which the traced program
tells; fusion may drop some of them and compute others twice, so they are counted twice in the upper bound.
"""

import math
from pathlib import Path

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archlab import weights
from archlab.accounting import account
from archlab.activations import GELUTanh
from archlab.backends import find_backend
from archlab.block import ParallelBlock
from archlab.channels.mlp import MLP
from archlab.config_files import load_model
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, shared_example, tiny_model
from archlab.norms import LayerNorm
from archlab.policy import Policy
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab_jax.program import program
from archlab_torch.kernels import rms_norm, turn

CONFIGS = Path(__file__).parents[1] / "configs"
LENGTH, BATCH = 32, 2
TOKENS = BATCH * LENGTH


def _parallel():
    norm = LayerNorm(epsilon=1e-5, bias=True)
    mixer = Attention(heads=2, kv_heads=1, head_size=12, visibility="causal", bias=True, out_bias=True)
    channel = MLP(hidden=48, activation=GELUTanh(), bias=True)
    layer = ParallelBlock(mixer=mixer, channel=channel, residual=PreNorm(norm=norm))
    return tiny_model(layer=layer, positions=LearnedPositions(length=64, init=Normal(std=0.1)), head=Head(bias=True))


MODELS = {
    "llama": load_model(CONFIGS / "tiny_llama.yaml", ["stack.repeat=2"]),
    "gemma": load_model(CONFIGS / "tiny_gemma.json", ["stack.repeat=1"]),
    "parallel": _parallel(),
    "shared": shared_example().spec,
}


def _case(model, batch=BATCH):
    tokens = np.random.default_rng(0).integers(0, model.vocab, (batch, LENGTH))
    return weights.initial(model.root(), seed=0), {"tokens": tokens}


@pytest.mark.parametrize("name", MODELS)
def test_torch_counts_the_same_forward_and_backward(name):
    model, torch_backend, policy = MODELS[name], find_backend("torch"), Policy(attention="dense")
    arrays, inputs = _case(model)
    cotangent = np.ones((BATCH, LENGTH, model.vocab), np.float32)
    with FlopCounterMode(display=False) as forward:
        torch_backend.run(model, arrays, inputs, policy=policy)
    with FlopCounterMode(display=False) as training:
        torch_backend.gradients(model, arrays, inputs, cotangent, policy=policy)
    counted = account(model, LENGTH)
    assert forward.get_total_flops() == counted.forward_flops()["executed"] * TOKENS
    assert training.get_total_flops() == counted.training_flops()["executed"] * TOKENS


@pytest.mark.parametrize("name", MODELS)
def test_xla_counts_the_same_and_the_elementwise_work(name):
    model = MODELS[name]
    arrays, inputs = _case(model)
    built = program(model, model.width, Policy(attention="dense"))
    leaves, (x, where) = built.leaves(arrays), built.arguments(inputs)

    def objective(leaves):  # its gradient needs the logits themselves, so that no product is left out
        return jnp.sum(jnp.square(built.call(leaves, x, where)[0]))

    counted = account(model, LENGTH)
    for function, flops in (
        (objective, counted.forward_flops()),
        (jax.value_and_grad(objective), counted.training_flops()),
    ):
        ours = flops["executed"] * TOKENS
        other = _other_operations(jax.make_jaxpr(function)(leaves).jaxpr)
        xla = jax.jit(function).lower(leaves).compile().cost_analysis()["flops"]
        assert ours <= xla <= ours + 2 * other
        assert flops["6n"] * TOKENS < ours


def _other_operations(jaxpr) -> int:
    """Numbers read or written, whichever are more, by all operations but matrix products."""
    total = 0
    for equation in jaxpr.eqns:
        inner = list(jax.extend.core.jaxprs_in_params(equation.params))
        total += sum(_other_operations(j) for j in inner)
        if not inner and equation.primitive.name != "dot_general":
            total += max(math.prod(v.aval.shape) for v in [*equation.invars, *equation.outvars])
    return total


@pytest.mark.parametrize("name", ["llama", "parallel"])
def test_activations_are_what_autograd_keeps(name, monkeypatch):
    """An estimate of what must be kept; PyTorch keeps up to a quarter more.

    More: a norm's output before its scale (the input is counted), queries and keys before rotation, whose storage
    the values share, rotation tables, statistics, masks. Less, by up to a twentieth: the one input of parallel
    branches is counted in both. The difference of two batches leaves out weights and copies of them.
    """
    for kernel in (rms_norm, turn):
        monkeypatch.setattr(kernel, "LEAST", 0)  # so that both batches go by the same ones
    model = MODELS[name]
    found = _kept_by_autograd(model, 2 * BATCH) - _kept_by_autograd(model, BATCH)
    estimate = account(model, LENGTH, batch=BATCH).memory.activations
    assert 0.95 * estimate <= found <= 1.25 * estimate


def _kept_by_autograd(model, batch) -> int:
    """Bytes behind all tensors that wait for the backward pass, each storage once."""
    kept = {}
    arrays, inputs = _case(model, batch)
    cotangent = np.ones((batch, LENGTH, model.vocab), np.float32)

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        find_backend("torch").gradients(model, arrays, inputs, cotangent, policy=Policy(attention="fused"))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
