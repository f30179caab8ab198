"""Who is timed when models write, and where each comes from."""

from contestants import JAX, OWN_JAX, OWN_TORCH, PEERS, TORCH, Entry

WRITERS = {
    "archlab-jax": Entry(
        start="peers.archlab_writers:in_jax", backend="jax", module="archlab_jax", packages=JAX, get=OWN_JAX,
    ),
    "archlab-jax.int8": Entry(
        start="peers.archlab_writers:jax_int8", backend="jax", module="archlab_jax", packages=JAX, get=OWN_JAX,
        apart="weights in 8 bits",
    ),
    "archlab-jax.int4": Entry(
        start="peers.archlab_writers:jax_int4", backend="jax", module="archlab_jax", packages=JAX, get=OWN_JAX,
        apart="weights in 4 bits",
    ),
    "plain-jax": Entry(
        start="peers.plain_scan:start", backend="jax", module="jax", packages=JAX, get="pip install jax",
    ),
    "keras-hub": Entry(
        start="peers.keras_hub:write", backend="jax", module="keras_hub", packages=("keras-hub", "keras", *JAX),
        get=PEERS,
    ),
    "archlab-torch": Entry(
        start="peers.archlab_writers:in_torch", backend="torch", module="archlab_torch", packages=TORCH, get=OWN_TORCH,
    ),
    "archlab-torch.compiled": Entry(
        start="peers.archlab_writers:compiled", backend="torch", module="archlab_torch", packages=TORCH, get=OWN_TORCH,
    ),
    "archlab-torch.compiled.int8": Entry(
        start="peers.archlab_writers:torch_int8", backend="torch", module="archlab_torch", packages=TORCH,
        get=OWN_TORCH, apart="weights in 8 bits",
    ),
    "archlab-torch.compiled.int4": Entry(
        start="peers.archlab_writers:torch_int4", backend="torch", module="archlab_torch", packages=TORCH,
        get=OWN_TORCH, apart="weights in 4 bits",
    ),
    "plain-torch": Entry(
        start="peers.plain_torch:start", backend="torch", module="torch", packages=TORCH, get="pip install torch",
    ),
    "transformers": Entry(
        start="peers.transformers:dynamic", backend="torch", module="transformers",
        packages=("transformers", *TORCH), get="pip install transformers",
    ),
    "transformers.static": Entry(
        start="peers.transformers:static", backend="torch", module="transformers", packages=("transformers", *TORCH),
        get="pip install transformers",
    ),
    "transformers.compiled": Entry(
        start="peers.transformers:compiled", backend="torch", module="transformers",
        packages=("transformers", *TORCH), get="pip install transformers",
    ),
    "litgpt": Entry(
        start="peers.litgpt:write", backend="torch", module="litgpt", packages=("litgpt", *TORCH), get=PEERS,
    ),
}  # fmt: skip
