"""flash-linear-attention's kernels are taken where they are right, by a stand-in for the package that runs on CPUs.

It follows the signatures, layouts and equations that the package documents. Its own kernels need a GPU: with one, and
with the package, the last test holds them to the mixers' own forms.
"""

import itertools
import sys
import types
import warnings

import numpy as np
import pytest
import torch

from archlab import RWKV7, GatedDeltaNet, GroupNorm, Mamba2, RMSNorm
from archlab.backends import find_backend, starting_weights
from archlab.inputs import document_positions
from archlab.policy import Policy
from archlab_torch.kernels import fla
from archlab_torch.mixers import gated_delta_net, mamba2, rwkv7

OWN = {
    "gated delta rule": gated_delta_net.in_chunks,
    "delta rule": gated_delta_net.in_chunks,
    "mamba 2": mamba2.in_chunks,
    "rwkv 7": rwkv7.in_chunks,
}
NORM = RMSNorm(epsilon=1e-3)
NET = GatedDeltaNet(heads=2, key_heads=1, key_size=16, value_size=8, epsilon=1e-6, norm=NORM)
MIXERS = {
    "gated delta rule": NET,
    "delta rule": NET.replace(decay=None, beta_range=2.0),
    "mamba 2": Mamba2(heads=2, head_size=16, state_size=8, groups=1, norm=NORM),
    "rwkv 7": RWKV7(heads=2, decay_rank=2, rate_rank=2, gate_rank=2, norm=GroupNorm(groups=2, epsilon=1e-3, bias=True)),
}
WIDTH, LENGTH = 32, 70


def delta(memory, q, k, v, beta, g=None):
    memory = memory if g is None else memory * g.exp()[..., None, None]
    held = (memory * k[..., None]).sum(-2)
    memory = memory + k[..., None] * (beta[..., None] * (v - held))[..., None, :]
    return memory, (memory * q[..., None]).sum(-2)


def linear(memory, q, k, v, g):
    memory = memory * g.exp()[..., None, None] + k[..., None] * v[..., None, :]
    return memory, (memory * q[..., None]).sum(-2)


def general(memory, r, w, k, v, a, b):
    held = (memory * a[..., None]).sum(-2)
    memory = memory * w.exp()[..., None] + k[..., None] * v[..., None, :] + b[..., None] * held[..., None, :]
    return memory, (memory * r[..., None]).sum(-2)


def kernel(step):
    """A function of the package's signature: (B, T, H, …) → outputs, and memories (N, H, K, V) in float32."""

    def run(*, scale, initial_state, output_final_state, cu_seqlens=None, safe_gate=None, **given):
        dtype = given["v"].dtype
        assert dtype == torch.bfloat16
        assert output_final_state
        ends = [0, given["v"].shape[1]] if cu_seqlens is None else cu_seqlens.tolist()
        outputs, memories = [], []
        for i, (begin, end) in enumerate(itertools.pairwise(ends)):
            memory = initial_state if cu_seqlens is None else initial_state[i : i + 1]
            for t in range(begin, end):
                memory, o = step(memory, **{name: a[:, t].float() for name, a in given.items()})
                outputs.append(scale * o)
            memories.append(memory)
        return torch.stack(outputs, dim=1).to(dtype), torch.cat(memories)

    return run


RIGHT = {"gated delta rule": delta, "delta rule": delta, "mamba 2": linear, "rwkv 7": general}


def unscaled(run):
    return lambda **given: run(**given | {"scale": given["v"].shape[-1] ** -0.5})


def one_document(run):
    def wrong(*, cu_seqlens=None, initial_state, **given):
        begin = initial_state if cu_seqlens is None else initial_state[:1]
        o, memory = run(initial_state=begin, **given)
        return o, memory if cu_seqlens is None else memory.expand(len(cu_seqlens) - 1, -1, -1, -1)

    return wrong


def no_gradient_of_keys(run):
    return lambda *, k, **given: run(k=k.detach() + 0.0 * k, **given)


def another_layout(run):
    def wrong(**given):
        o, memory = run(**given)
        return o, memory.mT.reshape(memory.shape)

    return wrong


def older(run):
    def raises(*, cu_seqlen=None, **given):
        raise TypeError("unexpected keyword argument 'scale'")

    return raises


