from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": None,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY | {"rope_theta": 500000.0}),
    Case(
        name="grouped",
        config=TINY
        | {
            "num_key_value_heads": 1,
            "head_dim": 12,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-3,
            "hidden_act": "gelu",
            "rope_scaling": {"type": "linear", "factor": 2.0},
        },
    ),
    Case(
        name="dynamic",
        config=TINY
        | {
            "num_key_value_heads": 2,
            "max_position_embeddings": 10,
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        },
    ),
)

PUBLISHED = {
    "OLMo 2 7B": {
        "architectures": ["Olmo2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "eos_token_id": 100257, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 100277, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False, "torch_dtype": "float32",
        "transformers_version": "4.47.0.dev0", "use_cache": False, "vocab_size": 100352,
    },
}  # fmt: skip
