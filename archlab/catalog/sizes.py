"""The sizes of every entry, a line each: what its function reads, and the ``length`` that it is meant for.

All are toys, of 0.1 to 2 million parameters, in the proportions of what was published as far as the size allows.
A vocabulary of 256 is bytes.
"""

from collections.abc import Mapping

Sizes = dict[str, int]

SIZES: Mapping[str, Sizes] = {
    "bart": Sizes(vocab=256, length=256, width=96, layers=3, heads=4, hidden=384),
    "bert": Sizes(vocab=256, length=512, width=128, layers=4, heads=4),
    "deepseek-v3": Sizes(
        vocab=256, length=1024, width=96, layers=4, dense=1, heads=4, rank=32, query_rank=48, content=24, rotary=8,
        hidden=256, experts=16, chosen=4, groups=4, chosen_groups=2, expert_hidden=32, original=32,
    ),
    "falcon-h1": Sizes(
        vocab=256, length=512, width=96, layers=4, heads=4, kv_heads=2, head_size=24, hidden=256, state_heads=6,
        state_head_size=24, state_size=32,
    ),
    "gemma-3": Sizes(
        vocab=256, length=512, width=96, layers=8, heads=4, kv_heads=1, head_size=32, hidden=384, window=64
    ),
    "gpt-936k": Sizes(vocab=500, length=128, width=128, layers=4, heads=4, hidden=512),
    "gpt-oss": Sizes(
        vocab=256, length=1024, width=96, layers=4, heads=8, kv_heads=1, head_size=16, hidden=96, experts=8, chosen=4,
        window=32, original=32,
    ),
    "gpt2": Sizes(vocab=256, length=512, width=128, layers=6, heads=4),
    "griffin": Sizes(vocab=256, length=512, width=96, layers=6, heads=4, hidden=288, window=64),
    "hyso-decoder": Sizes(vocab=256, length=512, width=128, layers=4, heads=4, hidden=344),
    "hyso-encoder": Sizes(vocab=256, length=512, width=128, layers=4, heads=4, hidden=344),
    "hyso-seq2seq": Sizes(vocab=256, length=512, width=96, layers=3, heads=4, hidden=256),
    "llama-3": Sizes(vocab=256, length=512, width=128, layers=4, heads=8, kv_heads=2, hidden=448, original=32),
    "mamba-2": Sizes(vocab=256, length=512, width=96, layers=6, head_size=32, state_size=32),
    "mini-bert": Sizes(vocab=256, length=128, width=64, layers=2, heads=4),
    "mini-gpt": Sizes(vocab=256, length=256, width=128, layers=4, heads=4, hidden=512),
    "mini-llama": Sizes(vocab=256, length=256, width=128, layers=4, heads=4, kv_heads=2, hidden=344),
    "mixtral": Sizes(
        vocab=256, length=512, width=128, layers=4, heads=8, kv_heads=2, hidden=112, experts=8, chosen=2
    ),
    "modernbert": Sizes(vocab=256, length=1024, width=96, layers=7, heads=4, hidden=144, window=32),
    "nano-palm": Sizes(vocab=256, length=512, width=128, layers=4, heads=4, head_size=32),
    "qwen3-next": Sizes(
        vocab=256, length=512, width=96, layers=4, heads=4, kv_heads=1, head_size=32, state_heads=4, state_key_heads=2,
        state_head_size=24, experts=16, chosen=4, hidden=24,
    ),
    "rwkv-7": Sizes(
        vocab=256, length=512, width=96, layers=4, heads=4, decay_rank=16, rate_rank=16, value_rank=8, gate_rank=32
    ),
    "small-t5": Sizes(vocab=256, length=256, width=64, layers=3, heads=4, head_size=16, hidden=256),
    "t5": Sizes(vocab=256, length=512, width=96, layers=4, heads=6, head_size=16, hidden=192),
    "tiny-gpt": Sizes(vocab=256, length=256, width=64, layers=4, heads=4, hidden=256),
    "vit": Sizes(image=32, patch=4, classes=10, length=65, width=128, layers=4, heads=4),
}  # fmt: skip
