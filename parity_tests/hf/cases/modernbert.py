from typing import Any

from parity_tests.hf.case import Case

TINY: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 64, "local_attention": 8, "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1,
    "eos_token_id": 2, "sep_token_id": 2,
}  # fmt: skip
BIASED = {
    "attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True, "norm_eps": 1e-3,
    "num_attention_heads": 2, "hidden_activation": "gelu_new",
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 20000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}

CASES = (
    Case(name="masked", config=TINY),
    Case(name="biases", config=TINY | BIASED | {"tie_word_embeddings": False, "classifier_activation": "silu"}),
    Case(name="no-decoder-bias", config=TINY | {"decoder_bias": False, "local_attention": 7}),
    Case(name="untied", config=TINY | {"decoder_bias": False, "tie_word_embeddings": False}),
    Case(
        name="older",
        config=TINY | {"global_attn_every_n_layers": 2, "global_rope_theta": 3000.0, "local_rope_theta": 200.0,
                       "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    ),
    Case(
        name="rotations",
        config=TINY | {"rope_parameters": {"full_attention": YARN, "sliding_attention": LINEAR},
                       "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "full_attention"]},
    ),
    Case(name="all-local", config=TINY | {"num_hidden_layers": 2, "layer_types": ["sliding_attention"] * 2}),
    Case(
        name="classes",
        config=TINY | {"num_labels": 5, "classifier_pooling": "cls", "classifier_dropout": 0.2},
        architecture="ModernBertForSequenceClassification",
    ),
    Case(
        name="means",
        config=TINY | BIASED | {"num_labels": 3, "classifier_pooling": "mean"},
        architecture="ModernBertForSequenceClassification",
    ),
    Case(name="tags", config=TINY | {"num_labels": 7}, architecture="ModernBertForTokenClassification"),
    Case(name="two-tags", config=TINY | BIASED, architecture="ModernBertForTokenClassification"),
    Case(name="answers", config=TINY | BIASED, architecture="ModernBertForQuestionAnswering"),
    Case(name="base", config=TINY | {"num_hidden_layers": 1}, architecture="ModernBertModel"),
)  # fmt: skip

BASE = {
    "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
    "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False,
    "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
    "gradient_checkpointing": False, "hidden_activation": "gelu", "hidden_size": 768,
    "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152, "layer_norm_eps": 1e-5,
    "local_attention": 128, "local_rope_theta": 10000.0, "max_position_embeddings": 8192, "mlp_bias": False,
    "mlp_dropout": 0.0, "model_type": "modernbert", "norm_bias": False, "norm_eps": 1e-5, "num_attention_heads": 12,
    "num_hidden_layers": 22, "pad_token_id": 50283, "position_embedding_type": "absolute", "sep_token_id": 50282,
    "tie_word_embeddings": True, "torch_dtype": "float32", "transformers_version": "4.47.0.dev0", "vocab_size": 50368,
}  # fmt: skip
PUBLISHED = {
    "ModernBERT-base": BASE,
    "a classifier of it": BASE
    | {
        "architectures": ["ModernBertForSequenceClassification"], "classifier_pooling": "cls",
        "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}, "problem_type":
        "single_label_classification", "reference_compile": False, "repad_logits_with_grad": False,
        "sparse_pred_ignore_index": -100, "sparse_prediction": False, "transformers_version": "4.48.0",
    },
}  # fmt: skip
