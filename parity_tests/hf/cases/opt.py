from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="after",
        config=TINY
        | {
            "do_layer_norm_before": False, "word_embed_proj_dim": 20, "activation_function": "gelu", "dropout": 0.2,
            "attention_dropout": 0.1,
        },
    ),
    Case(
        name="bare",
        config=TINY
        | {
            "_remove_final_layer_norm": True, "enable_bias": False, "layer_norm_elementwise_affine": False,
            "tie_word_embeddings": False, "word_embed_proj_dim": 48, "max_position_embeddings": 24,
        },
    ),
    Case(name="untied", config=TINY | {"do_layer_norm_before": False, "tie_word_embeddings": False}),
)  # fmt: skip

PUBLISHED = {
    "opt-125m": {
        "_name_or_path": "opt-125m", "_remove_final_layer_norm": False, "activation_dropout": 0.0,
        "activation_function": "relu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0,
        "bos_token_id": 2, "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 3072,
        "hidden_size": 768, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "prefix": "</s>",
        "torch_dtype": "float16", "transformers_version": "4.21.0.dev0", "use_cache": True, "vocab_size": 50272,
        "word_embed_proj_dim": 768,
    },
    "opt-350m": {
        "_name_or_path": "opt-350m", "_remove_final_layer_norm": False, "activation_dropout": 0.0,
        "activation_function": "relu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0,
        "bos_token_id": 2, "do_layer_norm_before": False, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 4096,
        "hidden_size": 1024, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048,
        "model_type": "opt", "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 1,
        "prefix": "</s>", "torch_dtype": "float16", "transformers_version": "4.20.0.dev0", "use_cache": True,
        "vocab_size": 50272, "word_embed_proj_dim": 512,
    },
}  # fmt: skip
