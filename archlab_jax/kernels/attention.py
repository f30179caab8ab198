"""Scaled dot-product attention behind one signature."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from archlab.errors import InputError
from archlab.masks import Seen
from archlab.ops import LOWEST, upcast
from archlab.policy import Policy
from archlab_jax.kernels import splash
from archlab_jax.runtime import devices

FUSED_LACKS = ("bias", "softcap", "dropout", "sink")
BLOCK, BLOCKS = 128, 8  # of queries on CPUs: how many a block has at least, and how many blocks there are at most


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
    seen: Seen,
    bias: Any | None,
    softcap: float | None,
    sink: Any | None,
    drop: Callable[[Any], Any] | None,
    policy: Policy,
) -> Any:
    """softmax(cap(q kᵀ · scale + bias)) v over the keys that are ``seen``, by the policy's kernel.

    q (B, T, H, K), k and v (B, S, G, K) → (B, T, H, K). ``bias`` (B, H, T, S). ``sink`` (H) scores that each row sees
    too, without a value. ``drop`` is applied to the weights. Rows that see nothing give 0. k and v may come in parts
    along S.
    """
    asked = {"bias": bias is not None, "softcap": softcap, "dropout": drop, "sink": sink is not None}
    check_kernel(policy.attention, asked, "attention")
    some = k[0] if isinstance(k, tuple) else k
    kernel = pick(q, some, seen, asked, policy) if policy.attention == "auto" else policy.attention

    if kernel != "dense":
        k, v = (jnp.concatenate(a, axis=1) if isinstance(a, tuple) else a for a in (k, v))

    def dense(q: Any, k: Any, v: Any) -> Any:
        if not seen.causal or drop is not None or devices(policy)[0].platform != "cpu":
            return _dense(q, k, v, scale, seen.dense(), seen.causal, bias, softcap, sink, drop)
        return _in_blocks(q, k, v, scale, bias, softcap, sink)

    if kernel == "splash":
        return splash.attend(q, k, v, scale=scale, seen=seen, softcap=softcap, policy=policy, otherwise=dense)
    return _fused(q, k, v, scale, seen, policy) if kernel == "fused" else dense(q, k, v)


def pick(q: Any, k: Any, seen: Seen, asked: Mapping[str, Any], policy: Policy) -> str:
    """The kernel that "auto" stands for: cuDNN's on GPUs, the splash kernel on TPUs, else plain products."""
    device = devices(policy)[0]
    lacking = {feature for feature in FUSED_LACKS if asked[feature]}
    if not lacking and cudnn_takes(q, k, seen, device):
        return "fused"
    if device.platform == "tpu" and not lacking - {"softcap"} and splash.takes(q, k, seen, policy):
        return "splash"
    return "dense"


def cudnn_takes(q: Any, k: Any, seen: Seen, device: Any) -> bool:
    """Whether cuDNN's attention runs there: JAX raises for what it cannot do, and says so nowhere before.

    Heads of up to 256 numbers from Hopper on and 128 before it, a multiple of 8; with a mask lengths are even.
    """
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    size, most = q.shape[-1], 256 if float(device.compute_capability) >= 9.0 else 128
    even = (q.shape[1] % 2 == 0 and k.shape[1] % 2 == 0) or seen.mask is None or _window(seen) is not None
    return q.dtype in (jnp.bfloat16, jnp.float16) and size % 8 == 0 and size <= most and even


def _window(seen: Seen) -> int | None:
    """The window of whole rows under a causal mask: cuDNN leaves out what lies before it, where it is told so."""
    sight = seen.sight
    bare = sight is not None and seen.ctx.plain and sight.visibility == "causal" and sight.chunk is None
    return sight.window if sight is not None and bare else None


