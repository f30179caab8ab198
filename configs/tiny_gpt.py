"""A tiny GPT-2-like model on the source text of Python's own standard library, byte by byte.

archlab train configs/tiny_gpt.py --backend torch
archlab train configs/tiny_gpt.py --backend jax
"""

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.config_files import to_config_dict
from archlab.data.config import DataConfig
from archlab.data.tokenizers import ByteTokenizer
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import WarmupCosine
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.run_config import RunConfig, TrainConfig
from archlab.stack import Stack

VOCAB, WIDTH, HEADS, LAYERS, LENGTH, STEPS = 256, 128, 4, 4, 128, 300


def get_config():
    """0.83 million parameters, 300 steps of 1,024 bytes."""
    init, out_init = Normal(std=0.02), Normal(std=0.02 / (2 * LAYERS) ** 0.5)
    norm = LayerNorm(epsilon=1e-5, bias=True)
    layer = Block(
        mixer=Attention(
            heads=HEADS,
            kv_heads=HEADS,
            visibility="causal",
            bias=True,
            out_bias=True,
            init=init,
            out_init=out_init,
        ),
        channel=MLP(hidden=4 * WIDTH, activation=GELUTanh(), bias=True, init=init, out_init=out_init),
        residual=PreNorm(norm=norm),
    )
    model = LanguageModel(
        vocab=VOCAB,
        width=WIDTH,
        embedding_init=init,
        positions=LearnedPositions(length=LENGTH, init=init),
        stack=Stack(pattern=(layer,), repeat=LAYERS),
        norm=norm,
        head=None,  # tied to the embedding
    )
    data = DataConfig(dataset="python-stdlib", tokenizer=ByteTokenizer(), length=LENGTH, batch=8)
    train = TrainConfig(
        steps=STEPS,
        optimizer=AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1),
        schedule=WarmupCosine(peak=2e-3, floor=2e-4, warmup=20, steps=STEPS),
        clip=1.0,
        log_every=5,
        eval_every=50,
        eval_batches=10,
        checkpoint_every=100,
    )
    return to_config_dict(RunConfig(model=model, data=data, train=train))
