from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}

CASES = (
    Case(name="plain", config=TINY | {"tie_word_embeddings": False}),
    Case(
        name="llama3",
        config=TINY
        | {
            "rope_parameters": LLAMA3,
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 12,
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
        },
    ),
    Case(name="yarn", config=TINY | {"rope_parameters": YARN}),
    Case(name="linear", config=TINY | {"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}),
)
