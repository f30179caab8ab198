from parity_tests.hf.case import Case

TINY = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}

CASES = (
    Case(name="plain", config=TINY),
    Case(name="unscaled", config=TINY | {"n_inner": 40, "activation_function": "relu", "scale_attn_weights": False,
                                         "tie_word_embeddings": False}),
)  # fmt: skip
