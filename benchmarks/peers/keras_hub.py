"""keras-hub on Keras' JAX backend: its LlamaCausalLM or GPT2CausalLM, trained by Keras' ``fit``.

A round is one epoch of ``fit`` on batches that a Python generator hands over, so that its steps share what ``fit`` does
once an epoch. keras-hub's own ``fit`` sends every row through Grain, which takes longer; so that of ``keras.Model``
around the same inputs and outputs is timed. Its GPT-2's GELU, by tanh as it comes, is set to that by erf.

It writes by its own ``generate`` with its greedy sampler.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import keras
import keras_hub
import numpy as np
from case import ADAMW, CLIP, EPSILON, RATE, THETA, Batch, Case, Writing
from contestant import Contestant, Writer

LAYER = {
    "self_attention/query": "mixer.query", "self_attention/key": "mixer.key", "self_attention/value": "mixer.value",
    "self_attention/attention_output": "mixer.out",
    "self_attention_layernorm": "mixer_residual.norm", "self_attention_layer_norm": "mixer_residual.norm",
    "feedforward_layernorm": "channel_residual.norm", "feedforward_layer_norm": "channel_residual.norm",
    "feedforward_gate_dense": "channel.gate", "feedforward_intermediate_dense": "channel.up",
    "feedforward_output_dense": "channel.down",
}  # fmt: skip
WHOLE = {
    "token_embedding/embeddings": "embedding.table", "token_embedding/reverse_embeddings": "head.kernel",
    "position_embedding/embeddings": "positions.table", "sequence_output_layernorm/scale": "norm.scale",
    "layer_norm/gamma": "norm.scale", "layer_norm/beta": "norm.bias",
}  # fmt: skip
KINDS = {"gamma": "scale", "beta": "bias", "scale": "scale", "kernel": "kernel", "bias": "bias"}


def start(case: Case) -> Contestant:
    net = _gpt2(case) if case.style == "gpt2" else _llama(case)
    variables = _loaded(net, case)
    optimizer = keras.optimizers.AdamW(
        RATE, beta_1=ADAMW.beta1, beta_2=ADAMW.beta2, epsilon=ADAMW.epsilon, weight_decay=ADAMW.weight_decay,
        global_clipnorm=CLIP,
    )  # fmt: skip
    optimizer.exclude_from_weight_decay([v for v in variables if _is_vector(v.path)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net = keras.Model(net.input, net.output)
    net.compile(optimizer=optimizer, loss=loss, jit_compile=True)
    seen = np.ones((case.shape.batch, case.shape.length), np.int32)

    def stream(given: Sequence[Batch]) -> Iterator[Any]:
        for batch in given:
            yield {"token_ids": batch["tokens"], "padding_mask": seen}, batch["targets"]

    def train(given: Sequence[Batch]) -> float:
        return net.fit(stream(given), steps_per_epoch=len(given), shuffle=False, verbose=0).history["loss"][-1]

    return Contestant(parameters=sum(int(np.prod(v.shape)) for v in variables), train=train)


def write(case: Writing) -> Writer:
    jax.config.update("jax_default_matmul_precision", "highest")
    net, shape = _llama(case), case.shape
    variables = _loaded(net, case)
    net.compile(sampler="greedy", jit_compile=True)
    seen = np.zeros((shape.batch, shape.length), np.int32)
    seen[:, : case.prompt] = 1

    def write(prompts: np.ndarray) -> np.ndarray:
        tokens = np.zeros_like(seen)
        tokens[:, : case.prompt] = prompts
        written = net.generate({"token_ids": tokens, "padding_mask": seen}, stop_token_ids=None)
        return np.asarray(written["token_ids"])[:, case.prompt :]

    return Writer(parameters=sum(int(np.prod(v.shape)) for v in variables), write=write)


def _loaded(net: Any, case: Case) -> Any:
    """The variables of a model, with the weights of the case."""
    for variable in net.trainable_variables:
        array = case.weights[_path(variable.path)]
        variable.assign(array.reshape(variable.shape))
    return net.trainable_variables


def _llama(case: Case) -> Any:
    shape = case.shape
    backbone = keras_hub.models.LlamaBackbone(
        vocabulary_size=shape.vocab, num_layers=shape.layers, num_query_heads=shape.heads, hidden_dim=shape.width,
        intermediate_dim=shape.gated, num_key_value_heads=shape.heads, rope_max_wavelength=THETA,
        layer_norm_epsilon=EPSILON, dtype="float32",
    )  # fmt: skip
    return keras_hub.models.LlamaCausalLM(backbone=backbone, preprocessor=None)


def _gpt2(case: Case) -> Any:
    shape = case.shape
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=shape.vocab, num_layers=shape.layers, num_heads=shape.heads, hidden_dim=shape.width,
        intermediate_dim=4 * shape.width, dropout=0.0, max_sequence_length=shape.length, dtype="float32",
    )  # fmt: skip
    for layer in backbone.transformer_layers:
        layer.activation = keras.activations.gelu  # before any is traced: the other is its approximation
    return keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)


def _is_vector(path: str) -> bool:
    return path.endswith(("bias", "scale", "gamma", "beta"))


def _path(theirs: str) -> str:
    """The canonical path of one of their variables."""
    if theirs in WHOLE:
        return WHOLE[theirs]
    layer, name = theirs.removeprefix("transformer_layer_").split("/", 1)
    name, _, kind = name.rpartition("/")
    return f"stack.layers.{layer}.{LAYER[name]}.{KINDS[kind]}"
