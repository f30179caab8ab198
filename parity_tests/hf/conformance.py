"""Measures: a family's models against transformers, in float32 and float64, on both backends."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from archlab.backends import find_backend
from archlab.heads.masked_token import MaskedTokenHead
from archlab.hf.conversion import Conversion, Held, collected
from archlab.hf.family import Family, find
from archlab.hf.fields import Fields
from archlab.model import Model, TokenModel
from archlab.models.dual_encoder import DualEncoder
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.optim.sgd import SGD
from archlab.policy import Policy
from archlab.spec import schema
from archlab.weights import Weights
from parity_tests.hf.case import Case, lifted, their_double, their_model

NEW = 16
"""Tokens of a greedy continuation."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A case as it stands before anything is measured."""

    family: Family
    case: Case
    architecture: str
    fields: dict[str, Any]
    module: Any
    pristine: Any
    conversion: Conversion
    weights: Weights
    inputs: dict[str, np.ndarray]

    @property
    def model(self) -> Model:
        return self.conversion.model

    @property
    def double(self) -> Any:
        """The model of transformers in float64 as it was made: its dynamic rotations remember what they have seen."""
        return copy.deepcopy(self.pristine)


def set_up(model_type: str, case: Case) -> Setup:
    family = find(model_type)
    architecture = case.architecture or family.architectures[0]
    module = their_model(model_type, case, architecture)
    fields, saved = saved_config(module), Held(saved_tensors(module))
    reader = Fields(family.told(fields, saved) if family.told else fields)
    spec = family.model(reader, architecture)
    reader.done()
    conversion = Conversion(family, spec)
    weights = collected(conversion.ours(saved, "checkpoint"))
    return Setup(
        family=family, case=case, architecture=architecture, fields=fields, module=module,
        pristine=their_double(model_type, case, architecture, module), conversion=conversion, weights=weights,
        inputs=inputs_for(spec, case, padding=padding_of(module)),
    )  # fmt: skip


def saved_config(module: Any) -> dict[str, Any]:
    """What ``save_pretrained`` writes as config.json."""
    import json

    config = module.config
    config.architectures = [type(module).__name__]
    return json.loads(config.to_json_string(use_diff=False))


def saved_tensors(module: Any) -> dict[str, np.ndarray]:
    """What ``save_pretrained`` writes as model.safetensors, as it lies on disk."""
    import tempfile
    from pathlib import Path

    from archlab.hf.tensors import open_folder

    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        tensors = open_folder(Path(folder))
        return {name: tensors.read(name) for name in tensors.entries}


def padding_of(module: Any) -> int | None:
    """The token that fills up rows, where it is one of the vocabulary."""
    config = module.config.get_text_config()
    token = getattr(config, "pad_token_id", None)
    return token if token is not None and 0 <= token < getattr(config, "vocab_size", 0) else None


def inputs_for(model: Model, case: Case, seed: int = 0, padding: int | None = None) -> dict[str, np.ndarray]:
    """What a model is fed: ids below each vocabulary, numbers around 0.

    No token is ``padding``: transformers does not train its row of the table, and some models do not count it.
    """
    generator = np.random.default_rng(seed)
    given = {}
    for name, item in model.inputs().items():
        if item.kind == "where":
            continue
        shape = (case.batch, *(case.length if isinstance(size, str) else size for size in item.shape))
        if item.kind == "ids":
            ids = generator.integers(0, item.below, shape)
            if name.endswith("tokens"):
                ids = np.where(ids == padding, (ids + 1) % item.below, ids)
            given[name] = ids.astype(np.int32)
        else:
            given[name] = generator.standard_normal(shape)
    return given


# --- transformers' side -----------------------------------------------------------------------------------

NAMES = {
    "tokens": "input_ids", "token_types": "token_type_ids", "image": "pixel_values", "source_tokens": "input_ids",
    "positions": "position_ids",
}  # fmt: skip
"""What transformers calls a model's inputs."""


