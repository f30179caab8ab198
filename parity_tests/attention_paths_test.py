"""Every attention kernel that a backend has on a CPU, against the definition; accelerators' as far as CPUs run them."""

import dataclasses
import types

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.inputs import document_positions
from archlab.masks import Seen, Sight, visible
from archlab.mixers.attention import attention_example
from archlab.norms import RMSNorm
from archlab.parity.bench import Bench
from archlab.parity.cases import Case
from archlab.parity.tolerances import FLOORS, GRADIENT_FLOORS, ROUNDOFF, difference, gradient_error, relative
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


# --- what is seen, as kernels of accelerators take it -------------------------------------------------------

ROWS = np.array([[1] * 40 + [2] * 60 + [0] * 20 + [3] * 8, [0] * 5 + [1] * 123])
PLACED = {"segments": ROWS, "positions": document_positions(ROWS), "prefix": np.where(ROWS > 0, 7, 0)}
LATER = {"segments": np.ones_like(ROWS), "positions": 100 + np.arange(128) + 0 * ROWS, "prefix": 105 + 0 * ROWS}
WHERE = {"plain": {}, "packed": PLACED, "later": LATER}
SIGHTS = [
    Sight(visibility=visibility, window=window, chunk=chunk)
    for visibility in ("causal", "bidirectional", "prefix")
    for window in (None, 6, 70)
    for chunk in (None, 16)
]


def seen_in(module, context, sight, where):
    """What is seen in a backend's context of rows of 128 tokens."""
    ctx = context(module, ROWS.shape, where)
    mask = visible(ctx, dataclasses.replace(sight, chunk=None), ctx.positions, ctx.documents)
    if sight.chunk:
        chunks = ctx.positions // sight.chunk
        mask = mask & (chunks[:, :, None] == chunks[:, None, :])
    return Seen.own(ctx, sight, lambda: mask), mask


def torch_seen(sight, where, device="cpu"):
    import torch

    from archlab_torch.runtime import context

    device = torch.device(device)
    make = lambda module, shape, where: context(module, shape, where, Policy(), device)  # noqa: E731
    return seen_in(None, make, sight, {name: torch.as_tensor(a, device=device) for name, a in where.items()})


def jax_seen(sight, where):
    import jax.numpy as jnp

    from archlab_jax.runtime import context

    make = lambda module, shape, where: context(module, shape, where, Policy())  # noqa: E731
    return seen_in(None, make, sight, {name: jnp.asarray(a) for name, a in where.items()})


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("sight", SIGHTS, ids=str)
def test_flex_attentions_rule_is_the_mask(sight, where):
    import torch
    from torch.nn.attention.flex_attention import create_mask

    from archlab_torch.kernels import block_masks

    seen, mask = torch_seen(sight, WHERE[where])
    rule = block_masks.rule(sight, seen.ctx)
    if rule is None:
        assert mask.all()
    else:
        assert torch.equal(create_mask(rule, 2, 1, 128, 128, device="cpu")[:, 0], mask)


def test_blocks_are_made_once_a_call_for_layers_with_one_rule():
    from archlab_torch.kernels import block_masks

    first, other = SIGHTS[0], SIGHTS[2]
    seen, _ = torch_seen(first, PLACED)
    again = Seen.own(seen.ctx, Sight(visibility="causal"), seen.mask)
    assert block_masks.of_call(seen) is block_masks.of_call(again)
    assert block_masks.of_call(seen) is not block_masks.of_call(Seen.own(seen.ctx, other, seen.mask))
    assert block_masks.of_call(seen) is not block_masks.of_call(torch_seen(first, PLACED)[0])


@pytest.mark.parametrize("sight", SIGHTS[:4], ids=str)
def test_a_compiler_reads_flex_attention_whole(sight):
    """Traced, not compiled: rule, blocks and kernel are one graph, as a compiled layer has them."""
    import torch

    from archlab_torch.kernels.attention import attend

    def run(q, k, v, seen):
        rest = {"bias": None, "softcap": 2.0, "sink": None, "drop": None}
        return attend(q, k, v, scale=0.25, seen=seen, kernel="flex", **rest)

    torch._dynamo.reset()
    q, k, v = (torch.as_tensor(a) for a in heads_of("float32"))
    seen, _ = torch_seen(sight, PLACED)
    traced = torch.compile(run, backend="eager", fullgraph=True)
    assert torch.equal(traced(q, k, v, seen), run(q, k, v, seen))


