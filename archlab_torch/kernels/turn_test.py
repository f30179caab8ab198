"""Turned heads on CPUs against autograd's."""

import pytest
import torch

from archlab_torch.kernels import turn

HEADS = (3, 2)


def values(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 7, 8, generator=generator, dtype=dtype).requires_grad_()
    phase = torch.randn(1, 5, 1, 4, generator=generator, dtype=dtype)
    return x, torch.cos(phase), torch.sin(phase)


def plain(x, cos, sin, half):
    a, b = x.chunk(2, dim=-1) if half else (x[..., 0::2], x[..., 1::2])
    pairs = (a * cos - b * sin, b * cos + a * sin)
    turned = torch.cat(pairs, dim=-1) if half else torch.stack(pairs, dim=-1).flatten(-2)
    return turned[:, :, :3], turned[:, :, 3:5], x[:, :, 5:]


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("least", [0, turn.LEAST])
def test_values_and_slopes_are_autograds(half, least, monkeypatch):
    monkeypatch.setattr(turn, "LEAST", least)
    given = values()
    found, true = turn.turn_heads(*given, HEADS, half=half), plain(*given, half)
    grads = [torch.randn_like(one) for one in true]
    for one, other in zip(found, true, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-14)
    slopes = (torch.autograd.grad(out, given[0], grads)[0] for out in (found, true))
    torch.testing.assert_close(*slopes, rtol=1e-14, atol=1e-14)


def test_there_is_a_second_derivative(monkeypatch):
    monkeypatch.setattr(turn, "LEAST", 0)
    x, cos, sin = values()
    assert torch.autograd.gradgradcheck(lambda x: turn.turn_heads(x, cos, sin, HEADS, half=True), x)


def test_inputs_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(turn, "LEAST", 0)
    given = values()
    before = given[0].detach().clone()
    q, k, v = turn.turn_heads(*given, HEADS, half=True)
    (q.sum() + k.sum() + (v * v).sum()).backward()
    torch.testing.assert_close(given[0].detach(), before, rtol=0, atol=0)
