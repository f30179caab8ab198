"""A whole training script in Flax NNX and optax, as one writes it for one model: characters of a text, a first step.

python benchmarks/peers/plain_script.py TEXT

The model and the batch are those of nanoGPT's published CPU setting. It says when its first step is done.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

LAYERS, HEADS, WIDTH, LENGTH, BATCH = 4, 4, 128, 64, 12


class Block(nnx.Module):
    """A pre-norm layer without biases."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(WIDTH, use_bias=False, rngs=rngs)
        self.qkv = nnx.Linear(WIDTH, 3 * WIDTH, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(WIDTH, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(WIDTH, 4 * WIDTH, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(4 * WIDTH, WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        heads = (*x.shape[:2], HEADS, WIDTH // HEADS)
        q, k, v = (a.reshape(heads) for a in jnp.split(self.qkv(self.norm1(x)), 3, axis=-1))
        x = x + self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))
        return x + self.down(nnx.gelu(self.up(self.norm2(x)), approximate=False))


class GPT(nnx.Module):
    """Logits of tokens, with a tied head."""

    def __init__(self, vocab: int, rngs: nnx.Rngs) -> None:
        self.tokens = nnx.Embed(vocab, WIDTH, rngs=rngs)
        self.positions = nnx.Embed(LENGTH, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(LAYERS)])
        self.norm = nnx.LayerNorm(WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.attend(self.norm(x))


def loss_of(net: GPT, x: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()


@nnx.jit
def evaluate(net: GPT, x: jax.Array, y: jax.Array) -> jax.Array:
    return loss_of(net, x, y)


@nnx.jit
def train(net: GPT, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> jax.Array:
    loss, grads = nnx.value_and_grad(loss_of)(net, x, y)
    optimizer.update(net, grads)
    return loss


def main(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    letters = sorted(set(text))
    index = {letter: i for i, letter in enumerate(letters)}
    data = np.array([index[letter] for letter in text], dtype=np.int32)
    cut, draw = int(0.9 * len(data)), np.random.default_rng(0)

    def batch(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = [part[i : i + LENGTH + 1] for i in draw.integers(0, len(part) - LENGTH, BATCH)]
        return np.stack([row[:-1] for row in rows]), np.stack([row[1:] for row in rows])

    net = GPT(len(letters), nnx.Rngs(0))
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, b2=0.99, weight_decay=0.1))
    optimizer = nnx.Optimizer(net, rule, wrt=nnx.Param)
    print(f"step 0: held-out loss {float(evaluate(net, *batch(data[cut:]))):.4f}", flush=True)
    print(f"step 1: loss {float(train(net, optimizer, *batch(data[:cut]))):.4f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
