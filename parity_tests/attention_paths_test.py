"""Every attention kernel that a backend has on a CPU, against the definition."""

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.mixers.attention import attention_example
from archlab.norms import RMSNorm
from archlab.parity.bench import Bench
from archlab.parity.cases import Case
from archlab.parity.tolerances import FLOORS, GRADIENT_FLOORS, difference, gradient_error, relative
from archlab.policy import Policy
from archlab.rotary import RoPE
from archlab.score_bias import ALiBi

KERNELS = [("jax", "dense"), ("jax", "fused"), ("jax", "auto")]
KERNELS += [("torch", "dense"), ("torch", "fused"), ("torch", "flex"), ("torch", "auto")]
ROPE = RoPE(theta=10000.0, layout="half")
SPECS = {
    "mha": attention_example(rotary=ROPE),
    "gqa": attention_example(kv_heads=2, head_size=16),
    "mqa window": attention_example(kv_heads=1, window=3),
    "bidirectional": attention_example(visibility="bidirectional"),
    "prefix": attention_example(visibility="prefix"),
    "qk norm": attention_example(qk_norm=RMSNorm(epsilon=1e-6), scale=0.3),
    "alibi": attention_example(score_bias=ALiBi()),
    "softcap": attention_example(softcap=2.0),
}
BENCHES = {name: Bench(Case(name=name, spec_name="Attention", example=e)) for name, e in SPECS.items()}


def policy(kernel, dtype="float32"):
    return Policy.exact(dtype).replace(attention=kernel)


FORWARD_ONLY = ("flex",)  # PyTorch's FlexAttention has no backward pass on CPUs
# What a kernel lacks it refuses by name; everything else it computes.
LACKING = {("jax", "fused"): {"alibi", "softcap"}, ("torch", "fused"): {"softcap"}}
COMPUTED = [
    pytest.param(backend, kernel, name, marks=pytest.mark.xdist_group(f"attention {backend}"))
    for backend, kernel in KERNELS
    for name in SPECS
    if name not in LACKING.get((backend, kernel), ())
]
REFUSED = [(*home, name) for home, names in LACKING.items() for name in sorted(names)] + [("jax", "flex", "mha")]


@pytest.mark.parametrize(("backend", "kernel", "name"), REFUSED)
def test_a_kernel_refuses_what_it_lacks(backend, kernel, name):
    with pytest.raises(InputError, match=f"policy.attention={kernel}"):
        BENCHES[name].forward(backend, "plain", policy(kernel))


@pytest.mark.parametrize("variant", ["plain", "packed"])
@pytest.mark.parametrize(("backend", "kernel", "name"), COMPUTED)
def test_kernel_is_the_definition(backend, kernel, name, variant):
    bench = BENCHES[name]
    got = bench.forward(backend, variant, policy(kernel)).output
    error = relative(got, bench.truth(variant, "float32").output)
    assert error <= FLOORS["float32"] * bench.forward_floors(variant, "float32")["output"]
    if kernel in FORWARD_ONLY:
        return
    grads = bench.gradients(backend, variant, policy(kernel))
    error, where = gradient_error(grads, bench.true_gradients(backend, variant, "float32"), least=1.0)
    assert error <= GRADIENT_FLOORS["float32"] * bench.gradient_floor(backend, variant, "float32"), where


@pytest.mark.parametrize(("backend", "kernel", "name"), COMPUTED)
def test_a_row_that_sees_nothing_gives_zero(backend, kernel, name):
    """Exactly: the output 0 and the gradient 0, never NaN or the mean of the values."""
    bench = BENCHES[name]
    pad = bench.variants["packed"]["segments"] == 0
    got = bench.forward(backend, "packed", policy(kernel)).output
    assert pad.any(axis=1).sum() >= 3
    assert np.isfinite(got).all()
    if not bench.spec.out_bias:
        assert difference(got[pad], np.zeros_like(got[pad])) == 0
    if kernel in FORWARD_ONLY:
        return
    grads = bench.gradients(backend, "packed", policy(kernel))
    assert difference(grads["x"][pad], np.zeros_like(grads["x"][pad])) == 0
    assert np.abs(grads["x"][~pad]).max() > 0


@pytest.mark.parametrize(("backend", "kernel"), KERNELS)
def test_causality_is_exact(backend, kernel):
    bench = BENCHES["mha"]
    inputs = bench.variants["plain"]
    later = {"x": inputs["x"].copy()}
    later["x"][:, 7:] *= -3.0
    home = bench.backend(backend)
    a, b = (home.run(bench.spec, bench.weights, i, policy=policy(kernel)).output for i in (inputs, later))
    assert np.array_equal(a[:, :7], b[:, :7])
    assert not np.array_equal(a[:, 7:], b[:, 7:])
