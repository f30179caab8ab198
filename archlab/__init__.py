"""archlab: describe a language-model architecture once, run it in JAX and in PyTorch."""

from archlab import reference
from archlab.activations import (
    GELUErf,
    GELUSigmoid,
    GELUTanh,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    SquaredReLU,
    Tanh,
)
from archlab.backends import backend_names, build, find_backend
from archlab.block import Block, ParallelBlock
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.config import Config, registered
from archlab.errors import InputError
from archlab.inits import Constant, FanInNormal, Init, Normal, Ones, TruncatedNormal, Uniform, Zeros
from archlab.layers import Dropout, DropPath, Embedding, Linear
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel, Model
from archlab.norms import LayerNorm, RMSNorm
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import ConstantRate, WarmupCosine
from archlab.policy import Mesh, Policy
from archlab.positions import LearnedPositions, SinusoidalPositions
from archlab.residuals import OutputNorm, PostNorm, PreNorm, SandwichNorm
from archlab.rotary import LinearScaling, Llama3Scaling, NTKScaling, RoPE, YarnScaling
from archlab.run_config import RunConfig, TrainConfig
from archlab.score_bias import ALiBi, RelativeBias
from archlab.spec import Channel, Cost, Example, Layer, Map, Mixer, Norm, Param, Part, Shared, Spec, State
from archlab.stack import Stack

__version__ = "0.1.0"

__all__ = [
    "GLU",
    "MLP",
    "ALiBi",
    "AdamW",
    "Attention",
    "Block",
    "Channel",
    "Config",
    "Constant",
    "ConstantRate",
    "Cost",
    "DropPath",
    "Dropout",
    "Embedding",
    "Example",
    "FanInNormal",
    "GELUErf",
    "GELUSigmoid",
    "GELUTanh",
    "Head",
    "Identity",
    "Init",
    "InputError",
    "LanguageModel",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "Linear",
    "LinearScaling",
    "Llama3Scaling",
    "Map",
    "Mesh",
    "Mixer",
    "Model",
    "NTKScaling",
    "Norm",
    "Normal",
    "Ones",
    "OutputNorm",
    "ParallelBlock",
    "Param",
    "Part",
    "Policy",
    "PostNorm",
    "PreNorm",
    "RMSNorm",
    "ReLU",
    "RelativeBias",
    "RoPE",
    "RunConfig",
    "SandwichNorm",
    "Shared",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositions",
    "Spec",
    "SquaredReLU",
    "Stack",
    "State",
    "Tanh",
    "TrainConfig",
    "TruncatedNormal",
    "Uniform",
    "WarmupCosine",
    "YarnScaling",
    "Zeros",
    "backend_names",
    "build",
    "find_backend",
    "reference",
    "registered",
]
