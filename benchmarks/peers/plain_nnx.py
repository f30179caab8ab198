"""The same model as one writes it by hand in Flax NNX and optax.

``pure`` splits the model once and jits a pure step with donated buffers, the fast way that Flax's
documentation describes; ``lifted`` is the documentation's first example, ``nnx.jit`` with ``nnx.Optimizer``.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from case import ADAMW, CLIP, EPSILON, RATE, Batch, Case, Shape, initial_weights
from flax import nnx
from harness import Contestant

from archlab.weights import Weights


class Attention(nnx.Module):
    """Causal self-attention with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        heads = (batch, length, self.heads, width // self.heads)
        q, k, v = (a.reshape(heads) for a in jnp.split(self.qkv(x), 3, axis=-1))
        return self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))


class Block(nnx.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(width, epsilon=EPSILON, use_bias=False, rngs=rngs)
        self.attention = Attention(width, heads, rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=EPSILON, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.norm1(x))
        return x + self.down(nnx.gelu(self.up(self.norm2(x)), approximate=False))


class GPT(nnx.Module):
    """Embeddings, blocks, norm and tied head."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs) -> None:
        self.tokens = nnx.Embed(shape.vocab, shape.width, rngs=rngs)
        self.positions = nnx.Embed(shape.length, shape.width, rngs=rngs)
        self.blocks = nnx.List([Block(shape.width, shape.heads, rngs) for _ in range(shape.layers)])
        self.norm = nnx.LayerNorm(shape.width, epsilon=EPSILON, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.attend(self.norm(x))


def loss_of(net: GPT, tokens: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(net(tokens), targets).mean()


def pure(case: Case) -> Contestant:
    net, rule = _gpt(case.shape), _rule()
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

    return Contestant(parameters=_size(params), step=step)


def lifted(case: Case) -> Contestant:
    net = _gpt(case.shape)
    optimizer = nnx.Optimizer(net, _rule(), wrt=nnx.Param)

    @nnx.jit
    def update(net: GPT, optimizer: nnx.Optimizer, tokens: jax.Array, targets: jax.Array) -> jax.Array:
        loss, grads = nnx.value_and_grad(loss_of)(net, tokens, targets)
        optimizer.update(net, grads)
        return loss

    def step(batch: Batch) -> jax.Array:
        return update(net, optimizer, batch["tokens"], batch["targets"])

    return Contestant(parameters=_size(nnx.state(net, nnx.Param)), step=step)


def _rule() -> optax.GradientTransformation:
    adamw = optax.adamw(
        RATE, ADAMW.beta1, ADAMW.beta2, ADAMW.epsilon, weight_decay=ADAMW.weight_decay,
        mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
    )  # fmt: skip
    return optax.chain(optax.clip_by_global_norm(CLIP), adamw)


def _size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _gpt(shape: Shape) -> GPT:
    net = GPT(shape, nnx.Rngs(0))
    weights = initial_weights(shape)
    net.tokens.embedding[...] = jnp.asarray(weights["embedding.table"])
    net.positions.embedding[...] = jnp.asarray(weights["positions.table"])
    net.norm.scale[...] = jnp.asarray(weights["norm.scale"])
    for i, block in enumerate(net.blocks):
        _load_block(block, weights, f"stack.layers.{i}")
    return net


def _load_block(block: Block, weights: Weights, path: str) -> None:
    joint = [weights[f"{path}.mixer.{name}.kernel"] for name in ("query", "key", "value")]
    block.attention.qkv.kernel[...] = jnp.asarray(np.concatenate(joint, axis=1))
    block.attention.out.kernel[...] = jnp.asarray(weights[f"{path}.mixer.out.kernel"])
    block.norm1.scale[...] = jnp.asarray(weights[f"{path}.mixer_residual.norm.scale"])
    block.norm2.scale[...] = jnp.asarray(weights[f"{path}.channel_residual.norm.scale"])
    block.up.kernel[...] = jnp.asarray(weights[f"{path}.channel.up.kernel"])
    block.down.kernel[...] = jnp.asarray(weights[f"{path}.channel.down.kernel"])
