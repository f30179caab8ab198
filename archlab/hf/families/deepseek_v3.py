"""DeepSeek-V3 and R1."""

from typing import Any

from archlab.channels.moe import MoE
from archlab.channels.top_k_router import Groups, TopKRouter
from archlab.hf.deepseek import DERIVED, TRAINED, experts, latent_attention, layered, shared_fields, tensors
from archlab.hf.family import Family
from archlab.hf.fields import Fields
from archlab.hf.parts import TWINS, decoder, law, swiglu
from archlab.hf.rope import Layout
from archlab.model import LanguageModel
from archlab.optim.sign_step import SignStep

PREDICTION = ("num_nextn_predict_layers", "num_mtp_layers")
"""Layers that predict tokens further ahead; transformers leaves them out of the model too."""
LAYOUTS: dict[bool, Layout] = {True: "interleaved", False: "half"}


def model(fields: Fields, architecture: str) -> LanguageModel:
    """Latent attention; some dense layers, then experts by corrected sigmoids beside a channel for all tokens."""
    fields.idle(*DERIVED, *TRAINED, *PREDICTION)
    fields.expect("topk_method", "noaux_tc")
    fields.expect("scoring_func", "sigmoid")
    fields.expect("moe_layer_freq", 1)
    fields.expect("mlp_bias", False)
    count, chosen = fields.size("n_group", 8), fields.size("topk_group", 4)
    router = TopKRouter(
        experts=experts(fields, 256),
        chosen=fields.size("num_experts_per_tok", 8),
        scores="sigmoid",
        total=1.0 if fields.flag("norm_topk_prob", True) else None,
        epsilon=1e-20 if fields.flag("norm_topk_prob", True) else 0.0,
        scale=fields.number("routed_scaling_factor", 2.5),
        groups=Groups(count=count, chosen=chosen, score="top2") if count > 1 else None,
        correction=SignStep(size=1e-3),
        init=law(fields),
    )
    dense = swiglu(fields, law(fields), fields.size("intermediate_size", 18432))
    hidden = fields.size("moe_intermediate_size", 2048)
    shared = dense.replace(hidden=hidden * fields.size("n_shared_experts", 1))
    mixture = MoE(router=router, expert=dense.replace(hidden=hidden), shared=shared)
    attention = latent_attention(fields, LAYOUTS[fields.flag("rope_interleave", True)], heads=128)
    layers = layered(fields, attention, dense, mixture, first=3, count=61)
    return decoder(fields, layers, tied=False, vocab=129280, width=7168)


def config(model: Any) -> dict[str, Any]:
    """The fields of a model."""
    attention, mixture = model.stack.layers[0].mixer, model.stack.layers[-1].channel
    fields = shared_fields(model) | {"rope_interleave": attention.rotary.layout == "interleaved"}
    if isinstance(mixture, MoE):
        router: Any = mixture.router
        groups = router.groups or Groups(count=1, chosen=1, score="top2")
        fields |= {
            "n_group": groups.count, "topk_group": groups.chosen, "norm_topk_prob": router.total is not None,
        }  # fmt: skip
    return fields | {"num_nextn_predict_layers": 0}


FAMILY = Family(
    model_type="deepseek_v3",
    architectures=("DeepseekV3ForCausalLM",),
    model=model,
    config=config,
    tensors=tensors,
    prefix="model.",
    ignored=(r".*rotary_emb\.inv_freq", r"model\.layers\.61\..*"),
    twins=TWINS,
)
