"""Every optimiser: its definition in NumPy, and both backends after each of 20 steps."""

import numpy as np
import pytest

from archlab.activations import GELUTanh
from archlab.backends import find_backend
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.config import registered
from archlab.inits import Normal
from archlab.model import Head, tiny_model
from archlab.mup import MuP
from archlab.norms import RMSNorm
from archlab.optim.adafactor import Adafactor
from archlab.optim.adamw import Adam, AdamW
from archlab.optim.averaged import Averaged
from archlab.optim.frozen import Frozen
from archlab.optim.groups import Group, Grouped
from archlab.optim.lion import Lion
from archlab.optim.muon import Muon
from archlab.optim.optimizer import Optimizer, clip_counted
from archlab.optim.schedules import WarmupCosine
from archlab.optim.sgd import SGD
from archlab.optim.sign_step import SignStep
from archlab.optim.soap import SOAP
from archlab.parity.cases import drawn_weights
from archlab.parity.tolerances import GRADIENT, TRAINING, gradient_error, relative
from archlab.parity.training import CLIP, STEPS, drawn_batches
from archlab.policy import Policy
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.spec import schema
from archlab.weights import check_shapes

ADAMW = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
GROUPS = (
    Group(roles=("embedding", "positions"), decay=0.0),
    Group(paths=("*.layers.0.*",), roles=("matrix",), rate=0.5, decay=2.0),
)
OPTIMIZERS = {
    "adam": Adam(beta1=0.9, beta2=0.95, epsilon=1e-8),
    "adamw": ADAMW,
    "sgd": SGD(momentum=0.9, nesterov=False, weight_decay=0.01),
    "nesterov": SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
    "adafactor": Adafactor(decay=0.8, epsilon=1e-30, clip=1.0, scale_floor=1e-3, weight_decay=0.1),
    "lion": Lion(beta1=0.9, beta2=0.99, weight_decay=0.1),
    "muon": Muon(
        momentum=0.95, iterations=5, epsilon=1e-7, weight_decay=0.1, other=ADAMW, other_rate=0.1
    ),
    "soap": SOAP(
        beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, every=2, damping=1e-3, largest=64
    ),
}  # fmt: skip
WRAPPED = {
    "grouped": Grouped(optimizer=ADAMW, groups=GROUPS, layer_decay=0.8),
    "grouped-muon": Grouped(optimizer=OPTIMIZERS["muon"], groups=GROUPS, layer_decay=0.8),
    "grouped-soap": Grouped(optimizer=OPTIMIZERS["soap"], groups=GROUPS, layer_decay=0.8),
    "grouped-nesterov": Grouped(optimizer=OPTIMIZERS["nesterov"], groups=GROUPS, layer_decay=0.8),
    "grouped-lion": Grouped(optimizer=OPTIMIZERS["lion"], groups=GROUPS, layer_decay=0.8),
    "mup": MuP(optimizer=ADAMW, base=8),
    "mup-muon": MuP(optimizer=OPTIMIZERS["muon"], base=8),
    "averaged": Averaged(optimizer=ADAMW, average=0.9),
    "averaged-grouped": Averaged(optimizer=Grouped(optimizer=ADAMW, groups=GROUPS, layer_decay=0.8), average=0.9),
}
KINDS = OPTIMIZERS | WRAPPED
RATES = WarmupCosine(peak=1e-2, floor=1e-3, warmup=4, steps=STEPS)
ROUTED = MoE(
    router=TopKRouter(experts=4, chosen=2, scores="sigmoid", correction=SignStep(size=0.01)),
    expert=MLP(hidden=6, activation=GELUTanh(), bias=True),
)
MODELS = {
    "routed": tiny_model(
        width=8, repeat=2, layer=Block(channel=ROUTED, residual=PreNorm(norm=RMSNorm(epsilon=1e-2)))
    ),
    "tied": tiny_model(repeat=2),
    "positions": tiny_model(
        repeat=1, head=Head(bias=True), positions=LearnedPositions(length=16, init=Normal(std=0.1))
    ),
}  # fmt: skip
EXACT = Policy.exact()


DESCENT = SGD(momentum=0.0, nesterov=False, weight_decay=0.0)


def started(backend, model, optimizer, **policy):
    weights = drawn_weights(model.root(), 5)
    policy = EXACT.replace(**policy)
    return find_backend(backend).trainer(model, weights=weights, optimizer=optimizer, clip=CLIP, policy=policy)


def state_errors(one, other):
    a, b = one.optimizer_state(), other.optimizer_state()
    assert a.step == b.step
    assert a.slots.keys() == b.slots.keys()
    assert all(a.slots[s].keys() == b.slots[s].keys() for s in a.slots)
    errors = {s: gradient_error(b.slots[s], a.slots[s])[0] for s in a.slots}
    return errors | {"weights": gradient_error(other.weights(), one.weights())[0]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["tied", *(pytest.param(name, marks=pytest.mark.slow) for name in ("positions", "routed"))]
)
def test_weights_and_state_agree_after_each_of_20_steps(name, kind):
    """JAX scans its layers, so that its leaves hold several of them; PyTorch keeps its matrices transposed."""
    model, optimizer = MODELS[name], KINDS[kind]
    jax, torch = started("jax", model, optimizer, layers="scan"), started("torch", model, optimizer)
    for i, batch in enumerate(drawn_batches(model, length=10, batch=4, steps=STEPS)):
        for trainer in (jax, torch):
            trainer.step(batch, RATES.rate(i))
        errors = state_errors(jax, torch)
        assert max(errors.values()) <= TRAINING["float64"], (i, errors)


