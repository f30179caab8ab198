from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "attention_window_size": 6,
}  # fmt: skip

CASES = (
    Case(
        name="plain",
        config=TINY | {"num_key_value_heads": 1, "lru_width": 32},
    ),
    Case(
        name="wide",
        config=TINY
        | {
            "lru_width": 40,
            "head_dim": 12,
            "block_types": ["attention", "recurrent"],
            "conv1d_width": 3,
            "attention_bias": True,
            "hidden_activation": "silu",
            "logits_soft_cap": 3.0,
            "partial_rotary_factor": 1.0,
            "rope_theta": 500.0,
            "rms_norm_eps": 1e-3,
            "num_hidden_layers": 3,
            "tie_word_embeddings": False,
        },
    ),
    Case(
        name="attention",
        config=TINY
        | {"block_types": ["attention"], "num_hidden_layers": 2, "num_key_value_heads": 2}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
    ),
    Case(name="recurrent", config=TINY | {"block_types": ["recurrent"], "num_hidden_layers": 2, "use_cache": False}),
)

PUBLISHED = {
    "google/recurrentgemma-2b": {
        "_block_types": ["recurrent", "recurrent", "attention"], "architectures": ["RecurrentGemmaForCausalLM"],
        "attention_bias": False, "attention_dropout": 0.0, "attention_window_size": 2048,
        "block_types": ["recurrent", "recurrent", "attention"], "bos_token_id": 2, "conv1d_width": 4,
        "embeddings_scale_by_sqrt_dim": True, "eos_token_id": 1, "final_w_init_variance_scale": 0.07692307692307693,
        "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2560, "intermediate_size": 15360,
        "logits_soft_cap": 30.0, "lru_width": 2560, "model_type": "recurrent_gemma", "num_attention_heads": 10,
        "num_hidden_layers": 26, "num_key_value_heads": 1, "pad_token_id": 0, "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "torch_dtype": "float32", "transformers_version": "4.40.0.dev0",
        "use_cache": True, "vocab_size": 256000, "w_init_variance_scale": 0.01,
    },
}  # fmt: skip
