"""Models of every kind train on what objectives make of rows, alike on both backends."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archlab import catalog
from archlab.backends import find_backend
from archlab.config import registered
from archlab.data.batches import Batches
from archlab.data.rows import BestFit, Bucketed, Packed, Padded, Rows
from archlab.data.store import MemoryStore
from archlab.inputs import prepare
from archlab.mixers.attention import Attention
from archlab.model import tiny_model
from archlab.models.encoder import Encoder
from archlab.models.encoder_decoder import seq2seq_example
from archlab.objectives import (
    FillInTheMiddle,
    MaskedTokens,
    MixtureOfDenoisers,
    NextToken,
    Objective,
    PrefixLM,
    SequenceToSequence,
    SpanCorruption,
)
from archlab.parity.cases import drawn_weights
from archlab.parity.tolerances import FORWARD, gradient_error, relative
from archlab.parity.training import CLIP, RULE
from archlab.policy import Policy
from archlab.testing.documents import lengths
from archlab.testing.vocabulary import Words

WORDS = Words([f"w{i}" for i in range(20)], sentinels=8)
V, T, B, STEPS = WORDS.vocab_size, 16, 4, 2
FIRST = V - 20


def words(count, most, seed):
    return [lengths(n, V - 1, 100 * seed + n, least=FIRST) for n in lengths(count, most, seed)]


TEXTS = MemoryStore({"text": words(30, 40, 0)})
PAIRS = MemoryStore({"source": words(30, 14, 1), "target": words(30, 14, 2)})


def seeing(visibility):
    mixer = Attention(heads=4, kv_heads=2, visibility=visibility, bias=False, out_bias=False)
    block = tiny_model().stack.pattern[0]
    return tiny_model(vocab=V, repeat=1, layer=block.replace(mixer=mixer))


def encoder():
    spec = Encoder.examples()[0].spec
    return spec.replace(front=spec.front.replace(vocab=V), head=spec.head.replace(vocab=V))


SEQ2SEQ = seq2seq_example().spec.replace(vocab=V)
CASES = [
    (seeing("causal"), NextToken(), Packed(marks=("eos",))),
    (seeing("prefix"), PrefixLM(), BestFit(marks=("eos",))),
    (seeing("prefix"), SpanCorruption(layout="decoder"), Packed()),
    (seeing("causal"), FillInTheMiddle(), Packed(marks=("eos",))),
    (seeing("bidirectional"), MaskedTokens(), Packed()),
    (encoder(), MaskedTokens(), BestFit(marks=("bos", "eos"))),
    (SEQ2SEQ, SpanCorruption(), Packed()),
    (SEQ2SEQ, MixtureOfDenoisers(), Padded()),
    (SEQ2SEQ, SequenceToSequence(start="pad"), Bucketed(lengths=(9,), marks=("eos",))),
    pytest.param(catalog.model("small-t5", vocab=V), SpanCorruption(), Padded(), marks=pytest.mark.slow),
]
IDS = ["-".join(type(part).__name__ for part in getattr(case, "values", case)) for case in CASES]


def batches_for(objective, rows):
    store = PAIRS if objective.pairs else TEXTS
    fields = {"tokenizer": WORDS, "length": T, "batch": B, "seed": 3}
    return Batches(train=store, validation=store, rows=rows, objective=objective, **fields)


@pytest.mark.parametrize(("model", "objective", "rows"), CASES, ids=IDS)
def test_steps_agree(model, objective, rows):
    objective.check_model(model, WORDS)
    made, weights = batches_for(objective, rows), drawn_weights(model.root(), 1)
    policy = Policy.exact().replace(random="portable")
    found = []
    for name in ("jax", "torch"):
        trainer = find_backend(name).trainer(model, weights=weights, optimizer=RULE, clip=CLIP, policy=policy)
        total, count = trainer.evaluate(next(made.validation_pass()))
        losses = [float(trainer.step(batch, 1e-2).loss) for batch in made.train_batches(0, STEPS)]
        found.append((np.array([total, *losses]), count, trainer.weights()))
    (one, count, first), (other, again, second) = found
    assert np.isfinite(one).all() and count == again == (next(made.validation_pass())["targets"] >= 0).sum()
    assert relative(other, one) < FORWARD * 10**STEPS  # steps multiply what they begin with
    assert gradient_error(second, first)[0] < 1e-7
    assert any(not np.array_equal(first[path], weights[path]) for path in weights)


@pytest.mark.parametrize(("model", "objective", "rows"), CASES, ids=IDS)
def test_batches_are_what_models_take(model, objective, rows):
    """The host's checks, which generation and comparison go through, find nothing to complain of."""
    for batch in batches_for(objective, rows).train_batches(0, 3):
        inputs = {name: array for name, array in batch.items() if name not in ("targets", "weights")}
        ready = prepare(model, inputs)
        for name in ("positions", "segments", "prefix"):
            if name in batch:
                np.testing.assert_array_equal(ready[name], batch[name])


def test_filling_does_not_change_a_loss():
    """Rows filled up further have the same sum of losses: nothing real sees filling."""
    model, made = SEQ2SEQ, batches_for(SequenceToSequence(start="pad"), Padded(marks=("eos",)))
    weights, batch = drawn_weights(model.root(), 1), made.train_batch(0)
    wider = {
        name: np.pad(array, ((0, 0), (0, 3)), constant_values=-1 if name == "targets" else 0)
        for name, array in batch.items()
    }
    for name in ("jax", "torch"):
        trainer = find_backend(name).trainer(
            model, weights=weights, optimizer=RULE, clip=None, policy=Policy.exact()
        )  # fmt: skip
        (total, count), (again, counted) = trainer.evaluate(batch), trainer.evaluate(wider)
        assert count == counted and relative(np.array(again), np.array(total)) < FORWARD


def test_the_page_prints_what_it_says():
    page = (Path(__file__).parents[1] / "docs" / "objectives.md").read_text(encoding="utf-8")
    (program,), (output,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("python", "text"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == output
    named = set(registered(Objective)) | set(registered(Rows))
    assert {name for name in named if f"| `{name}` |" in page} == named