def heads_of(dtype, size=64):
    """q, k and v of 4 and 2 heads."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(*ROWS.shape, heads, size)).astype(dtype) for heads in (4, 2, 2)]


ASKED = {"bias": False, "softcap": None, "dropout": None, "sink": False}


SPLASH = {"causal": (Sight(visibility="causal"), 2.0), "window": (Sight(visibility="bidirectional", window=30), None)}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("sight", "softcap"), SPLASH.values(), ids=SPLASH)
def test_the_splash_kernel_is_the_dense_one(sight, where, softcap):
    """Forward and backward: compiled where there is a TPU, else in the interpreter of JAX's kernel language."""
    import jax
    import jax.numpy as jnp

    from archlab_jax.kernels import attention, splash

    q, k, v = (jnp.asarray(a) for a in heads_of("float32"))
    seen, mask = jax_seen(sight, WHERE[where])
    assert splash.takes(q, k, seen, Policy())

    def dense(q, k, v):
        return attention._dense(q, k, v, 0.125, mask, False, None, softcap, None, None)

    def fast(q, k, v):
        refused = lambda q, k, v: jnp.full_like(q, jnp.nan)  # noqa: E731
        return splash.attend(
            q, k, v, scale=0.125, seen=seen, softcap=softcap, policy=Policy(), otherwise=refused,
            interpret=jax.default_backend() != "tpu",
        )  # fmt: skip

    def results(kernel):
        y, back = jax.vjp(kernel, q, k, v)
        return [np.asarray(a) for a in (y, *back(q))]

    with jax.default_matmul_precision("highest"):
        for got, truth in zip(results(fast), results(dense), strict=True):
            assert relative(got, truth) <= 20 * ROUNDOFF["float32"]  # sums of up to 128 terms in another order
            if where == "packed":
                assert not got[ROWS == 0].any()


def test_rows_that_the_splash_kernel_cannot_tell_apart_are_computed_densely():
    import jax.numpy as jnp

    from archlab_jax.kernels import splash

    def ordered(rows, positions=None):
        rows = np.asarray([rows])
        positions = document_positions(rows) if positions is None else np.asarray([positions])
        return bool(splash.ordered(jnp.asarray(positions), jnp.asarray(rows)))

    assert ordered([1, 1, 2, 2, 0, 0])
    assert ordered([0, 0, 3, 3, 1, 1])
    assert ordered([0, 1, 1, 0, 0, 2])
    assert ordered([1, 1, 1, 1], [7, 8, 9, 10])
    assert not ordered([1, 1, 2, 1])  # a document in two places
    assert not ordered([1, 1, 1, 1], [0, 1, 3, 4])  # a token left out
    assert not ordered([1, 1, 1, 1], [3, 2, 1, 0])
    q, k, _ = (jnp.asarray(a) for a in heads_of("float32"))
    for where, sight in (("packed", Sight(visibility="prefix")), ("packed", Sight(visibility="causal", chunk=16))):
        assert not splash.takes(q, k, jax_seen(sight, WHERE[where])[0], Policy())
    assert not splash.takes(q[:, :100], k[:, :100], jax_seen(SIGHTS[0], {})[0], Policy())
    assert not splash.takes(q, k, Seen(), Policy())  # keys of a cache


def accelerator(platform, capability):
    client = types.SimpleNamespace(platform_version={"gpu": "PJRT C API cuda 13000", "tpu": "libtpu"}.get(platform, ""))
    return types.SimpleNamespace(platform=platform, client=client, compute_capability=capability)


def test_auto_picks_what_a_device_has(monkeypatch):
    import jax.numpy as jnp

    from archlab_jax.kernels import attention

    def pick(
        platform, capability="9.0", *, size=64, dtype="bfloat16", where="plain", length=128, sight=SIGHTS[0], **asked
    ):
        monkeypatch.setattr(attention, "devices", lambda policy: [accelerator(platform, capability)])
        q, k = jnp.zeros((2, length, 4, size), dtype), jnp.zeros((2, length, 2, size), dtype)
        return attention.pick(q, k, jax_seen(sight, WHERE[where])[0], ASKED | asked, Policy())

    assert pick("cpu") == "dense"
    assert pick("gpu") == pick("gpu", where="packed") == pick("gpu", size=256) == "fused"
    assert pick("gpu", "8.0", size=256) == pick("gpu", size=60) == pick("gpu", dtype="float32") == "dense"
    assert pick("gpu", where="packed", length=127) == pick("gpu", softcap=2.0) == pick("gpu", bias=True) == "dense"
    assert pick("gpu", length=127) == "fused"
    assert (
        pick("tpu")
        == pick("tpu", where="packed")
        == pick("tpu", softcap=2.0)
        == pick("tpu", dtype="float32")
        == "splash"
    )
    assert pick("tpu", size=48) == pick("tpu", bias=True) == pick("tpu", sink=True) == "dense"


