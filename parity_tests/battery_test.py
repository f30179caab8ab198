"""Every law for every example of every registered spec and of blocks from a user's file."""

import functools
from pathlib import Path

import pytest

from archlab.backends import backend_names
from archlab.config import find_type, registered
from archlab.parity import processes, running
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import Case, cases_of, drawn_weights, registered_cases, without_examples
from archlab.parity.changed import SLOW
from archlab.parity.laws import LAWS, laws_of
from archlab.parity.training import mesh_model, mesh_rows
from archlab.spec import Example, Spec

HERE = Path(__file__).parent
TOYS = [f"{HERE / 'toys.py'}:{name}" for name in ("DecayingMean", "GatedTanh", "Penalised")]
CASES = registered_cases() + [case for toy in TOYS for case in cases_of(find_type(toy, Spec))]
# Both are required: where one is not installed its tests fail. Others that are installed take part.
BACKENDS = sorted({"jax", "torch", *backend_names()})


TWINS = {case.name: next(other.name for other in CASES if other.twin == case.twin) for case in CASES}


def _least(name):
    """The smallest example of a spec."""
    return min((case for case in CASES if case.spec_name == name), key=running.size).name


LEAST = {name: _least(name) for name in {case.spec_name for case in CASES}}
TRAINED = ("LanguageModel-0", "EncoderDecoder-0")  # whose steps are tried in make test; step_test.py tries more


def is_slow(case, law, backend):
    """Whether a law of an example is left to make test-all: one example has to do for what compiles most.

    In low precision a long example says more than a short one.
    """
    if law == "trained":
        return case.name not in TRAINED
    if case.name == LEAST[case.spec_name]:
        return False
    return law in SLOW or ((law, backend) == ("precision", "jax") and case.example.length < 512)


@functools.lru_cache(maxsize=1)
def bench(name: str) -> Bench:
    running.forget()
    return Bench(next(case for case in CASES if case.name == name))


def rows_of(case: Case, law: str, backend: str) -> list[Row]:
    """The rows of a law, computed once for all cases of one example."""
    one, others = bench(TWINS[case.name]), BACKENDS[: BACKENDS.index(backend)]
    return one.once((law, backend), lambda: LAWS[law](one, backend, others))


def battery():
    for case in CASES:
        for backend in BACKENDS:
            for law in laws_of(case.example.spec):
                if (law, backend) != ("sharded", "torch"):
                    marks = [pytest.mark.xdist_group(TWINS[case.name])]
                    if is_slow(case, law, backend):
                        marks.append(pytest.mark.slow)
                    yield pytest.param(case, law, backend, marks=marks, id=f"{case.name}-{law}-{backend}")


@pytest.mark.parametrize(("case", "law", "backend"), list(battery()))
def test_battery(case, law, backend, record_property):
    judge(case, law, backend, rows_of(case, law, backend), record_property)


@pytest.fixture(scope="session")
def process_rows():
    """The sharded law of every case under PyTorch, run once on the processes of its mesh."""
    return processes.sharded_rows("torch", TOYS)


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_battery_on_processes(case, process_rows, record_property):
    judge(case, "sharded", "torch", process_rows[case.name], record_property)


@pytest.mark.xdist_group("processes")
def test_training_on_processes_is_training_on_one(process_rows):
    found = process_rows[processes.TRAINING]
    assert [row for row in found if not row.passed] == []
    assert {row.where for row in found} >= {"loss", "weights", "mu"}


def test_training_on_virtual_devices_is_training_on_one():
    model = mesh_model(dropout=0.0)
    rows = mesh_rows("jax", model, drawn_weights(model.root(), 5), length=10)
    assert [row for row in rows if not row.passed] == []


def judge(case: Case, law: str, backend: str, rows: list[Row], record_property) -> None:
    """All rows hold; or the law is waived and some do not."""
    record_property("battery", (case.spec_name, law, backend))
    broken = [row for row in rows if not row.passed]
    assert rows
    if law in case.waived:
        reason = f"{case.name} {law}: {case.waived[law]}"
        assert broken, f"{reason}: waived, but it holds on {backend}; remove the waiver"
        record_property("waived", reason)
        pytest.skip(reason)
    assert not broken, "\n".join(
        f"{r.item} {r.backend} {r.dtype} {r.where}: {r.error:.3g} > {r.limit:.3g}" for r in broken
    )


# --- the battery's own claims -------------------------------------------------------------------------


def test_every_registered_spec_has_examples():
    assert len(registered(Spec)) > 20
    assert without_examples() == []


def test_a_spec_without_examples_is_found(monkeypatch):
    linear = registered(Spec)["Linear"]
    monkeypatch.setattr(linear, "examples", classmethod(lambda cls: []))
    assert without_examples() == ["Linear"]


def test_an_example_must_contain_its_spec(monkeypatch):
    linear, norm = registered(Spec)["Linear"], registered(Spec)["RMSNorm"]
    monkeypatch.setattr(linear, "examples", classmethod(lambda cls: [Example(spec=norm(epsilon=1e-5))]))
    with pytest.raises(AssertionError, match="contains no Linear"):
        cases_of(linear)


def test_waivers_name_laws():
    assert {law for case in CASES for law in case.waived} <= set(LAWS)


def test_some_example_of_each_family_is_long():
    """Short inputs cannot tell a phase in low precision, or a rotation of too many dimensions."""
    long = {case.spec_name for case in CASES if case.example.length >= 512}
    assert {"Attention", "RoPE", "LanguageModel"} <= long
