"""karpathy/nanoGPT: its own model and optimiser, imported from a checkout, stepped as its train.py does.

Eager, in float32, without gradient accumulation; its GradScaler is switched off, as train.py does for float32.
"""

import contextlib
import io
from typing import Any

import torch
from case import ADAMW, CLIP, RATE, Batch, Case
from contestant import Contestant, each
from model import GPT, GPTConfig  # nanoGPT's model.py

from peers.hf_names import hf_weights
from peers.torch_loop import load, set_up, tensor

TURNED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def start(case: Case) -> Contestant:
    set_up(case)
    shape = case.shape
    sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.width, "block_size": shape.length}
    given = {name: array.T.copy() if name.endswith(TURNED) else array for name, array in hf_weights(case).items()}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it builds
        net = GPT(GPTConfig(vocab_size=shape.vocab, dropout=0.0, bias=True, **sizes))
        load(net, given)
        net.to(case.device)
        optimizer = net.configure_optimizers(ADAMW.weight_decay, RATE, (ADAMW.beta1, ADAMW.beta2), case.device)
    assert optimizer.defaults["eps"] == ADAMW.epsilon
    scaler = torch.amp.GradScaler(case.device, enabled=False)

    def step(batch: Batch) -> Any:
        for group in optimizer.param_groups:
            group["lr"] = RATE
        _, loss = net(tensor(batch["tokens"], case.device), tensor(batch["targets"], case.device))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Contestant(parameters=sum(p.numel() for p in net.parameters()), train=each(step))
