from typing import Any

from parity_tests.hf.case import Case

TINY: dict[str, Any] = {
    "vocab_size": 61, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 32,
}  # fmt: skip
OTHER = {
    "activation": "relu", "n_layers": 3, "n_heads": 2, "sinusoidal_pos_embds": True, "tie_word_embeddings": False,
}  # fmt: skip

CASES = (
    Case(name="masked", config=TINY),
    Case(name="untied", config=TINY | OTHER),
    Case(
        name="classes",
        config=TINY | {"num_labels": 3, "seq_classif_dropout": 0.3, "activation": "gelu_new"},
        architecture="DistilBertForSequenceClassification",
    ),
    Case(name="tags", config=TINY | {"num_labels": 7}, architecture="DistilBertForTokenClassification"),
    Case(name="answers", config=TINY | OTHER, architecture="DistilBertForQuestionAnswering"),
    Case(name="base", config=TINY | {"activation": "silu"}, architecture="DistilBertModel"),
)

BASE = {
    "activation": "gelu", "attention_dropout": 0.1, "dim": 768, "dropout": 0.1, "hidden_dim": 3072,
    "initializer_range": 0.02, "max_position_embeddings": 512, "model_type": "distilbert", "n_heads": 12,
    "n_layers": 6, "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False,
    "tie_weights_": True, "transformers_version": "4.10.0.dev0", "vocab_size": 30522,
}  # fmt: skip
PUBLISHED = {
    "distilbert-base-uncased": BASE | {"architectures": ["DistilBertForMaskedLM"]},
    "distilbert-base-uncased-finetuned-sst-2-english": BASE
    | {
        "architectures": ["DistilBertForSequenceClassification"], "finetuning_task": "sst-2",
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
        "output_past": True,
    },
    "distilbert-base-cased-distilled-squad": BASE
    | {"architectures": ["DistilBertForQuestionAnswering"], "output_past": True, "vocab_size": 28996},
}  # fmt: skip
