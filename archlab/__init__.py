"""archlab: describe a language-model architecture once, run it in JAX and in PyTorch."""

from typing import TYPE_CHECKING

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
from archlab.backends import backend_names, build, find_backend, initial_weights
from archlab.block import Block, ParallelBlock
from archlab.block_linear import BlockLinear
from archlab.channels.expert_choice_router import ExpertChoiceRouter
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.channels.moe import MoE
from archlab.channels.routing import Router
from archlab.channels.rwkv_channel import RWKVChannel
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.config import Config, registered
from archlab.errors import InputError
from archlab.fronts.frames import Convolution, Frames
from archlab.fronts.patches import Patches
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.masked_token import MaskedTokenHead
from archlab.heads.span import SpanHead
from archlab.heads.transform import Transform
from archlab.importing import doors, load_file
from archlab.inits import Constant, FanInNormal, FanInUniform, Init, Normal, Ones, TruncatedNormal, Uniform, Zeros
from archlab.layers import Dropout, DropPath, Embedding, Linear
from archlab.low_rank import LowRank
from archlab.mixers.attention import Attention
from archlab.mixers.cross_attention import CrossAttention
from archlab.mixers.gated_delta_net import GatedDeltaNet
from archlab.mixers.gru import GRU
from archlab.mixers.latent_attention import LatentAttention
from archlab.mixers.lstm import LSTM
from archlab.mixers.mamba import Mamba
from archlab.mixers.mamba2 import Mamba2
from archlab.mixers.parallel import Branch, ParallelMixers
from archlab.mixers.recurrent import Backward, Recurrent
from archlab.mixers.rg_lru import RGLRU
from archlab.mixers.rwkv7 import RWKV7
from archlab.mixers.short_conv import ShortConv
from archlab.model import Factors, Head, LanguageModel, Model
from archlab.models.dual_encoder import DualEncoder
from archlab.models.early_exit import EarlyExitModel
from archlab.models.encoder import Encoder
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.models.multi_token import MultiTokenModel
from archlab.mup import MuP
from archlab.norms import GroupNorm, LayerNorm, RMSNorm
from archlab.optim.adafactor import Adafactor
from archlab.optim.adamw import Adam, AdamW
from archlab.optim.averaged import Averaged, averaged_weights
from archlab.optim.frozen import Frozen
from archlab.optim.groups import Group, Grouped
from archlab.optim.lion import Lion
from archlab.optim.muon import Muon
from archlab.optim.optimizer import Optimizer
from archlab.optim.roles import roles
from archlab.optim.schedules import ConstantRate, InverseSquareRoot, WarmupCosine, WarmupLinear, WarmupStableDecay
from archlab.optim.sgd import SGD
from archlab.optim.sign_step import SignStep
from archlab.optim.soap import SOAP
from archlab.policy import Mesh, Policy
from archlab.positions import LearnedPositions, SinusoidalPositions
from archlab.recurrence import Decay
from archlab.residuals import OutputNorm, PlainResidual, PostNorm, PreNorm, SandwichNorm
from archlab.rotary import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    NTKScaling,
    RoPE,
    YarnScaling,
)
from archlab.score_bias import ALiBi, PublishedBias, RelativeBias, ReusedBias
from archlab.selection import TopBlocks
from archlab.spec import Channel, Cost, Example, Layer, Map, Mixer, Norm, Param, Part, Shared, Spec, State
from archlab.stack import Stack
from archlab.tower import Tower
from archlab.wiring.adaptive_depth import AdaptiveDepth
from archlab.wiring.beside import Beside, Publish
from archlab.wiring.decoder_block import DecoderBlock
from archlab.wiring.hourglass import Hourglass
from archlab.wiring.hyper_connections import HyperBlock, Streams
from archlab.wiring.mixture_of_depths import MixtureOfDepths

