"""Phi-3 and 4: Llama's layers with fused matrices, a window, a part of each head turned, and LongRoPE."""

from typing import Any

from archlab.errors import InputError
from archlab.hf.families.llama import LAYER, attention, block, layer_fields
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, fused, linear, norm
from archlab.hf.parts import TWINS, decoder, decoder_tensors
from archlab.hf.rope import paired, rope
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.rotary import LongRopeScaling, RoPE

OLDER = {"su": "longrope", "yarn": "longrope"}
"""What LongRoPE was called."""


def model(fields: Fields, architecture: str) -> LanguageModel:
    """No biases; dropout of what the layers add."""
    for name in ("attention_bias", "mlp_bias", "lm_head_bias"):
        fields.expect(name, False)
    fields.idle("embd_pdrop", "full_attn_mod", "interpolate_factor")  # transformers reads none of them
    rotary, window = rotation(fields), fields.optional("sliding_window", int, None)
    mixer = attention(fields, bias=False, out_bias=False, window=window, rotary=rotary)
    paired(fields, rotary, mixer.size(fields.size("hidden_size", 3072)))
    scale = RMSNorm(epsilon=fields.number("rms_norm_eps", 1e-5))
    layer = block(fields, mixer, hidden=8192, norm=scale, dropout=fields.number("resid_pdrop", 0.0))
    layers = [layer] * fields.size("num_hidden_layers", 32)
    return decoder(fields, layers, tied=False, vocab=32064, width=3072, norm=scale)


def rotation(fields: Fields) -> RoPE:
    """The rotation, plain or LongRoPE; the length before it was stretched stands beside its table."""
    rotary = rope(fields, longest=4096, original=4096, aliases=OLDER)
    if not isinstance(rotary.scaling, LongRopeScaling | None):
        raise InputError(f"{fields.where}: the rope_type of a phi3 is 'default' or 'longrope'")
    return rotary


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    layer, fields = model.stack.layers[0], layer_fields(model)
    if layer.mixer.rotary.scaling is not None:
        length = fields["rope_parameters"].pop("original_max_position_embeddings")
        fields["original_max_position_embeddings"] = length
    return fields | {"sliding_window": layer.mixer.window, "resid_pdrop": layer.residual.dropout}


def tensors(model: Any) -> list[Rule]:
    """The tensors of a model."""
    mixer, channel = f"{LAYER}.mixer", f"{LAYER}.channel"
    return [
        *decoder_tensors(),
        *norm("model.layers.{i}.input_layernorm", f"{LAYER}.mixer_residual.norm"),
        *fused("model.layers.{i}.self_attn.qkv_proj", [f"{mixer}.{name}" for name in ("query", "key", "value")]),
        *linear("model.layers.{i}.self_attn.o_proj", f"{mixer}.out"),
        *norm("model.layers.{i}.post_attention_layernorm", f"{LAYER}.channel_residual.norm"),
        *fused("model.layers.{i}.mlp.gate_up_proj", [f"{channel}.gate", f"{channel}.up"]),
        *linear("model.layers.{i}.mlp.down_proj", f"{channel}.down"),
    ]


FAMILY = Family(
    model_type="phi3",
    architectures=("Phi3ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
