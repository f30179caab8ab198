import pytest
import torch
import torch.nn.functional as F

from archlab_torch.kernels import linear as kernels

ROWS, WIDTH, FEATURES = 96, 48, 64


@pytest.fixture(autouse=True)
def every_size(monkeypatch):
    """The small products of these tests count as large ones."""
    monkeypatch.setattr(kernels, "LEAST", 0)


def drawn(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    sizes = ((4, ROWS // 4, WIDTH), (FEATURES, WIDTH), (FEATURES,))
    return [torch.randn(*size, generator=generator, dtype=dtype).requires_grad_() for size in sizes]


def exact(tensors):
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("biased", [False, True])
def test_product_and_gradients(biased):
    x, weight, bias = drawn()
    assert kernels._takes(x, weight)
    given, true = [x, weight, bias][: 2 + biased], exact([x, weight, bias])[: 2 + biased]
    slope = torch.randn(4, ROWS // 4, FEATURES, generator=torch.Generator().manual_seed(1))
    y, truth = kernels.linear(*given), F.linear(*true)
    torch.testing.assert_close(y.double(), truth, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(y, given, slope)
    for one, other in zip(found, torch.autograd.grad(truth, true, slope.double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


def test_a_gradient_that_is_no_block_of_memory():
    """A sum's gradient is one number seen everywhere."""
    x, weight, _ = drawn()
    kernels.linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand_as(x), rtol=1e-5, atol=1e-5)


def test_second_derivatives():
    x, weight, _ = drawn()
    (first,) = torch.autograd.grad(kernels.linear(x, weight).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), weight)
    a, w = exact([x, weight])
    (truth,) = torch.autograd.grad(F.linear(a, w).square().sum(), a, create_graph=True)
    (truth,) = torch.autograd.grad(truth.square().sum(), w)
    assert (second.double() - truth).norm() <= 1e-6 * truth.norm()


@pytest.mark.parametrize("rows", [1, 8])
def test_a_packed_weight_serves_any_number_of_rows(rows):
    x, weight, bias = (tensor.detach() for tensor in drawn())
    assert kernels.Packed.takes(weight)
    laid = kernels.Packed(weight, bias, rows)
    for given in (x[0, :rows], x, x[:, :1]):
        torch.testing.assert_close(laid(given), F.linear(given, weight, bias))


def test_other_dtypes_and_small_products_stay_with_pytorch(monkeypatch):
    x, weight, _ = drawn(torch.float64)
    assert not kernels._takes(x, weight)
    assert not kernels.Packed.takes(weight)
    monkeypatch.setattr(kernels, "LEAST", 1 << 30)
    x, weight, _ = drawn()
    assert not kernels._takes(x, weight)
