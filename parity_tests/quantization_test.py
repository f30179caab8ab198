"""``policy.weights`` int8 and int4: the same codes on both backends, the definition's products, less memory."""

import jax
import numpy as np
import pytest
import torch

from archlab import reference
from archlab.backends import find_backend, initial_weights
from archlab.errors import InputError
from archlab.layers import Linear
from archlab.mixers.gru import GRU
from archlab.mixers.latent_attention import LatentAttention
from archlab.optim.adamw import AdamW
from archlab.parity.cases import drawn_weights
from archlab.policy import Mesh, Policy
from archlab.quantization import FORMATS, Format, format_of, quantize
from archlab.sampling import Sampling
from archlab.spec import join, walk
from archlab_torch.kernels import quantization as in_torch
from parity_tests.numpy_backend import Decoder as PlainDecoder
from parity_tests.small_models import gpt, llama

BACKENDS = ("jax", "torch")
KINDS = tuple(FORMATS)
EXACT = Policy.exact()
GREEDY = Sampling(temperature=0.0)


def wider(model, width=64, **changes):
    return model.replace(width=width, **changes)


def with_mixer(mixer):
    model = wider(llama())
    (layer,) = model.stack.pattern
    return model.replace(stack=model.stack.replace(pattern=(layer.replace(mixer=mixer),)))


def example(kind):
    return next(e.spec for e in kind.examples() if (e.width or 16) == 16)


MODELS = {
    "llama": wider(llama()),
    "gpt": wider(gpt()),  # with biases and a tied head
    "latent": with_mixer(example(LatentAttention)),  # whose matrices are read
    "gru": with_mixer(example(GRU).replace(hidden=64)),  # which PyTorch has a layer for
}


def rounded(model, policy, weights):
    """What is computed with under ``policy``, in float64."""
    table = dict(weights)
    for path, part in walk(model.root()):
        form = format_of(policy, part.spec, part.width) if isinstance(part.spec, Linear) else None
        if form is not None:
            table[join(path, "kernel")] = quantize(table[join(path, "kernel")], form).wide()
    return table


def kernel(width=64, features=48, seed=0):
    return np.random.default_rng(seed).standard_normal((width, features)).astype(np.float32)


@pytest.mark.parametrize("form", [*FORMATS.values(), Format(4, 16)])
def test_each_weight_is_off_by_half_a_scale_at_most(form):
    w = kernel()
    found = quantize(w, form)
    groups = 1 if form.group is None else 64 // form.group
    assert found.scales.shape == (groups, 48) and found.scales.dtype == np.float32
    assert found.codes.dtype == np.int8 and np.abs(found.codes).max() == form.largest
    off = np.abs(found.wide() - w).reshape(groups, -1, 48) / found.scales[:, None]
    assert 0.4 < off.max() <= 0.5 + 1e-5


@pytest.mark.parametrize("form", FORMATS.values())
def test_zeros_stay_and_what_is_no_number_stays_none(form):
    w = kernel()
    w[:32, 3], w[:, 4], w[5, 5], w[6, 6] = 0, 0, np.nan, np.inf
    wide = quantize(w, form).wide()
    assert (wide[:32, 3] == 0).all() and (wide[:, 4] == 0).all()
    assert np.isnan(wide[:32, 5:7]).all() and np.isfinite(wide[:, :5]).all()


def test_kernels_may_be_stacked():
    stack = np.stack([kernel(seed=1), kernel(seed=2)])
    for form in FORMATS.values():
        both = quantize(stack, form)
        np.testing.assert_array_equal(both.wide()[1], quantize(stack[1], form).wide())


def test_which_maps_are_held_so():
    held = {
        ("D F", 64): (8, 4), ("D V", 64): (8, 4), ("HK D", 96): (8, 4), ("D F", 48): (8, None),
        ("R HK", 64): (None, None), ("D E", 64): (None, None),
    }  # fmt: skip
    for (axes, width), bits in held.items():
        linear = Linear(features=48, axes=axes, bias=False)
        forms = [format_of(Policy(weights=kind), linear, width) for kind in KINDS]
        assert tuple(form and form.bits for form in forms) == bits
    assert format_of(Policy(), Linear(features=48, axes="D F", bias=False), 64) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_holds_the_codes_of_the_definition(backend, kind):
    spec, w = Linear(features=48, axes="D F", bias=False), kernel()
    policy = EXACT.replace(weights=kind)
    output = find_backend(backend).run(spec, {"kernel": w}, {"x": np.eye(64)[None]}, policy=policy).output
    np.testing.assert_array_equal(output[0], quantize(w, FORMATS[kind]).wide())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("features", [48, 20])
@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_products_of_few_and_of_many_rows_in_16_bits(compute, features, backend, kind):
    """Of few rows and of many, of sides that PyTorch's kernels take and others."""
    spec, weights = Linear(features=features, axes="D F", bias=True), {"kernel": kernel(features=features)}
    weights["bias"] = np.linspace(-1, 1, features, dtype=np.float32)
    policy = Policy(compute=compute, weights=kind)
    x = np.random.default_rng(1).standard_normal((2, 40, 64))
    for rows in (1, 40):
        given = {"x": x[:, :rows]}
        truth = reference.run(spec, rounded_map(weights, kind), given).output
        found = find_backend(backend).run(spec, weights, given, policy=policy).output.astype(np.float64)
        assert np.abs(found - truth).max() < 0.01 * np.abs(truth).max()


def rounded_map(weights, kind):
    return weights | {"kernel": quantize(weights["kernel"], FORMATS[kind]).wide()}


