"""karpathy/nanoGPT: its own model and optimiser, imported from a checkout, stepped as its train.py does.

Eager, in float32, without gradient accumulation; its GradScaler is switched off, as train.py does for float32.
"""

import contextlib
import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from case import ADAMW, CLIP, RATE, Batch, Case, Shape, initial_weights
from harness import Contestant

from archlab.weights import Weights


def start(case: Case) -> Contestant:
    assert case.nanogpt is not None
    torch.set_num_threads(case.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # as train.py has it
    source, shape = _module(case.nanogpt / "model.py"), case.shape
    sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.width, "block_size": shape.length}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it builds
        net = source.GPT(source.GPTConfig(vocab_size=shape.vocab, dropout=0.0, bias=False, **sizes))
        net.load_state_dict(_state_dict(initial_weights(shape), shape))
        net.to(case.device)
        optimizer = net.configure_optimizers(ADAMW.weight_decay, RATE, (ADAMW.beta1, ADAMW.beta2), case.device)
    assert optimizer.defaults["eps"] == ADAMW.epsilon
    scaler = torch.amp.GradScaler(case.device, enabled=False)

    def tensor(array: np.ndarray) -> torch.Tensor:
        host = torch.from_numpy(array.astype(np.int64))
        return host.pin_memory().to(case.device, non_blocking=True) if case.device == "cuda" else host

    def step(batch: Batch) -> Any:
        for group in optimizer.param_groups:
            group["lr"] = RATE
        _, loss = net(tensor(batch["tokens"]), tensor(batch["targets"]))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Contestant(parameters=sum(p.numel() for p in net.parameters()), step=step)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _state_dict(weights: Weights, shape: Shape) -> dict[str, torch.Tensor]:
    """Canonical weights under nanoGPT's names: matrices are (out, in), query, key and value are one."""
    table = {
        "lm_head.weight": weights["embedding.table"],
        "transformer.wte.weight": weights["embedding.table"],
        "transformer.wpe.weight": weights["positions.table"],
        "transformer.ln_f.weight": weights["norm.scale"],
    }
    for i in range(shape.layers):
        ours, theirs = f"stack.layers.{i}", f"transformer.h.{i}"
        joint = [weights[f"{ours}.mixer.{name}.kernel"] for name in ("query", "key", "value")]
        table |= {
            f"{theirs}.ln_1.weight": weights[f"{ours}.mixer_residual.norm.scale"],
            f"{theirs}.attn.c_attn.weight": np.concatenate(joint, axis=1).T,
            f"{theirs}.attn.c_proj.weight": weights[f"{ours}.mixer.out.kernel"].T,
            f"{theirs}.ln_2.weight": weights[f"{ours}.channel_residual.norm.scale"],
            f"{theirs}.mlp.c_fc.weight": weights[f"{ours}.channel.up.kernel"].T,
            f"{theirs}.mlp.c_proj.weight": weights[f"{ours}.channel.down.kernel"].T,
        }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in table.items()}
