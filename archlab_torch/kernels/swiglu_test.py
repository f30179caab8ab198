"""SwiGLU on CPUs against autograd's."""

import pytest
import torch
import torch.nn.functional as F

from archlab_torch.kernels import swiglu


def plain(y):
    a, b = y.chunk(2, dim=-1)
    return F.silu(a) * b


def values(shape=(5, 7, 12)):
    torch.manual_seed(0)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def test_values_and_slopes_are_autograds():
    y, grad = values(), torch.randn(5, 7, 6, dtype=torch.float64)
    found, true = swiglu.swiglu(y), plain(y)
    torch.testing.assert_close(found, true, rtol=0, atol=0)
    slopes = (torch.autograd.grad(out, y, grad)[0] for out in (found, true))
    torch.testing.assert_close(*slopes, rtol=1e-14, atol=1e-14)


def test_there_is_a_second_derivative():
    assert torch.autograd.gradgradcheck(swiglu.swiglu, values((2, 8)))


@pytest.mark.parametrize("wide", [True, False])
def test_it_is_for_long_tensors_that_are_trained(wide):
    y = torch.zeros(4, swiglu.LEAST // 4 if wide else 8, requires_grad=True)
    assert swiglu.takes(y) == wide
    assert not swiglu.takes(y.detach())
    with torch.no_grad():
        assert not swiglu.takes(y)
