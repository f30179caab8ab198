"""The loss of tokens, from all logits at once or from some at a time."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from archlab.losses import TokenLoss


def cross_entropy(logits: Any, targets: Any, how: TokenLoss, weights: Any = None) -> tuple[Any, Any, Any]:
    """(Σ loss, Σ nll, number of targets ≥ 0) of logits (B, T, V), in float32 at least."""
    return _sums(token_losses(logits, targets, how), targets, weights)


def token_losses(logits: Any, targets: Any, how: TokenLoss) -> Any:
    """(B, T, 2): loss and nll at each target; 0 where it is below 0."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    flat = F.cross_entropy(logits.flatten(0, 1), targets.flatten().clamp(min=-1), ignore_index=-1, reduction="none")
    nll = loss = flat.view(targets.shape)
    if not how.plain:
        log_z = torch.logsumexp(logits, dim=-1)
        smooth = how.label_smoothing
        loss = (1 - smooth) * nll + smooth * (log_z - logits.mean(dim=-1)) + how.z_loss * log_z.square()
        loss = torch.where(targets >= 0, loss, torch.zeros_like(loss))
    return torch.stack([loss, nll], dim=-1)


def summed(losses: Any, targets: Any, weights: Any = None) -> tuple[Any, Any, Any]:
    """(Σ loss, Σ nll, number of targets ≥ 0) of losses (B, T, 2), each times its weight (B, T) where there are any."""
    return _sums(losses * (targets >= 0)[..., None], targets, weights)


def _sums(losses: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
    """:func:`summed` of losses that are 0 where a target is below 0."""
    losses = losses if weights is None else losses * weights[..., None].to(losses.dtype)
    total, nll = losses.sum(dim=(0, 1))
    return total, nll, (targets >= 0).sum()


class Chunks:
    """The losses of all targets with the logits of ``size`` places a row at a time; the backward pass makes them anew.

    A context's score (:meth:`archlab.context.Context.answer`). ``used`` tells whether a model asked for it.
    """

    def __init__(self, targets: Any, how: TokenLoss, size: int) -> None:
        self.targets, self.how, self.size, self.used = targets, how, size, False

    def __call__(self, head: Callable[[Any], Any], x: Any) -> Any:
        self.used = True

        def losses(x: Any, targets: Any) -> Any:
            return token_losses(head(x), targets, self.how)

        pieces = zip(x.split(self.size, dim=1), self.targets.split(self.size, dim=1), strict=True)
        return torch.cat([checkpoint(losses, *piece, use_reentrant=False) for piece in pieces], dim=1)
