"""OLMo 2: norms after the layers, and over all queries and all keys of a token."""

from typing import Any

from archlab.block import Block
from archlab.hf.families.llama import LAYER, attention, layer_fields
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, norm
from archlab.hf.parts import TWINS, attention_tensors, decoder, decoder_tensors, glu_tensors, law, swiglu
from archlab.hf.rope import whole_rope
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import OutputNorm


def model(fields: Fields, architecture: str) -> LanguageModel:
    """x + norm(f(x)); the norms multiply before they cast."""
    fields.expect("mlp_bias", False)
    bias = fields.flag("attention_bias", False)
    scale = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-5), cast="after")
    mixer = attention(
        fields, bias=bias, out_bias=bias, qk_norm=scale, qk_norm_over="heads", rotary=whole_rope(fields)
    )  # fmt: skip
    channel = swiglu(fields, law(fields), fields.size("intermediate_size", 11008))
    layer = Block(mixer=mixer, channel=channel, residual=OutputNorm(norm=scale))
    layers = [layer] * fields.size("num_hidden_layers", 32)
    return decoder(fields, layers, tied=False, vocab=50304, width=4096, norm=scale)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    return layer_fields(model) | {"attention_bias": model.stack.layers[0].mixer.bias}


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    return [
        *decoder_tensors(),
        *attention_tensors("model.layers.{i}.self_attn", f"{LAYER}.mixer"),
        *norm("model.layers.{i}.post_attention_layernorm", f"{LAYER}.mixer_residual.norm"),
        *glu_tensors("model.layers.{i}.mlp", f"{LAYER}.channel"),
        *norm("model.layers.{i}.post_feedforward_layernorm", f"{LAYER}.channel_residual.norm"),
    ]


FAMILY = Family(
    model_type="olmo2",
    architectures=("Olmo2ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
