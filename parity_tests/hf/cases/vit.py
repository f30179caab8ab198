from typing import Any

from parity_tests.hf.case import Case

TINY: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "image_size": 8,
    "patch_size": 2,
}  # fmt: skip
OTHER = {
    "image_size": [6, 8], "patch_size": [3, 2], "num_channels": 2, "qkv_bias": False, "layer_norm_eps": 1e-3,
    "hidden_act": "relu", "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.2,
}  # fmt: skip


def without_pooler(module: Any) -> None:
    """A base model as it is below a head that does not pool."""
    module.pooler = None


CASES = (
    Case(name="classes", config=TINY | {"num_labels": 5}),
    Case(name="oblong", config=TINY | OTHER | {"id2label": {0: "a", 1: "b", 2: "c"}}),
    Case(name="head-size", config=TINY | {"head_dim": 6, "encoder_stride": 2}),
    Case(name="pooler", config=TINY, architecture="ViTModel"),
    Case(
        name="other-pooler",
        config=TINY | OTHER | {"pooler_output_size": 12, "pooler_act": "gelu"},
        architecture="ViTModel",
    ),
    Case(name="base", config=TINY | OTHER, architecture="ViTModel", prepare=without_pooler),
)

BASE = {
    "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "hidden_size": 768,
    "image_size": 224, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
    "model_type": "vit", "num_attention_heads": 12, "num_channels": 3, "num_hidden_layers": 12, "patch_size": 16,
}  # fmt: skip
PUBLISHED = {
    "vit-base-patch16-224": BASE
    | {
        "architectures": ["ViTForImageClassification"], "encoder_stride": 16, "qkv_bias": True,
        "id2label": {"0": "tench", "1": "goldfish"}, "label2id": {"tench": 0, "goldfish": 1},
        "transformers_version": "4.13.0.dev0",
    },
    "vit-base-patch16-224-in21k": BASE
    | {"architectures": ["ViTModel"], "qkv_bias": True, "transformers_version": "4.13.0.dev0"},
}  # fmt: skip
