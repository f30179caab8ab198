"""Attention on TPUs by JAX's splash kernel, which computes no block of scores that no query sees.

Its masks go by place in the row, and by one number a token: tokens with different numbers do not see each other. That
fits rows of several documents where each document's tokens stand together and its positions count up by one. Whether
they do is looked up on the device, and what does not fit is computed with a mask of all pairs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from archlab.masks import Seen, Sight
from archlab.policy import Policy
from archlab.sharding import BATCH
from archlab_jax.runtime import mesh_of

BLOCKS = (512, 256, 128)  # places in a block, of queries and of keys; the largest that divides the length is taken


def takes(q: Any, k: Any, seen: Seen, policy: Policy) -> bool:
    """Whether the kernel can do it: what its blocks, the TPU's lanes and its masks ask for."""
    sight, shares = seen.sight, policy.mesh.data * policy.mesh.fsdp
    fits = q.shape[1] % BLOCKS[-1] == 0 and q.shape[-1] % 64 == 0 and q.dtype in (jnp.float32, jnp.bfloat16)
    split = k.shape[2] % policy.mesh.tensor == 0 and q.shape[0] % shares == 0
    return fits and split and sight is not None and _mask(sight, seen.ctx.plain, q.shape[1]) is not None


def attend(
    q: Any, k: Any, v: Any, *, scale: float, seen: Seen, softcap: float | None, policy: Policy,
    otherwise: Callable[..., Any], interpret: bool = False,
) -> Any:  # fmt: skip
    """See :func:`archlab_jax.kernels.attention.attend`; ``otherwise`` (q, k, v) does what rows do not fit."""
    sight, ctx = seen.sight, seen.ctx
    assert sight is not None
    kernel = _kernel(sight, ctx.plain, scale, softcap, interpret)
    if policy.mesh.size > 1:  # a compiler cannot split it
        heads = jax.sharding.PartitionSpec(BATCH, None, "tensor", None)
        rows = jax.sharding.PartitionSpec(BATCH, None)
        kernel = jax.shard_map(
            kernel, mesh=mesh_of(policy), in_specs=(heads, heads, heads, rows), out_specs=heads, check_vma=False
        )
    if ctx.plain:
        return kernel(q, k, v, jnp.ones(q.shape[:2], jnp.int32))
    documents = ctx.documents
    y = jax.lax.cond(
        ordered(ctx.positions, documents),
        lambda q, k, v: kernel(q, k, v, documents.astype(jnp.int32)),
        jax.checkpoint(otherwise),  # else its scores would be kept room for in the backward pass, taken or not
        q, k, v,
    )  # fmt: skip
    return jnp.where((documents > 0)[..., None, None], y, 0)


def ordered(positions: Any, documents: Any) -> Any:
    """Whether every document's tokens stand together and its positions count up by one; padding is no document."""
    same = documents[:, 1:] == documents[:, :-1]
    real = documents > 0
    counts = jnp.all(~(same & real[:, 1:]) | (positions[:, 1:] == positions[:, :-1] + 1))
    runs = jnp.sum(~same & real[:, 1:], axis=1) + real[:, 0]
    numbers = jnp.sort(documents, axis=1)
    first = (numbers[:, 1:] != numbers[:, :-1]) & (numbers[:, 1:] > 0)
    different = jnp.sum(first, axis=1) + (numbers[:, 0] > 0)
    return counts & jnp.all(runs == different)


def _kernel(sight: Sight, plain: bool, scale: float, softcap: float | None, interpret: bool) -> Callable[..., Any]:
    """(q, k, v, numbers (B, T)) → (B, T, H, K), of one device's rows and heads."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    def run(q: Any, k: Any, v: Any, numbers: Any) -> Any:
        length, heads = q.shape[1:3]
        size = next(block for block in BLOCKS if length % block == 0)
        blocks = splash.BlockSizes(
            block_q=size, block_kv=size, block_q_dkv=size, block_kv_dkv=size, block_q_dq=size, block_kv_dq=size
        )
        mask = splash.MultiHeadMask([_mask(sight, plain, length)] * heads)
        kernel = splash.make_splash_mha(
            mask, block_sizes=blocks, head_shards=1, q_seq_shards=1, attn_logits_soft_cap=softcap, interpret=interpret
        )
        q, k, v = (jnp.swapaxes(a, 1, 2) for a in (q * jnp.asarray(scale, q.dtype), k, v))
        out = jax.vmap(lambda q, k, v, n: kernel(q, k, v, splash.SegmentIds(n, n)))(q, k, v, numbers)
        return jnp.swapaxes(out, 1, 2)

    return run


def _mask(sight: Sight, plain: bool, length: int) -> Any:
    """The part of what is seen that goes by place; None where it cannot be told by places alone."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    shape, causal = (length, length), sight.visibility == "causal"
    if sight.visibility == "prefix":
        return None
    if sight.chunk is not None:
        alone = plain and causal and sight.window is None
        return masks.ChunkedCausalMask(shape, sight.chunk) if alone else None
    if sight.window is not None:
        return masks.LocalMask(shape, (sight.window - 1, 0 if causal else sight.window - 1), offset=0)
    return masks.CausalMask(shape) if causal else masks.FullMask(shape)
