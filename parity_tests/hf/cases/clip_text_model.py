from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 30, "projection_dim": 12, "bos_token_id": 0, "eos_token_id": 18,
}  # fmt: skip
OTHER = {
    "hidden_act": "gelu", "layer_norm_eps": 1e-3, "num_attention_heads": 2, "num_hidden_layers": 3,
    "attention_dropout": 0.1, "initializer_factor": 2.0,
}  # fmt: skip

CASES = (
    Case(name="base", config=TINY),
    Case(name="projected", config=TINY, architecture="CLIPTextModelWithProjection"),
    Case(name="legacy-end", config=TINY | OTHER | {"eos_token_id": 2}),
    Case(name="no-end", config=TINY | {"eos_token_id": 60}, length=7),
    Case(
        name="other-projection",
        config=TINY | OTHER | {"projection_dim": 48},
        architecture="CLIPTextModelWithProjection",
        length=30,
    ),
)

PUBLISHED = {
    "stable-diffusion-v1-5": {
        "_name_or_path": "openai/clip-vit-large-patch14", "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu",
        "hidden_size": 768, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "projection_dim": 768,
        "torch_dtype": "float32", "transformers_version": "4.22.0.dev0", "vocab_size": 49408,
    },
    "stable-diffusion-xl": {
        "architectures": ["CLIPTextModelWithProjection"], "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0,
        "eos_token_id": 2, "hidden_act": "gelu", "hidden_size": 1280, "initializer_factor": 1.0,
        "initializer_range": 0.02, "intermediate_size": 5120, "layer_norm_eps": 1e-05, "max_position_embeddings": 77,
        "model_type": "clip_text_model", "num_attention_heads": 20, "num_hidden_layers": 32, "pad_token_id": 1,
        "projection_dim": 1280, "torch_dtype": "float16", "transformers_version": "4.32.0.dev0", "vocab_size": 49408,
    },
}  # fmt: skip
