"""Activations, norms and gates computed another way."""

from pathlib import Path

import torch
import torch.nn.functional as F

import archlab_torch.layers as torch_layers
import archlab_torch.norms as torch_norms
from archlab.activations import GELUErf, GELUTanh, SiLU
from archlab.channels.glu import GLU
from archlab.importing import load_file
from archlab.norms import LayerNorm, RMSNorm

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GEMMA = patches.GEMMA
GPT = patches.GPT
GPT_TANH = patches.GPT_TANH
LLAMA = patches.LLAMA
activation = patches.activation
fields = patches.fields
forward = patches.forward
function = patches.function
kernel = patches.kernel


def rms_norm_outside(x, shape, weight, epsilon):
    return x / (x.square().mean(dim=-1, keepdim=True).sqrt() + epsilon) * weight


def layer_norm_unbiased(x, shape, weight, bias, epsilon):
    y = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + epsilon).sqrt()
    return torch.addcmul(bias, y, weight)


def layer_norm_outside(x, shape, weight, bias, epsilon):
    x = x - x.mean(dim=-1, keepdim=True)
    return torch.addcmul(bias, x / (x.square().mean(dim=-1, keepdim=True).sqrt() + epsilon), weight)


def low_norm(right, self, x, ctx):
    return right(self, x.bfloat16(), ctx).to(x.dtype)


def swapped_glu(patch):
    class Swapped(torch_layers.Module):
        def forward(self, x, ctx, state):
            return self.down(self.activation(self.up(x, ctx), ctx) * self.gate(x, ctx), ctx), state

    patch.setitem(torch_layers.natives._table, GLU, Swapped)


FAULTS = [
    Fault(
        "GELU by tanh",
        activation(GELUErf, lambda x: F.gelu(x, approximate="tanh")),
        GPT,
        named="GELUTanh in place of GELUErf",
    ),
    Fault("GELU by erf", activation(GELUTanh, F.gelu), GPT_TANH, named="GELUErf in place of GELUTanh"),
    Fault(
        "GELU by sigmoid",
        activation(GELUErf, lambda x: x * torch.sigmoid(1.702 * x)),
        GPT,
        named="GELUSigmoid in place",
    ),
    Fault("GELU for SiLU", activation(SiLU, F.gelu), LLAMA, named="GELUErf in place of SiLU"),
    Fault("RMSNorm epsilon 1e-6", fields(RMSNorm, epsilon=1e-6), LLAMA, named="epsilon is 1e-06 in place of 1e-05"),
    Fault("LayerNorm epsilon 1e-12", fields(LayerNorm, epsilon=1e-12), GPT, named="epsilon is 1e-12 in place of 1e-05"),
    Fault(
        "RMSNorm epsilon outside the root",
        function(torch_norms.F, "rms_norm", lambda _: rms_norm_outside),
        LLAMA,
        named="adds epsilon outside the root",
    ),
    Fault(
        "LayerNorm epsilon outside the root",
        function(torch_norms.F, "layer_norm", lambda _: layer_norm_outside),
        GPT,
        named="adds epsilon outside the root",
    ),
    Fault(
        "LayerNorm variance over D − 1",
        function(torch_norms.F, "layer_norm", lambda _: layer_norm_unbiased),
        GPT,
        named="divides its variance by D − 1",
    ),
    Fault(
        "RMSNorm scale without its 1",
        fields(RMSNorm, unit_offset=False),
        GEMMA,
        named="the stored scale, without the 1",
    ),
    Fault("a norm in bfloat16", forward(torch_norms.RMSNorm, low_norm), LLAMA, dtype="float32"),
    Fault(
        "gate and up swapped", swapped_glu, LLAMA, named="gate.kernel and stack.layers.*.channel.up.kernel are swapped"
    ),
]
