"""Scaled dot-product attention behind one signature."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from archlab.errors import InputError
from archlab.ops import masked_softmax, upcast

FUSED_LACKS = ("bias", "softcap", "dropout", "sink")


def check_kernel(kernel: str, asked: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputError` where ``kernel`` lacks something that ``asked`` says is wanted."""
    if kernel == "flex":
        raise InputError(f"{where}: policy.attention=flex is PyTorch's; set policy.attention=auto for the jax backend")
    for feature in FUSED_LACKS:
        if kernel == "fused" and asked[feature]:
            raise InputError(f"{where}: policy.attention=fused takes no {feature} in JAX; set policy.attention=dense")


def attend(
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: float,
    mask: Any | None,
    causal: bool,
    bias: Any | None,
    softcap: float | None,
    sink: Any | None,
    drop: Callable[[Any], Any] | None,
    kernel: str,
) -> Any:
    """softmax(cap(q kᵀ · scale + bias)) v.

    q (B, T, H, K), k and v (B, S, G, K) → (B, T, H, K). ``mask`` (B, T, S) says which keys are seen; None
    where ``causal`` says it all (T = S, every row sees itself) or everything is seen. ``bias`` (B, H, T, S).
    ``sink`` (H) scores that each row sees too, without a value. ``drop`` is applied to the weights. Rows that see
    nothing give 0.
    """
    asked = {"bias": bias is not None, "softcap": softcap, "dropout": drop, "sink": sink is not None}
    check_kernel(kernel, asked, "attention")
    simple = not any(asked.values())
    if kernel == "fused" or (kernel == "auto" and simple and _has_cudnn(q)):
        return _fused(q, k, v, scale, mask, causal)
    return _dense(q, k, v, scale, mask, causal, bias, softcap, sink, drop)


def _has_cudnn(q: Any) -> bool:
    return jax.default_backend() == "gpu" and q.dtype in (jnp.bfloat16, jnp.float16)


def _fused(q: Any, k: Any, v: Any, scale: float, mask: Any | None, causal: bool) -> Any:
    implementation: Any = "cudnn" if _has_cudnn(q) else "xla"
    if mask is None:
        return jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=causal, implementation=implementation)
    seen = jnp.any(mask, axis=-1)  # a row that sees nothing is let see everything, then set to 0
    opened = (mask | ~seen[..., None])[:, None]
    out = jax.nn.dot_product_attention(q, k, v, mask=opened, scale=scale, implementation=implementation)
    return jnp.where(seen[:, :, None, None], out, 0)


def _dense(
    q: Any, k: Any, v: Any, scale: float, mask: Any, causal: bool, bias: Any, softcap: Any, sink: Any, drop: Any
) -> Any:
    batch, length, heads, size = q.shape
    groups = k.shape[2]
    q = q.reshape(batch, length, groups, heads // groups, size)
    precise = upcast(jnp, q).dtype
    early = q.dtype == precise  # q is smaller than the scores; in low precision scaling it would round
    scores = jnp.einsum("BTGRK,BSGK->BGRTS", q * scale if early else q, k, preferred_element_type=precise)
    scores = scores if early else scores * scale
    if bias is not None:
        scores = scores + bias.reshape(batch, groups, heads // groups, *bias.shape[2:])
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], dtype=bool)), scores, -jnp.inf)
    if sink is not None:
        if mask is not None:  # a row sees the sink at least; LLVM cannot compile a longer mask for every CPU
            scores, mask = jnp.where(mask[:, None, None], scores, -jnp.inf), None
        extra = sink.astype(precise).reshape(1, groups, -1, 1, 1)
        scores = jnp.concatenate([scores, jnp.broadcast_to(extra, (*scores.shape[:-1], 1))], axis=-1)
    weights = softmax(scores) if mask is None else masked_softmax(jnp, scores, mask[:, None, None])
    weights = weights[..., : k.shape[1]].astype(q.dtype)
    if drop is not None:
        weights = drop(weights)
    out = jnp.einsum("BGRTS,BSGK->BTGRK", weights, v)
    return out.reshape(batch, length, heads, size)


@jax.custom_jvp
def softmax(scores: Any) -> Any:
    """Softmax over the last axis, with its derivative w ⊙ (ż − Σ w ż) in the form that XLA fuses best."""
    powers = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


@softmax.defjvp
def _softmax_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    weights = softmax(primals[0])
    return weights, weights * (tangents[0] - jnp.sum(weights * tangents[0], axis=-1, keepdims=True))
