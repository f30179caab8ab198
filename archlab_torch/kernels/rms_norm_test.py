import torch
import torch.nn.functional as F

from archlab_torch.kernels import rms_norm as kernels


def drawn(dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*size, generator=generator, dtype=dtype).requires_grad_() for size in ((4, 5, 16), (16,))]


def own(x, gain):
    return kernels._RMSNorm.apply(x, gain, 1e-2)


def builtin(x, gain):
    return F.rms_norm(x, (x.shape[-1],), gain, 1e-2)


def test_first_and_second_derivatives():
    assert torch.autograd.gradcheck(own, drawn(torch.float64))
    assert torch.autograd.gradgradcheck(own, drawn(torch.float64))


def test_it_is_pytorchs_own(monkeypatch):
    monkeypatch.setattr(kernels, "LEAST", 0)
    given, true = drawn(torch.float32), [tensor.double() for tensor in drawn(torch.float32)]
    y, truth = kernels.rms_norm(*given, 1e-2), builtin(*true)
    assert type(y.grad_fn).__name__ == "_RMSNormBackward"
    torch.testing.assert_close(y.double(), truth, rtol=1e-6, atol=1e-6)


def test_small_and_untrained_tensors_are_left_to_pytorch():
    x, gain = drawn(torch.float32)
    assert type(kernels.rms_norm(x, gain, 1e-2).grad_fn).__name__ != "_RMSNormBackward"
    with torch.no_grad():
        assert kernels.rms_norm(x, gain, 1e-2).grad_fn is None