ROUTED_QUICKLY = ("adamw", "muon", "averaged")
COURSES = (
    [(kind, "positions") for kind in KINDS]
    + [(kind, "routed") for kind in ROUTED_QUICKLY]
    + [pytest.param(kind, "routed", marks=pytest.mark.slow) for kind in KINDS if kind not in ROUTED_QUICKLY]
)


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(("kind", "name"), COURSES)
def test_an_update_is_the_definition(kind, backend, name):
    """Three steps from the backend's own gradients, updated in NumPy; with parameters that have a rule of their own."""
    model, optimizer = MODELS[name], KINDS[kind]
    table = schema(model.root())
    trainer = started(backend, model, optimizer)
    weights, state = drawn_weights(model.root(), 5), optimizer.initial(table)
    plain = find_backend(backend).trainer(model, weights=weights, optimizer=DESCENT, clip=None, policy=EXACT)
    for i, batch in enumerate(drawn_batches(model, length=10, batch=4, steps=3)):
        grads, norm = clip_counted(table, gradients_of(plain, weights, batch), CLIP)
        weights, state = optimizer.apply(table, weights, grads, state, RATES.rate(i))
        metrics = trainer.step(batch, RATES.rate(i))
        assert relative(float(metrics.grad_norm), norm) <= GRADIENT
        assert gradient_error(trainer.weights(), weights)[0] <= GRADIENT
        for slot, arrays in trainer.optimizer_state().slots.items():
            assert gradient_error(arrays, state.slots[slot])[0] <= GRADIENT, slot


def gradients_of(plain, weights, batch):
    """From one step of plain descent: (p − p′) / rate, no clipping; the sign is right where a rule goes by the sign."""
    plain.restore(weights, DESCENT.initial(schema(plain.model.root())))
    plain.step(batch, 1.0)
    return {path: weights[path] - new for path, new in plain.weights().items()}


@pytest.mark.parametrize(
    "kind", ["adamw", "adafactor", "muon", "averaged-grouped"]
)  # slots like the weights, others, several rules, wrappers
@pytest.mark.parametrize(("first", "second"), [("jax", "torch"), pytest.param("torch", "jax", marks=pytest.mark.slow)])
def test_state_goes_on_in_the_other_backend(kind, first, second):
    model, optimizer = MODELS["tied"], KINDS[kind]
    batches = drawn_batches(model, length=10, batch=4, steps=6)
    whole, half = started(first, model, optimizer), started(second, model, optimizer)
    for i, batch in enumerate(batches):
        if i == 3:
            state = whole.optimizer_state()
            for slot, shapes in optimizer.schema(schema(model.root())).items():
                check_shapes(shapes, state.slots[slot], slot)
            half.restore(whole.weights(), state)
        whole.step(batch, RATES.rate(i))
        if i >= 3:
            half.step(batch, RATES.rate(i))
    assert max(state_errors(whole, half).values()) <= TRAINING["float64"]


def test_no_optimizer_is_left_out():
    used = {type(o) for o in KINDS.values()} | {SignStep, Frozen}
    assert set(registered(Optimizer).values()) == used


OWN = """
from archlab import Optimizer

class Signs(Optimizer):
    \"\"\"p − rate · sign(g).\"\"\"

    def update(self, xp, p, g, slots, rate, t, decays):
        return p - rate * xp.sign(g), slots
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_an_optimizer_from_a_users_file(backend, tmp_path):
    """Named in a config by its file, it runs on both; it keeps nothing, which is no special case."""
    (tmp_path / "signs.py").write_text(OWN)
    signs = Optimizer.from_dict({"type": f"{tmp_path / 'signs.py'}:Signs"})
    model = MODELS["positions"]
    trainer = started(backend, model, signs)
    before = trainer.weights()
    trainer.step(drawn_batches(model, length=10, batch=4, steps=1)[0], 0.25)
    moved = {path: np.unique(np.abs(after - before[path]).round(12)) for path, after in trainer.weights().items()}
    assert all(set(values) <= {0.0, 0.25} for values in moved.values())
    assert trainer.optimizer_state().slots == {}


def test_muon_makes_a_matrix_nearly_orthogonal():
    u = np.random.default_rng(0).normal(size=(3, 20, 12))
    values = np.linalg.svd(OPTIMIZERS["muon"].orthogonal(np, u), compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_adafactor_keeps_rows_and_columns_only():
    rule = OPTIMIZERS["adafactor"]
    assert rule.slots((4, 6)) == {"rows": (4,), "columns": (6,)}
    assert rule.slots((3, 4, 6)) == {"rows": (3, 4), "columns": (3, 6)}
    assert rule.slots((6,)) == {"nu": (6,)}
    u = np.outer([1.0, 2.0, 3.0], [1.0, 4.0])
    _, nu = rule.moment(np, u, {"rows": np.zeros(3), "columns": np.zeros(2)}, 0.0)
    np.testing.assert_allclose(nu, u, rtol=1e-14)  # a second moment of rank one is kept exactly
