"""The training step around PyTorch models whose libraries leave it to their user."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import ADAMW, CLIP, RATE, Batch, Case
from contestant import Contestant, each


def set_up(case: Case) -> None:
    """Threads, and TF32 products on GPUs as nanoGPT's train.py has them."""
    torch.set_num_threads(case.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def tensor(array: np.ndarray, device: str) -> torch.Tensor:
    """Tokens or targets on the device, int64."""
    host = torch.from_numpy(array.astype(np.int64))
    return host.pin_memory().to(device, non_blocking=True) if device == "cuda" else host


def loop(case: Case, net: torch.nn.Module, loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Contestant:
    """PyTorch's own fused AdamW, its clipping, and nothing else. ``loss_of`` sees tokens and targets."""
    net.to(case.device).train()
    params = list(net.parameters())
    matrices, vectors = [p for p in params if p.ndim > 1], [p for p in params if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": ADAMW.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=RATE, betas=(ADAMW.beta1, ADAMW.beta2), eps=ADAMW.epsilon,
        fused=True,
    )  # fmt: skip

    def step(batch: Batch) -> Any:
        loss = loss_of(tensor(batch["tokens"], case.device), tensor(batch["targets"], case.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Contestant(parameters=sum(p.numel() for p in params), train=each(step))


def load(net: torch.nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Give a model all its parameters; buffers it may keep."""
    found = net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    named = {name for name, _ in net.named_parameters()}
    assert not found.unexpected_keys and not named & set(found.missing_keys), found
