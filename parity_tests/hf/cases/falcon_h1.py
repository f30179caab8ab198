from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "mamba_d_ssm": 48, "mamba_n_heads": 6, "mamba_d_state": 5, "mamba_chunk_size": 7,
}  # fmt: skip
MULTIPLIERS = {
    "embedding_multiplier": 5.656854249492381, "lm_head_multiplier": 0.1, "key_multiplier": 0.39062499999999994,
    "attention_in_multiplier": 1.3, "attention_out_multiplier": 0.9375, "ssm_in_multiplier": 1.25,
    "ssm_out_multiplier": 0.23570226039551587, "mlp_multipliers": [0.8838834764831844, 0.5859375],
    "ssm_multipliers": [0.3535533905932738, 0.25, 0.7, 0.5, 1.4],
}  # fmt: skip

CASES = (
    Case(name="multipliers", config=TINY | MULTIPLIERS | {"rope_theta": 1e11, "mamba_norm_before_gate": False}),
    Case(name="plain", config=TINY | {"tie_word_embeddings": True, "mamba_d_ssm": None, "mamba_n_heads": 8}),
    Case(
        name="norm-first",
        config=TINY
        | MULTIPLIERS
        | {
            "mamba_rms_norm": True,
            "mamba_n_groups": 3,
            "mamba_proj_bias": True,
            "mamba_conv_bias": False,
            "mamba_d_conv": 3,
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 12,
            "num_key_value_heads": 1,
            "hidden_act": "gelu",
            "rms_norm_eps": 1e-3,
        },
    ),
    Case(
        name="gate-first",
        config=TINY
        | {
            "mamba_rms_norm": True,
            "mamba_norm_before_gate": False,
            "projectors_bias": True,
            "num_key_value_heads": None,
            "time_step_limit": [0.9, 1.4],
            "rope_scaling": {"type": "linear", "factor": 2.0},
        },
        inexact={"generation": "with a cache transformers does not clip the steps, as its own code without one does"},
    ),
)

PUBLISHED = {
    "tiiuae/Falcon-H1-0.5B-Instruct": {
        "architectures": ["FalconH1ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "attention_in_multiplier": 1.0, "attention_out_multiplier": 0.9375, "attn_layer_indices": None,
        "bos_token_id": 1, "embedding_multiplier": 5.656854249492381, "eos_token_id": 11, "head_dim": 64,
        "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 2048,
        "key_multiplier": 0.39062499999999994, "lm_head_multiplier": 0.0390625, "mamba_chunk_size": 128,
        "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 64, "mamba_d_ssm": 1536, "mamba_d_state": 128,
        "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 24, "mamba_norm_before_gate": False,
        "mamba_proj_bias": False, "mamba_rms_norm": False, "mamba_use_mlp": True, "max_position_embeddings": 16384,
        "mlp_bias": False, "mlp_expansion_factor": 8, "mlp_multipliers": [0.8838834764831844, 0.5859375],
        "model_type": "falcon_h1", "num_attention_heads": 8, "num_hidden_layers": 36, "num_key_value_heads": 2,
        "num_logits_to_keep": 1, "pad_token_id": 0, "projectors_bias": False, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "rope_theta": 100000000000.0, "ssm_in_multiplier": 1.25,
        "ssm_multipliers": [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738],
        "ssm_out_multiplier": 0.23570226039551587, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.52.0.dev0", "use_cache": True, "vocab_size": 32784,
    },
}  # fmt: skip
