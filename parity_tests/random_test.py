"""Portable masks: the same bits in NumPy, JAX and PyTorch, however layers are compiled, recomputed or placed."""

import jax
import numpy as np
import pytest
import torch

from archlab import reference
from archlab.activations import GELUTanh
from archlab.backends import find_backend
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.errors import InputError
from archlab.layers import DropPath
from archlab.mixers.attention import Attention
from archlab.model import Head, tiny_model
from archlab.norms import RMSNorm
from archlab.parity.cases import drawn_weights
from archlab.parity.tolerances import FORWARD, TRAINING, gradient_error, relative
from archlab.parity.training import STEPS, drawn_batches, mesh_rows, train, training_rows
from archlab.policy import Policy
from archlab.random import Portable, threefry
from archlab.residuals import PreNorm
from archlab.spec import Shared
from archlab.stack import Stack
from archlab_jax import runtime as jax_runtime
from archlab_torch import runtime as torch_runtime

BACKENDS = ["jax", "torch"]
CPU = torch.device("cpu")
EXACT = Policy.exact().replace(random="portable")

# key, counter and result of Threefry-2x32 with 20 rounds, from the known answers of the Random123 library
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


def dropping(rate, **fields):
    """A block with dropout on its attention weights and branches, and drop path that grows with the depth."""
    mixer = Attention(heads=4, kv_heads=2, visibility="causal", bias=False, out_bias=False, dropout=rate, **fields)
    path = DropPath(rate=0.3, by_depth="linear")
    return Block(
        mixer=mixer, channel=MLP(hidden=24, activation=GELUTanh(), bias=False),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-5), dropout=rate, drop_path=path),
    )  # fmt: skip


LAYERS = Stack(pattern=(dropping(0.2), dropping(0.1, window=4)), repeat=2, tail=(dropping(0.2),))
MODEL = tiny_model(dropout=0.1, head=Head(bias=True)).replace(stack=LAYERS)
WEIGHTS = drawn_weights(MODEL.root(), 5)
BATCHES = drawn_batches(MODEL, length=10, batch=4, steps=STEPS)


def sources(seed, step):
    """The three forms of one source."""
    return [
        Portable(seed, step),
        jax_runtime.Portable.of_step(seed, step),
        torch_runtime.Portable(seed, step, 0, CPU),
    ]


def masks(name, shape, probability, *, seed=3, step=7):
    return [np.asarray(source.keep(name, shape, probability)) for source in sources(seed, step)]


@pytest.mark.parametrize(("key", "counter", "result"), KNOWN)
@pytest.mark.parametrize("source", sources(0, 0), ids=["numpy", *BACKENDS])
def test_known_answers(source, key, counter, result):
    def make(value):
        return source.xp.asarray(np.array([value]), dtype=source.word)

    got = threefry([make(k) for k in key], [make(c) for c in counter], source.low)
    assert tuple(int(g[0]) for g in got) == result


@pytest.mark.parametrize("shape", [(3,), (2, 5), (4, 1, 1), (3, 2, 7, 7)])
@pytest.mark.parametrize("probability", [0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0])
def test_masks_are_the_same_bits(shape, probability):
    first, *others = masks("stack.layers.0.dropout", shape, probability)
    assert first.shape == shape and first.dtype == bool
    assert all(np.array_equal(first, other) for other in others)
    if probability in (0.0, 1.0):
        assert (first == bool(probability)).all()


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95])
def test_masks_are_random(probability):
    """Means near the probability; streams of other seeds, steps and names differ and do not go together."""
    shape = (200, 500)
    mask = Portable(3, 7).keep("a", shape, probability)
    spread = np.sqrt(probability * (1 - probability))
    assert abs(mask.mean() - probability) < 5 * spread / np.sqrt(mask.size)
    for axis in (0, 1):  # no row or column stands out
        means = mask.mean(axis=axis)
        assert np.abs(means - probability).max() < 6 * spread / np.sqrt(shape[axis])
    streams = [Portable(4, 7).keep("a", shape, probability), Portable(3, 8).keep("a", shape, probability)]
    streams += [Portable(3, 7).keep("b", shape, probability), np.roll(mask, 1, axis=0), np.roll(mask, 1, axis=1)]
    for other in streams:
        together = ((mask - probability) * (other - probability)).mean() / spread**2
        assert abs(together) < 5 / np.sqrt(mask.size)


def test_each_process_draws_its_rows():
    whole = Portable(3, 7).keep("a", (6, 4, 5), 0.5)
    shares = [torch_runtime.Portable(3, 7, rank, CPU).keep("a", (2, 4, 5), 0.5).numpy() for rank in range(3)]
    assert np.array_equal(np.concatenate(shares), whole)


@pytest.mark.parametrize("source", sources(0, 0), ids=["numpy", *BACKENDS])
def test_a_row_that_no_word_can_count_is_refused(source):
    with pytest.raises(InputError, match="too large"):
        source.keep("a", (1, 2**17, 2**16), 0.5)


def called(backend, model, weights, tokens, policy, source):
    """The logits of a module in training."""
    module = find_backend(backend).build(model, policy=policy, weights=weights)
    if backend == "torch":
        return module(torch.as_tensor(tokens, dtype=torch.int64), random=source).detach().numpy()
    with jax.enable_x64(True):
        return np.asarray(module(tokens, random=source))


