"""Both backends train alike, and as archlab.optim defines it."""

import numpy as np
import pytest

from archlab import reference
from archlab.backends import find_backend
from archlab.block import Block
from archlab.inits import Normal
from archlab.model import Head, tiny_model
from archlab.norms import RMSNorm
from archlab.optim.adamw import AdamW
from archlab.optim.optimizer import clip
from archlab.optim.schedules import WarmupCosine
from archlab.parity.cases import drawn_weights
from archlab.parity.tolerances import FORWARD, GRADIENT, gradient_error, relative
from archlab.parity.training import CLIP, RATES, RULE, STEPS, UNCOUNTED, drawn_batches, train, training_rows
from archlab.policy import Policy
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.spec import Channel, Param, schema

BACKENDS = ["jax", "torch"]
MODEL = tiny_model(repeat=1, head=Head(bias=True), positions=LearnedPositions(length=16, init=Normal(std=0.1)))
TIED = tiny_model()
WEIGHTS = drawn_weights(MODEL.root(), 5)
BATCHES = drawn_batches(MODEL, length=10, batch=4, steps=STEPS)
EXACT = Policy.exact()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_twenty_steps_agree(dtype):
    rows = training_rows(MODEL, WEIGHTS, BACKENDS, dtype=dtype, length=10)
    assert rows
    assert [row for row in rows if not row.passed] == []


def loss_and_gradients(backend, weights, batch):
    """Σ losses / count by NumPy from the reference's logits, and the gradients of the backend."""
    tokens, targets = batch["tokens"], batch["targets"]
    logits = reference.run(MODEL, weights, {"tokens": tokens}).output
    logits = logits - logits.max(axis=-1, keepdims=True)
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    counted = targets >= 0
    hit = np.eye(MODEL.vocab)[np.where(counted, targets, 0)]
    loss = -np.log((chances * hit).sum(axis=-1))[counted].sum() / counted.sum()
    slope = (chances - hit) * counted[..., None] / counted.sum()
    grads, _ = find_backend(backend).gradients(MODEL, weights, {"tokens": tokens}, slope, policy=EXACT)
    return loss, grads


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_follows_the_definition(backend):
    """Loss, clipping, schedule, decay and update: five steps in NumPy from the backend's gradients."""
    course = train(backend, MODEL, WEIGHTS, BATCHES[:5], policy=EXACT)
    table = schema(MODEL.root())
    assert not RULE.decays(table["stack.layers.0.mixer_residual.norm.scale"])
    assert RULE.decays(table["stack.layers.0.mixer.query.kernel"])
    weights, state = dict(WEIGHTS), RULE.initial(table)
    for i, batch in enumerate(BATCHES[:5]):
        loss, grads = loss_and_gradients(backend, weights, batch)
        grads, norm = clip(grads, CLIP)
        weights, state = RULE.apply(table, weights, grads, state, RATES.rate(i))
        assert relative(course.losses[i], loss) < FORWARD
        assert relative(course.norms[i], norm) < GRADIENT
    assert course.norms.max() > CLIP, "nothing was clipped"
    assert gradient_error(course.weights, weights)[0] < GRADIENT
    assert course.state.step == state.step == 5
    for slot in state.slots:
        assert gradient_error(course.state.slots[slot], state.slots[slot])[0] < GRADIENT


@pytest.mark.parametrize("backend", BACKENDS)
def test_clipping_has_no_epsilon(backend):
    """g · min(1, limit / ‖g‖): at a limit of 1e-6, PyTorch's own formula would halve the gradient."""
    course = train(backend, MODEL, WEIGHTS, BATCHES[:1], policy=EXACT, clip=1e-6)
    norm = np.sqrt(sum(np.sum(np.square(a / (1 - RULE.beta1))) for a in course.state.slots["mu"].values()))
    assert relative(norm, 1e-6) < GRADIENT


