from parity_tests.hf.case import Case
from parity_tests.hf.cases.bert import BASE, TINY, without_pooler

OTHER = {
    "type_vocab_size": 1, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "num_hidden_layers": 3,
    "num_attention_heads": 2, "pad_token_id": 4, "tie_word_embeddings": False,
}  # fmt: skip

CASES = (
    Case(name="masked", config=TINY | {"type_vocab_size": 1}),
    Case(name="untied", config=TINY | OTHER),
    Case(name="two-types", config=TINY | {"hidden_act": "relu", "pad_token_id": 0}),
    Case(
        name="classes",
        config=TINY | {"num_labels": 3, "classifier_dropout": 0.3},
        architecture="RobertaForSequenceClassification",
    ),
    Case(name="tags", config=TINY | OTHER | {"num_labels": 7}, architecture="RobertaForTokenClassification"),
    Case(name="answers", config=TINY | {"type_vocab_size": 1}, architecture="RobertaForQuestionAnswering"),
    Case(name="pooler", config=TINY, architecture="RobertaModel"),
    Case(name="base", config=TINY | OTHER, architecture="RobertaModel", prepare=without_pooler),
)

ROBERTA = BASE | {
    "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5, "max_position_embeddings": 514,
    "model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265,
}  # fmt: skip
PUBLISHED = {
    "roberta-base": ROBERTA | {"architectures": ["RobertaForMaskedLM"]},
    "twitter-roberta-base-sentiment-latest": ROBERTA
    | {
        "architectures": ["RobertaForSequenceClassification"], "gradient_checkpointing": False,
        "id2label": {"0": "negative", "1": "neutral", "2": "positive"},
        "label2id": {"negative": 0, "neutral": 1, "positive": 2}, "position_embedding_type": "absolute",
        "torch_dtype": "float32", "transformers_version": "4.13.0.dev0", "use_cache": True,
    },
}  # fmt: skip
