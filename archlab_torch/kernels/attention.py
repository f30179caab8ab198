"""Scaled dot-product attention behind one signature."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from archlab.errors import InputError
from archlab.masks import Seen
from archlab_torch.kernels import block_masks, causal
from archlab_torch.kernels.linear import sums_rows

LACKS: dict[str, tuple[str, ...]] = {"fused": ("softcap", "dropout", "sink"), "flex": ("dropout", "sink")}
"""What a kernel cannot do."""
FLEX_CAPABILITY = (8, 0)  # of GPUs that the compiler behind FlexAttention writes all its kernels for


def check_kernel(kernel: str, asked: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputError` where ``kernel`` lacks something that ``asked`` says is wanted."""
    for feature in LACKS.get(kernel, ()):
        if asked[feature]:
            raise InputError(f"{where}: policy.attention={kernel} takes no {feature}; set policy.attention=dense")


def check_backward(kernel: str, device: torch.device) -> None:
    """Raise :class:`InputError` where ``kernel`` has no backward pass on ``device``."""
    if kernel == "flex" and device.type == "cpu":
        raise InputError("policy.attention=flex has no backward pass on the CPU; set policy.attention=auto to train")


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
    kernel: str,
) -> Any:
    """softmax(cap(q kᵀ · scale + bias)) v over the keys that are ``seen``.

    q (B, T, H, K), k and v (B, S, G, K) → (B, T, H, K). ``bias`` (B, H, T, S). ``sink`` (H) scores that each row sees
    too, without a value. ``drop`` is applied to the weights. Rows that see nothing give 0.
    """
    asked = {"softcap": softcap, "dropout": drop, "sink": sink is not None}
    check_kernel(kernel, asked, "attention")
    if kernel == "auto" and sums_rows(q.device, q.shape[1]):
        kernel = "dense"
    elif kernel == "auto":
        kernel = pick(q, seen, bias, asked)
        if kernel == "fused" and seen.causal and bias is None and causal.takes(q, k):
            return causal.attend(q, k, v, scale)
    if kernel == "flex":
        return _flex(q, k, v, scale, block_masks.of_call(seen), bias, softcap)
    if kernel == "fused":
        return _fused(q, k, v, scale, seen.dense(), seen.causal, bias)
    return _dense(q, k, v, scale, seen.dense(), seen.causal, bias, softcap, sink, drop)


def pick(q: Any, seen: Seen, bias: Any, asked: Mapping[str, Any]) -> str:
    """The kernel that "auto" stands for.

    FlexAttention leaves out blocks that no query sees and makes no mask of all pairs, and has a softcap. PyTorch's
    fused one is for what is causal or seen whole, and for biases; among its implementations PyTorch picks by device,
    dtype and the version of cuDNN (cuDNN's own from Hopper on, FlashAttention, one that takes masks).
    """
    masked = seen.mask is not None or asked["softcap"]
    lacking = bias is not None or any(asked[feature] for feature in LACKS["flex"])
    if masked and seen.sight is not None and not lacking and flex_runs(q.device, q.dtype, q.shape[-1]):
        return "flex"
    return "dense" if any(asked[feature] for feature in LACKS["fused"]) else "fused"


def flex_runs(device: torch.device, dtype: torch.dtype, size: int) -> bool:
    """Whether FlexAttention's compiled kernels, with their derivative, take heads of ``size`` there."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < FLEX_CAPABILITY:
        return False
    return dtype in (torch.float32, torch.bfloat16, torch.float16) and 16 <= size <= 256


def _fused(q: Any, k: Any, v: Any, scale: float, mask: Any, causal: bool, bias: Any) -> Any:
    grouped = q.shape[2] != k.shape[2]
    if mask is not None:
        seen = mask.any(dim=-1)  # a row that sees nothing is let see everything, then set to 0
        mask = (mask | ~seen[..., None])[:, None]
    if bias is not None:
        bias = bias.to(q.dtype)
        allowed = mask if mask is not None else (_tril(q, k) if causal else None)
        mask, causal_only = bias if allowed is None else bias.masked_fill(~allowed, -torch.inf), False
    else:
        causal_only = causal
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal_only, scale=scale, enable_gqa=grouped
    ).transpose(1, 2)  # fmt: skip
    if mask is not None and "seen" in locals():
        out = out.masked_fill(~seen[:, :, None, None], 0)
    return out


def _tril(q: Any, k: Any) -> Any:
    return torch.ones(q.shape[1], k.shape[1], dtype=torch.bool, device=q.device).tril()


def _flex(q: Any, k: Any, v: Any, scale: float, blocks: Any, bias: Any, softcap: float | None) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    def score(s: Any, b: Any, h: Any, t: Any, i: Any) -> Any:
        s = s if bias is None else s + bias[b, h, t, i]
        return s if softcap is None else softcap * torch.tanh(s / softcap)

    changed = score if bias is not None or softcap is not None else None
    kernel = block_masks.compiled(flex_attention, q.device)
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    out = kernel(q, k, v, score_mod=changed, block_mask=blocks, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    return out.transpose(1, 2)


def _dense(
    q: Any, k: Any, v: Any, scale: float, mask: Any, causal: bool, bias: Any, softcap: Any, sink: Any, drop: Any
) -> Any:
    repeats, dtype = q.shape[2] // k.shape[2], q.dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    if repeats > 1:
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    summed = sums_rows(q.device, q.shape[2])  # of all heads and rows: those products are of one row each
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3).to(wide)).sum(-1) if summed else q.to(wide) @ k.to(wide).mT
    scores = scores * scale
    if bias is not None:
        scores = scores + bias
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()[None]
    if mask is not None:
        seen = mask.any(dim=-1, keepdim=True)[:, None]
        scores = scores.masked_fill(~(mask[:, None] | ~seen), -torch.inf)
    if sink is not None:
        extra = sink.to(wide)[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, extra], dim=-1)
    weights = torch.softmax(scores, dim=-1)[..., : k.shape[2]].to(dtype)
    if mask is not None and not causal:
        weights = weights.masked_fill(~seen, 0)
    if drop is not None:
        weights = drop(weights)
    y = (weights.unsqueeze(-1) * v.unsqueeze(-3)).sum(-2) if summed else weights @ v
    return y.transpose(1, 2)