@pytest.mark.parametrize("backend", BACKENDS)
def test_weight_decay_spares_norms_and_biases(backend):
    heavy = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=50.0)
    light = heavy.replace(weight_decay=0.0)
    matrices = {path for path, param in schema(MODEL.root()).items() if len(param.shape) > 1}
    one, other = (
        train(backend, MODEL, WEIGHTS, BATCHES[:1], policy=EXACT, optimizer=rule, clip=None).weights
        for rule in (heavy, light)
    )
    assert {path for path in one if not np.array_equal(one[path], other[path])} == matrices


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_is_a_sum_and_a_count(backend):
    """Two batches of unequal counts add up to the batch of both; their means would not."""
    trainer = find_backend(backend).trainer(MODEL, weights=WEIGHTS, optimizer=RULE, clip=None, policy=EXACT)
    whole = BATCHES[0]
    parts = [{k: v[rows] for k, v in whole.items()} for rows in (slice(0, 2), slice(2, 4))]
    total, count = trainer.evaluate(whole)
    (sum_a, count_a), (sum_b, count_b) = (trainer.evaluate(part) for part in parts)
    assert count_a != count_b
    assert count == count_a + count_b == int((whole["targets"] != UNCOUNTED).sum())
    assert relative(sum_a + sum_b, total) < FORWARD
    assert relative(total / count, loss_and_gradients(backend, WEIGHTS, whole)[0]) < FORWARD


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tied_head_gets_both_gradients(backend):
    """The table is read as embedding and as head: its gradient is the slope along it alone."""
    weights = drawn_weights(TIED.root(), 6)
    assert "head.kernel" not in weights
    tokens = BATCHES[0]["tokens"]
    cotangent = np.cos(np.arange(4 * 10 * TIED.vocab)).reshape(4, 10, TIED.vocab)
    grads, _ = find_backend(backend).gradients(TIED, weights, {"tokens": tokens}, cotangent, policy=EXACT)
    along = np.sin(np.arange(weights["embedding.table"].size)).reshape(weights["embedding.table"].shape)

    def value(step):
        at = weights | {"embedding.table": weights["embedding.table"] + step * along}
        return np.sum(reference.run(TIED, at, {"tokens": tokens}).output * cotangent)

    h = 1e-4
    slope = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert relative(np.sum(grads["embedding.table"] * along), slope) < 1e-8


@pytest.mark.parametrize(("first", "second"), [("jax", "torch"), ("torch", "jax")])
def test_a_run_can_change_backend(first, second):
    """Ten steps on one, weights and optimiser state over to the other, ten more: the losses of twenty on one."""
    trainer = find_backend(first).trainer(MODEL, weights=WEIGHTS, optimizer=RULE, clip=CLIP, policy=EXACT)
    whole = []
    for i, batch in enumerate(BATCHES):
        if i == 10:
            weights, state = trainer.weights(), trainer.optimizer_state()
        whole.append(float(trainer.step(batch, RATES.rate(i)).loss))
    trainer = find_backend(second).trainer(MODEL, weights=WEIGHTS, optimizer=RULE, clip=CLIP, policy=EXACT)
    trainer.restore(weights, state)
    losses = [float(trainer.step(BATCHES[i], RATES.rate(i)).loss) for i in range(10, STEPS)]
    assert relative(np.array(losses), np.array(whole[10:])) < 1e-9
    assert trainer.optimizer_state().step == STEPS


def test_a_parameter_without_gradient_decays_on_both():
    """PyTorch leaves it out of the update unless told; the definition decays it."""

    class Spare(Channel):
        def params(self, width):
            return {"spare": Param(shape=(width, 2), axes="D F", init=Normal(std=1.0))}

        def forward(self, m, x, ctx, state):
            return 2.0 * x, state

    model = tiny_model(repeat=1, layer=Block(channel=Spare(), residual=PreNorm(norm=RMSNorm(epsilon=1e-5))))
    weights = drawn_weights(model.root(), 5)
    jax, torch = (train(name, model, weights, BATCHES[:3], policy=EXACT) for name in BACKENDS)
    path = "stack.layers.0.channel.spare"
    kept = np.prod([1 - RATES.rate(i) * RULE.weight_decay for i in range(3)])
    for course in (jax, torch):
        assert relative(course.weights[path], weights[path] * kept) < FORWARD
    assert gradient_error(torch.weights, jax.weights)[0] < GRADIENT
    assert jax.state.step == torch.state.step == 3


def test_the_schedule_as_a_table():
    """The first update already learns, the peak is reached at step `warmup`, the floor at step `steps`."""
    schedule = WarmupCosine(peak=1.0, floor=0.1, warmup=4, steps=12)
    table = {0: 0.2, 1: 0.4, 3: 0.8, 4: 1.0, 8: 0.55, 12: 0.1, 13: 0.1, 1000: 0.1}
    assert {step: round(schedule.rate(step), 12) for step in table} == table
