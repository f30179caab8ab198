"""Mixtures of experts: the native forms against the definition, forward and backward on one device.

``python benchmarks/experts.py [experts …]`` prints the median time of a pass in ms, and the ratio of the two.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from archlab.activations import SiLU
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.parity.cases import drawn_weights
from archlab.policy import Policy
from archlab_jax import module as jax_module
from archlab_jax.channels import moe as jax_moe
from archlab_jax.program import Program as JaxProgram
from archlab_torch import module as torch_module
from archlab_torch.channels import moe as torch_moe
from archlab_torch.program import Program as TorchProgram

WIDTH, HIDDEN, CHOSEN, BATCH, LENGTH, ROUNDS = 128, 256, 2, 4, 256, 7
FORMS = {"jax": (jax_moe.MoE, jax_module.Module.forward), "torch": (torch_moe.MoE, torch_module.Module.forward)}


def jax_pass(spec: MoE, weights: Any, x: np.ndarray) -> Callable[[], Any]:
    program = JaxProgram(spec, WIDTH, Policy())
    leaves, where = program.leaves(weights), dict.fromkeys(("positions", "segments", "prefix"))
    return lambda: jax.block_until_ready(program.backward(leaves, x, where, np.ones_like(x), capture=False)[:2])


def torch_pass(spec: MoE, weights: Any, x: np.ndarray) -> Callable[[], Any]:
    program = TorchProgram(spec, WIDTH, Policy(), weights)
    return lambda: program.call(torch.tensor(x, requires_grad=True), {})[0].sum().backward()


def measure(experts: int) -> None:
    """Print a line for each backend. Rounds of both forms are interleaved."""
    router = TopKRouter(experts=experts, chosen=CHOSEN, scores="softmax", total=1.0)
    spec = MoE(router=router, expert=GLU(hidden=HIDDEN, activation=SiLU(), bias=False))
    weights = {path: a.astype(np.float32) for path, a in drawn_weights(spec.at(WIDTH), 0).items()}
    x = np.random.default_rng(0).normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)
    for name, make in (("jax", jax_pass), ("torch", torch_pass)):
        cls, definition = FORMS[name]
        forms = {"native": cls.forward, "definition": definition}
        passes = {form: make(spec, weights, x) for form in forms}
        times: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(ROUNDS + 1):
            for form, forward in forms.items():
                cls.forward = forward  # type: ignore[method-assign]
                begin = time.perf_counter()
                passes[form]()
                times[form].append(1e3 * (time.perf_counter() - begin))
        cls.forward = forms["native"]  # type: ignore[method-assign]
        native, dense = (statistics.median(times[form][1:]) for form in forms)
        print(f"{name:6} E={experts:<3} native {native:8.1f}  definition {dense:8.1f}  ratio {native / dense:.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for count in sys.argv[1:] or ("8", "32"):
        measure(int(count))
