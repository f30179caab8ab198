from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5,
    "max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 4.0, "beta_slow": 0.5, "truncate": True,
    "original_max_position_embeddings": 16,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="clipped",
        config=TINY
        | {
            "num_hidden_layers": 4,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            "swiglu_alpha": 1.1,
            "swiglu_limit": 0.4,
            "attention_bias": False,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "num_experts_per_tok": 3,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-3,
            "rope_parameters": YARN,
        },
    ),
    Case(
        name="exact",
        config=TINY
        | {
            "swiglu_limit": 0.7,
            "layer_types": ["full_attention", "full_attention"],
            "rope_theta": 5000.0,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 8.0,
                "truncate": False,
                "beta_fast": 3.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
)

PUBLISHED = {
    "openai/gpt-oss-20b": {
        "architectures": ["GptOssForCausalLM"], "attention_bias": True, "attention_dropout": 0.0,
        "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
        "initial_context_length": 4096, "initializer_range": 0.02, "intermediate_size": 2880,
        "layer_types": ["sliding_attention", "full_attention"] * 12, "max_position_embeddings": 131072,
        "model_type": "gpt_oss", "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24,
        "num_key_value_heads": 8, "num_local_experts": 32, "output_router_logits": False, "pad_token_id": 199999,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 4096,
            "rope_type": "yarn", "truncate": False,
        },
        "rope_theta": 150000, "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
        "tie_word_embeddings": False, "transformers_version": "4.55.0.dev0", "use_cache": True, "vocab_size": 201088,
    },
}  # fmt: skip
"""Without ``quantization_config``: as it is published in bfloat16."""
