from parity_tests.hf.case import Case
from parity_tests.hf.cases.gemma2 import TINY

YARN = {"rope_type": "yarn", "rope_theta": 800000.0, "factor": 4.0, "original_max_position_embeddings": 16}

CASES = (
    Case(
        name="plain",
        config=TINY
        | {
            "query_pre_attn_scalar": 20, "rms_norm_eps": 1e-3, "sliding_window_pattern": 2,
            "attn_logit_softcapping": 1.5, "num_hidden_layers": 4,
        },
    ),
    Case(
        name="older",
        config=TINY
        | {
            "rope_theta": 300.0, "rope_local_base_freq": 70.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "layer_types": ["full_attention", "full_attention", "sliding_attention"], "num_key_value_heads": 1,
            "tie_word_embeddings": False, "attention_bias": True, "hidden_activation": "silu",
            "attention_dropout": 0.1,
        },
    ),
    Case(
        name="newer",
        config=TINY
        | {
            "rope_parameters": {
                "full_attention": YARN, "sliding_attention": {"rope_type": "linear", "rope_theta": 40.0, "factor": 2.0},
            },
            "final_logit_softcapping": 2.0, "sliding_window_pattern": 3,
        },
    ),
    Case(
        name="bidirectional",
        config=TINY | {"use_bidirectional_attention": True, "sliding_window": 8, "sliding_window_pattern": 3},
    ),
)  # fmt: skip

PUBLISHED = {
    "gemma-3-1b-it": {
        "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "attn_logit_softcapping": None, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 106],
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 1152, "initializer_range": 0.02, "intermediate_size": 6912, "max_position_embeddings": 32768,
        "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
        "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
        "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "use_cache": True, "vocab_size": 262144,
    },
    "gemma-3-270m": {
        "_sliding_window_pattern": 6, "architectures": ["Gemma3ForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 2, "eos_token_id": 1,
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 640, "initializer_range": 0.02, "intermediate_size": 2048,
        "layer_types": [*["sliding_attention"] * 5, "full_attention"] * 3, "max_position_embeddings": 32768,
        "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 18, "num_key_value_heads": 1,
        "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
        "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512, "torch_dtype": "bfloat16",
        "transformers_version": "4.55.0.dev0", "use_bidirectional_attention": False, "use_cache": True,
        "vocab_size": 262144,
    },
}  # fmt: skip