def test_auto_in_pytorch_picks_flex_attention_on_gpus_alone(monkeypatch):
    import torch

    from archlab_torch.kernels import attention

    def pick(where="plain", sight=SIGHTS[0], bias=None, size=64, dtype=torch.bfloat16, **asked):
        q = types.SimpleNamespace(device=torch.device("cuda"), dtype=dtype, shape=(2, 128, 4, size))
        return attention.pick(q, torch_seen(sight, WHERE[where])[0], bias, ASKED | asked)

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert (
        pick() == pick("packed", bias=1.0) == pick("packed", size=8) == pick("packed", dtype=torch.float64) == "fused"
    )
    assert pick("packed") == pick(sight=SIGHTS[2]) == pick(softcap=2.0) == pick("packed", softcap=2.0) == "flex"
    assert pick(dropout=abs) == pick("packed", sink=True) == pick(softcap=2.0, bias=1.0) == "dense"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert pick("packed") == "fused"


def on_gpu():
    import torch

    return torch.cuda.is_available()


@pytest.mark.skipif(not on_gpu(), reason="FlexAttention has a backward pass on GPUs only, and PyTorch sees none")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("sight", SIGHTS[::3], ids=str)
def test_pytorch_on_a_gpu_is_the_dense_kernel(sight, where, dtype):
    import torch

    from archlab_torch.kernels.attention import attend
    from archlab_torch.runtime import precision

    seen, mask = torch_seen(sight, WHERE[where], "cuda")
    arrays = [torch.tensor(a, device="cuda").to(getattr(torch, dtype)) for a in heads_of("float32")]

    def results(kernel, seen, kind):
        leaves = [a.to(kind).requires_grad_() for a in arrays]
        rest = {"bias": None, "softcap": None, "sink": None, "drop": None}
        y = attend(*leaves, scale=0.125, seen=seen, kernel=kernel, **rest)
        return [a.double().cpu().detach().numpy() for a in (y, *torch.autograd.grad(y, leaves, arrays[0].to(kind)))]

    with precision(Policy.exact("float32")):
        got = results("auto", seen, arrays[0].dtype)
    for a, truth in zip(got, results("dense", Seen(mask=lambda: mask), torch.float64), strict=True):
        assert relative(a, truth) <= {"float32": 20, "bfloat16": 6}[dtype] * ROUNDOFF[dtype]
        if where == "packed":
            assert not a[ROWS == 0].any()


def test_blocks_of_queries_are_the_whole(monkeypatch):
    """JAX on CPUs under a causal mask: with a bias, a softcap and a sink, forward and backward."""
    import jax
    import jax.numpy as jnp

    from archlab_jax.kernels import attention

    monkeypatch.setattr(attention, "BLOCK", 4)
    rng, length = np.random.default_rng(0), 9
    with jax.enable_x64(True):
        q, k, v = (jnp.asarray(rng.normal(size=(2, length, heads, 8))) for heads in (4, 2, 2))
        bias, sink = jnp.asarray(rng.normal(size=(2, 4, length, length))), jnp.asarray(rng.normal(size=4))

        def parts(q, k, v, bias, sink):
            return attention._in_blocks(q, k, v, 0.3, bias, 2.0, sink)

        def whole(q, k, v, bias, sink):
            return attention._dense(q, k, v, 0.3, None, True, bias, 2.0, sink, None)

        def results(kernel):
            y, back = jax.vjp(kernel, q, k, v, bias, sink)
            return y, *back(jnp.cos(y))

        for got, truth in zip(*(jax.jit(lambda f=f: results(f))() for f in (parts, whole)), strict=True):
            np.testing.assert_allclose(got, truth, rtol=1e-12, atol=1e-12)
