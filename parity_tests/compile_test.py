"""PyTorch modules go through Dynamo and AOTAutograd whole, with the same result."""

import pytest
import torch

from archlab.config import registered
from archlab.parity.bench import Bench
from archlab.parity.cases import Case, registered_cases
from archlab.parity.tolerances import FORWARD, GRADIENT, relative
from archlab.policy import Policy
from archlab.spec import Layer
from archlab_torch.module import natives
from archlab_torch.program import Program

SHORT = list({case.twin: case for case in reversed(registered_cases()) if case.example.length < 64}.values())
FIRST = {case.spec_name: case for case in SHORT}
# Each mixer, channel and layer with a form of its own in PyTorch once; the others are left to the slow tests.
NATIVE = [name for name, cls in registered(Layer).items() if natives.find_class(cls) is not None]
QUICK = [FIRST[name] for name in NATIVE if name in FIRST]
CASES = [pytest.param(c, id=c.name, marks=() if c in QUICK else pytest.mark.slow) for c in reversed(SHORT)]


@pytest.mark.parametrize("case", CASES)
def test_one_graph_forward_and_backward(case: Case):
    """``fullgraph=True`` raises at any break; the gradients are those of eager execution."""
    bench = Bench(case)
    eager, compiled = (Program(bench.spec, bench.part.width, Policy.exact(), bench.weights) for _ in range(2))
    torch._dynamo.reset()
    compiled.module = torch.compile(compiled.module, fullgraph=True, backend="aot_eager")
    for variant in ("plain", "packed"):
        results = []
        for program in (eager, compiled):
            x, where = program.arguments(bench.variants[variant])
            inputs = [] if isinstance(x, dict) else [x.requires_grad_()]
            output, _ = program.call(x, where)
            objective = (output * program.share(bench.cotangent(variant))).sum()
            grads = torch.autograd.grad(objective, [*inputs, *(s.tensor for s in program.slots)], allow_unused=True)
            results.append((output.detach(), grads))
        (output, grads), (got, got_grads) = results
        assert relative(got.numpy(), output.numpy()) <= FORWARD
        largest = max((float(g.abs().max()) for g in grads if g is not None), default=0.0)
        for a, b in zip(got_grads, grads, strict=True):
            assert (a is None) == (b is None)
            if b is not None:
                assert float((a - b).abs().max()) <= GRADIENT * largest
