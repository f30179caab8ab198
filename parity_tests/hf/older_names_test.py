"""Checkpoints as older versions saved them, and those that hold more than one head or less."""

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.hf.conversion import Conversion, Held, collected
from archlab.hf.family import find
from parity_tests.hf.case import cases
from parity_tests.hf.conformance import saved_tensors, set_up


def setup_of(name):
    return set_up("bert", next(case for case in cases("bert") if case.name == name))


def read(conversion, tensors):
    return collected(conversion.ours(Held(tensors), "checkpoint"))


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_masked_model_of_an_older_checkpoint_for_pre_training():
    """bert-base-uncased: norms with gamma and beta, positions, the pooler, the classifier of next sentences, twins."""
    setup = setup_of("masked")
    theirs = saved_tensors(setup.module)
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in theirs.items()
    }
    assert len(older.keys() - theirs.keys()) > 4
    older |= {
        "bert.embeddings.position_ids": np.arange(32)[None],
        "bert.pooler.dense.weight": np.ones((32, 32), np.float32),
        "bert.pooler.dense.bias": np.ones(32, np.float32),
        "cls.seq_relationship.weight": np.ones((2, 32), np.float32),
        "cls.seq_relationship.bias": np.ones(2, np.float32),
        "cls.predictions.decoder.weight": theirs["bert.embeddings.word_embeddings.weight"],
        "cls.predictions.decoder.bias": theirs["cls.predictions.bias"],
    }
    assert same(read(setup.conversion, older), setup.weights)


def test_a_tied_decoder_that_differs_is_an_error():
    setup = setup_of("masked")
    theirs = saved_tensors(setup.module)
    other = theirs["bert.embeddings.word_embeddings.weight"] + 1
    with pytest.raises(InputError, match="tied"):
        read(setup.conversion, theirs | {"cls.predictions.decoder.weight": other})


def test_a_base_model_below_a_head():
    """Its names have the prefix that they lack where it is saved alone."""
    setup = setup_of("pooler")
    theirs = saved_tensors(setup.module)
    assert not any(name.startswith("bert.") for name in theirs)
    whole = {f"bert.{name}": array for name, array in theirs.items()}
    assert same(read(setup.conversion, whole), setup.weights)


def test_a_tensor_of_nothing_is_an_error():
    setup = setup_of("masked")
    theirs = saved_tensors(setup.module)
    with pytest.raises(InputError, match=r"bert\.encoder\.extra"):
        read(setup.conversion, theirs | {"bert.encoder.extra": np.ones(3, np.float32)})


@pytest.mark.parametrize("name", ["masked", "classes", "tags", "two-tags", "answers", "pooler", "base"])
def test_the_head_tells_the_architecture(name):
    setup = setup_of(name)
    family = find("bert")
    assert family.name_of(setup.model) == setup.architecture
    assert Conversion(family, setup.model).rules
