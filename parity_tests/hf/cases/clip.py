from parity_tests.hf.case import Case

TEXT = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 30, "bos_token_id": 0, "eos_token_id": 46,
}  # fmt: skip
IMAGE = {
    "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 8,
    "patch_size": 2,
}  # fmt: skip

CASES = (
    Case(
        name="legacy-end",
        config={"text_config": TEXT | {"eos_token_id": 2}, "vision_config": IMAGE, "projection_dim": 12},
        batch=4,
    ),
    Case(
        name="other",
        config={
            "text_config": TEXT | {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
            "vision_config": IMAGE | {"hidden_act": "gelu", "layer_norm_eps": 1e-2, "image_size": 12, "patch_size": 4},
            "projection_dim": 40,
            "logit_scale_init_value": 1.5,
        },
        batch=6,
    ),
    Case(
        name="twice",
        config={
            "text_config": TEXT | {"hidden_size": 64},
            "text_config_dict": TEXT,
            "vision_config_dict": IMAGE | {"num_channels": 1},
            "projection_dim": 12,
        },
        batch=6,
    ),
)

IDLE = {
    "_name_or_path": "", "add_cross_attention": False, "architectures": None, "bad_words_ids": None,
    "chunk_size_feed_forward": 0, "cross_attention_hidden_size": None, "diversity_penalty": 0.0, "do_sample": False,
    "dropout": 0.0, "early_stopping": False, "is_decoder": False, "is_encoder_decoder": False, "length_penalty": 1.0,
    "max_length": 20, "num_beams": 1, "output_attentions": False, "pruned_heads": {}, "return_dict": True,
    "tie_encoder_decoder": False, "tie_word_embeddings": True, "torchscript": False, "use_bfloat16": False,
}  # fmt: skip
PUBLISHED = {
    "clip-vit-base-patch32": {
        "_name_or_path": "openai/clip-vit-base-patch32", "architectures": ["CLIPModel"], "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592, "model_type": "clip", "projection_dim": 512,
        "text_config": IDLE | {
            "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "quick_gelu",
            "hidden_size": 512, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 2048,
            "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model",
            "num_attention_heads": 8, "num_hidden_layers": 12, "pad_token_id": 1, "projection_dim": 512,
            "vocab_size": 49408,
        },
        "text_config_dict": None, "torch_dtype": "float32", "transformers_version": None,
        "vision_config": IDLE | {
            "attention_dropout": 0.0, "hidden_act": "quick_gelu", "hidden_size": 768, "image_size": 224,
            "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
            "model_type": "clip_vision_model", "num_attention_heads": 12, "num_channels": 3, "num_hidden_layers": 12,
            "patch_size": 32, "projection_dim": 512,
        },
        "vision_config_dict": None,
    },
}  # fmt: skip
