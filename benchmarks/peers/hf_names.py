"""Canonical weights under Hugging Face's names, which several libraries read; linear maps are (out, in)."""

from collections.abc import Mapping

import numpy as np
from case import Case

Weights = Mapping[str, np.ndarray]
GPT2 = {
    "ln_1.weight": "mixer_residual.norm.scale", "ln_1.bias": "mixer_residual.norm.bias",
    "attn.c_proj.weight": "mixer.out.kernel", "attn.c_proj.bias": "mixer.out.bias",
    "ln_2.weight": "channel_residual.norm.scale", "ln_2.bias": "channel_residual.norm.bias",
    "mlp.c_fc.weight": "channel.up.kernel", "mlp.c_fc.bias": "channel.up.bias",
    "mlp.c_proj.weight": "channel.down.kernel", "mlp.c_proj.bias": "channel.down.bias",
}  # fmt: skip
LLAMA = {
    "input_layernorm.weight": "mixer_residual.norm.scale",
    "self_attn.q_proj.weight": "mixer.query.kernel", "self_attn.k_proj.weight": "mixer.key.kernel",
    "self_attn.v_proj.weight": "mixer.value.kernel", "self_attn.o_proj.weight": "mixer.out.kernel",
    "post_attention_layernorm.weight": "channel_residual.norm.scale",
    "mlp.gate_proj.weight": "channel.gate.kernel", "mlp.up_proj.weight": "channel.up.kernel",
    "mlp.down_proj.weight": "channel.down.kernel",
}  # fmt: skip


def hf_weights(case: Case) -> dict[str, np.ndarray]:
    """The weights of a case, contiguous. Matrices of GPT-2's layers are (in, out): it alone keeps them so."""
    given = case.weights
    table = _gpt2(given, case.shape.layers) if case.style == "gpt2" else _llama(given, case.shape.layers)
    return {name: np.ascontiguousarray(array) for name, array in table.items()}


def _gpt2(given: Weights, layers: int) -> dict[str, np.ndarray]:
    out = {"transformer.wte.weight": given["embedding.table"], "transformer.wpe.weight": given["positions.table"]}
    out |= {"transformer.ln_f.weight": given["norm.scale"], "transformer.ln_f.bias": given["norm.bias"]}
    for i in range(layers):
        ours, theirs = f"stack.layers.{i}", f"transformer.h.{i}"
        out |= {f"{theirs}.{name}": given[f"{ours}.{path}"] for name, path in GPT2.items()}
        for name, part in (("weight", "kernel"), ("bias", "bias")):
            out[f"{theirs}.attn.c_attn.{name}"] = joint(given, f"{ours}.mixer", part)
    return out


def joint(given: Weights, mixer: str, part: str) -> np.ndarray:
    """Query, key and value side by side."""
    return np.concatenate([given[f"{mixer}.{name}.{part}"] for name in ("query", "key", "value")], axis=-1)


def _llama(given: Weights, layers: int) -> dict[str, np.ndarray]:
    out = {"model.embed_tokens.weight": given["embedding.table"], "model.norm.weight": given["norm.scale"]}
    out["lm_head.weight"] = given["head.kernel"].T
    for i in range(layers):
        ours, theirs = f"stack.layers.{i}", f"model.layers.{i}"
        out |= {f"{theirs}.{name}": given[f"{ours}.{path}"].T for name, path in LLAMA.items()}
    return out