@pytest.mark.parametrize("layers", ["unroll", "scan"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_forward_pass_is_the_definitions(backend, layers):
    source, tokens = Portable(3, 7), BATCHES[0]["tokens"]
    truth = reference.run(MODEL, WEIGHTS, {"tokens": tokens}, random=source).output
    got = called(backend, MODEL, WEIGHTS, tokens, EXACT.replace(layers=layers), source)
    assert relative(got, truth) < FORWARD
    assert relative(reference.run(MODEL, WEIGHTS, {"tokens": tokens}).output, truth) > 0.01
    assert relative(reference.run(MODEL, WEIGHTS, {"tokens": tokens}, random=Portable(3, 8)).output, truth) > 0.01


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_shared_stack_in_a_scan(backend):
    """Its parts keep their names while a scan around it renames others."""
    inner = Stack(pattern=(dropping(0.2),), repeat=2)
    model = tiny_model(layer=Shared(name="inner", part=inner))
    weights, source, tokens = drawn_weights(model.root(), 6), Portable(1, 0), BATCHES[0]["tokens"]
    truth = reference.run(model, weights, {"tokens": tokens}, random=source).output
    got = called(backend, model, weights, tokens, EXACT.replace(layers="scan"), source)
    assert relative(got, truth) < FORWARD


@pytest.mark.parametrize("changes", [
    {"layers": "scan"},
    *(pytest.param(changes, marks=pytest.mark.slow) for changes in (
        {}, {"layers": "scan", "remat": "full"}, {"remat": "dots"},
    )),
], ids=str)  # fmt: skip
def test_twenty_steps_agree(changes):
    """Losses, norms and weights of PyTorch and of JAX, its layers written out, scanned and recomputed."""
    torch_course = course("torch", EXACT)
    jax_course = course("jax", EXACT.replace(**changes))
    assert relative(jax_course.losses, torch_course.losses) < TRAINING["float64"] <= 1e-9
    assert relative(jax_course.norms, torch_course.norms) < 1e-9
    assert gradient_error(jax_course.weights, torch_course.weights)[0] < 1e-9


_courses = {}


def course(backend, policy):
    """A training of 20 steps, made once."""
    key = (backend, policy)
    if key not in _courses:
        _courses[key] = train(backend, MODEL, WEIGHTS, BATCHES, policy=policy)
    return _courses[key]


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["dots", "full"])
def test_recomputed_layers_see_the_same_masks(remat):
    got = train("torch", MODEL, WEIGHTS, BATCHES[:3], policy=EXACT.replace(remat=remat))
    assert relative(got.losses, course("torch", EXACT).losses[:3]) < 1e-12


def test_probabilities_in_a_scan_are_those_written_out():
    """The traced depth rounds in float32; what drop path keeps must not follow it."""
    path = DropPath(rate=0.3, by_depth="linear")
    spec = tiny_model(repeat=7).stack
    stack = find_backend("jax").build(spec, policy=Policy(layers="scan"), seed=0, width=16)
    ctx = jax_runtime.context(stack, (1, 1), {}, Policy())
    turns = np.arange(7)
    scanned = jax.jit(lambda: jax.lax.map(lambda turn: stack.in_turn(ctx, turn, 0).of_depth(path.kept), turns))()
    assert scanned.dtype == np.float32
    assert np.array_equal(scanned, np.float32([path.kept(spec.depth(turn)) for turn in range(7)]))
    assert np.array_equal(Portable(0, 0).keep("a", (9, 9), 0.3), Portable(0, 0).keep("a", (9, 9), np.float32(0.3)))


@pytest.mark.slow
def test_training_rows_keep_dropout():
    rows = training_rows(MODEL, WEIGHTS, BACKENDS, dtype="float32", length=10)
    assert rows and [row for row in rows if not row.passed] == []


def test_fast_masks_are_each_frameworks_own():
    """The tests above must be able to fail."""
    jax_course, torch_course = (
        train(name, MODEL, WEIGHTS, BATCHES[:2], policy=EXACT.replace(random="fast")) for name in BACKENDS
    )
    assert relative(jax_course.losses, torch_course.losses) > 1e-4


@pytest.mark.slow
def test_masks_know_no_mesh():
    rows = mesh_rows("jax", MODEL, WEIGHTS, length=10)
    assert [row for row in rows if not row.passed] == []


@pytest.mark.slow
def test_one_graph_for_every_step():
    """torch.compile traces portable masks whole, and once for all steps; another seed is another graph."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    module = find_backend("torch").build(MODEL, policy=EXACT, weights=WEIGHTS)
    torch._dynamo.reset()
    layer = torch.compile(module.stack, fullgraph=True, backend=backend)
    x = torch.as_tensor(np.cos(np.arange(4.0 * 10 * MODEL.width)).reshape(4, 10, -1))
    for seed, step in [(3, 0), (3, 1), (3, 2), (4, 2), (5, 2)]:
        masks = torch_runtime.Portable(seed, step, 0, CPU)
        ctx = torch_runtime.context(module, (4, 10), {}, EXACT, CPU, random=masks)
        assert relative(layer(x, ctx, None)[0].detach().numpy(), module.stack(x, ctx, None)[0].detach().numpy()) < 1e-12
    assert len(compiled) == 3


def test_a_module_in_training_says_what_it_needs():
    tokens = BATCHES[0]["tokens"]
    module = find_backend("torch").build(MODEL, policy=EXACT, weights=WEIGHTS)
    with pytest.raises(InputError, match=r"random=archlab.random.Portable\(seed, step\)"):
        module.train()(torch.as_tensor(tokens, dtype=torch.int64))
    module.eval()(torch.as_tensor(tokens, dtype=torch.int64))
    with jax.enable_x64(True):
        module = find_backend("jax").build(MODEL, policy=EXACT, weights=WEIGHTS)
        with pytest.raises(InputError, match=r"random=archlab.random.Portable\(seed, step\)"):
            module(tokens, key=jax.random.key(0))
