"""Recurrent layers are those of PyTorch and of Flax, given their weights."""

import numpy as np
import pytest

from archlab import GRU, LSTM, Recurrent, reference
from archlab.backends import find_backend
from archlab.parity.tolerances import relative
from archlab.policy import Policy

WIDTH, HIDDEN, BATCH, LENGTH = 10, 5, 3, 7
LENGTHS = np.array([7, 2, 5])
LEAVES = {"weight_ih": "input.kernel", "weight_hh": "state_kernel", "bias_ih": "input.bias", "bias_hh": "state_bias"}
CELLS = {
    "LSTM": LSTM(hidden=HIDDEN, bias=True, state_bias=True),
    "GRU": GRU(hidden=HIDDEN, bias=True, state_bias="all"),
}
FLAX = {"LSTM": CELLS["LSTM"].replace(bias=False), "GRU": CELLS["GRU"].replace(state_bias="none")}


def spec(kind):
    return Recurrent(cell=CELLS[kind], layers=2, directions="both")


def torch_layer(kind):
    import torch

    torch.manual_seed(0)
    make = getattr(torch.nn, kind)
    return make(WIDTH, HIDDEN, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)


def canonical(layer):
    """PyTorch's weights under the names of the spec."""
    table = {}
    for name, tensor in layer.named_parameters():
        kind, index = name.removesuffix("_reverse").rsplit("_l", 1)
        cell = f"backward_layers.{index}.cell" if name.endswith("_reverse") else f"forward_layers.{index}"
        array = tensor.detach().numpy()
        table[f"{cell}.{LEAVES[kind]}"] = array.T if array.ndim > 1 else array
    return table


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_stacked_layers_in_both_directions_are_pytorchs(kind):
    import torch

    layer, x = torch_layer(kind), np.random.default_rng(0).normal(size=(BATCH, LENGTH, WIDTH))
    truth = layer(torch.from_numpy(x))[0].detach().numpy()
    assert relative(reference.run(spec(kind), canonical(layer), {"x": x}).output, truth) <= 1e-12


@pytest.mark.parametrize("backend", ["reference", "jax", "torch"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_rows_of_several_lengths_are_a_packed_sequence(kind, backend):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    layer, x = torch_layer(kind), np.random.default_rng(1).normal(size=(BATCH, LENGTH, WIDTH))
    rows, lengths = torch.from_numpy(x), torch.from_numpy(LENGTHS)
    packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
    truth = pad_packed_sequence(layer(packed)[0], batch_first=True)[0].detach().numpy()
    real = np.arange(LENGTH) < LENGTHS[:, None]
    inputs = {"x": x, "segments": real.astype(np.int64)}
    weights = canonical(layer)
    if backend == "reference":
        got = reference.run(spec(kind), weights, inputs).output
    else:
        got = find_backend(backend).run(spec(kind), weights, inputs, policy=Policy.exact(), capture=False).output
    assert relative(got[real], truth[real]) <= 1e-12


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_cells_are_those_of_flax(kind):
    import jax
    from flax import nnx

    x = np.random.default_rng(2).normal(size=(BATCH, LENGTH, WIDTH))
    with jax.enable_x64(True):
        name = {"LSTM": "OptimizedLSTMCell", "GRU": "GRUCell"}[kind]
        options = {"param_dtype": jax.numpy.float64, "bias_init": nnx.initializers.normal(1.0), "rngs": nnx.Rngs(0)}
        cell = getattr(nnx, name)(WIDTH, HIDDEN, **options)
        carry = tuple(np.zeros((BATCH, HIDDEN)) for _ in "ch") if kind == "LSTM" else np.zeros((BATCH, HIDDEN))
        outputs = []
        for t in range(LENGTH):
            carry, y = cell(carry, jax.numpy.asarray(x[:, t]))
            outputs.append(np.asarray(y))
        kernels = {"input.kernel": cell.dense_i.kernel, "state_kernel": cell.dense_h.kernel}
        bias = {"state_bias": cell.dense_h.bias} if kind == "LSTM" else {"input.bias": cell.dense_i.bias}
        weights = {path: np.asarray(a[...]) for path, a in (kernels | bias).items()}
    assert relative(reference.run(FLAX[kind], weights, {"x": x}).output, np.stack(outputs, axis=1)) <= 1e-12
