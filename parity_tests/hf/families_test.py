"""Every family against transformers: outputs and gradients, config and tensors there and back."""

import importlib
import os

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from archlab.hf.conversion import Held, collected
from archlab.hf.family import of_fields, supported
from archlab.hf.fields import Fields
from archlab.hf.matching import fields_of, match, same_function
from parity_tests.hf.case import Case, cases
from parity_tests.hf.conformance import (
    EXACT,
    Setup,
    has_loss,
    is_generative,
    is_paddable,
    loss_error,
    measure,
    our_continuation,
    padded_error,
    saved_tensors,
    set_up,
    their_continuation,
)


def one(family: str, case: Case, *marks: pytest.MarkDecorator):
    """A case of a test; those of a family stay on one worker, where they share what was made."""
    return pytest.param(
        family, case, id=f"{family}-{case.name}", marks=[pytest.mark.xdist_group(f"hf-{family}"), *marks]
    )


ALL = [one(family, case) for family in supported() for case in cases(family)]
FIRST = [one(family, cases(family)[0]) for family in supported()]
FIRST_AND_SLOW = FIRST + [one(family, case, pytest.mark.slow) for family in supported() for case in cases(family)[1:]]
_made: dict[tuple[str, str], Setup] = {}


def setup_of(family: str, case: Case) -> Setup:
    """Made once for the tests of a case."""
    key = (family, case.name)
    if key not in _made:
        _made[key] = set_up(family, case)
    return _made[key]


@pytest.mark.parametrize(("family", "case"), FIRST_AND_SLOW)
def test_torch_computes_what_transformers_computes_in_float64(family, case):
    assert not measure(setup_of(family, case), "torch", float32=False).failures(case)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "case"), ALL)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_backend_is_as_near_as_transformers_is_to_itself(family, case, backend):
    assert not measure(setup_of(family, case), backend).failures(case)


@pytest.mark.parametrize(("family", "case"), FIRST)
@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_the_loss_is_transformers_own(family, case, backend):
    setup = setup_of(family, case)
    if not has_loss(setup):
        pytest.skip("it has no loss of tokens")
    assert loss_error(setup, backend) <= EXACT


@pytest.mark.parametrize(("family", "case"), FIRST)
@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_padding_changes_nothing(family, case, backend):
    setup = setup_of(family, case)
    if not is_paddable(setup):
        pytest.skip("its rows are all of one length")
    assert all(padded_error(setup, backend, side) <= EXACT for side in ("left", "right"))


@pytest.mark.parametrize(("family", "case"), FIRST)
@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_a_greedy_continuation_is_transformers_own(family, case, backend):
    setup = setup_of(family, case)
    if not is_generative(setup):
        pytest.skip("it writes nothing")
    assert np.array_equal(our_continuation(setup, backend), their_continuation(setup))


@pytest.mark.parametrize(("family", "case"), ALL)
def test_tensors_come_back_bit_for_bit(family, case):
    setup = setup_of(family, case)
    theirs = saved_tensors(setup.module)
    again = collected(setup.conversion.theirs(Held(setup.weights)))
    twins = setup.family.twins or {}
    spare = {name for name in theirs if setup.family.is_spare(name)}
    assert set(again) == set(theirs) - ((set(twins) | spare) - set(again))
    for name, array in again.items():
        assert array.dtype == theirs[name].dtype
        assert np.array_equal(array, theirs[name]), name


@pytest.mark.parametrize(("family", "case"), ALL)
def test_a_config_comes_back_with_the_same_meaning(family, case):
    setup = setup_of(family, case)
    fields = fields_of(setup.family, setup.model)
    assert fields is not None
    assert setup.family.name_of(setup.model) == setup.architecture
    again = setup.family.model(Fields(fields), setup.architecture)
    assert same_function(again, setup.model)
    assert match(setup.model) is not None


def published() -> list:
    """Configs of published checkpoints, as families' files of cases have them."""
    found = []
    for family in supported():
        module = importlib.import_module(f"parity_tests.hf.cases.{family}")
        found += [pytest.param(family, c, id=f"{family}-{n}") for n, c in getattr(module, "PUBLISHED", {}).items()]
    return found


@pytest.mark.parametrize(("family", "config"), published())
def test_published_configs_are_understood(family, config):
    reader = Fields({"model_type": family} | config)
    found, architecture = of_fields(reader)
    model = found.model(reader, architecture)
    reader.done()
    assert fields_of(found, model) is not None


@pytest.mark.parametrize(("family", "case"), FIRST)
def test_what_a_config_leaves_out_is_what_transformers_takes(family, case):
    """An empty config makes the spec that transformers' own default config makes.

    A file of cases may have in ``LEAST`` what transformers cannot run without and has no default for.
    """
    import transformers

    from archlab.hf.family import find

    found = find(family)
    least = getattr(importlib.import_module(f"parity_tests.hf.cases.{family}"), "LEAST", {})
    full = transformers.AutoConfig.for_model(family, **least).to_dict()
    reader = Fields(full)
    there = found.model(reader, found.architectures[0])
    reader.done()
    assert same_function(there, found.model(Fields({"model_type": family} | least), found.architectures[0]))
