from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_local_experts": 4, "max_position_embeddings": 64,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="window",
        config=TINY
        | {
            "sliding_window": 5,
            "head_dim": 12,
            "num_key_value_heads": 1,
            "num_experts_per_tok": 3,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-3,
            "rope_theta": 5000.0,
            "rope_scaling": {"type": "linear", "factor": 2.0},
        },
    ),
    Case(
        name="one-expert",
        config=TINY
        | {
            "num_experts_per_tok": 1,
            "hidden_act": "gelu",
            "head_dim": 8,
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        },
    ),
)

PUBLISHED = {
    "mistralai/Mixtral-8x7B-v0.1": {
        "architectures": ["MixtralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "model_type": "mixtral", "num_attention_heads": 32,
        "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8,
        "output_router_logits": False, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "router_aux_loss_coef": 0.02, "sliding_window": None, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.36.0.dev0", "use_cache": True, "vocab_size": 32000,
    },
}  # fmt: skip
