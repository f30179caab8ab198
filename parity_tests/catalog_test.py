"""Every architecture of the catalogue computes the same thing in its reference and on both backends."""

import numpy as np
import pytest

from archlab import catalog, reference, weights
from archlab.backends import find_backend
from archlab.policy import Policy

LENGTH = 70  # more than any window


@pytest.mark.parametrize("name", catalog.names())
def test_the_backends_compute_what_the_definition_does(name):
    model = catalog.model(name)
    first = weights.initial(model.root(), seed=3)
    tokens = {"tokens": np.random.default_rng(3).integers(0, model.vocab, (1, LENGTH))}
    truth = reference.run(model, first, tokens).output
    for backend in ("jax", "torch"):
        found = find_backend(backend).run(model, first, tokens, policy=Policy.exact("float64"), capture=False).output
        assert np.abs(found - truth).max() <= 1e-9 * np.abs(truth).max(), backend
