"""Kernels with derivatives of their own: equal to what autodiff derives, forward, backward and twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from archlab_jax.kernels.attention import softmax
from archlab_jax.kernels.norm import standardize


def plain_norm(x, centred):
    x = x - jnp.mean(x, axis=-1, keepdims=True) if centred else x
    return x / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-3)


CASES = {
    "centred": (lambda x, w: standardize(x, 1e-3, True) @ w, lambda x, w: plain_norm(x, True) @ w),
    "softmax": (lambda x, w: softmax(x @ w) @ w.T, lambda x, w: jax.nn.softmax(x @ w) @ w.T),
    "uncentred": (lambda x, w: standardize(x, 1e-3, False) @ w, lambda x, w: plain_norm(x, False) @ w),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_the_plain_form(name):
    kernel, plain = CASES[name]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, w, dx, dw = (jnp.asarray(rng.normal(size=s)) for s in ((2, 3, 5), (5, 4), (2, 3, 5), (5, 4)))

        def results(f):
            def loss(x, w):
                return jnp.sum(jnp.sin(f(x, w)))

            forward = jax.jvp(f, (x, w), (dx, dw))
            backward = jax.grad(loss, argnums=(0, 1))(x, w)
            curvature = jax.jvp(lambda x: jax.grad(loss)(x, w), (x,), (dx,))[1]
            return jax.tree.leaves((forward, backward, curvature))

        for ours, autodiff in zip(results(kernel), results(plain), strict=True):
            np.testing.assert_allclose(ours, autodiff, rtol=1e-12, atol=1e-12)
