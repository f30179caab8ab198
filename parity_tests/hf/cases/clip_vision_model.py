from parity_tests.hf.case import Case

TINY = {
    "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 8,
    "patch_size": 2, "projection_dim": 12,
}  # fmt: skip
OTHER = {
    "hidden_act": "gelu", "layer_norm_eps": 1e-3, "num_attention_heads": 2, "num_hidden_layers": 3, "num_channels": 2,
    "image_size": 12, "patch_size": 4, "attention_dropout": 0.1, "initializer_range": 0.05,
}  # fmt: skip

CASES = (
    Case(name="base", config=TINY),
    Case(name="other", config=TINY | OTHER),
    Case(name="projected", config=TINY, architecture="CLIPVisionModelWithProjection"),
    Case(
        name="other-projection",
        config=TINY | OTHER | {"projection_dim": 48},
        architecture="CLIPVisionModelWithProjection",
    ),
)

PUBLISHED = {
    "image-variations": {
        "architectures": ["CLIPVisionModelWithProjection"], "attention_dropout": 0.0, "dropout": 0.0,
        "hidden_act": "quick_gelu", "hidden_size": 1024, "image_size": 224, "initializer_factor": 1.0,
        "initializer_range": 0.02, "intermediate_size": 4096, "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model", "num_attention_heads": 16, "num_channels": 3, "num_hidden_layers": 24,
        "patch_size": 14, "projection_dim": 768, "torch_dtype": "float32", "transformers_version": "4.25.1",
    },
}  # fmt: skip