WRONG = {
    unscaled: "is off by .* in its output",
    one_document: "is off by",
    no_gradient_of_keys: "in the gradient of k",
    another_layout: "in its last memory",
    older: "raises TypeError: unexpected keyword",
}


@pytest.fixture
def package(monkeypatch):
    """The stand-in, on CPUs; called with what becomes of each kernel, and with what to count its calls in."""

    def install(change=lambda run: run, calls=None):
        monkeypatch.setattr(fla, "DEVICES", ("cpu",))
        monkeypatch.setitem(sys.modules, "fla", types.ModuleType("fla"))
        for name, entry in fla.KERNELS.items():
            module, run = types.ModuleType(entry.module), change(kernel(RIGHT[name]))

            def counted(*, run=run, name=name, **given):
                if calls is not None:
                    calls.append((name, "cu_seqlens" in given))
                return run(**given)

            setattr(module, entry.function, counted)
            monkeypatch.setitem(sys.modules, entry.module, module)
        fla._passed.cache_clear()

    yield install
    fla._passed.cache_clear()


def tried(name, sizes=(16, 16)):
    return fla._passed(name, OWN[name], torch.device("cpu"), "bfloat16", *sizes)


@pytest.mark.parametrize("name", OWN)
def test_a_right_kernel_is_taken(package, name):
    package()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tried(name) is fla.KERNELS[name]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
@pytest.mark.parametrize("name", OWN)
def test_a_wrong_kernel_is_named_and_not_taken(package, name, wrong):
    package(wrong)
    with pytest.warns(UserWarning, match=WRONG[wrong]) as noted:
        assert tried(name) is None
    assert fla.KERNELS[name].function in str(noted[0].message)
    assert len(noted) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert tried(name) is None


def results(name, policy, variant):
    rng = np.random.default_rng(0)
    weights = starting_weights(MIXERS[name], WIDTH, 0, None)
    rows = np.ones((2, LENGTH), dtype=np.int64)
    rows[1, :3], rows[1, 40:] = 0, 2
    where = {"packed": {"segments": rows, "positions": document_positions(rows)}, "plain": {}}[variant]
    inputs = {"x": rng.normal(size=(2, LENGTH, WIDTH))} | where
    grads, result = find_backend("torch").gradients(
        MIXERS[name], weights, inputs, rng.normal(size=(2, LENGTH, WIDTH)), policy=policy
    )
    return {path: np.asarray(g, np.float64) for path, g in grads.items()} | {"output": result.output.astype(float)}


@pytest.mark.parametrize("variant", ["plain", "packed"])
@pytest.mark.parametrize("name", OWN)
def test_a_mixer_with_the_kernel_computes_the_same(package, name, variant):
    policy, calls = Policy(compute="bfloat16", device="cpu"), []
    package(calls=calls)
    got = results(name, policy, variant)
    assert calls[-1] == (name, variant == "packed")
    truth = results(name, Policy.exact(), variant)
    own = results(name, policy.replace(attention="dense"), variant)
    for path, value in truth.items():
        size = np.linalg.norm(value)
        assert np.linalg.norm(got[path] - value) <= 2 * np.linalg.norm(own[path] - value) + 0.01 * size, path


@pytest.mark.parametrize("change", [{"compute": "float32"}, {"attention": "dense"}])
def test_other_policies_run_archlabs_own_form(package, change):
    calls = []
    package(calls=calls)
    results("mamba 2", Policy(compute="bfloat16", device="cpu").replace(**change), "plain")
    assert not calls


def test_without_the_package_nothing_is_said(monkeypatch):
    monkeypatch.setattr(fla, "DEVICES", ("cpu",))
    monkeypatch.setitem(sys.modules, "fla", None)  # as Python marks what it is not to find
    fla._passed.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tried("mamba 2") is None
    fla._passed.cache_clear()


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="the package's kernels are written for GPUs: PyTorch sees none"
)
@pytest.mark.parametrize("name", OWN)
def test_the_packages_own_kernels_are_right(name):
    pytest.importorskip("fla", reason="flash-linear-attention is not installed")
    fla._passed.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fla._passed(name, OWN[name], torch.device("cuda"), "bfloat16", 64, 64) is fla.KERNELS[name]
