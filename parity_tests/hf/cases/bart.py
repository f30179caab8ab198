from typing import Any

from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "d_model": 32, "encoder_ffn_dim": 40, "decoder_ffn_dim": 24, "encoder_layers": 2,
    "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 2, "max_position_embeddings": 40,
}  # fmt: skip


def bias(module: Any) -> None:
    """A bias of the logits that is not zero."""
    module.final_logits_bias.normal_()


CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="scaled",
        config=TINY
        | {
            "scale_embedding": True,
            "activation_function": "gelu_new",
            "decoder_layers": 3,
            "encoder_layers": 1,
            "decoder_start_token_id": 5,
            "dropout": 0.2,
            "attention_dropout": 0.3,
        },
        prepare=bias,
    ),
    Case(name="relu", config=TINY | {"activation_function": "relu", "encoder_attention_heads": 1}, prepare=bias),
)

LARGE = {
    "activation_dropout": 0.1, "activation_function": "gelu", "add_bias_logits": False, "add_final_layer_norm": False,
    "attention_dropout": 0.1, "bos_token_id": 0, "classif_dropout": 0.1, "classifier_dropout": 0.0, "d_model": 1024,
    "decoder_attention_heads": 16, "decoder_ffn_dim": 4096, "decoder_layerdrop": 0.0, "decoder_layers": 12,
    "decoder_start_token_id": 2, "dropout": 0.1, "early_stopping": True, "encoder_attention_heads": 16,
    "encoder_ffn_dim": 4096, "encoder_layerdrop": 0.0, "encoder_layers": 12, "eos_token_id": 2,
    "forced_eos_token_id": 2, "gradient_checkpointing": False, "init_std": 0.02, "is_encoder_decoder": True,
    "max_position_embeddings": 1024, "model_type": "bart", "no_repeat_ngram_size": 3, "normalize_before": False,
    "num_beams": 4, "num_hidden_layers": 12, "pad_token_id": 1, "scale_embedding": False, "use_cache": True,
    "vocab_size": 50265,
}  # fmt: skip
PUBLISHED = {
    "bart-large": LARGE | {"architectures": ["BartModel"], "normalize_embedding": True, "forced_bos_token_id": 0},
    "bart-large-cnn": LARGE
    | {
        "_num_labels": 3, "architectures": ["BartForConditionalGeneration"], "force_bos_token_to_be_generated": True,
        "length_penalty": 2.0, "max_length": 142, "min_length": 56, "output_past": True, "prefix": " ",
        "task_specific_params": {}, "vocab_size": 50264, "attention_dropout": 0.0, "activation_dropout": 0.0,
    },
}  # fmt: skip
