"""``policy.matmul=float8``: the same rounding on both backends, of the same linear maps, and training that goes on."""

import jax
import ml_dtypes
import numpy as np
import pytest
import torch

from archlab import float8
from archlab.backends import find_backend, initial_weights
from archlab.catalog import model as catalog_model
from archlab.errors import InputError
from archlab.layers import Linear
from archlab.optim.adamw import AdamW
from archlab.policy import Policy
from archlab_jax.kernels import float8 as in_jax
from archlab_torch.kernels import float8 as in_torch

BACKENDS = ("jax", "torch")
POLICY = Policy(matmul="float8")
FORMS = {float8.FORWARD: ml_dtypes.float8_e4m3fn, float8.BACKWARD: ml_dtypes.float8_e5m2}


def rounded(x: np.ndarray, form: str) -> tuple[np.ndarray, float]:
    """What :mod:`archlab.float8` says, in NumPy: the values in float8, and their unit."""
    power = np.floor(np.log2(float8.LARGEST[form] / max(np.abs(x).max(), float8.SMALLEST)))
    return (x * 2.0**power).astype(FORMS[form]), 2.0**-power


def wide(x: np.ndarray, form: str) -> np.ndarray:
    values, unit = rounded(x, form)
    return values.astype(np.float64) * unit


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e4, 0.0])
def test_both_round_as_the_definition_does(form, size):
    x = (np.random.default_rng(0).standard_normal((32, 48)) * size).astype(np.float32)
    values, unit = rounded(x, form)
    jax_, torch_ = jax.jit(in_jax.rounded, static_argnums=1)(x, form), in_torch.rounded(torch.tensor(x), form)
    assert float(jax_.unit) == float(torch_.unit) == unit
    np.testing.assert_array_equal(np.asarray(jax_.values).view(np.uint8), values.view(np.uint8))
    np.testing.assert_array_equal(torch_.values.view(torch.uint8).numpy(), values.view(np.uint8))


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_value_stays_within_the_format(form):
    """Where it is a power of two times the format's largest value, nothing is left to spare."""
    x = np.array([8 * float8.LARGEST[form], -1.0], dtype=np.float32)
    for values in (in_jax.rounded(x, form).values, in_torch.rounded(torch.tensor(x), form).values.float()):
        assert float(values[0]) == float8.LARGEST[form]


@pytest.mark.parametrize("rows", [16, 21])
@pytest.mark.parametrize("backend", BACKENDS)
def test_products_and_both_gradients_are_those_of_rounded_tensors(backend, rows):
    """Also where the rows are no multiple of what the hardware asks for."""
    rng = np.random.default_rng(0)
    x, kernel, slope = (rng.standard_normal(s).astype(np.float32) for s in ((1, rows, 32), (32, 48), (1, rows, 48)))
    spec = Linear(features=48, axes="D F", bias=False)
    grads, result = find_backend(backend).gradients(spec, {"kernel": kernel}, {"x": x}, slope, policy=POLICY, width=32)
    x8, k8 = wide(x, float8.FORWARD), wide(kernel, float8.FORWARD)
    s8 = wide(slope, float8.BACKWARD)
    np.testing.assert_allclose(result.output, x8 @ k8, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grads["x"], s8 @ k8.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grads["kernel"], x8[0].T @ s8[0], rtol=1e-5, atol=1e-5)
    assert np.abs(x8 @ k8 - x @ kernel).max() > 1e-2  # so that the above is no comparison with the plain product


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_no_number_stays_none(backend, bad):
    """The guard of a run must see it."""
    spec, x = Linear(features=16, axes="D F", bias=False), np.ones((1, 16, 16), dtype=np.float32)
    x[0, 3, 2] = bad
    weights = {"kernel": np.ones((16, 16), dtype=np.float32)}
    output = find_backend(backend).run(spec, weights, {"x": x}, policy=POLICY, width=16).output
    assert np.isnan(output).all()


def test_maps_that_choose_and_odd_sides_are_not_rounded():
    takes = {
        ("D F", 32, 48): True, ("HK D", 32, 48): True, ("D V", 32, 48): False, ("D E", 32, 48): False,
        ("D F", 24, 48): False, ("D F", 32, 1): False,
    }  # fmt: skip
    for (axes, width, features), wanted in takes.items():
        assert float8.takes(POLICY, Linear(features=features, axes=axes, bias=False), width) is wanted
    assert not float8.takes(Policy(), Linear(features=48, axes="D F", bias=False), 32)


def losses(backend: str, policy: Policy) -> np.ndarray:
    """Of 30 steps on one batch, which the model learns by heart."""
    model = catalog_model("mini-llama", vocab=32, length=16)
    model = model.replace(stack=model.stack.replace(repeat=1))
    tokens = np.random.default_rng(0).integers(0, 32, (4, 17), dtype=np.int32)
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}
    rule = AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.0)
    weights = initial_weights(model, seed=0)
    trainer = find_backend(backend).trainer(model, weights=weights, optimizer=rule, clip=1.0, policy=policy)
    return np.array([float(trainer.step(batch, 3e-3).loss) for _ in range(30)])


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_training_follows_that_in_bfloat16(backend):
    plain = losses(backend, Policy(compute="bfloat16"))
    eighth = losses(backend, Policy(compute="bfloat16", matmul="float8"))
    assert 0 < np.abs(eighth - plain).max() < 0.3
    assert eighth[-1] < 0.1


def test_other_dtypes_are_refused():
    with pytest.raises(InputError, match=r"float8. goes with compute=bfloat16 or float32, not float64"):
        Policy(matmul="float8", compute="float64")


def test_a_device_without_such_products_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    with pytest.raises(InputError, match=r"NVIDIA A100 has no float8 products \(.* from compute capability 8\.9 on"):
        in_torch.check(torch.device("cuda"))

    class A100:
        platform, device_kind, compute_capability = "gpu", "NVIDIA A100", "8.0"

    with pytest.raises(InputError, match="NVIDIA A100 has no float8 products"):
        in_jax.check(A100())
    in_jax.check(jax.devices("cpu")[0])
    in_torch.check(torch.device("cpu"))
