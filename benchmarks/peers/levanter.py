"""Stanford's Levanter: its LlamaLMHeadModel or Gpt2LMHeadModel, AdamConfig and Trainer.train_step.

As they come, layers are a scan whose activations are recomputed in the backward pass; ``kept`` keeps them. A step waits
for its loss. There is no tracker, and none of the hooks that log and save. Targets are given, not the row moved by one,
so the loss is haliax's cross-entropy on the model's logits.
"""

import dataclasses
from typing import Any

import haliax as hax
import jax
import jax.numpy as jnp
from case import ADAMW, CLIP, EPSILON, RATE, THETA, Batch, Case
from contestant import Contestant, each
from haliax.state_dict import from_torch_compatible_state_dict
from levanter.layers.attention import AttentionMask
from levanter.layers.rotary import DefaultRotaryEmbeddingsConfig
from levanter.models.gpt2 import Gpt2Config
from levanter.models.llama import LlamaConfig
from levanter.optim import AdamConfig
from levanter.tracker import NoopConfig
from levanter.trainer import Trainer, TrainerConfig
from levanter.utils.activation import ActivationFunctionEnum

from peers.hf_names import hf_weights

MATRICES = ["proj.weight", "c_attn.weight", "c_fc.weight", "embeddings.weight", "lm_head.weight"]
"""What decays, by a part of its path: 'proj' ends the names of all other linear maps."""


def start(case: Case) -> Contestant:
    return _contestant(case, _config(case))


def kept(case: Case) -> Contestant:
    return _contestant(case, dataclasses.replace(_config(case), gradient_checkpointing=False))


def _config(case: Case) -> Any:
    return (_gpt2 if case.style == "gpt2" else _llama)(case)


def _contestant(case: Case, config: Any) -> Contestant:
    shape = case.shape
    Batch_, Vocab = hax.Axis("batch", shape.batch), hax.Axis("vocab", shape.vocab)

    def loss_of(model: Any, tokens: Any, targets: Any, *, key: Any) -> Any:
        logits = model(tokens, attn_mask=AttentionMask.causal(), key=key)
        return hax.nn.cross_entropy_loss(logits, Vocab, hax.nn.one_hot(targets, Vocab, dtype=logits.dtype))

    def model() -> Any:
        empty = config.model_type.init(Vocab, config, key=jax.random.key(0))
        given = {name.removeprefix("transformer."): jnp.asarray(array) for name, array in hf_weights(case).items()}
        return from_torch_compatible_state_dict(empty, given)

    trainer = Trainer(_settings(shape.batch), _rule(), loss_of, add_default_hooks=False)
    trainer.__enter__()  # its mesh and axes, for as long as the process lives
    state = trainer.initial_state(jax.random.PRNGKey(0), model=model())

    def step(batch: Batch) -> float:
        nonlocal state
        named = (hax.named(jnp.asarray(batch[name]), (Batch_, config.Pos)) for name in ("tokens", "targets"))
        info = trainer.train_step(state, *named)
        state = info.state
        return info.loss

    sizes = (leaf.size for leaf in jax.tree.leaves(state.model) if isinstance(leaf, jax.Array))  # flags are leaves too
    return Contestant(parameters=sum(sizes), train=each(step))


def _settings(batch: int) -> TrainerConfig:
    return TrainerConfig(
        id="benchmark", tracker=NoopConfig(), train_batch_size=batch, num_train_steps=10**9, load_checkpoint=False,
        log_jaxprs=False, log_xla_hlo=False, require_accelerator=False,
    )  # fmt: skip


def _rule() -> Any:
    return AdamConfig(
        learning_rate=RATE, weight_decay=ADAMW.weight_decay, beta1=ADAMW.beta1, beta2=ADAMW.beta2,
        epsilon=ADAMW.epsilon, max_grad_norm=CLIP, warmup=0, lr_schedule="constant", weight_decay_modules=MATRICES,
    ).build(10**9)  # fmt: skip


def _gpt2(case: Case) -> Gpt2Config:
    shape = case.shape
    return Gpt2Config(
        seq_len=shape.length, hidden_dim=shape.width, num_layers=shape.layers, num_heads=shape.heads,
        layer_norm_epsilon=EPSILON, activation_function=ActivationFunctionEnum.gelu,
    )  # fmt: skip


def _llama(case: Case) -> LlamaConfig:
    shape = case.shape
    return LlamaConfig(
        seq_len=shape.length, hidden_dim=shape.width, intermediate_dim=shape.gated, num_layers=shape.layers,
        num_heads=shape.heads, num_kv_heads=shape.heads, layer_norm_epsilon=EPSILON,
        rope=DefaultRotaryEmbeddingsConfig(theta=THETA),
    )  # fmt: skip