def _fused(q: Any, k: Any, v: Any, scale: float, seen: Seen, policy: Policy) -> Any:
    cudnn = cudnn_takes(q, k, seen, devices(policy)[0])
    attention = functools.partial(
        jax.nn.dot_product_attention, q, k, v, scale=scale, implementation="cudnn" if cudnn else "xla"
    )
    window = _window(seen)
    if window is not None:
        return attention(is_causal=True, local_window_size=(window - 1, 0))
    mask = seen.dense()
    if mask is None:
        return attention(is_causal=seen.causal)
    some = jnp.any(mask, axis=-1)  # a row that sees nothing is let see everything, then set to 0
    out = attention(mask=(mask | ~some[..., None])[:, None])
    return jnp.where(some[:, :, None, None], out, 0)


def _in_blocks(q: Any, k: Any, v: Any, scale: float, bias: Any, softcap: Any, sink: Any) -> Any:
    """What each token sees of the tokens up to itself, without what a block of queries sees nothing of.

    That is a quarter of all with two blocks, and nearly a half with many; what is compiled grows with them.
    """
    length = q.shape[1]
    size = max(BLOCK, -(-length // BLOCKS))
    parts = []
    for start in range(0, length, size):
        end = min(start + size, length)
        own = None if bias is None else bias[:, :, start:end, :end]
        parts.append(_dense(q[:, start:end], k[:, :end], v[:, :end], scale, None, True, own, softcap, sink, None))
    return jnp.concatenate(parts, axis=1)


def _dense(
    q: Any, k: Any, v: Any, scale: float, mask: Any, causal: bool, bias: Any, softcap: Any, sink: Any, drop: Any
) -> Any:
    """Heads are brought before tokens first: XLA's CPU backend multiplies what lies side by side at twice the speed."""
    batch, length, heads, size = q.shape
    ks, vs = ([jnp.moveaxis(part, 1, 2) for part in (a if isinstance(a, tuple) else (a,))] for a in (k, v))
    groups, ends = ks[0].shape[1], np.cumsum([part.shape[2] for part in ks])
    q = jnp.moveaxis(q.reshape(batch, length, groups, heads // groups, size), 1, 3)
    precise = upcast(jnp, q).dtype
    early = q.dtype == precise  # q is smaller than the scores; in low precision scaling it would round
    q = q * scale if early else q
    parts = [jnp.einsum("BGRTK,BGSK->BGRTS", q, part, preferred_element_type=precise) for part in ks]
    scores = parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
    scores = scores if early else scores * scale
    if bias is not None:
        scores = scores + bias.reshape(batch, groups, heads // groups, *bias.shape[2:])
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    if causal:
        before = ends[-1] - length  # the first query sees these keys too
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], dtype=bool), before), scores, -jnp.inf)
    if sink is not None:
        if mask is not None:  # a row sees the sink at least; LLVM cannot compile a longer mask for every CPU
            scores, mask = jnp.where(mask[:, None, None], scores, -jnp.inf), None
        extra = sink.astype(precise).reshape(1, groups, -1, 1, 1)
        scores = jnp.concatenate([scores, jnp.broadcast_to(extra, (*scores.shape[:-1], 1))], axis=-1)
    weights = softmax(scores) if mask is None else masked_softmax(scores, mask[:, None, None])
    weights = weights[..., : ends[-1]].astype(q.dtype)
    if drop is not None:
        weights = drop(weights)
    shares = jnp.split(weights, ends[:-1], axis=-1)
    out = sum(jnp.einsum("BGRTS,BGSK->BGRTK", share, part) for share, part in zip(shares, vs, strict=True))
    return jnp.moveaxis(out, 3, 1).reshape(batch, length, heads, size)


def masked_softmax(scores: Any, mask: Any) -> Any:
    """:func:`archlab.ops.masked_softmax` with the derivative of :func:`softmax`."""
    lowered = jnp.where(mask, scores, LOWEST)
    some = jnp.max(lowered, axis=-1, keepdims=True) > LOWEST / 2
    return softmax(lowered) * some.astype(scores.dtype)


@jax.custom_jvp
def softmax(scores: Any) -> Any:
    """Softmax over the last axis, with its derivative w ⊙ (ż − Σ w ż) in the form that XLA fuses best."""
    powers = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


@softmax.defjvp
def _softmax_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    weights = softmax(primals[0])
    return weights, weights * (tangents[0] - jnp.sum(weights * tangents[0], axis=-1, keepdims=True))