def their_inputs(inputs: Mapping[str, np.ndarray], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The same inputs as transformers takes them."""
    given = {}
    for name, array in inputs.items():
        key = "decoder_input_ids" if name == "tokens" and "source_tokens" in inputs else NAMES[name]
        if name == "image":
            given[key] = torch.as_tensor(array).permute(0, 3, 1, 2).to(dtype)
        else:
            given[key] = torch.as_tensor(array).long()
    return given


def their_output(setup: Setup, module: Any, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits, or the last hidden states of a model without a head, or what its pooler makes of them."""
    out = module(**given)
    pooled = ("pooler_output",) if pools_states(setup.model) else ()
    for name in (*pooled, "logits_per_text", "logits", "text_embeds", "image_embeds", "last_hidden_state"):
        if getattr(out, name, None) is not None:
            return getattr(out, name)
    if hasattr(out, "start_logits"):
        return torch.stack([out.start_logits, out.end_logits], dim=-1)
    raise AssertionError(f"{type(out).__name__} has no output that is known")


def pools_states(model: Model) -> bool:
    """Whether it answers with the state of a whole row."""
    head = getattr(model, "head", None)
    return getattr(head, "pooling", None) is not None and head.classes is None  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """transformers' output and gradients of Σ output · cotangent, by canonical parameter."""

    output: np.ndarray
    gradients: Weights


def theirs(setup: Setup, cotangent: np.ndarray | None, *, double: bool) -> Theirs:
    """A run of transformers, in float64 under :func:`lifted` or in float32."""
    if double:
        with lifted():
            return _theirs(setup, setup.double, cotangent, torch.float64)
    return _theirs(setup, setup.module, cotangent, torch.float32)


def _theirs(setup: Setup, module: Any, cotangent: np.ndarray | None, dtype: torch.dtype) -> Theirs:
    module.zero_grad()
    output = their_output(setup, module, their_inputs(setup.inputs, dtype))
    if cotangent is None:
        return Theirs(output=output.detach().numpy(), gradients={})
    (output * torch.as_tensor(cotangent).to(output.dtype).reshape(output.shape)).sum().backward()
    return Theirs(output=output.detach().numpy(), gradients=_gradients(setup, module))


def _gradients(setup: Setup, module: Any) -> Weights:
    """Gradients in our layout: they go the way of the weights, which only renames and moves numbers.

    What a rule of its own moves in training has none.
    """
    values = [(p, p.detach().clone()) for p in module.parameters()]
    with torch.no_grad():
        for parameter, value in values:
            parameter.copy_(torch.zeros_like(value) if parameter.grad is None else parameter.grad)
    try:
        found = collected(setup.conversion.ours(Held(saved_tensors(module)), "gradients"))
        return {path: found[path] for path, param in schema(setup.model.root()).items() if param.rule is None}
    finally:
        with torch.no_grad():
            for parameter, value in values:
                parameter.copy_(value)


# --- ours ---------------------------------------------------------------------------------------------------


def cotangent_for(output: np.ndarray, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(output.shape)


def as_theirs(setup: Setup, output: np.ndarray) -> np.ndarray:
    """Our output in the shape of theirs: what is pooled stands at every token of ours."""
    return output[:, 0] if is_pooled(setup.model) else output


def is_pooled(model: Model) -> bool:
    """Whether its output is the same at all tokens of a row."""
    return isinstance(model, DualEncoder) or getattr(getattr(model, "head", None), "pooling", None) is not None


def ours(setup: Setup, backend: str, dtype: str, cotangent: np.ndarray) -> Theirs:
    """A run of ours."""
    policy, chosen = Policy.exact(dtype), find_backend(backend)
    weights = {path: array.astype(dtype) for path, array in setup.weights.items()}
    if cotangent is None:
        result = chosen.run(setup.model, weights, setup.inputs, policy=policy, capture=False)
        return Theirs(output=as_theirs(setup, result.output), gradients={})
    spread = cotangent
    if is_pooled(setup.model):
        span = setup.model.span({name: array.shape for name, array in setup.inputs.items()})
        spread = np.zeros((*span, cotangent.shape[-1]))
        spread[:, 0] = cotangent
    gradients, result = chosen.gradients(setup.model, weights, setup.inputs, spread, policy=policy)
    return Theirs(output=as_theirs(setup, result.output), gradients=gradients)


# --- the gate -----------------------------------------------------------------------------------------------

FLOOR = 1e-7
"""The least noise that is assumed of float32: an error of one rounding is always allowed."""
TIMES = 3.0
"""How often transformers' own float32 noise ours may be off."""
EXACT = 1e-9
"""The error allowed in float64."""


def error(ours: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference, in units of the largest number."""
    assert ours.shape == truth.shape, f"{ours.shape} is not {truth.shape}"
    return float(np.abs(np.asarray(ours, np.float64) - truth).max() / max(np.abs(truth).max(), 1e-30))


def gradient_error(ours: Weights, truth: Weights) -> float:
    """The largest of the parameters' errors; one whose gradient is zero is to be as small as the others' noise."""
    largest = max(float(np.abs(g).max()) for g in truth.values())
    worst = 0.0
    for path, gradient in truth.items():
        scale = max(float(np.abs(gradient).max()), 1e-6 * largest)
        worst = max(worst, float(np.abs(np.asarray(ours[path], np.float64) - gradient).max()) / scale)
    return worst


@dataclass(kw_only=True)
class Verdict:
    """What was measured of a case on a backend: float64 errors, and float32 ones in units of transformers' noise."""

    exact: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)

    def failures(self, case: Case) -> list[str]:
        """What is beyond the gate without a reason."""
        bad = [f"{what} in float64: {value:.1e}" for what, value in self.exact.items() if value > EXACT]
        bad += [f"{what} in float32: {value:.1f} times" for what, value in self.noise.items() if value > TIMES]
        return [line for line in bad if line.split()[0] not in case.inexact]


def measure(setup: Setup, backend: str, *, float32: bool = True, gradients: bool = True) -> Verdict:
    """Output and gradients against transformers."""
    verdict = Verdict()
    plain = theirs(setup, None, double=True)
    cotangent = cotangent_for(plain.output) if gradients else None
    truth = theirs(setup, cotangent, double=True)
    mine = ours(setup, backend, "float64", cotangent)
    verdict.exact["logits"] = error(mine.output, truth.output)
    if gradients:
        verdict.exact["gradient"] = gradient_error(mine.gradients, truth.gradients)
    if float32:
        single, rough = theirs(setup, cotangent, double=False), ours(setup, backend, "float32", cotangent)
        floor = max(error(single.output, truth.output), FLOOR)
        verdict.noise["logits"] = error(rough.output, truth.output) / floor
        if gradients:
            floor = max(gradient_error(single.gradients, truth.gradients), FLOOR)
            verdict.noise["gradient"] = gradient_error(rough.gradients, truth.gradients) / floor
    return verdict


# --- the loss ---------------------------------------------------------------------------------------------


def has_loss(setup: Setup) -> bool:
    """Whether transformers has a loss of tokens for it."""
    head = getattr(setup.model, "head", None)
    bare = setup.architecture.endswith("Model") and not setup.architecture.endswith("HeadModel")
    return (isinstance(setup.model, TokenModel) and not bare) or isinstance(head, MaskedTokenHead)


def loss_error(setup: Setup, backend: str) -> float:
    """The relative difference of the mean loss in float64, with transformers' labels and what they mean as targets."""
    labels = np.random.default_rng(2).integers(0, setup.model.classes(), setup.inputs["tokens"].shape)
    given, batch = their_inputs(setup.inputs, torch.float64), dict(setup.inputs)
    if isinstance(setup.model, EncoderDecoder):
        start = np.full_like(labels[:, :1], setup.model.start)
        batch |= {"tokens": np.concatenate([start, labels[:, :-1]], axis=1).astype(np.int32), "targets": labels}
        given["decoder_input_ids"] = torch.as_tensor(batch["tokens"]).long()
    elif isinstance(setup.model, TokenModel):
        batch["targets"] = np.concatenate([labels[:, 1:], np.full_like(labels[:, :1], -1)], axis=1)
    else:
        batch["targets"] = labels
    with lifted(), torch.no_grad():
        truth = float(setup.double(**given, labels=torch.as_tensor(labels)).loss)
    weights = {path: array.astype(np.float64) for path, array in setup.weights.items()}
    trainer = find_backend(backend).trainer(
        setup.model,
        weights=weights,
        optimizer=SGD(momentum=0.0, nesterov=False, weight_decay=0.0),
        clip=None,
        policy=Policy.exact("float64"),
    )
    total, count = trainer.evaluate(batch | {"targets": batch["targets"].astype(np.int32)})
    return abs(total / count - truth) / abs(truth)


# --- padding and generation ---------------------------------------------------------------------------------


def is_generative(setup: Setup) -> bool:
    """Whether it writes token by token, and has positions left to do so."""
    return isinstance(setup.model, TokenModel) and room(setup) > 0


def is_paddable(setup: Setup) -> bool:
    """Whether rows of it may be of unequal length."""
    return set(setup.inputs) <= {"tokens", "token_types"}


def padded_error(setup: Setup, backend: str, side: str) -> float:
    """The largest float64 difference at real tokens between rows filled up on one side and transformers' rows alone.

    Alone, because a row filled up is another one to transformers here and there: a rotation looks at the longest row,
    a bias before a convolution makes something of padding, a pooled head reads it where it comes first.
    """
    tokens = setup.inputs["tokens"]
    segments = np.zeros_like(tokens)
    for row, ones in enumerate(segments):
        length = len(ones) - 5 * row
        ones[slice(-length, None) if side == "left" else slice(length)] = 1
    weights = {path: array.astype(np.float64) for path, array in setup.weights.items()}
    inputs = setup.inputs | {"segments": segments}
    result = find_backend(backend).run(setup.model, weights, inputs, policy=Policy.exact("float64"), capture=False)
    return max(_row_error(setup, result.output[row], segments[row] > 0, row) for row in range(len(tokens)))


def _row_error(setup: Setup, mine: np.ndarray, real: np.ndarray, row: int) -> float:
    """Of one row: ours (T, C), of which ``real`` places count, and transformers' own on them alone."""
    alone = {name: array[row : row + 1, real] for name, array in setup.inputs.items()}
    with lifted(), torch.no_grad():
        truth = their_output(setup, setup.double, their_inputs(alone, torch.float64)).numpy()[0]
    return error(mine[real][0] if is_pooled(setup.model) else mine[real], truth)


def room(setup: Setup) -> int:
    """How many tokens a continuation has: as many as positions are left, :data:`NEW` at most."""
    prompt = 1 if hasattr(setup.model, "start") else setup.inputs["tokens"].shape[1]
    return min(NEW, (setup.model.limit() or prompt + NEW) - prompt)


def their_continuation(setup: Setup) -> np.ndarray:
    """Greedy tokens (B, :func:`room`) of transformers' own generate, in float64.

    An encoder-decoder writes without a cache: transformers' has as many layers as the encoder, not the decoder.
    """
    tokens, count = setup.inputs["tokens"], room(setup)
    given = {"input_ids": torch.as_tensor(tokens).long(), "attention_mask": torch.ones(tokens.shape, dtype=torch.long)}
    module = setup.double
    settings = module.generation_config
    settings.eos_token_id = settings.pad_token_id = settings.bos_token_id = None
    start = getattr(setup.model, "start", None)
    if start is not None:
        source = setup.inputs["source_tokens"]
        given = {
            "input_ids": torch.as_tensor(source).long(), "attention_mask": torch.ones(source.shape, dtype=torch.long),
            "decoder_start_token_id": start, "use_cache": False,
        }  # fmt: skip
        settings.forced_eos_token_id = settings.forced_bos_token_id = None
    with lifted(), torch.no_grad():
        out = module.generate(**given, do_sample=False, max_new_tokens=count, num_beams=1)
    return out[:, -count:].numpy()


def our_continuation(setup: Setup, backend: str) -> np.ndarray:
    """Greedy tokens (B, :func:`room`) of a backend's decoder, in float64."""
    tokens, count = setup.inputs["tokens"], room(setup)
    first = {name: array for name, array in setup.inputs.items() if name.startswith("source_")}
    start = getattr(setup.model, "start", None)
    prompt = tokens if start is None else np.full((len(tokens), 1), start, np.int32)
    weights = {path: array.astype(np.float64) for path, array in setup.weights.items()}
    length = max([prompt.shape[1] + count, *(array.shape[1] for array in first.values())])
    decoder = find_backend(backend).decoder(
        setup.model, weights, batch=len(prompt), length=length, policy=Policy.exact("float64")
    )
    logits, drawn = decoder.prefill(prompt, **first), []
    for step in range(count):
        drawn.append(np.asarray(logits).argmax(axis=-1).astype(np.int32))
        if step + 1 < count:
            logits = decoder.step(drawn[-1])
    return np.stack(drawn, axis=1)
