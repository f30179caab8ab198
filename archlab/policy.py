"""The policy: how a spec is computed. A spec means the same under every policy."""

from typing import Literal

from archlab.config import Config

Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Remat = Literal["none", "dots", "full"]


class Mesh(Config):
    """A grid of devices by axis: ``data`` × ``fsdp`` × ``tensor``, its product the number of devices.

    data
        Copies of the model, each with its share of the batch.
    fsdp
        Shares of the batch that also hold a share of every parameter.
    tensor
        Shares of the heads, hidden units and vocabulary inside each layer.
    """

    data: int = 1
    fsdp: int = 1
    tensor: int = 1

    def check(self) -> None:
        for name in ("data", "fsdp", "tensor"):
            self.require(getattr(self, name) > 0, name, "must be > 0")

    @property
    def size(self) -> int:
        return self.data * self.fsdp * self.tensor


class Policy(Config):
    """How a spec is computed.

    param, compute, output
        Dtypes of stored parameters, of activations, and of the logits.
    matmul
        Precision of float32 matrix products on devices that could use less: "highest" is true float32,
        "default" what the device prefers (TF32 or bfloat16 passes on GPUs and TPUs). "float8" rounds what linear maps
        multiply to 8 bits (:mod:`archlab.float8`) on GPUs that have such products; CPUs compute the same, slowly.
    weights
        How decoders hold the kernels of linear maps (:mod:`archlab.quantization`): "float" as ``param`` says, "int8" or
        "int4" in as many bits, with scales; products are then in ``compute``. Nothing trains under these.
    layers
        Repeated layers in one compiled loop ("scan") or written out ("unroll"); PyTorch always writes them out.
    remat
        What the backward pass recomputes: nothing, all but matrix products ("dots"), or whole layers ("full"). Several
        of these take turns over the layers: ``[full, none]`` recomputes every other one.
    accumulate
        Parts that a batch is cut into, whose gradients are added up before the update: less memory, the same update
        (but for losses that look at a whole batch, like those that balance experts: they look at each part).
    loss_chunk
        Places of each row whose logits exist at a time in training; null makes them all at once.
    attention
        The kernel: "auto" picks the device's best (docs/performance.md has them), and flash-linear-attention's for
        recurrent mixers in PyTorch on GPUs, "dense" is plain matrix products, "fused" the framework's fused kernel,
        "flex" PyTorch's FlexAttention.
    random
        Where dropout's masks come from: "fast" is each framework's own generator, "portable" one generator for all,
        so that training with dropout agrees between backends, meshes and ways to compile; it takes longer to draw.
    compile
        Whether PyTorch compiles each layer (JAX always compiles).
    device
        "auto" is the framework's first accelerator, or the CPU.
    mesh
        The devices' grid.
    """

    param: Dtype = "float32"
    compute: Dtype = "float32"
    output: Dtype = "float32"
    matmul: Literal["default", "highest", "float8"] = "default"
    weights: Literal["float", "int8", "int4"] = "float"
    layers: Literal["scan", "unroll"] = "unroll"
    remat: Remat | tuple[Remat, ...] = "none"
    accumulate: int = 1
    loss_chunk: int | None = None
    attention: Literal["auto", "dense", "fused", "flex"] = "auto"
    random: Literal["fast", "portable"] = "fast"
    compile: bool = False
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    mesh: Mesh = Mesh()

    def check(self) -> None:
        self.require(self.accumulate > 0, "accumulate", "must be > 0")
        self.require(self.loss_chunk is None or self.loss_chunk > 0, "loss_chunk", "must be > 0 or null")
        fits = self.matmul != "float8" or self.compute in ("bfloat16", "float32")
        self.require(fits, "matmul", f"goes with compute=bfloat16 or float32, not {self.compute}")
        self.require(self.remat != (), "remat", "is empty; give none, dots, full or a list of them")

    @property
    def scaled(self) -> bool:
        """Whether losses are scaled in training, since float16 holds no small gradients."""
        return self.compute == "float16"

    def remat_of(self, layer: int) -> Remat:
        """What the backward pass recomputes of layer number ``layer`` of a stack."""
        return self.remat[layer % len(self.remat)] if isinstance(self.remat, tuple) else self.remat

    @classmethod
    def exact(cls, dtype: Dtype = "float64") -> "Policy":
        """Everything in ``dtype``, matrix products in full precision: what parity is measured with."""
        return cls(param=dtype, compute=dtype, output=dtype, matmul="highest", attention="dense")
