import pytest
import torch
import torch.nn.functional as F

from archlab_torch.kernels import causal

ROWS = 32


def drawn(length, groups=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(ROWS, length, n, 8, generator=generator).requires_grad_() for n in (4, groups, groups)]


@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("length", [16, causal.BLOCK, causal.SHORTEST, 2 * causal.BLOCK, 2 * causal.BLOCK + 5])
def test_values_and_gradients(length, groups):
    given = drawn(length, groups)
    assert causal.takes(*given[:2])
    true = [tensor.detach().double().requires_grad_() for tensor in given]
    slope = torch.randn(ROWS, length, 4, 8, generator=torch.Generator().manual_seed(1))
    y = causal.attend(*given, 0.3)
    q, k, v = (tensor.transpose(1, 2) for tensor in true)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    truth = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3, enable_gqa=True).transpose(1, 2)
    torch.testing.assert_close(y.double(), truth, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(y, given, slope)
    for one, other in zip(found, torch.autograd.grad(truth, true, slope.double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-5)


def test_what_is_left_to_the_fused_kernel():
    q, k, _ = drawn(causal.BLOCK)
    assert causal.takes(q, k)
    assert not causal.takes(q[:, :8], k[:, :8])  # few
    between = torch.empty(ROWS, causal.SHORTEST - 1, 4, 8, requires_grad=True)
    assert not causal.takes(between, between)
    assert not causal.takes(q.double(), k.double())
    assert not causal.takes(q, k[:, :40])  # keys of others
    assert not causal.takes(q.detach(), k.detach())
    with torch.no_grad():
        assert not causal.takes(q, k)
    long = torch.empty(1, causal.LONGEST + 1, 1, 16, requires_grad=True)
    assert not causal.takes(long, long)
