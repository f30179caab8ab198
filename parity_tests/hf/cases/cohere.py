from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 16}

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="normed",
        config=TINY
        | {
            "use_qk_norm": True, "logit_scale": 0.8333, "layer_norm_eps": 1e-3, "rope_theta": 300.0,
            "attention_dropout": 0.1,
        },
    ),
    Case(
        name="biased",
        config=TINY
        | {
            "use_qk_norm": True, "head_dim": 12, "num_key_value_heads": 1, "attention_bias": True,
            "tie_word_embeddings": False, "hidden_act": "gelu", "rope_parameters": YARN,
        },
    ),
    Case(
        name="linear",
        config=TINY | {"rope_scaling": {"type": "linear", "factor": 2.0}, "num_key_value_heads": None},
    ),
)  # fmt: skip

PUBLISHED = {
    "c4ai-command-r-v01": {
        "architectures": ["CohereForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 5,
        "eos_token_id": 255001, "hidden_act": "silu", "hidden_size": 8192, "initializer_range": 0.02,
        "intermediate_size": 22528, "layer_norm_eps": 1e-05, "logit_scale": 0.0625, "max_position_embeddings": 8192,
        "model_max_length": 131072, "model_type": "cohere", "num_attention_heads": 64, "num_hidden_layers": 40,
        "num_key_value_heads": 64, "pad_token_id": 0, "pretraining_tp": 1, "rope_theta": 8000000.0,
        "torch_dtype": "float16", "transformers_version": "4.38.2", "use_cache": True, "vocab_size": 256000,
    },
    "c4ai-command-r-plus": {
        "architectures": ["CohereForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 5,
        "eos_token_id": 255001, "hidden_act": "silu", "hidden_size": 12288, "initializer_range": 0.02,
        "intermediate_size": 33792, "layer_norm_eps": 1e-05, "logit_scale": 0.8333333333333334,
        "max_position_embeddings": 131072, "model_type": "cohere", "num_attention_heads": 96,
        "num_hidden_layers": 64, "num_key_value_heads": 8, "pad_token_id": 0, "rope_theta": 75000000.0,
        "torch_dtype": "float16", "transformers_version": "4.40.0.dev0", "use_cache": True, "use_qk_norm": True,
        "vocab_size": 256000,
    },
}  # fmt: skip
