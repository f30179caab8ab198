from parity_tests.hf.case import Case

TINY = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 5}

CASES = (
    Case(name="plain", config=TINY),
    Case(
        name="bias",
        config=TINY
        | {
            "expand": 1,
            "conv_kernel": 3,
            "use_bias": True,
            "use_conv_bias": False,
            "hidden_act": "gelu",
            "time_step_rank": 7,
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": False,
            "residual_in_fp32": False,
        },
    ),
    Case(name="wide", config=TINY | {"intermediate_size": 40, "conv_kernel": 1, "num_hidden_layers": 2}),
)

PUBLISHED = {
    "state-spaces/mamba-130m-hf": {
        "architectures": ["MambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "d_inner": 1536, "d_model": 768,
        "eos_token_id": 0, "expand": 2, "fused_add_norm": True, "hidden_act": "silu", "hidden_size": 768,
        "initializer_range": 0.1, "intermediate_size": 1536, "layer_norm_epsilon": 1e-05, "model_type": "mamba",
        "n_layer": 24, "num_hidden_layers": 24, "pad_token_id": 0, "pad_vocab_size_multiple": 8,
        "rescale_prenorm_residual": False, "residual_in_fp32": True, "rms_norm": True, "ssm_cfg": {}, "state_size": 16,
        "time_step_floor": 0.0001, "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001,
        "time_step_rank": 48, "time_step_scale": 1.0, "torch_dtype": "float32", "transformers_version": "4.39.0.dev0",
        "use_bias": False, "use_cache": True, "use_conv_bias": True, "vocab_size": 50280,
    },
}  # fmt: skip
