from parity_tests.hf.case import Case

TINY = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
    "linear_key_head_dim": 6, "linear_value_head_dim": 5, "num_experts": 5, "num_experts_per_tok": 2,
    "moe_intermediate_size": 12, "shared_expert_intermediate_size": 20,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "partial_rotary_factor": 0.5,
}  # fmt: skip

CASES = (
    Case(name="plain", config=TINY, length=70),
    Case(
        name="some-experts",
        config=TINY
        | {
            "num_hidden_layers": 3,
            "full_attention_interval": 2,
            "decoder_sparse_step": 2,
            "norm_topk_prob": False,
            "num_experts_per_tok": 3,
            "attention_bias": True,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "linear_conv_kernel_dim": 3,
            "linear_num_key_heads": 4,
            "hidden_act": "gelu",
            "rms_norm_eps": 1e-3,
            "rope_theta": 10000000,
            "partial_rotary_factor": 0.5,
            "tie_word_embeddings": True,
        },
    ),
    Case(
        name="types",
        config=TINY
        | {
            "layer_types": ["full_attention", "linear_attention", "linear_attention"],
            "num_hidden_layers": 3,
            "mlp_only_layers": [1],
            "rope_parameters": YARN,
            "linear_num_key_heads": 1,
        },
    ),
    Case(
        name="dense",
        config=TINY
        | {"num_experts": 0, "num_hidden_layers": 2, "layer_types": ["linear_attention"] * 2, "use_cache": False},
    ),
    Case(
        name="attention",
        config=TINY
        | {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2, "num_experts_per_tok": 1}
        | {"norm_topk_prob": False},
    ),
)

PUBLISHED = {
    "Qwen/Qwen3-Next-80B-A3B-Instruct": {
        "architectures": ["Qwen3NextForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "decoder_sparse_step": 1, "eos_token_id": 151645, "full_attention_interval": 4, "head_dim": 256,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5120,
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128, "max_position_embeddings": 262144,
        "mlp_only_layers": [], "model_type": "qwen3_next", "moe_intermediate_size": 512, "norm_topk_prob": True,
        "num_attention_heads": 16, "num_experts": 512, "num_experts_per_tok": 10, "num_hidden_layers": 48,
        "num_key_value_heads": 2, "output_router_logits": False, "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 10000000, "router_aux_loss_coef": 0.001,
        "shared_expert_intermediate_size": 512, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.57.0.dev0", "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
    },
}  # fmt: skip
