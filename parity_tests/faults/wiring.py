"""Parts in the wrong place or forgotten, weights that went astray."""

from pathlib import Path

import torch.nn.functional as F

import archlab_torch.layers as torch_layers
from archlab.importing import load_file
from archlab.model import LanguageModel
from archlab.residuals import PostNorm, PreNorm
from archlab_torch.module import Slot

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GPT = patches.GPT
LLAMA = patches.LLAMA
SQUARE = patches.SQUARE
built = patches.built
fields = patches.fields
forward = patches.forward
function = patches.function
kernel = patches.kernel


def transposed_out(right, self, x, ctx):
    square = self.path.endswith("mixer.out") and self.weight.shape[0] == self.weight.shape[1]
    return F.linear(x, self.weight.T) if square else right(self, x, ctx)


def rounded_once(right):
    return lambda self, array: right(self, array.astype("float32") if array.dtype == "float64" else array)


FAULTS = [
    Fault(
        "post-norm for pre-norm",
        built(PreNorm, lambda spec: PostNorm(norm=spec.norm)),
        LLAMA,
        named="the norm stands after the sum",
    ),
    Fault("no last norm", fields(LanguageModel, norm=None), LLAMA, named="the last norm is missing"),
    Fault(
        "no scale of the branch",
        fields(PreNorm, branch_scale=1.0),
        GPT,
        named="the scale of the residual branch is missing",
    ),
    Fault(
        "no scale of embeddings",
        fields(LanguageModel, embedding_scale=None),
        GPT,
        named="the scale of embeddings is missing",
    ),
    Fault(
        "no softcap of logits", fields(LanguageModel, softcap=None), GPT, named="the softcap of the logits is missing"
    ),
    Fault(
        "a square kernel transposed",
        forward(torch_layers.Linear, transposed_out),
        SQUARE,
        named="mixer.out.kernel is transposed",
    ),
    Fault("weights rounded on their way in", function(Slot, "pack", rounded_once), SQUARE, by="law: weights"),
    Fault(
        "no bias of the output projection",
        forward(
            torch_layers.Linear,
            lambda right, self, x, ctx: (
                F.linear(x, self.weight) if self.path.endswith("mixer.out") else right(self, x, ctx)
            ),
        ),
        GPT,
        named="mixer.out.bias is left out",
    ),
]
