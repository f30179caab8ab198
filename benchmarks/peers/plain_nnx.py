"""The same models as one writes them by hand in Flax NNX and optax.

``pure`` splits the model once and jits a pure step with donated buffers, the fast way that Flax's
documentation describes; ``lifted`` is the documentation's first example, ``nnx.jit`` with ``nnx.Optimizer``.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from case import ADAMW, CLIP, EPSILON, RATE, THETA, Batch, Case, Shape
from contestant import Contestant, each
from flax import nnx

from peers.hf_names import joint


class Attention(nnx.Module):
    """Causal self-attention with one matrix for queries, keys and values."""

    def __init__(self, shape: Shape, rotary: bool, rngs: nnx.Rngs) -> None:
        self.heads, self.rotary, width = shape.heads, rotary, shape.width
        self.qkv = nnx.Linear(width, 3 * width, use_bias=not rotary, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=not rotary, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        heads = (batch, length, self.heads, width // self.heads)
        q, k, v = (a.reshape(heads) for a in jnp.split(self.qkv(x), 3, axis=-1))
        if self.rotary:
            q, k = rotated(q), rotated(k)
        return self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))


def rotated(x: jax.Array) -> jax.Array:
    """Turn pairs (i, i + K/2) of every head by their positions; x is (B, T, H, K)."""
    half = x.shape[-1] // 2
    rates = THETA ** -(np.arange(half) / half)
    phase = np.arange(x.shape[1])[:, None] * rates
    cos, sin = (jnp.asarray(f(phase), x.dtype)[:, None, :] for f in (np.cos, np.sin))
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


class MLP(nnx.Module):
    """GPT-2's channel."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(shape.width, 4 * shape.width, rngs=rngs)
        self.down = nnx.Linear(4 * shape.width, shape.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(nnx.gelu(self.up(x), approximate=False))


class SwiGLU(nnx.Module):
    """Llama's channel."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs) -> None:
        self.gate = nnx.Linear(shape.width, shape.gated, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(shape.width, shape.gated, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(shape.gated, shape.width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(nnx.silu(self.gate(x)) * self.up(x))


class Block(nnx.Module):
    """A pre-norm transformer layer."""

    def __init__(self, shape: Shape, style: str, rngs: nnx.Rngs) -> None:
        self.norm1, self.norm2 = _norm(shape, style, rngs), _norm(shape, style, rngs)
        self.attention = Attention(shape, rotary=style == "llama", rngs=rngs)
        self.channel = {"gpt2": MLP, "llama": SwiGLU}[style](shape, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.norm1(x))
        return x + self.channel(self.norm2(x))


def _norm(shape: Shape, style: str, rngs: nnx.Rngs) -> nnx.Module:
    kind = {"gpt2": nnx.LayerNorm, "llama": nnx.RMSNorm}[style]
    return kind(shape.width, epsilon=EPSILON, rngs=rngs)


class GPT2(nnx.Module):
    """Embeddings, blocks, norm and tied head."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs) -> None:
        self.tokens = nnx.Embed(shape.vocab, shape.width, rngs=rngs)
        self.positions = nnx.Embed(shape.length, shape.width, rngs=rngs)
        self.blocks = nnx.List([Block(shape, "gpt2", rngs) for _ in range(shape.layers)])
        self.norm = _norm(shape, "gpt2", rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.attend(self.norm(x))


class Llama(nnx.Module):
    """Embeddings, blocks, norm and head."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs) -> None:
        self.tokens = nnx.Embed(shape.vocab, shape.width, rngs=rngs)
        self.blocks = nnx.List([Block(shape, "llama", rngs) for _ in range(shape.layers)])
        self.norm = _norm(shape, "llama", rngs)
        self.head = nnx.Linear(shape.width, shape.vocab, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss_of(net: Any, tokens: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(net(tokens), targets).mean()


def pure(case: Case) -> Contestant:
    net, rule = _net(case), _rule()
    graph, params = nnx.split(net)
    state = rule.init(params)

    def update(params: Any, state: Any, tokens: jax.Array, targets: jax.Array) -> Any:
        loss, grads = jax.value_and_grad(lambda p: loss_of(nnx.merge(graph, p), tokens, targets))(params)
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    compiled = jax.jit(update, donate_argnums=(0, 1))

    def step(batch: Batch) -> jax.Array:
        nonlocal params, state
        params, state, loss = compiled(params, state, batch["tokens"], batch["targets"])
        return loss

    return Contestant(parameters=_size(params), train=each(step))


def lifted(case: Case) -> Contestant:
    net = _net(case)
    optimizer = nnx.Optimizer(net, _rule(), wrt=nnx.Param)

    @nnx.jit
    def update(net: Any, optimizer: nnx.Optimizer, tokens: jax.Array, targets: jax.Array) -> jax.Array:
        loss, grads = nnx.value_and_grad(loss_of)(net, tokens, targets)
        optimizer.update(net, grads)
        return loss

    def step(batch: Batch) -> jax.Array:
        return update(net, optimizer, batch["tokens"], batch["targets"])

    return Contestant(parameters=_size(nnx.state(net, nnx.Param)), train=each(step))


def _rule() -> optax.GradientTransformation:
    adamw = optax.adamw(
        RATE, ADAMW.beta1, ADAMW.beta2, ADAMW.epsilon, weight_decay=ADAMW.weight_decay,
        mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
    )  # fmt: skip
    return optax.chain(optax.clip_by_global_norm(CLIP), adamw)


def _size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _net(case: Case) -> Any:
    net: Any = {"gpt2": GPT2, "llama": Llama}[case.style](case.shape, nnx.Rngs(0))
    given = case.weights
    net.tokens.embedding[...] = jnp.asarray(given["embedding.table"])
    if case.style == "gpt2":
        net.positions.embedding[...] = jnp.asarray(given["positions.table"])
    else:
        _load(net.head, given, "head")
    _load(net.norm, given, "norm")
    for i, block in enumerate(net.blocks):
        _load_block(block, given, f"stack.layers.{i}")
    return net


def _load_block(block: Block, given: Mapping[str, np.ndarray], path: str) -> None:
    qkv = block.attention.qkv
    qkv.kernel[...] = jnp.asarray(joint(given, f"{path}.mixer", "kernel"))
    if qkv.use_bias:
        qkv.bias[...] = jnp.asarray(joint(given, f"{path}.mixer", "bias"))
    _load(block.attention.out, given, f"{path}.mixer.out")
    _load(block.norm1, given, f"{path}.mixer_residual.norm")
    _load(block.norm2, given, f"{path}.channel_residual.norm")
    for name in ("gate", "up", "down"):
        if hasattr(block.channel, name):
            _load(getattr(block.channel, name), given, f"{path}.channel.{name}")


def _load(layer: Any, given: Mapping[str, np.ndarray], path: str) -> None:
    """Give a norm or a linear map all the parameters that stand under ``path``."""
    for kind in ("kernel", "scale", "bias"):
        if f"{path}.{kind}" in given:
            getattr(layer, kind)[...] = jnp.asarray(given[f"{path}.{kind}"])
