"""Mixtures of experts beyond the battery: choices by brute force, losses in training, balance by bias."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from archlab import reference
from archlab.activations import GELUTanh, SiLU
from archlab.backends import find_backend
from archlab.block import Block
from archlab.channels.expert_choice_router import ExpertChoiceRouter
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.channels.moe import MoE
from archlab.channels.rwkv_channel import RWKVChannel
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.errors import InputError
from archlab.model import check_causal, tiny_model
from archlab.norms import RMSNorm
from archlab.optim.sgd import SGD
from archlab.optim.sign_step import SignStep
from archlab.parity.cases import Case, changed, cotangent, drawn_weights
from archlab.parity.sequence_laws import documents
from archlab.parity.tolerances import FORWARD, GRADIENT, TRAINING, difference, gradient_error, relative
from archlab.parity.training import drawn_batches
from archlab.policy import Policy
from archlab.residuals import PreNorm
from archlab.spec import Example, Shared, schema
from archlab_jax.kernels.grouped import by_blocks
from archlab_torch.kernels.grouped import grouped_matmul

BACKENDS = ["jax", "torch"]
ALL = ["reference", *BACKENDS]
EXACT = Policy.exact()
ROUTER = TopKRouter(experts=6, chosen=2, scores="softmax")
EXPERT = MLP(hidden=6, activation=GELUTanh(), bias=True)
PACKED = np.array([[1] * 7 + [2] * 4 + [0], [3] * 12])
CORRECTION = "stack.layers.{}.channel.router.correction"


def run(spec, weights, inputs, backend):
    if backend == "reference":
        return reference.run(spec, weights, inputs)
    return find_backend(backend).run(spec, weights, inputs, policy=EXACT)


def drawn(spec, width=8, seed=0, length=12):
    rng = np.random.default_rng(seed)
    return drawn_weights(spec.at(width), seed), {"x": rng.normal(size=(2, length, width)), "segments": PACKED}


def routed(router, backend="reference", seed=0):
    weights, inputs = drawn(router, seed=seed)
    return run(router, weights, inputs, backend).output


# --- choosing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ALL)
def test_the_lower_index_wins_a_tie(backend):
    """All scores are equal; with a correction that lifts two experts equally, the two come first."""
    router = ROUTER.replace(chosen=3, correction=SignStep(size=1.0))
    weights, inputs = drawn(router)
    for correction, chosen in ((np.zeros(6), [0, 1, 2]), (np.array([0, 0, 0, 1, 0, 1.0]), [0, 3, 5])):
        tied = weights | {"kernel": np.zeros((8, 6)), "correction": correction}
        output = run(router, tied, inputs, backend).output
        assert (np.flatnonzero(output[0, 0]) == chosen).all()
        assert (output == output[:1, :1]).all()
        np.testing.assert_allclose(output[0, 0, chosen], 1 / 6, rtol=1e-14)  # the correction is no part of a weight


def test_over_the_chosen_is_over_all_renormalised():
    sums = routed(ROUTER.replace(total=1.0))
    np.testing.assert_allclose(routed(ROUTER.replace(over="chosen")), sums, atol=1e-14)
    np.testing.assert_allclose(sums.sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(routed(ROUTER.replace(total=2.0, scale=1.5)), 3.0 * sums, rtol=1e-14)
    assert np.count_nonzero(sums) == 2 * 12 * 2


def test_sigmoids_are_scores_of_their_own():
    weights, inputs = drawn(ROUTER)
    scores = 1 / (1 + np.exp(-(inputs["x"] @ weights["kernel"])))
    output = routed(ROUTER.replace(scores="sigmoid", scale=2.5))
    best = np.sort(scores, axis=-1)[..., -2:]
    np.testing.assert_allclose(np.sort(output, axis=-1)[..., -2:], 2.5 * best, rtol=1e-12)


@pytest.mark.parametrize("score", ["max", "top2"])
@pytest.mark.parametrize("backend", ALL)
def test_groups_against_a_loop(backend, score):
    groups = Groups(count=4, chosen=2, score=score)
    router = TopKRouter(experts=12, chosen=4, scores="sigmoid", groups=groups, correction=SignStep(size=1.0))
    weights, inputs = drawn(router)
    output = run(router, weights, inputs, backend).output
    scores = 1 / (1 + np.exp(-(inputs["x"] @ weights["kernel"]))) + weights["correction"]
    for at in np.ndindex(2, 12):
        parts = [sorted(scores[at][3 * g : 3 * g + 3], reverse=True) for g in range(4)]
        value = [p[0] if score == "max" else p[0] + p[1] for p in parts]
        best = sorted(range(4), key=lambda g: -value[g])[:2]
        allowed = [e for g in best for e in range(3 * g, 3 * g + 3)]
        chosen = sorted(allowed, key=lambda e: -scores[at][e])[:4]
        assert set(np.flatnonzero(output[at])) == set(chosen)


@pytest.mark.parametrize("backend", ALL)
def test_the_first_are_served(backend):
    """In each document by itself, an expert takes tokens until it is full; padding takes no room."""
    router = ROUTER.replace(capacity=0.7)
    everything, kept = routed(ROUTER), routed(router, backend)
    for row, start, end in documents(PACKED):
        room = np.ceil(0.7 * 2 * (end - start) / 6)
        load = np.zeros(6)
        for t in range(start, end):
            for e in np.flatnonzero(everything[row, t]):
                load[e] += 1
                expected = everything[row, t, e] if load[e] <= room else 0.0
                assert kept[row, t, e] == pytest.approx(expected, rel=1e-12, abs=0)
    assert 0 < np.count_nonzero(kept) < np.count_nonzero(everything)


@pytest.mark.parametrize("backend", ALL)
def test_experts_choose_in_each_document(backend):
    router = ExpertChoiceRouter(experts=4, scores="softmax", capacity=1.5)
    weights, inputs = drawn(router)
    output = run(router, weights, inputs, backend).output
    logits = inputs["x"] @ weights["kernel"]
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for row, start, end in documents(PACKED):
        room = int(np.ceil(1.5 * (end - start) / 4))
        for e in range(4):
            best = start + np.argsort(-scores[row, start:end, e])[:room]
            assert set(start + np.flatnonzero(output[row, start:end, e])) == set(best)
            np.testing.assert_allclose(output[row, best, e], scores[row, best, e], rtol=1e-12)


# --- computing --------------------------------------------------------------------------------------------

DROPLESS = MoE(router=ROUTER, expert=GLU(hidden=10, activation=SiLU(), bias=True), shared=EXPERT)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("skew", [0.0, 4.0])
def test_grouped_products_are_the_definition(backend, skew):
    """With more rows than a block holds, and with experts that no token goes to."""
    weights, inputs = drawn(DROPLESS, length=90)
    inputs = {"x": inputs["x"] + skew}
    seed = cotangent(inputs["x"].shape, 3)
    table = schema(DROPLESS.at(8))
    weights["router.kernel"] += skew * np.arange(6)
    truth = reference.run(DROPLESS, weights, inputs)
    assert (truth.stats["router.largest_share"] > 0.4) == (skew > 0)
    grads, result = find_backend(backend).gradients(DROPLESS, weights, inputs, seed, policy=EXACT)
    assert relative(result.output, truth.output) <= FORWARD
    direction = {p: cotangent(param.shape, i) for i, (p, param) in enumerate(table.items())}

    def value(step):
        moved = {p: w + step * direction[p] for p, w in weights.items()}
        return np.sum(reference.run(DROPLESS, moved, inputs).output * seed)

    h = 1e-5
    slope = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert sum(np.sum(grads[p] * direction[p]) for p in table) == pytest.approx(slope, rel=1e-7)


def test_blocks_are_ragged_products():
    """On a CPU, JAX multiplies in blocks; elsewhere by its own ragged product."""
    rng = np.random.default_rng(0)
    sizes = np.array([0, 70, 1, 129, 0])
    with jax.enable_x64(True):
        x, w = rng.normal(size=(200, 5)), rng.normal(size=(5, 5, 3))
        results = []
        for product in (by_blocks, jax.lax.ragged_dot):
            loss = functools.partial(lambda product, x, w: jnp.sum(jnp.sin(product(x, w, sizes))), product)
            results.append((product(x, w, jnp.asarray(sizes)), *jax.grad(loss, argnums=(0, 1))(x, w)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_loop_over_groups_is_pytorchs_own_product():
    """Which takes no float64, and serves bfloat16 on GPUs."""
    torch.manual_seed(0)
    ends = torch.tensor([0, 70, 71, 200, 200])
    x, w = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for shape in ((200, 16), (5, 16, 24)))
    results = []
    for y in (grouped_matmul(x, w, ends), torch.nn.functional.grouped_mm(x, w, offs=ends.to(torch.int32))):
        results.append((y, *torch.autograd.grad(y, (x, w), torch.ones_like(y))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_has_no_bound_runs_by_its_definition(backend):
    """Experts that choose may all take the same token."""
    spec = MoE(router=ExpertChoiceRouter(experts=4, scores="sigmoid", capacity=2.0), expert=EXPERT)
    weights, inputs = drawn(spec)
    assert (
        relative(run(spec, weights, inputs, backend).output, run(spec, weights, inputs, "reference").output) < FORWARD
    )


@pytest.mark.parametrize("backend", ALL)
def test_padding_counts_in_nothing(backend):
    """The losses and loads of an example for which the padding law is waived, because they sum over documents."""
    spec = MoE.examples()[1].spec
    weights, inputs = drawn(spec)
    other = changed(
        Case(name="", spec_name="", example=Example(spec=spec, width=inputs["x"].shape[-1])), inputs, PACKED == 0
    )
    one, two = (run(spec, weights, i, backend) for i in (inputs, other))
    for a, b in ((one.losses, two.losses), (one.drives, two.drives), (one.stats, two.stats)):
        assert a.keys() == b.keys()
        assert all(a[name] == b[name] for name in a)
    assert difference(one.output[PACKED > 0], two.output[PACKED > 0]) == 0


def test_losses_by_their_formulas():
    spec = ROUTER.replace(balance=0.5, z=0.25)
    weights, inputs = drawn(spec)
    result, real = reference.run(spec, weights, inputs), PACKED > 0
    logits = (inputs["x"] @ weights["kernel"])[real]
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    share = (result.output[real] > 0).mean(axis=0) / 2
    assert result.losses["router.balance"] == pytest.approx(0.5 * 6 * np.sum(share * chances.mean(axis=0)))
    assert result.losses["router.z"] == pytest.approx(0.25 * np.mean(np.log(np.exp(logits).sum(axis=-1)) ** 2))
    assert result.stats["router.largest_share"] == pytest.approx(share.max())
    assert result.stats["router.entropy"] == pytest.approx(-np.sum(share * np.log(share)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny(expert=RWKVChannel(hidden=4)), "expert: has parameters or a state of its own"),
        (lambda: tiny(expert=Shared(name="e", part=EXPERT)), "expert: a Shared cannot be an expert"),
        (lambda: tiny(expert=MoE(router=ROUTER, expert=EXPERT)), "expert: has a part TopKRouter"),
        (lambda: ROUTER.replace(chosen=7), "chosen: 7 must lie between 1 and experts = 6"),
        (lambda: ROUTER.replace(groups=Groups(count=4, chosen=1, score="max")), "divide the 6 experts"),
        (lambda: ROUTER.replace(groups=Groups(count=6, chosen=1, score="max")), "leave fewer than the 2"),
        (lambda: ROUTER.replace(scores="sigmoid", over="chosen"), "over: 'chosen' must be 'all'"),
        (lambda: MoE(router=ROUTER, expert=EXPERT, shared_gate=RMSNorm(epsilon=1.0).params(4)["scale"].init), "shared"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_experts_that_choose_train_no_language_model():
    layer = Block(channel=MoE(router=ExpertChoiceRouter(experts=4, scores="softmax", capacity=1.0), expert=EXPERT),
                  residual=PreNorm(norm=RMSNorm(epsilon=1e-2)))  # fmt: skip
    with pytest.raises(InputError, match="router: an ExpertChoiceRouter compares all tokens"):
        check_causal(tiny_model(width=8, layer=layer))


# --- training ---------------------------------------------------------------------------------------------

RATE = 0.05
DESCENT = SGD(momentum=0.0, nesterov=False, weight_decay=0.0)


def tiny(expert=EXPERT, repeat=2, **fields):
    router = ROUTER.replace(experts=4, **fields)
    norm = RMSNorm(epsilon=1e-2)
    return tiny_model(
        width=8, repeat=repeat, layer=Block(channel=MoE(router=router, expert=expert), residual=PreNorm(norm=norm))
    )


def started(backend, model, weights, optimizer=DESCENT, clip=None, **policy):
    policy = EXACT.replace(**policy)
    return find_backend(backend).trainer(model, weights=weights, optimizer=optimizer, clip=clip, policy=policy)


WAYS = [("jax", "unroll", "none"), ("jax", "scan", "full"), ("torch", "unroll", "none"), ("torch", "unroll", "full")]


def test_losses_reach_the_objective_and_statistics_the_metrics():
    """However the layers run: losses add up over layers, statistics are their mean, a drive is neither."""
    model, bare = tiny(balance=0.3, z=0.1, correction=SignStep(size=RATE)), tiny()
    weights = drawn_weights(model.root(), 5)
    batch = drawn_batches(model, length=10, batch=4, steps=1)[0]
    for i in range(2):  # so that the models compute the same
        weights[CORRECTION.format(i)] = np.zeros(4)
    truth = reference.run(model, weights, {"tokens": batch["tokens"]})
    plain = started("torch", bare, {p: w for p, w in weights.items() if "correction" not in p}).step(batch, 0.1)
    after = []
    for backend, layers, remat in WAYS:
        trainer = started(backend, model, weights, layers=layers, remat=remat)
        step = trainer.step(batch, 0.1)
        assert float(step.loss) == pytest.approx(float(plain.loss) + sum(truth.losses.values()), rel=1e-12)
        assert step.noted.keys() == {"router.balance", "router.z", "router.largest_share", "router.entropy"}
        for name, value in (truth.losses | truth.stats).items():
            assert float(step.noted[name]) == pytest.approx(float(value), rel=1e-12)
        after.append((trainer.weights(), float(step.grad_norm)))
    assert all(norm == pytest.approx(after[0][1], rel=1e-12) for _, norm in after)
    assert all(gradient_error(new, after[0][0])[0] < GRADIENT for new, _ in after)
    assert set(plain.noted) == {"router.largest_share", "router.entropy"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_drive_does_not_count_in_clipping(backend):
    """With a correction that is 0, gradients, norm and clipped step are those without one; it moves by its own rule."""
    model, bare = tiny(correction=SignStep(size=RATE)), tiny()
    weights = drawn_weights(bare.root(), 5)
    batch = drawn_batches(model, length=10, batch=4, steps=1)[0]
    zeros = {CORRECTION.format(i): np.zeros(4) for i in range(2)}
    plain, driven = started(backend, bare, weights, clip=0.1), started(backend, model, weights | zeros, clip=0.1)
    a, b = plain.step(batch, 0.1), driven.step(batch, 0.1)
    assert float(a.loss) == pytest.approx(float(b.loss), rel=1e-14)
    assert float(a.grad_norm) == pytest.approx(float(b.grad_norm), rel=1e-14)
    assert float(a.grad_norm) > 0.1
    new = driven.weights()
    assert gradient_error({p: new[p] for p in weights}, plain.weights())[0] < 1e-13
    assert all(set(np.abs(new[path])) <= {0.0, RATE} and new[path].any() for path in zeros)


def test_a_bias_balances_the_experts():
    """All tokens want the first experts; after some steps loads are near even, and both backends took the same way."""
    model = tiny(correction=SignStep(size=0.01), scores="sigmoid", total=1.0)
    weights = drawn_weights(model.root(), 5)
    weights["embedding.table"][:, 0] += 1.0
    for i in range(2):
        weights[f"stack.layers.{i}.channel.router.kernel"][0] += [1.0, 0.5, 0.0, -0.5]
        weights[CORRECTION.format(i)] = np.zeros(4)
    trainers = [started("jax", model, weights, layers="scan"), started("torch", model, weights)]
    shares = []
    for batch in drawn_batches(model, length=16, batch=16, steps=60):
        a, b = (trainer.step(batch, 0.01) for trainer in trainers)
        assert float(a.loss) == pytest.approx(float(b.loss), rel=TRAINING["float64"])
        shares.append(float(a.noted["router.largest_share"]))
    jax_weights, torch_weights = (trainer.weights() for trainer in trainers)
    assert gradient_error(torch_weights, jax_weights)[0] < TRAINING["float64"]
    assert shares[0] > 0.45  # 0.25 is even, 0.5 the worst that there is
    assert np.mean(shares[-8:]) < 0.31
    assert jax_weights[CORRECTION.format(0)][0] < 0 < jax_weights[CORRECTION.format(0)][3]