if TYPE_CHECKING:
    from archlab.architecture import Architecture, ArchitectureConfig, FeedForward, MultiHeadAttention
    from archlab.builder import ModelBuilder
    from archlab.experiment import Experiment
    from archlab.run_config import RunConfig, TrainConfig

__version__ = "0.1.0"

__all__ = [
    "GLU",
    "GRU",
    "LSTM",
    "MLP",
    "RGLRU",
    "RWKV7",
    "SGD",
    "SOAP",
    "ALiBi",
    "Adafactor",
    "Adam",
    "AdamW",
    "AdaptiveDepth",
    "Architecture",
    "ArchitectureConfig",
    "Attention",
    "Averaged",
    "Backward",
    "Beside",
    "Block",
    "BlockLinear",
    "Branch",
    "Channel",
    "Classifier",
    "Config",
    "Constant",
    "ConstantRate",
    "Convolution",
    "Cost",
    "CrossAttention",
    "Decay",
    "DecoderBlock",
    "DropPath",
    "Dropout",
    "DualEncoder",
    "DynamicNTKScaling",
    "EarlyExitModel",
    "Embedding",
    "Encoder",
    "EncoderDecoder",
    "Example",
    "Experiment",
    "ExpertChoiceRouter",
    "Factors",
    "FanInNormal",
    "FanInUniform",
    "FeedForward",
    "Frames",
    "Frozen",
    "GELUErf",
    "GELUSigmoid",
    "GELUTanh",
    "GatedDeltaNet",
    "Group",
    "GroupNorm",
    "Grouped",
    "Groups",
    "Head",
    "Hourglass",
    "HyperBlock",
    "Identity",
    "Init",
    "InputError",
    "InverseSquareRoot",
    "LanguageModel",
    "LatentAttention",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "Linear",
    "LinearScaling",
    "Lion",
    "Llama3Scaling",
    "LongRopeScaling",
    "LowRank",
    "Mamba",
    "Mamba2",
    "Map",
    "MaskedTokenHead",
    "Mesh",
    "Mixer",
    "MixtureOfDepths",
    "MoE",
    "Model",
    "ModelBuilder",
    "MuP",
    "MultiHeadAttention",
    "MultiTokenModel",
    "Muon",
    "NTKScaling",
    "Norm",
    "Normal",
    "Ones",
    "Optimizer",
    "OutputNorm",
    "ParallelBlock",
    "ParallelMixers",
    "Param",
    "Part",
    "Patches",
    "PlainResidual",
    "Policy",
    "PostNorm",
    "PreNorm",
    "Publish",
    "PublishedBias",
    "RMSNorm",
    "RWKVChannel",
    "ReLU",
    "Recurrent",
    "RelativeBias",
    "ReusedBias",
    "RoPE",
    "Router",
    "RunConfig",
    "SandwichNorm",
    "Shared",
    "ShortConv",
    "SiLU",
    "Sigmoid",
    "SignStep",
    "SinusoidalPositions",
    "SpanHead",
    "Spec",
    "SquaredReLU",
    "Stack",
    "State",
    "Streams",
    "Tanh",
    "Tokens",
    "TopBlocks",
    "TopKRouter",
    "Tower",
    "TrainConfig",
    "Transform",
    "TruncatedNormal",
    "Uniform",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
    "YarnScaling",
    "Zeros",
    "averaged_weights",
    "backend_names",
    "build",
    "find_backend",
    "initial_weights",
    "load_file",
    "reference",
    "registered",
    "roles",
]

_DOORS = {  # what trains and what builds is imported when it is first asked for
    "Architecture": "archlab.architecture",
    "ArchitectureConfig": "archlab.architecture",
    "Experiment": "archlab.experiment",
    "FeedForward": "archlab.architecture",
    "ModelBuilder": "archlab.builder",
    "MultiHeadAttention": "archlab.architecture",
    "RunConfig": "archlab.run_config",
    "TrainConfig": "archlab.run_config",
}

__getattr__ = doors(__name__, _DOORS)
