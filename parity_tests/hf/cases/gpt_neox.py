from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "partial_rotary_factor": 0.5,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="in_turn",
        config=TINY
        | {
            "use_parallel_residual": False, "rotary_pct": 0.5, "rotary_emb_base": 300, "attention_bias": False,
            "hidden_act": "gelu_fast", "layer_norm_eps": 1e-3, "tie_word_embeddings": True, "hidden_dropout": 0.1,
            "attention_dropout": 0.1,
        },
    ),
    Case(name="yarn", config=TINY | {"rope_parameters": YARN, "hidden_act": "relu", "num_attention_heads": 2}),
    Case(name="linear", config=TINY | {"rotary_pct": 1.0, "rope_scaling": {"type": "linear", "factor": 2.0}}),
)  # fmt: skip

PUBLISHED = {
    "pythia-160m": {
        "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 12,
        "num_hidden_layers": 12, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "torch_dtype": "float16", "transformers_version": "4.24.0", "use_cache": True,
        "use_parallel_residual": True, "vocab_size": 50304,
    },
    "gpt-neox-20b": {
        "architectures": ["GPTNeoXForCausalLM"], "attention_probs_dropout_prob": 0, "bos_token_id": 0,
        "eos_token_id": 0, "hidden_act": "gelu_fast", "hidden_dropout_prob": 0, "hidden_size": 6144,
        "initializer_range": 0.02, "intermediate_size": 24576, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 64,
        "num_hidden_layers": 44, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "torch_dtype": "float16", "transformers_version": "4.19.0.dev0", "use_cache": True, "vocab_size": 50432,
    },
}  # fmt: skip
