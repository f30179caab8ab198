"""DeepSeek-V2."""

from typing import Any

from archlab.channels.moe import MoE
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.hf.deepseek import DERIVED, TRAINED, experts, latent_attention, layered, shared_fields, tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import TWINS, decoder, law, swiglu
from archlab.model import LanguageModel

GROUPS = ("n_group", "topk_group")
METHODS = {"greedy": (), "group_limited_greedy": GROUPS}
"""What each way to choose reads."""


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Latent attention; some dense layers, then experts beside a channel that all tokens share."""
    # transformers does not read norm_topk_prob here
    fields.idle(*DERIVED, *TRAINED, *GROUPS, "norm_topk_prob")
    fields.expect("scoring_func", "softmax")
    fields.expect("moe_layer_freq", 1)
    sizes = [fields.size(name) for name in fields.choice("topk_method", METHODS, "greedy")]
    router = TopKRouter(
        experts=experts(fields, 64),
        chosen=fields.size("num_experts_per_tok"),
        scores="softmax",
        scale=fields.number("routed_scaling_factor", 1.0),
        groups=Groups(count=sizes[0], chosen=sizes[1], score="max") if sizes else None,
        init=law(fields),
    )
    dense = swiglu(fields, law(fields), fields.size("intermediate_size", 11008))
    hidden = fields.size("moe_intermediate_size", 1407)
    mixture = MoE(
        router=router,
        expert=dense.replace(hidden=hidden, bias=False),
        shared=dense.replace(hidden=hidden * fields.size("n_shared_experts", 2)),
    )
    attention = latent_attention(fields, "interleaved", heads=32)
    layers = layered(fields, attention, dense, mixture, first=0, count=32)
    return decoder(fields, layers, tied=False, vocab=102400, width=4096)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    channels = [layer.channel for layer in model.stack.layers]
    fields = shared_fields(model) | {"mlp_bias": getattr(channels[0], "shared", channels[0]).bias}
    for channel in channels:
        groups = getattr(getattr(channel, "router", None), "groups", None)
        if groups is not None:
            fields |= {"topk_method": "group_limited_greedy", "n_group": groups.count, "topk_group": groups.chosen}
    return {"num_experts_per_tok": 1} | fields


FAMILY = Family(
    model_type="deepseek_v2",
    architectures=("DeepseekV2ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    twins=TWINS,
)
