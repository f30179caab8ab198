"""Llama's greedy decoding by hand in JAX: one jitted function of arrays, a scan over tokens, caches of fixed size.

Query, key and value are one product, gate and up another. The prompt fills the caches at once; after it each turn of
the scan puts one key and one value a layer where they belong and looks at the whole cache under a mask.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from case import EPSILON, THETA, Shape, Writing
from contestant import Writer

from peers.hf_names import joint

Tree = dict[str, Any]


def start(case: Writing) -> Writer:
    jax.config.update("jax_default_matmul_precision", "highest")
    params, shape = _params(case), case.shape
    with_sizes = jax.jit(lambda params, prompts: _written(params, prompts, shape))

    def write(prompts: np.ndarray) -> np.ndarray:
        return np.asarray(with_sizes(params, prompts))

    return Writer(parameters=sum(array.size for array in jax.tree.leaves(params)), write=write)


def _written(params: Tree, prompts: Any, shape: Shape) -> Any:
    """(B, N) tokens after the prompts (B, P)."""
    batch, length = prompts.shape
    size = shape.width // shape.heads
    room = jnp.zeros((batch, shape.heads, shape.length, size))
    logits, caches = _forward(params, prompts, [(room, room)] * shape.layers, 0, shape)
    first = jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def turn(carry: Any, place: Any) -> Any:
        token, caches = carry
        logits, caches = _forward(params, token[:, None], caches, place, shape)
        drawn = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return (drawn, caches), drawn

    _, rest = jax.lax.scan(turn, (first, caches), jnp.arange(length, shape.length - 1))
    return jnp.concatenate([first[:, None], rest.T], axis=1)


def _forward(params: Tree, tokens: Any, caches: list[Any], place: Any, shape: Shape) -> Any:
    """(logits (B, V) of the last of tokens (B, T), caches with all of them), the first token at ``place``."""
    x, filled = params["embedding"][tokens], []
    places = place + jnp.arange(tokens.shape[1])
    seen = jnp.arange(shape.length) <= places[:, None]
    turn = _turn(places, shape.width // shape.heads)
    for layer, (keys, values) in zip(params["layers"], caches, strict=True):
        q, k, v = (_heads(a, shape.heads) for a in jnp.split(_norm(x, layer["norm1"]) @ layer["qkv"], 3, axis=-1))
        keys = jax.lax.dynamic_update_slice(keys, _rotated(k, *turn), (0, 0, place, 0))
        values = jax.lax.dynamic_update_slice(values, v, (0, 0, place, 0))
        filled.append((keys, values))
        scores = jnp.einsum("bhtk,bhsk->bhts", _rotated(q, *turn), keys) * q.shape[-1] ** -0.5
        weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        y = jnp.einsum("bhts,bhsk->bhtk", weights, values)
        x = x + y.swapaxes(1, 2).reshape(x.shape) @ layer["out"]
        gate, up = jnp.split(_norm(x, layer["norm2"]) @ layer["gate_up"], 2, axis=-1)
        x = x + (jax.nn.silu(gate) * up) @ layer["down"]
    return _norm(x[:, -1], params["norm"]) @ params["head"], filled


def _heads(a: Any, heads: int) -> Any:
    """(B, T, HK) as (B, H, T, K)."""
    return a.reshape(*a.shape[:2], heads, -1).swapaxes(1, 2)


def _turn(places: Any, size: int) -> tuple[Any, Any]:
    phase = places[:, None] * THETA ** -(jnp.arange(0, size, 2) / size)
    return jnp.cos(phase), jnp.sin(phase)


def _rotated(x: Any, cos: Any, sin: Any) -> Any:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _norm(x: Any, scale: Any) -> Any:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON) * scale


def _params(case: Writing) -> Tree:
    given = case.weights
    layers = []
    for i in range(case.shape.layers):
        at = f"stack.layers.{i}"
        gate_up = [given[f"{at}.channel.{name}.kernel"] for name in ("gate", "up")]
        layers.append({
            "norm1": given[f"{at}.mixer_residual.norm.scale"], "qkv": joint(given, f"{at}.mixer", "kernel"),
            "out": given[f"{at}.mixer.out.kernel"], "norm2": given[f"{at}.channel_residual.norm.scale"],
            "gate_up": np.concatenate(gate_up, axis=1), "down": given[f"{at}.channel.down.kernel"],
        })  # fmt: skip
    tree = {"embedding": given["embedding.table"], "norm": given["norm.scale"], "head": given["head.kernel"]}
    return jax.tree.map(jnp.asarray, {**tree, "layers": layers})
