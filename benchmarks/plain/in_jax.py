"""GPT-2 and Llama as functions of plain arrays in JAX, with optax: what one writes without any library of layers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from archlab.weights import Weights
from plain.models import ADAMW, CLIP, EPSILON, SIZES, THETA

Params = dict[str, Any]


def gpt2(params: Params, tokens: jax.Array) -> jax.Array:
    """Logits (B, T, V)."""
    x = params["embedding"][tokens] + params["positions"][: tokens.shape[1]]
    for layer in params["layers"]:
        a = _layer_norm(x, *layer["norm1"])
        q, k, v = jnp.split(a @ layer["qkv"] + layer["qkv_bias"], 3, axis=-1)
        x = x + _attention(q, k, v, SIZES.heads) @ layer["out"] + layer["out_bias"]
        h = jax.nn.gelu(_layer_norm(x, *layer["norm2"]) @ layer["up"] + layer["up_bias"], approximate=True)
        x = x + h @ layer["down"] + layer["down_bias"]
    return _layer_norm(x, *params["norm"]) @ params["embedding"].T


def llama(params: Params, tokens: jax.Array) -> jax.Array:
    """Logits (B, T, V)."""
    x = params["embedding"][tokens]
    phase = jnp.arange(tokens.shape[1])[:, None] * THETA ** -(jnp.arange(0, SIZES.head, 2) / SIZES.head)
    turn = jnp.cos(phase)[:, None], jnp.sin(phase)[:, None]
    for layer in params["layers"]:
        a = _rms_norm(x, layer["norm1"])
        q, k, v = (a @ layer[name] for name in ("query", "key", "value"))
        x = x + _attention(q, k, v, SIZES.kv_heads, turn) @ layer["out"]
        a = _rms_norm(x, layer["norm2"])
        x = x + (jax.nn.silu(a @ layer["gate"]) * (a @ layer["up"])) @ layer["down"]
    return _rms_norm(x, params["norm"]) @ params["head"]


def _attention(q: Any, k: Any, v: Any, kv_heads: int, turn: Any = None) -> jax.Array:
    """Causal attention of (B, T, HK) and (B, T, GK); rotated where there is a turn."""
    q, k, v = (a.reshape(*a.shape[:2], n, -1) for a, n in ((q, SIZES.heads), (k, kv_heads), (v, kv_heads)))
    if turn:
        q, k = _rotated(q, *turn), _rotated(k, *turn)
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return y.reshape(*y.shape[:2], -1)


def _rotated(x: Any, cos: Any, sin: Any) -> jax.Array:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _layer_norm(x: Any, scale: Any, bias: Any) -> jax.Array:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + EPSILON) * scale + bias


def _rms_norm(x: Any, scale: Any) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON) * scale


def training_step(forward: Callable[[Params, Any], Any]) -> tuple[Callable[..., Any], Callable[[Params], Any]]:
    """(params, state, tokens, targets, rate) → (params, state, loss, norm), jitted; and the first state."""
    rule = optax.chain(
        optax.clip_by_global_norm(CLIP),
        optax.scale_by_adam(ADAMW.beta1, ADAMW.beta2, ADAMW.epsilon),
        optax.add_decayed_weights(ADAMW.weight_decay, mask=lambda p: jax.tree.map(lambda a: a.ndim > 1, p)),
    )

    def step(params: Any, state: Any, tokens: Any, targets: Any, rate: Any) -> Any:
        def loss_of(params: Any) -> Any:
            logits = forward(params, tokens)
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        norm = optax.tree.norm(grads)
        updates, state = rule.update(grads, state, params)
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return params, state, loss, norm

    return jax.jit(step, donate_argnums=(0, 1)), rule.init


def params_of(name: str, weights: Weights) -> Params:
    """Canonical weights as the functions above take them."""
    layer = {"gpt2": _gpt2_layer, "llama": _llama_layer}[name]
    layers = [layer(weights, f"stack.layers.{i}.") for i in range(SIZES.layers)]
    tree: Params = {"embedding": weights["embedding.table"], "layers": layers}
    if name == "gpt2":
        tree |= {"positions": weights["positions.table"], "norm": (weights["norm.scale"], weights["norm.bias"])}
    else:
        tree |= {"head": weights["head.kernel"], "norm": weights["norm.scale"]}
    return jax.tree.map(jnp.array, tree)


def _gpt2_layer(w: Weights, path: str) -> Params:
    joint = [f"{path}mixer.{name}." for name in ("query", "key", "value")]
    mixer, channel = f"{path}mixer.out.", f"{path}channel."
    return {
        "norm1": (w[f"{path}mixer_residual.norm.scale"], w[f"{path}mixer_residual.norm.bias"]),
        "qkv": np.concatenate([w[f"{one}kernel"] for one in joint], axis=1),
        "qkv_bias": np.concatenate([w[f"{one}bias"] for one in joint]),
        "out": w[f"{mixer}kernel"], "out_bias": w[f"{mixer}bias"],
        "norm2": (w[f"{path}channel_residual.norm.scale"], w[f"{path}channel_residual.norm.bias"]),
        "up": w[f"{channel}up.kernel"], "up_bias": w[f"{channel}up.bias"],
        "down": w[f"{channel}down.kernel"], "down_bias": w[f"{channel}down.bias"],
    }  # fmt: skip


def _llama_layer(w: Weights, path: str) -> Params:
    mixer = {name: w[f"{path}mixer.{name}.kernel"] for name in ("query", "key", "value", "out")}
    channel = {name: w[f"{path}channel.{name}.kernel"] for name in ("gate", "up", "down")}
    norms = {"norm1": w[f"{path}mixer_residual.norm.scale"], "norm2": w[f"{path}channel_residual.norm.scale"]}
    return mixer | channel | norms


FORWARD: dict[str, Callable[[Params, Any], Any]] = {"gpt2": gpt2, "llama": llama}
