"""Mamba."""

import math
from collections.abc import Mapping
from typing import Any

from archlab.activations import SiLU
from archlab.block import Block
from archlab.hf.family import Family, Mismatch
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, convolution, fused, linear, norm, same
from archlab.hf.parts import ACTIVATIONS, activation_name, head, law, stack, std
from archlab.inits import Init, InverseSoftplus
from archlab.mixers.mamba import Mamba
from archlab.mixers.short_conv import ShortConv
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.spec import Mixer

MIXER = "backbone.layers.{i}.mixer"
OURS = "stack.layers.{i}.mixer"


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Mamba blocks alone; the gate is a SiLU whatever the activation is."""
    fields.idle("use_mambapy", "use_associative_scan", "d_inner", "d_model", "n_layer")
    width, activation = fields.size("hidden_size", 768), fields.choice("hidden_act", ACTIVATIONS, "silu")
    rank = fields.raw("time_step_rank", "auto")
    mixer = Mamba(
        hidden=fields.size("intermediate_size", int(fields.number("expand", 2.0) * width)),
        state_size=fields.size("state_size", 16),
        step_rank=math.ceil(width / 16) if rank == "auto" else fields.size("time_step_rank"),
        conv=conv(fields),
        activation=activation,
        gate=None if activation == SiLU() else SiLU(),
        bias=fields.flag("use_bias", False),
        step_bias=steps(fields),
        init=law(fields, 0.1),
    )
    return backbone(fields, mixer, width=width, vocab=50280, layers=32, tied=True)


def conv(fields: Fields) -> ShortConv:
    """The short convolution."""
    return ShortConv(taps=fields.size("conv_kernel", 4), bias=fields.flag("use_conv_bias", True))


def steps(fields: Fields) -> Init:
    """The first steps Δ."""
    return InverseSoftplus(low=fields.number("time_step_min", 0.001), high=fields.number("time_step_max", 0.1))


def backbone(fields: Fields, mixer: Mixer, *, width: int, vocab: int, layers: int, tied: bool) -> LanguageModel:
    """What stands around the mixers; these models keep the sum of layers in float32 where all else is narrower."""
    fields.expect("rms_norm", True)
    fields.idle("residual_in_fp32", "rescale_prenorm_residual", *(f"time_step_{name}" for name in STEPS), *AUTHORS)
    init, norm = law(fields, 0.1), RMSNorm(epsilon=fields.number("layer_norm_epsilon", 1e-5))
    return LanguageModel(
        vocab=fields.size("vocab_size", vocab),
        width=width,
        embedding_init=init,
        stack=stack([Block(mixer=mixer, residual=PreNorm(norm=norm))] * fields.size("num_hidden_layers", layers)),
        norm=norm,
        head=head(fields, init, tied=tied),
    )


STEPS = ("floor", "scale", "init_scheme")
"""Fields ``time_step_…`` of first values."""
AUTHORS = ("fused_add_norm", "pad_vocab_size_multiple", "ssm_cfg")
"""Fields of the authors' own code."""


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    mixer = model.stack.layers[0].mixer
    return backbone_fields(model) | {
        "intermediate_size": mixer.hidden,
        "expand": max(mixer.hidden // model.width, 1),
        "time_step_rank": mixer.step_rank,
    }


def backbone_fields(model: Any) -> dict[str, Any]:
    """The fields that mixers of both kinds have, and those around them."""
    mixer = model.stack.layers[0].mixer
    if mixer.conv is None:
        raise Mismatch
    return {
        "vocab_size": model.vocab,
        "hidden_size": model.width,
        "num_hidden_layers": len(model.stack.layers),
        "layer_norm_epsilon": model.norm.epsilon,
        "state_size": mixer.state_size,
        "conv_kernel": mixer.conv.taps,
        "use_conv_bias": mixer.conv.bias,
        "use_bias": mixer.bias,
        "hidden_act": activation_name(mixer.activation),
        "initializer_range": std(model.embedding_init),
        "tie_word_embeddings": model.head is None,
    }


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        *backbone_tensors(),
        *fused(f"{MIXER}.in_proj", (f"{OURS}.value", f"{OURS}.gate")),
        *convolution(f"{MIXER}.conv1d", f"{OURS}.conv"),
        *fused(f"{MIXER}.x_proj", [f"{OURS}.{name}" for name in ("step_down", "key", "query")]),
        Rule(theirs=f"{MIXER}.dt_proj.weight", ours=(f"{OURS}.step.kernel",), layout="O I -> I O"),
        *parameters({"dt_proj.bias": "step_bias", "A_log": "log_rate", "D": "skip"}),
    ]


def parameters(names: Mapping[str, str], theirs: str = MIXER, ours: str = OURS) -> list[Rule]:
    """A mixer's own parameters, theirs → ours."""
    return [same(f"{theirs}.{name}", f"{ours}.{own}") for name, own in names.items()]


def backbone_tensors() -> list[Rule]:
    """What stands around mixers, and their outputs."""
    return [
        same("backbone.embeddings.weight", "embedding.table"),
        *norm("backbone.layers.{i}.norm", "stack.layers.{i}.mixer_residual.norm"),
        *linear(f"{MIXER}.out_proj", f"{OURS}.out"),
        *norm("backbone.norm_f", "norm"),
        *linear("lm_head", "head"),
    ]


TWINS = {"lm_head.weight": "backbone.embeddings.weight"}

FAMILY = Family(
    model_type="mamba",
    architectures=("MambaForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="backbone.",
    twins=TWINS,
)