def test_pytorch_uses_its_kernels():
    cpu, found = torch.device("cpu"), quantize(kernel(), FORMATS["int4"])
    assert isinstance(in_torch.held(kernel(), FORMATS["int4"], cpu, torch.bfloat16), in_torch.Packed4)
    assert isinstance(in_torch.held(kernel(), FORMATS["int4"], cpu, torch.float32), in_torch.Int4)
    assert not in_torch.Packed4.takes(quantize(kernel(features=20), FORMATS["int4"]), cpu)
    assert in_torch.Packed4.takes(found, cpu)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_that_of_the_rounded_weights(name, backend, kind):
    model = MODELS[name]
    weights, inputs = drawn_weights(model.root(), 3), {"tokens": np.arange(14, dtype=np.int32).reshape(2, 7)}
    for policy, most in ((EXACT, 1e-10), (Policy.exact("float32"), 1e-4)):
        policy = policy.replace(weights=kind)
        truth = reference.run(model, rounded(model, policy, weights), inputs).output
        found = find_backend(backend).run(model, weights, inputs, policy=policy, capture=False).output
        scale = np.abs(truth).max()
        assert np.abs(found - truth).max() < most * scale
    plain = reference.run(model, weights, inputs).output
    assert np.abs(plain - truth).max() > 1e-3 * scale  # so that the above is no comparison with the floats


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_decoder_writes_what_the_rounded_weights_write(name, backend, kind):
    model, policy = MODELS[name], EXACT.replace(weights=kind)
    weights, prompt = drawn_weights(model.root(), 3), np.array([[3, 9, 4, 1], [5, 2, 8, 8]], dtype=np.int32)
    plain = PlainDecoder(model, rounded(model, policy, weights), batch=2, length=16)
    made = find_backend(backend).decoder(model, weights, batch=2, length=16, policy=policy)
    written = []
    for decoder in (plain, made):
        tokens = GREEDY.draw(decoder.prefill(prompt), 0).astype(np.int32)
        written.append(decoder.write(tokens, 8, GREEDY).tolist())
        written.append(decoder.score(prompt[:, :2]))
    assert written[0] == written[2]
    np.testing.assert_allclose(written[1], written[3], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_in_one_loop_and_devices_of_a_mesh(kind):
    """The stacked kernels of JAX, and split ones."""
    model, policy = MODELS["llama"], EXACT.replace(weights=kind)
    weights, inputs = drawn_weights(model.root(), 3), {"tokens": np.arange(14, dtype=np.int32).reshape(2, 7)}
    truth = reference.run(model, rounded(model, policy, weights), inputs).output
    mesh = Mesh(fsdp=2, tensor=2) if len(jax.devices()) >= 4 else Mesh()
    for changed in (policy.replace(layers="scan"), policy.replace(mesh=mesh)):
        found = find_backend("jax").run(model, weights, inputs, policy=changed, capture=False).output
        assert np.abs(found - truth).max() < 1e-10 * np.abs(truth).max()


def bytes_held(decoder) -> int:
    leaves = getattr(decoder, "leaves", None)
    if leaves is not None:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(leaves))
    module = decoder.program.module
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_floats_are_not_kept(backend, compute):
    model = wider(llama(), 128)
    weights, sizes = drawn_weights(model.root(), 3), {}
    for kind in ("float", *KINDS):
        policy = Policy(param=compute, compute=compute, weights=kind)
        decoder = find_backend(backend).decoder(model, weights, batch=1, length=8, policy=policy)
        item = 4 if compute == "float32" else 2
        sizes[kind] = bytes_held(decoder) - 19 * 128 * item  # without the embedding, which stays
    assert sizes["int8"] < (1.15 / item) * sizes["float"]
    assert sizes["int4"] < (0.8 / item) * sizes["float"]


def test_xla_widens_one_kernel_at_a_time_in_a_loop():
    """Not all of them before it."""
    model = wider(llama(), 128)
    model = model.replace(stack=model.stack.replace(repeat=6))
    weights = drawn_weights(model.root(), 3)
    floats = sum(4 * weights[path].size for path in weights if path.endswith("kernel"))
    for kind in KINDS:
        decoder = find_backend("jax").decoder(model, weights, batch=1, length=8, policy=Policy(weights=kind))
        zeros = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int32), np.zeros((8, 1), np.float32), np.int32(8)
        options = {"sampling": GREEDY, "vocab": None}
        compiled = decoder._loop.lower(decoder.leaves, decoder.state, *zeros, **options).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < floats / 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_a_compiled_decoder(compute, kind):
    model = MODELS["llama"]
    weights, prompt = drawn_weights(model.root(), 3), np.array([[3, 9, 4, 1]], dtype=np.int32)
    texts = []
    for compiled in (False, True):
        policy = Policy(compute=compute, weights=kind, compile=compiled)
        decoder = find_backend("torch").decoder(model, weights, batch=1, length=16, policy=policy)
        tokens = GREEDY.draw(decoder.prefill(prompt), 0).astype(np.int32)
        texts.append(decoder.write(tokens, 4, GREEDY).tolist())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_trains_under_it(backend):
    model, made, policy = MODELS["llama"], find_backend(backend), Policy(weights="int4")
    weights = initial_weights(model, seed=0)
    rule = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.0)
    message = "policy.weights=int4: .* set policy.weights=float"
    with pytest.raises(InputError, match=message):
        made.trainer(model, weights=weights, optimizer=rule, clip=None, policy=policy)
    with pytest.raises(InputError, match=message):
        made.build(model, weights=weights, policy=policy)
    with pytest.raises(InputError, match=message):
        made.gradients(model, weights, {"tokens": np.zeros((1, 2), np.int32)}, np.zeros((1, 2, 19)), policy=policy)
