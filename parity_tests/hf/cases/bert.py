from typing import Any

from parity_tests.hf.case import Case

TINY: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 32,
}  # fmt: skip
OTHER = {
    "type_vocab_size": 3, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "num_hidden_layers": 3,
    "num_attention_heads": 2, "pad_token_id": 7, "tie_word_embeddings": False,
}  # fmt: skip


def without_pooler(module: Any) -> None:
    """A base model as it is below a head that does not pool."""
    module.pooler = None


CASES = (
    Case(name="masked", config=TINY),
    Case(name="untied", config=TINY | OTHER),
    Case(name="one-type", config=TINY | {"type_vocab_size": 1, "hidden_act": "relu"}),
    Case(
        name="classes",
        config=TINY | {"num_labels": 5, "classifier_dropout": 0.3, "hidden_act": "silu"},
        architecture="BertForSequenceClassification",
    ),
    Case(
        name="names",
        config=TINY | OTHER | {"id2label": {0: "a", 1: "b", 2: "c"}},
        architecture="BertForSequenceClassification",
    ),
    Case(name="tags", config=TINY | {"num_labels": 7}, architecture="BertForTokenClassification"),
    Case(name="two-tags", config=TINY, architecture="BertForTokenClassification"),
    Case(name="answers", config=TINY | {"hidden_act": "gelu_fast"}, architecture="BertForQuestionAnswering"),
    Case(name="pooler", config=TINY, architecture="BertModel"),
    Case(name="base", config=TINY | OTHER, architecture="BertModel", prepare=without_pooler),
)

BASE = {
    "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
    "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
    "num_attention_heads": 12, "num_hidden_layers": 12, "type_vocab_size": 2,
}  # fmt: skip
PUBLISHED = {
    "bert-base-uncased": BASE
    | {
        "architectures": ["BertForMaskedLM"], "gradient_checkpointing": False, "model_type": "bert", "pad_token_id": 0,
        "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0", "use_cache": True,
        "vocab_size": 30522,
    },
    "bert-large-cased-finetuned-conll03-english": BASE
    | {
        "_num_labels": 9, "architectures": ["BertForTokenClassification"], "directionality": "bidi",
        "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
        "id2label": {
            "0": "O", "1": "B-MISC", "2": "I-MISC", "3": "B-PER", "4": "I-PER", "5": "B-ORG", "6": "I-ORG",
            "7": "B-LOC", "8": "I-LOC",
        },
        "label2id": {
            "B-LOC": 7, "B-MISC": 1, "B-ORG": 5, "B-PER": 3, "I-LOC": 8, "I-MISC": 2, "I-ORG": 6, "I-PER": 4, "O": 0,
        },
        "model_type": "bert", "pad_token_id": 0, "pooler_fc_size": 768, "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3, "pooler_size_per_head": 128, "pooler_type": "first_token_transform",
        "position_embedding_type": "absolute", "use_cache": True, "vocab_size": 28996,
    },
    "all-MiniLM-L6-v2": BASE
    | {
        "_name_or_path": "nreimers/MiniLM-L6-H384-uncased", "architectures": ["BertModel"],
        "gradient_checkpointing": False, "hidden_size": 384, "intermediate_size": 1536, "model_type": "bert",
        "num_hidden_layers": 6, "pad_token_id": 0, "position_embedding_type": "absolute",
        "transformers_version": "4.8.2", "use_cache": True, "vocab_size": 30522,
    },
}  # fmt: skip
