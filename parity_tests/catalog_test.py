"""Every architecture of the catalogue computes the same thing in its reference and on both backends."""

import numpy as np
import pytest

from archlab import catalog, reference, weights
from archlab.backends import find_backend
from archlab.parity.cases import Case, content
from archlab.policy import Policy
from archlab.spec import Example

LENGTH = 70  # more than any window


@pytest.mark.parametrize("name", catalog.names())
def test_the_backends_compute_what_the_definition_does(name):
    model = catalog.model(name)
    first = weights.initial(model.root(), seed=3)
    inputs = content(Case(name=name, spec_name=name, example=Example(spec=model, length=LENGTH)), seed=3, rows=1)
    truth = reference.run(model, first, inputs).output
    for backend in ("jax", "torch"):
        found = find_backend(backend).run(model, first, inputs, policy=Policy.exact("float64"), capture=False).output
        assert np.abs(found - truth).max() <= 1e-9 * np.abs(truth).max(), backend
