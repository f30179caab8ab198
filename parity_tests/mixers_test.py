"""Two layers of each recurrent mixer learn the same on both backends, step by step."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch

import archlab
from archlab.backends import initial_weights
from archlab.data.recall import recall_batch
from archlab.errors import InputError
from archlab.parity.tolerances import TRAINING, gradient_error, relative
from archlab.parity.training import STEPS, train
from archlab.policy import Policy

NORM = archlab.RMSNorm(epsilon=1e-5)
MIXERS = {
    "GatedDeltaNet": archlab.GatedDeltaNet(heads=2, key_heads=1, key_size=4, value_size=4, epsilon=1e-6, norm=NORM),
    "Mamba2": archlab.Mamba2(heads=2, head_size=4, state_size=4, groups=1, norm=NORM),
    "Mamba": archlab.Mamba(hidden=8, state_size=4, step_rank=2),
    "RGLRU": archlab.RGLRU(hidden=8, heads=2, bias=True),
    "RWKV7": archlab.RWKV7(
        heads=2, decay_rank=2, rate_rank=2, gate_rank=2, norm=archlab.GroupNorm(groups=2, epsilon=64e-5, bias=True)
    ),
    "LSTM": archlab.LSTM(hidden=8, bias=True, state_bias=True),
    "GRU": archlab.GRU(hidden=8, bias=True, state_bias="all"),
    "LatentAttention": archlab.LatentAttention(
        heads=2, rank=4, content_size=4, rotary_size=2, value_size=4, norm=NORM,
        rotary=archlab.RoPE(theta=100.0, layout="half"),
    ),
}  # fmt: skip


def model(mixer):
    layer = archlab.Block(mixer=mixer, residual=archlab.PreNorm(norm=NORM))
    stack = archlab.Stack(pattern=(layer,), repeat=2)
    init = archlab.Normal(std=0.1)
    return archlab.LanguageModel(vocab=12, width=8, embedding_init=init, stack=stack, norm=NORM, head=None)


@pytest.mark.parametrize(
    "name", [n if n in ("RWKV7", "LSTM") else pytest.param(n, marks=pytest.mark.slow) for n in MIXERS]
)
def test_both_backends_learn_to_recall_along_one_curve(name):
    spec = model(MIXERS[name])
    weights = {path: a.astype(np.float64) for path, a in initial_weights(spec, seed=1).items()}
    batches = [recall_batch(0, step, batch=4, pairs=4, vocab=12) for step in range(STEPS)]
    a, b = (train(backend, spec, weights, batches, policy=Policy.exact()) for backend in ("jax", "torch"))
    assert relative(a.losses, b.losses) <= TRAINING["float64"]
    assert gradient_error(a.weights, b.weights)[0] <= TRAINING["float64"]
    assert a.losses[-5:].mean() < a.losses[:5].mean()


def test_a_batch_asks_for_what_it_has_told():
    batch = recall_batch(0, 3, batch=5, pairs=4, vocab=16)
    tokens, targets = batch["tokens"], batch["targets"]
    assert tokens.shape == targets.shape == (5, 16)
    for row, wanted in zip(tokens, targets, strict=True):
        told = dict(zip(row[:8:2], row[1:8:2], strict=True))
        assert len(told) == 4
        assert [told[key] for key in row[8::2]] == list(row[9::2]) == list(wanted[8::2])
        assert (np.delete(wanted, np.arange(8, 16, 2)) < 0).all()
    assert not np.array_equal(tokens, recall_batch(0, 4, batch=5, pairs=4, vocab=16)["tokens"])
    with pytest.raises(InputError, match="1 … 8"):
        recall_batch(0, 0, batch=1, pairs=9, vocab=16)


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_linear_recurrence_in_log_steps_is_the_loop(name):
    """Accelerators take the one, CPUs the other: outputs and all gradients are equal."""
    rng = np.random.default_rng(0)
    keep, add, start = rng.uniform(size=(2, 9, 3)), rng.normal(size=(2, 9, 3)), rng.normal(size=(2, 3))
    slope = rng.normal(size=add.shape)

    def in_torch(function):
        from archlab_torch.kernels import scan

        arrays = [torch.tensor(a, requires_grad=True) for a in (keep, add, start)]
        h = getattr(scan, function)(*arrays)
        return [a.detach().numpy() for a in (h, *torch.autograd.grad((h * torch.tensor(slope)).sum(), arrays))]

    def in_jax(function):
        from archlab_jax.kernels import scan

        with jax.enable_x64(True):
            h, back = jax.vjp(getattr(scan, function), *(jax.numpy.asarray(a) for a in (keep, add, start)))
            return [np.asarray(a) for a in (h, *back(jax.numpy.asarray(slope)))]

    run = {"jax": in_jax, "torch": in_torch}[name]
    for loop, doubled in zip(run("by_tokens"), run("by_doubling"), strict=True):
        assert relative(loop, doubled) <= 1e-12


def test_mamba_in_one_pass_is_what_accelerators_compute():
    """Outputs, the last state and all gradients, of rows in which documents begin."""
    from archlab.mixers.mamba import selective_scan
    from archlab_jax.kernels import selective
    from archlab_jax.kernels.scan import by_doubling

    rng = np.random.default_rng(0)
    step, rate = rng.uniform(size=(2, 9, 3)), rng.uniform(size=(3, 4))
    u, b, c, start = (rng.normal(size=shape) for shape in ((2, 9, 3), (2, 9, 4), (2, 9, 4), (2, 3, 4)))
    same, slopes = rng.uniform(size=(2, 9)) > 0.3, (rng.normal(size=(2, 9, 3)), rng.normal(size=(2, 3, 4)))
    ctx = SimpleNamespace(xp=jax.numpy)

    def whole(step, u, rate, b, c, start):
        return selective_scan(ctx, step, u, rate, b, c, jax.numpy.asarray(same), start, by_doubling)

    def one_pass(step, u, rate, b, c, start):
        return selective.scan(step, u, rate, b, c, jax.numpy.asarray(same), start)

    with jax.enable_x64(True):
        arrays = [jax.numpy.asarray(a) for a in (step, u, rate, b, c, start)]
        (o, last), back = jax.vjp(one_pass, *arrays)
        (true_o, true_last), true_back = jax.vjp(whole, *arrays)
        slopes = tuple(map(jax.numpy.asarray, slopes))
        pairs = zip((o, last, *back(slopes)), (true_o, true_last, *true_back(slopes)), strict=True)
        errors = [relative(np.asarray(got), np.asarray(true)) for got, true in pairs]
    assert max(errors) <= 1e-12
