from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 5, "num_heads": 8, "head_dim": 8,
    "n_groups": 2, "chunk_size": 7,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="limit",
        config=TINY
        | {
            "num_heads": 4,
            "expand": 1,
            "n_groups": 1,
            "conv_kernel": 3,
            "use_bias": True,
            "use_conv_bias": False,
            "hidden_act": "gelu",
            "time_step_limit": [0.01, 0.05],
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": True,
        },
        inexact={"generation": "with a cache transformers does not clip the steps, as its own code without one does"},
    ),
    Case(
        name="lowest",
        config=TINY | {"time_step_limit": [0.02, float("inf")], "n_groups": 8, "num_hidden_layers": 2},
        inexact={"generation": "with a cache transformers does not clip the steps, as its own code without one does"},
    ),
)

PUBLISHED = {
    "mistralai/Mamba-Codestral-7B-v0.1": {
        "architectures": ["Mamba2ForCausalLM"], "bos_token_id": 0, "chunk_size": 256, "conv_kernel": 4,
        "eos_token_id": 0, "expand": 2, "head_dim": 64, "hidden_act": "silu", "hidden_dropout_prob": 0.0,
        "hidden_size": 4096, "initializer_range": 0.1, "intermediate_size": 8192, "layer_norm_epsilon": 1e-05,
        "model_type": "mamba2", "n_groups": 8, "norm_before_gate": True, "num_heads": 128, "num_hidden_layers": 64,
        "pad_token_id": 0, "rescale_prenorm_residual": False, "residual_in_fp32": True, "rms_norm": True,
        "state_size": 128, "tie_word_embeddings": False, "time_step_floor": 0.0001, "time_step_init_scheme": "random",
        "time_step_limit": [0.0, float("inf")], "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 256,
        "time_step_scale": 1.0, "torch_dtype": "bfloat16", "transformers_version": "4.44.0.dev0", "use_bias": False,
        "use_cache": True, "use_conv_bias": True, "vocab_size": 32768,
    },
}  # fmt: skip
