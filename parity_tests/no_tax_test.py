"""A spec costs nothing: archlab's programs compute and move what the same models do that are written by hand.

Nothing is timed. Counted are, for GPT-2 and Llama in small (``benchmarks/plain``), the training step with clipping and
AdamW and the forward pass:

- on JAX the FLOPs of the program as it is traced, and the bytes that the program moves which XLA makes of it for CPUs,
  after fusion;
- on PyTorch the FLOPs of the products, and the bytes that the operations read and write which reach the dispatcher.

FLOPs are the same within 1 %, both ways, so that no program is cheap because it leaves something out, and the losses
and gradients' norms are the same too. Bytes are at most 1 % more.
"""

import numpy as np
import pytest
import torch
from plain.counters import of_torch
from plain.tax import COUNTS

LIMIT = 0.01


@pytest.mark.parametrize("model", ["gpt2", "llama"])
@pytest.mark.parametrize("backend", COUNTS)
def test_a_program_computes_and_moves_what_one_written_by_hand_does(backend, model):
    for tax in COUNTS[backend](model):
        ours, plain = tax.results
        np.testing.assert_allclose(ours, plain, rtol=2e-5, atol=2e-5, err_msg=tax.program)
        assert abs(tax.flops - 1) <= LIMIT, tax
        assert tax.bytes <= 1 + LIMIT, tax


def test_bytes_are_those_that_are_read_and_written():
    x = torch.ones(8, 4)  # 128 bytes
    counted = {
        "sum": (lambda: x.sum(dim=1), 128 + 32),
        "in place": (lambda: x.mul_(2.0), 2 * 128),
        "a view": (lambda: x.T.reshape(4, 8).T.unsqueeze(0), 0),
        "copied": (lambda: x.T.contiguous(), 2 * 128),
        "spread": (lambda: x[:1].expand(8, 4) + x, 16 + 2 * 128),
    }
    for name, (run, expected) in counted.items():
        assert of_torch(run).bytes == expected, name


def test_products_are_counted_with_those_of_attention():
    x = torch.ones(2, 3, 8, 4)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert of_torch(lambda: x[0, 0] @ x[0, 0].T).flops == 2 * 8 * 8 * 4
    assert of_torch(lambda: attend(x, x, x)).flops == 2 * (2 * 2 * 3 * 8 * 8 * 4)
