from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": None,
}  # fmt: skip
SHORT, LONG = [1.0, 1.1, 1.2, 1.3], [1.5, 2.0, 3.0, 5.0]
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": SHORT, "long_factor": LONG}

CASES = (
    Case(name="window", config=TINY | {"sliding_window": 5, "rope_theta": 1000.0, "hidden_act": "gelu"}),
    Case(
        name="part",
        config=TINY
        | {
            "partial_rotary_factor": 0.5,
            "head_dim": 12,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-3,
            "resid_pdrop": 0.1,
            "embd_pdrop": 0.1,
            "attention_dropout": 0.1,
        },
    ),
    Case(
        name="longrope",
        config=TINY | {"original_max_position_embeddings": 16, "rope_parameters": LONGROPE, "num_key_value_heads": 2},
    ),
    Case(
        name="longrope-short",
        config=TINY | {"original_max_position_embeddings": 24, "rope_scaling": LONGROPE | {"attention_factor": 1.4}},
        inexact={
            "generation": "where the text grows beyond the original length, transformers reads all of it anew at the "
            "other rates; archlab's decoder keeps the keys it has"
        },
    ),
    Case(
        name="su",
        config=TINY
        | {
            "original_max_position_embeddings": 10,
            "rope_theta": 500.0,
            "partial_rotary_factor": 0.5,
            "rope_scaling": {
                "type": "su",
                "short_factor": SHORT[:2],
                "long_factor": LONG[:2],
                "original_max_position_embeddings": 99,
            },
            "sliding_window": 7,
        },
    ),
)

_SHORT = [1.05] * 16 + [1.1, 1.15, 1.2, 1.25] * 8
_LONG = [1.03, 1.05, 1.09, 1.22] * 4 + [8.4, 20.1, 44.3, 63.6] * 8
PUBLISHED = {
    "Phi-3 mini 4k": {
        "_name_or_path": "Phi-3-mini-4k-instruct", "architectures": ["Phi3ForCausalLM"], "attention_dropout": 0.0,
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "bos_token_id": 1, "embd_pdrop": 0.0,
        "eos_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072, "initializer_range": 0.02,
        "intermediate_size": 8192, "max_position_embeddings": 4096, "model_type": "phi3", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "original_max_position_embeddings": 4096,
        "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
        "sliding_window": 2047, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.40.2", "use_cache": True, "attention_bias": False, "vocab_size": 32064,
    },
    "Phi-3 mini 128k (factors made up)": {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
        "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "model_type": "phi3",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
        "original_max_position_embeddings": 4096, "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {"long_factor": _LONG, "short_factor": _SHORT, "type": "longrope"}, "rope_theta": 10000.0,
        "sliding_window": 262144, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.40.2", "use_cache": True, "vocab_size": 32064,
    },
    "Phi-4 mini (factors made up)": {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 199999, "embd_pdrop": 0.0, "eos_token_id": 199999, "full_attn_mod": 1, "hidden_act": "silu",
        "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 8192, "interpolate_factor": 1,
        "lm_head_bias": False, "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "phi3",
        "num_attention_heads": 24, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "original_max_position_embeddings": 4096, "pad_token_id": 199999, "partial_rotary_factor": 0.75,
        "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {"long_factor": _LONG, "short_factor": [1.0] * 48, "type": "longrope"},
        "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0", "use_cache": True, "vocab_size": 200064,
    },
}  # fmt: skip
