"""Ways in which "the same model" came out different that no patch can show (those that can are in ``faults/``)."""

import numpy as np
import pytest

from archlab import random
from archlab import weights as canonical
from archlab.activations import GELUErf
from archlab.backends import find_backend
from archlab.channels.mlp import MLP
from archlab.layers import Linear
from archlab.mixers.attention import attention_example
from archlab.model import tiny_model
from archlab.norms import LayerNorm, RMSNorm
from archlab.parity.bench import Bench
from archlab.parity.cases import Case
from archlab.parity.tolerances import GRADIENT_FLOORS, ROUNDOFF, gradient_error, relative
from archlab.policy import Mesh, Policy
from archlab.rotary import RoPE
from archlab.spec import Example
from archlab.stack import Stack

MLP_ERF = Example(spec=MLP(hidden=12, activation=GELUErf(), bias=True))
RMS = Example(spec=RMSNorm(epsilon=1e-6))
LAYER = Example(spec=LayerNorm(epsilon=1e-6, bias=True))
ROPE = attention_example(rotary=RoPE(theta=10000.0, layout="half"), head_size=8, length=24)
PLAIN = attention_example()
LINEAR = Example(spec=Linear(features=24, axes="D F", bias=True))


def bench(example):
    return Bench(Case(name="trap", spec_name="trap", example=example))


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("example", [LINEAR, RMS, LAYER], ids=["Linear", "RMSNorm", "LayerNorm"])
def test_vector_gradients_in_bfloat16_are_summed_in_float32(backend, example):
    """Over 16,384 tokens a sum in bfloat16 stands still long before its end."""
    spec, home = example.spec, find_backend(backend)
    small = bench(example)
    x = random.normal(0, "x", 4 * 4096 * example.width).reshape(4, 4096, example.width)
    weights = {path: a.astype(canonical.DTYPES["bfloat16"]).astype(np.float64) for path, a in small.weights.items()}
    x = x.astype(canonical.DTYPES["bfloat16"]).astype(np.float64)
    cotangent = np.ones(home.run(spec, weights, {"x": x}, policy=Policy.exact()).output.shape)
    got, truth = (
        home.gradients(spec, weights, {"x": x}, cotangent, policy=Policy.exact(dtype))[0]
        for dtype in ("bfloat16", "float64")
    )
    vectors = [path for path in truth if truth[path].ndim == 1]
    assert vectors
    scale = max(np.abs(truth[path]).max() for path in vectors)
    for path in vectors:
        gap = np.abs(got[path].astype(np.float64) - truth[path]).max() / scale
        assert gap <= GRADIENT_FLOORS["bfloat16"] * ROUNDOFF["bfloat16"], path


def test_first_weights_are_the_same_bits_everywhere():
    """A function of seed, path and index alone: of no backend, mesh, order or number of layers scanned."""
    model = tiny_model(repeat=2)
    drawn = canonical.initial(model.root(), 11)
    policies = [Policy(), Policy(layers="scan"), Policy(mesh=Mesh(data=2, fsdp=2, tensor=2))]
    for backend, policy in [("torch", Policy()), *(("jax", policy) for policy in policies)]:
        home = find_backend(backend)
        dump = home.dump(home.build(model, policy=policy, seed=11))
        assert {path: a.tobytes() for path, a in dump.items()} == {path: a.tobytes() for path, a in drawn.items()}
    deeper = canonical.initial(model.replace(stack=model.stack.replace(repeat=3)).root(), 11)
    assert all(np.array_equal(deeper[path], a) for path, a in drawn.items())


def test_a_shard_of_a_stream_is_the_streams():
    whole = random.normal(3, "stack.layers.0.mixer.query.kernel", 100)
    assert np.array_equal(random.normal(3, "stack.layers.0.mixer.query.kernel", 20, start=37), whole[37:57])


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_fused_softmax_in_float32_is_refused_or_exact_in_float64(backend):
    """`jax.nn.dot_product_attention` works in float32 even for float64: the automatic choice must not take it."""
    attention = bench(PLAIN)
    policy = Policy.exact().replace(attention="auto")
    error = relative(attention.forward(backend, "plain", policy).output, attention.truth("plain").output)
    assert error <= 1e-10


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_stacks_agree_under_every_name_of_a_layer(backend):
    """A tail and a pattern of two, scanned: every layer gets its own weights."""
    layer = PLAIN.spec
    spec = Stack(pattern=(layer, layer.replace(window=3)), repeat=2, tail=(layer,))
    stack = bench(Example(spec=spec))
    got = stack.forward(backend, "packed", Policy.exact().replace(layers="scan"))
    truth = stack.truth("packed")
    assert got.intermediates.keys() == truth.intermediates.keys()
    assert max(relative(got.intermediates[path], a) for path, a in truth.intermediates.items()) <= 1e-10


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_stack_in_a_scanned_stack(backend):
    """Every layer of every turn gets its own weights."""
    layer = PLAIN.spec
    inner = Stack(pattern=(layer,), repeat=2)
    stack = bench(Example(spec=Stack(pattern=(inner, layer.replace(window=3)), repeat=3, tail=(inner,))))
    policy = Policy.exact().replace(layers="scan")
    got, truth = stack.forward(backend, "packed", policy), stack.truth("packed")
    assert got.intermediates.keys() == truth.intermediates.keys()
    assert max(relative(got.intermediates[path], a) for path, a in truth.intermediates.items()) <= 1e-10
    plain, scanned = (stack.gradients(backend, "packed", p) for p in (Policy.exact(), policy))
    assert gradient_error(scanned, plain)[0] <= 1e-9


def test_mixed_precision_keeps_parameters_wide():
    """Float32 parameters under bfloat16 activations: gradients come back in float32, not rounded to bfloat16."""
    mixed = Policy(param="float32", compute="bfloat16", output="float32", matmul="highest", attention="dense")
    model = bench(Example(spec=tiny_model()))
    for backend in ("jax", "torch"):
        grads, _ = find_backend(backend).gradients(
            model.spec, model.weights, model.variants["plain"], model.cotangent("plain"), policy=mixed
        )
        assert {a.dtype for a in grads.values()} == {np.dtype(np.float32)}
