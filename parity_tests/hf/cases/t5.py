from typing import Any

from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "d_model": 32, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "layer_norm_epsilon": 1e-3,
}  # fmt: skip


def untie(module: Any) -> None:
    """A head of its own, as checkpoints of 1.1 have it whatever the config says."""
    module.lm_head.weight = type(module.lm_head.weight)(module.lm_head.weight.detach().clone())
    module.all_tied_weights_keys.pop("lm_head.weight")


CASES = (
    Case(name="plain", config=TINY | {"decoder_start_token_id": 0}),
    Case(
        name="gated",
        config=TINY
        | {
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "num_decoder_layers": 3,
            "num_layers": 1,
            "relative_attention_num_buckets": 12,
            "relative_attention_max_distance": 9,
            "dropout_rate": 0.2,
            "decoder_start_token_id": 3,
        },
        prepare=untie,
    ),
    Case(
        name="unscaled",
        config=TINY | {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False, "num_decoder_layers": 1},
        length=31,
    ),
    Case(name="gelu", config=TINY | {"feed_forward_proj": "gelu", "d_kv": 8}, prepare=untie),
)

PUBLISHED = {
    "t5-small": {
        "architectures": ["T5ForConditionalGeneration"], "d_ff": 2048, "d_kv": 64, "d_model": 512,
        "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "initializer_factor": 1.0,
        "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "model_type": "t5", "n_positions": 512,
        "num_heads": 8, "num_layers": 6, "output_past": True, "pad_token_id": 0,
        "relative_attention_num_buckets": 32, "task_specific_params": {}, "vocab_size": 32128,
    },
    "flan-t5-small": {
        "architectures": ["T5ForConditionalGeneration"], "d_ff": 1024, "d_kv": 64, "d_model": 512,
        "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0, "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "model_type": "t5",
        "n_positions": 512, "num_decoder_layers": 8, "num_heads": 6, "num_layers": 8, "output_past": True,
        "pad_token_id": 0, "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
        "task_specific_params": {}, "tie_word_embeddings": False, "transformers_version": "4.23.1",
        "use_cache": True, "vocab_size": 32128,
    },
}  # fmt: skip
