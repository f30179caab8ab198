"""What all kinds of models share"""

import functools
from typing import Any

import torch
from transformers import PreTrainedModel

from archlab.context import Context
from archlab.hf.modeling.template.arrays import Masks, constant, xp
from archlab.hf.modeling.template.configuration import ArchlabConfig
from archlab.hf.modeling.template.module import Module
from archlab.hf.modeling.template.values import Table, read
from archlab.ops import loop

NAMES = {"input_ids": "tokens", "token_type_ids": "token_types", "pixel_values": "image", "input_features": "frames"}


class ArchlabPreTrainedModel(PreTrainedModel):
    """The architecture that ``config.spec`` describes, as a model of transformers.

    In training, dropout is what the architecture says, and its auxiliary losses are added to the loss. What is left
    out: parameters that move by a rule of their own (biases that balance experts) stay as they are, and there are no
    attention maps and no hidden states of single layers among the outputs.
    """

    config_class = ArchlabConfig
    base_model_prefix = "model"
    _is_stateful = True  # what generate() must not take back: a state cannot go back to an earlier token

    def __init__(self, config: ArchlabConfig) -> None:
        super().__init__(config)
        self.spec = read(config.spec)
        self.model = Module(self.spec.root())
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        if isinstance(module, Module):
            module.start(self.config.seed)

    def get_input_embeddings(self) -> Any:
        holder = getattr(self.model, "front", self.model)
        return getattr(holder, "embedding", None)

    def get_output_embeddings(self) -> Any:
        return None

    def context(self, positions: Any, segments: Any, **more: Any) -> Context:
        """What the parts know of tokens that stand at ``positions``, in documents ``segments``."""
        # Tables made here, none as a field's default: PyTorch's compiler can call a class only by a name it finds.
        losses: Any = Table() if self.training else None
        published: Any = Table()
        known: Any = Table()
        return Context(
            xp=xp, scan=functools.partial(loop, xp), erf=torch.erf, stop_gradient=torch.detach,
            constant=functools.partial(constant, positions.device), dtype=self.dtype, positions=positions,
            segments=segments, random=Masks(positions.device) if self.training else None,
            losses=losses, published=published, known=known, shared=getattr(self.model, "shared", {}), **more,
        )  # fmt: skip

    def whole(self, given: dict[str, Any], mask: Any, positions: Any, **more: Any) -> tuple[dict[str, Any], Context]:
        """The architecture's inputs of those with transformers' names, and the context of a sequence read at once."""
        inputs = named(given)
        shape = self.spec.span({name: tuple(array.shape) for name, array in inputs.items()})
        segments = None if mask is None else documents(mask)
        device = next(iter(inputs.values())).device
        if positions is not None:
            positions = positions.expand(shape)
        elif segments is not None:
            positions = places(segments)
        else:
            positions = torch.arange(shape[1], device=device).expand(shape)
        return inputs, self.context(positions, segments, **more)


def named(given: dict[str, Any]) -> dict[str, Any]:
    """Those inputs that there are, under the architecture's names; an image with its channels last."""
    return {
        NAMES.get(name, name): array.movedim(1, -1) if name == "pixel_values" else array
        for name, array in given.items()
        if array is not None
    }


def documents(mask: Any) -> Any:
    """(B, T): the document of each token from an attention mask: 0 is padding, equal numbers are one document."""
    if mask.ndim != 2:
        raise ValueError(f"attention_mask has the shape {tuple(mask.shape)}; (batch, time) is needed, 0 for padding")
    return mask.long()


def places(segments: Any) -> Any:
    """(B, T): each token's place in its run of equal document numbers."""
    time = torch.arange(segments.shape[1], device=segments.device).expand(segments.shape)
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return time - torch.cummax(torch.where(starts, time, 0), dim=1).values


def added(loss: Any, ctx: Context) -> Any:
    """A loss with the auxiliary ones that the parts left in training."""
    return loss if loss is None or not ctx.losses else loss + sum(ctx.losses.values())


def token_loss(logits: Any, labels: Any, count: Any = None) -> Any:
    """Cross-entropy over the places whose label is not −100: their mean, or their sum over ``count``."""
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten().to(logits.device), reduction="mean" if count is None else "sum"
    )
    return total if count is None else total / count


def returned(output: Any, as_it_is: bool | None) -> Any:
    """The output, as a tuple where ``return_dict`` is False."""
    return output.to_tuple() if as_it_is is False else output
