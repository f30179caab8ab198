from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "sliding_window": 5,
}  # fmt: skip
WHOLE, LOCAL = "full_attention", "sliding_attention"

CASES = (
    Case(name="turns", config=TINY | {"layer_types": [WHOLE, LOCAL] * 2, "rope_theta": 1000.0}),
    Case(
        name="tied",
        config=TINY
        | {
            "layer_types": [LOCAL, LOCAL, WHOLE, LOCAL],
            "tie_word_embeddings": True,
            "head_dim": 12,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-3,
            "hidden_act": "gelu",
        },
    ),
)

PUBLISHED = {
    "Ministral 8B": {
        "architectures": ["MinistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 12288, "layer_types": [WHOLE, LOCAL, LOCAL, LOCAL] * 9, "max_position_embeddings": 32768,
        "model_type": "ministral", "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 100000000.0, "sliding_window": 32768, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.46.0.dev0", "use_cache": True, "vocab_size": 131072,
    },
}  # fmt: skip
