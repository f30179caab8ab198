"""Any spec as a file of PyTorch: it computes what the definitions do, and transformers loads, trains and generates with it."""

import importlib
import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from archlab import reference
from archlab.activations import SiLU
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.config import find_type, registered
from archlab.errors import InputError
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.hf.modeling import write
from archlab.hf.modeling.folder import code, write_weights
from archlab.hf.modeling.kinds import CAUSAL, kind_of
from archlab.importing import load_file
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.mixers.gated_delta_net import GatedDeltaNet
from archlab.mixers.mamba2 import Mamba2
from archlab.mixers.rwkv7 import RWKV7
from archlab.model import Head, Model, tiny_model
from archlab.models.encoder import encoder_example
from archlab.models.encoder_decoder import seq2seq_example
from archlab.norms import GroupNorm, RMSNorm
from archlab.parity import running
from archlab.parity.cases import cases_of, drawn_weights, registered_cases, seed_of, variants
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.score_bias import ALiBi
from archlab.spec import Layer, Spec
from archlab.stack import Stack
from archlab.tokenizers import CharTokenizer
from archlab.weights import initial

HERE = Path(__file__).parent
TOYS = [f"{HERE / 'toys.py'}:{name}" for name in ("DecayingMean", "GatedTanh", "Penalised")]
CASES = registered_cases() + [case for toy in TOYS for case in cases_of(find_type(toy, Spec))]
LEAST = {min((c for c in CASES if c.spec_name == name), key=running.size).name for name in {c.spec_name for c in CASES}}
LIMIT = 1e-10
NUMBER = itertools.count()
OWN = {"tokens": "input_ids", "token_types": "token_type_ids", "image": "pixel_values", "frames": "input_features"}


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# --- every mechanism ----------------------------------------------------------------------------------


def imported(folder):
    """The generated file as a module of its own package, which does not know archlab."""
    text = (folder / "modeling_archlab.py").read_text()
    for word in ("import archlab", "from archlab", "einops", "array_api_compat"):
        assert word not in text
    package = types.ModuleType(f"generated_{next(NUMBER)}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    return importlib.import_module(f"{package.__name__}.modeling_archlab")


def loaded(folder):
    """The model of a folder, in float64, without the library's loader."""
    from safetensors.torch import load_file as tensors

    module, config = imported(folder), json.loads((folder / "config.json").read_text())
    spec, name = config["spec"], config["architectures"][0]
    more = {key: config[key] for key in ("vocab_size", "num_labels") if key in config}
    model = getattr(module, name)(module.ArchlabConfig(spec=spec, **more))
    model.load_state_dict(tensors(folder / "model.safetensors"))
    return model


def as_in_the_reference(model):
    """Parts note losses, as they always do in the reference, and nothing is dropped; the contexts are kept."""
    plain, kept = model.context, []

    def context(*args, **kwargs):
        kept.append(plain(*args, **kwargs).replace(random=None))
        return kept[-1]

    model.context = context
    return model.train(), kept


def named(spec, inputs):
    """The inputs of a case by transformers' names."""
    table = {}
    for name, array in inputs.items():
        own = name.removeprefix("source_")
        second = name in ("tokens", "segments", "positions", "prefix") and any(n.startswith("source_") for n in inputs)
        where = {"segments": "attention_mask", "positions": "position_ids", "prefix": "prefix"}
        key = OWN.get(own) or where[own]
        tensor = torch.tensor(array)
        table[f"decoder_{key}" if second else key] = tensor.movedim(-1, 1) if key == "pixel_values" else tensor
    if kind_of(spec) is not CAUSAL:
        table = {key: value for key, value in table.items() if not key.endswith("prefix")}
    return table


def judged(spec, case, inputs, folder):
    """The largest difference of a model's answer and its auxiliary losses from the reference."""
    spec = spec.for_generation()
    weights = drawn_weights(spec.root(), seed_of(case.name))
    write(folder, spec, weights)
    model, kept = as_in_the_reference(loaded(folder))
    given = named(spec, inputs)
    if "prefix" not in given and "decoder_prefix" not in given:
        inputs = {name: array for name, array in inputs.items() if name != "prefix"}
    truth = reference.run(spec, weights, inputs)
    with torch.no_grad():
        output = model(**given)
    expected = spec.main(truth.output)
    found = output.logits if "logits" in output else pooled_or_last(output)
    if found.ndim == 2:
        segments = inputs.get("segments")
        first = 0 if segments is None else np.argmax(segments > 0, axis=1)
        expected = expected[np.arange(len(expected)), first]
    losses = dict(kept[0].losses)
    assert losses.keys() == truth.losses.keys()
    pairs = [(found, expected), *((losses[name], truth.losses[name]) for name in losses)]
    return max(float(np.max(np.abs(np.asarray(a.detach()) - b))) for a, b in pairs)


def pooled_or_last(output):
    return output.last_hidden_state if output.pooler_output is None else output.pooler_output


def judged_alone(case, inputs, folder):
    """The largest difference of a part that is no layer."""
    spec, width = case.example.spec, case.example.width
    text, described = code(spec, CAUSAL, "A part.")
    folder.mkdir()
    (folder / "modeling_archlab.py").write_text(text)
    model = tiny_model()
    write(folder / "other", model, initial(model.root(), 0))
    (folder / "other" / "configuration_archlab.py").rename(folder / "configuration_archlab.py")
    module = imported(folder)
    weights = drawn_weights(spec.at(width), seed_of(case.name))
    part = module.Module(module.read(described).at(width))
    part.load_state_dict({path: torch.tensor(array) for path, array in weights.items()})
    positions = np.broadcast_to(np.arange(case.example.length), inputs["x"].shape[:2])
    where = {name: torch.tensor(inputs[name]) for name in ("segments", "prefix") if name in inputs}
    ctx = module.Context(
        xp=module.xp, scan=None, erf=torch.erf, constant=lambda v, dtype=None: module.constant(None, v, dtype),
        stop_gradient=torch.detach, dtype=torch.float64, positions=torch.tensor(inputs.get("positions", positions)),
        losses={}, **where,
    )  # fmt: skip
    with torch.no_grad():
        found = part(torch.tensor(inputs["x"]), ctx)
    return float(np.max(np.abs(found.numpy() - reference.run(spec, weights, inputs).output)))


def mechanisms():
    for case in CASES:
        marks = [] if case.name in LEAST else [pytest.mark.slow]
        yield pytest.param(case, marks=marks, id=case.name)


@pytest.mark.parametrize("case", list(mechanisms()))
def test_the_file_computes_what_the_definitions_do(case, tmp_path):
    spec = case.example.spec
    for name, inputs in variants(case, seed_of(case.name)).items():
        folder = tmp_path / name
        if isinstance(spec.represents(), Model):
            error = judged(spec, case, inputs, folder)
        elif isinstance(spec.represents(), Layer):
            model = tiny_model(layer=spec, width=case.example.width, repeat=1)
            tokens = np.random.default_rng(1).integers(0, model.vocab, inputs["x"].shape[:2])
            where = {key: value for key, value in inputs.items() if key != "x"}
            error = judged(model, case, {"tokens": tokens, **where}, folder)
        else:
            error = judged_alone(case, inputs, folder)
        assert error < LIMIT, name


def test_every_mechanism_is_tried():
    assert {case.spec_name for case in CASES} >= registered(Spec).keys()
    assert len(LEAST) == len(registered(Spec)) + len(TOYS)
