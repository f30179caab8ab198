"""Any spec as a file of PyTorch: it computes what the definitions do, and transformers loads and generates with it."""

import functools
import importlib
import inspect
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

from archlab import catalog, reference
from archlab.activations import SiLU
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.config import find_type, registered
from archlab.errors import InputError
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.span import SpanHead
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
from archlab.models.dual_encoder import DualEncoder
from archlab.models.encoder import encoder_example
from archlab.models.encoder_decoder import seq2seq_example
from archlab.norms import GroupNorm, RMSNorm
from archlab.parity import running
from archlab.parity.cases import Case, cases_of, drawn_weights, registered_cases, seed_of, variants
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.score_bias import ALiBi
from archlab.spec import Example, Layer, Spec
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
    fields = {key: value for key, value in config.items() if key not in ("auto_map", "dtype", "model_type")}
    model = getattr(module, config["architectures"][0])(module.ArchlabConfig(**fields))
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


def judged(spec, name, cases, folder):
    """The largest differences of a model's answers and its auxiliary losses from the reference, by inputs."""
    spec = spec.for_generation()
    weights = drawn_weights(spec.root(), seed_of(name))
    write(folder, spec, weights)
    model, kept = as_in_the_reference(loaded(folder))
    return {kind: difference(spec, weights, model, kept, inputs) for kind, inputs in cases.items()}


def difference(spec, weights, model, kept, inputs):
    given = named(spec, inputs)
    if "prefix" not in given:
        inputs = {name: array for name, array in inputs.items() if name != "prefix"}
    truth = reference.run(spec, weights, inputs)
    kept.clear()
    with torch.no_grad():
        found = answer(model(**given))
    expected = spec.main(truth.output)
    if found.ndim == 2:
        segments = inputs.get("segments")
        first = 0 if segments is None else np.argmax(segments > 0, axis=1)
        expected = expected[np.arange(len(expected)), first]
    losses = {name: kept[0].losses[name] for name in kept[0].losses}
    assert losses.keys() == truth.losses.keys()
    pairs = [(found, expected), *((losses[name], truth.losses[name]) for name in losses)]
    return max(float(np.max(np.abs(np.asarray(a.detach()) - b))) for a, b in pairs)


def answer(output):
    """What a model's output has of the reference's."""
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    names = ("logits", "logits_per_text", "pooler_output", "last_hidden_state")
    return next(output[name] for name in names if output.get(name) is not None)


def judged_alone(case, cases, folder):
    """The largest differences of a part that is no layer."""
    spec, width = case.example.spec, case.example.width
    text, described = code(spec, CAUSAL, "A part.")
    folder.mkdir()
    (folder / "modeling_archlab.py").write_text(text)
    template = Path(inspect.getfile(write)).parent / "template" / "configuration.py"
    (folder / "configuration_archlab.py").write_text(template.read_text())
    module, weights = imported(folder), drawn_weights(spec.at(width), seed_of(case.name))
    part = module.Module(module.read(described).at(width))
    part.load_state_dict({path: torch.tensor(array) for path, array in weights.items()})
    return {kind: difference_alone(case, weights, part, module, inputs) for kind, inputs in cases.items()}


def difference_alone(case, weights, part, module, inputs):
    positions = np.broadcast_to(np.arange(case.example.length), inputs["x"].shape[:2])
    where = {name: torch.tensor(inputs[name]) for name in ("segments", "prefix") if name in inputs}
    ctx = module.Context(
        xp=module.xp, scan=None, erf=torch.erf, constant=functools.partial(module.constant, None),
        stop_gradient=torch.detach, dtype=torch.float64, positions=torch.tensor(inputs.get("positions", positions)),
        losses={}, **where,
    )  # fmt: skip
    with torch.no_grad():
        found = part(torch.tensor(inputs["x"]), ctx)
    return float(np.max(np.abs(found.numpy() - reference.run(case.example.spec, weights, inputs).output)))


def mechanisms():
    for case in CASES:
        marks = [] if case.name in LEAST else [pytest.mark.slow]
        yield pytest.param(case, marks=marks, id=case.name)


@pytest.mark.parametrize("case", list(mechanisms()))
def test_the_file_computes_what_the_definitions_do(case, tmp_path):
    spec, cases, folder = case.example.spec, variants(case, seed_of(case.name)), tmp_path / "out"
    if isinstance(spec.represents(), Model):
        errors = judged(spec, case.name, cases, folder)
    elif isinstance(spec.represents(), Layer):
        model = tiny_model(layer=spec, width=case.example.width, repeat=1)
        errors = judged(
            model, case.name, {kind: as_tokens(inputs, model.vocab) for kind, inputs in cases.items()}, folder
        )
    else:
        errors = judged_alone(case, cases, folder)
    assert max(errors.values()) < LIMIT, errors


def as_tokens(inputs, vocab):
    """Tokens in place of states."""
    tokens = np.random.default_rng(1).integers(0, vocab, inputs["x"].shape[:2])
    return {"tokens": tokens} | {name: array for name, array in inputs.items() if name != "x"}


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.names())
def test_the_catalogue(name, tmp_path):
    model = catalog.model(name)
    case = Case(name=name, spec_name=name, example=Example(spec=model.for_generation()))
    errors = judged(model, name, variants(case, seed_of(name)), tmp_path / "out")
    assert max(errors.values()) < LIMIT, errors


def test_every_mechanism_is_tried():
    assert {case.spec_name for case in CASES} >= registered(Spec).keys()
    assert len(LEAST) == len(registered(Spec)) + len(TOYS)


# --- names, imports and other ways to write a definition ----------------------------------------------

ODD = '''
"""Blocks that are written in odd ways"""

import archlab
from archlab import ops
from archlab.mixers import attention as base
from archlab.spec import Mixer

MIXED = (1.0, 2.0)


class Attention(base.Attention):
    """Another one of this name."""

    extra: float = 1.5

    def forward(self, m, x, ctx, state):
        from math import sqrt

        from archlab.ops import rearrange as turned

        y, state = super().forward(m, x, ctx, state)
        return self.extra * MIXED[1] * sqrt(4.0) * turned(y, "B T D -> B T D"), state


class Odd(Mixer):
    """A constant that a local name hides, and a module's function."""

    def parts(self, width):
        return {"out": archlab.Linear(features=width, axes="D D", bias=False).at(width)}

    def forward(self, m, x, ctx, state):
        first = [MIXED for MIXED in (3.0, 4.0)][0]
        return first * m.out(ops.upcast(ctx.xp, x), ctx) / MIXED[0], state
'''


def test_two_definitions_of_one_name_and_odd_imports(tmp_path):
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    odd, pre = load_file(path), PreNorm(norm=RMSNorm(epsilon=1e-5))
    fields = {"heads": 2, "kv_heads": 1, "visibility": "causal", "bias": False, "out_bias": False}
    rwkv = RWKV7(
        heads=2, decay_rank=3, rate_rank=4, gate_rank=5, norm=GroupNorm(groups=2, epsilon=1e-2, bias=True), epsilon=1e-3
    )
    mamba = Mamba2(heads=2, head_size=4, state_size=4, groups=1, norm=None)
    mixers = (odd.Attention(**fields), Attention(**fields), odd.Odd(), mamba, rwkv)
    model = tiny_model().replace(stack=Stack(pattern=[Block(mixer=m, residual=pre) for m in mixers], repeat=1))
    weights = drawn_weights(model.root(), 4)
    write(tmp_path / "out", model, weights)
    tokens = np.random.default_rng(5).integers(0, model.vocab, (2, 9))
    found = loaded(tmp_path / "out").eval()(input_ids=torch.tensor(tokens)).logits
    assert np.max(np.abs(found.detach().numpy() - reference.run(model, weights, {"tokens": tokens}).output)) < LIMIT
    spec = json.loads((tmp_path / "out/config.json").read_text())["spec"]
    assert {layer["mixer"]["type"] for layer in spec["stack"]["pattern"]} > {"Odd", "Attention"}
    assert str(tmp_path) not in (tmp_path / "out/config.json").read_text() + (tmp_path / "out/README.md").read_text()


def test_the_file_has_nothing_that_the_model_does_not_use(tmp_path):
    model = tiny_model()
    write(tmp_path / "out", model, initial(model.root(), 0))
    text = (tmp_path / "out/modeling_archlab.py").read_text()
    assert "class Attention(" in text
    for name in ("class GatedDeltaNet", "class RWKV7", "def examples", "def cost", "def saved", "SignStep"):
        assert name not in text
    assert text.startswith('"""LanguageModel, a model of transformers.\n\nGenerated by archlab ')


# --- kinds of models ----------------------------------------------------------------------------------


def written_and_loaded(tmp_path, model, seed=0, **more):
    weights = drawn_weights(model.for_generation().root(), seed)
    write(tmp_path / "out", model, {**drawn_weights(model.root(), seed), **weights}, **more)
    return loaded(tmp_path / "out").eval()


@pytest.mark.parametrize(
    ("model", "auto"),
    [
        (tiny_model(), "AutoModelForCausalLM"),
        (encoder_example().spec, "AutoModel"),
        (encoder_example(head=Classifier(classes=3, pooling="mean")).spec, "AutoModelForSequenceClassification"),
        (encoder_example(head=Classifier(classes=3, pooling=None)).spec, "AutoModelForTokenClassification"),
        (encoder_example(head=Classifier(classes=None, pooling="first")).spec, "AutoModel"),
        (encoder_example(head=SpanHead()).spec, "AutoModelForQuestionAnswering"),
        (seq2seq_example().spec, "AutoModelForSeq2SeqLM"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_class_that_loads_a_model(tmp_path, model, auto):
    write(tmp_path / "out", model, initial(model.root(), 0))
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert set(config["auto_map"]) == {"AutoConfig", auto}
    assert auto in (tmp_path / "out/README.md").read_text()


def test_a_model_that_sees_both_ways_fills_masks(tmp_path):
    mixer = Attention(heads=2, kv_heads=2, visibility="bidirectional", bias=False, out_bias=False)
    model = tiny_model(layer=Block(mixer=mixer, residual=PreNorm(norm=RMSNorm(epsilon=1e-5))))
    found = written_and_loaded(tmp_path, model)
    tokens = torch.arange(6)[None]
    output = found(input_ids=tokens, labels=torch.where(tokens == 2, tokens, -100))
    expected = torch.nn.functional.cross_entropy(output.logits[:, 2].float(), tokens[:, 2])
    assert output.loss.item() == pytest.approx(float(expected))


def test_the_loss_is_that_of_the_next_token_and_of_the_parts(tmp_path):
    router = TopKRouter(experts=4, chosen=2, scores="softmax", balance=0.5)
    moe = MoE(router=router, expert=GLU(hidden=6, activation=SiLU(), bias=False))
    model = tiny_model(layer=Block(channel=moe, residual=PreNorm(norm=RMSNorm(epsilon=1e-5))))
    found = written_and_loaded(tmp_path, model)
    tokens = torch.randint(0, model.vocab, (2, 7))
    labels = tokens.clone()
    labels[:, :3] = -100
    output = found(input_ids=tokens, labels=labels)
    expected = torch.nn.functional.cross_entropy(output.logits[:, 2:-1].flatten(0, 1).float(), tokens[:, 3:].flatten())
    assert output.loss.item() == pytest.approx(float(expected))
    assert found.train()(input_ids=tokens, labels=labels).loss.item() > output.loss.item()


def test_further_answers_count_in_training_alone(tmp_path):
    model = registered(Model)["EarlyExitModel"].examples()[0].spec
    found = written_and_loaded(tmp_path, model)
    tokens = torch.randint(0, model.vocab, (2, 7))
    alone = found(input_ids=tokens, labels=tokens).loss.item()
    assert found(input_ids=tokens).logits.shape == (2, 7, model.vocab)
    assert float(found.train()(input_ids=tokens, labels=tokens).loss) > alone


def test_the_classes_loss_and_padding(tmp_path):
    model = encoder_example(head=Classifier(classes=3, pooling="first")).spec
    found = written_and_loaded(tmp_path, model)
    tokens = torch.randint(0, 11, (2, 6))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]])
    output = found(input_ids=tokens, attention_mask=mask, labels=torch.tensor([0, 2]))
    assert output.logits.shape == (2, 3)
    assert output.loss.item() > 0
    alone = found(input_ids=tokens[1:, 2:]).logits
    assert torch.allclose(output.logits[1], alone[0])


def test_the_loss_of_texts_and_images_is_that_of_both_ways(tmp_path):
    found = written_and_loaded(tmp_path, DualEncoder.examples()[0].spec)
    tokens, images = torch.randint(0, 7, (3, 5)), torch.randn(3, 3, 6, 8)
    output = found(input_ids=tokens, pixel_values=images, return_loss=True)
    rows, columns = output.logits_per_text.log_softmax(1), output.logits_per_text.log_softmax(0)
    assert output.loss.item() == pytest.approx(-(rows.diagonal().mean() + columns.diagonal().mean()).item() / 2)


def test_the_loss_of_an_answer_and_padding(tmp_path):
    found = written_and_loaded(tmp_path, encoder_example(head=SpanHead()).spec)
    tokens, mask = torch.randint(0, 11, (1, 6)), torch.tensor([[1, 1, 1, 1, 0, 0]])
    asked = {"start_positions": torch.tensor([1]), "end_positions": torch.tensor([2])}
    padded = found(input_ids=tokens, attention_mask=mask, **asked)
    alone = found(input_ids=tokens[:, :4], **asked)
    assert padded.loss.item() == pytest.approx(alone.loss.item())
    assert padded.start_logits.shape == (1, 6)


def test_the_encoder_runs_once(tmp_path):
    model = seq2seq_example().spec
    found, runs = written_and_loaded(tmp_path, model), []
    found.model.encoder.register_forward_hook(lambda *_: runs.append(1))
    source = torch.randint(0, 11, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    wanted = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    fast = found.generate(source, decoder_start_token_id=0, **wanted)
    assert len(runs) == 1
    assert torch.equal(fast, found.generate(source, decoder_start_token_id=0, use_cache=False, **wanted))
    labels = torch.randint(1, 11, (2, 4))
    shifted = torch.cat([torch.zeros(2, 1, dtype=torch.long), labels[:, :-1]], dim=1)
    by_labels = found(input_ids=source, attention_mask=mask, labels=labels)
    by_hand = found(input_ids=source, attention_mask=mask, decoder_input_ids=shifted)
    assert torch.equal(by_labels.logits, by_hand.logits)
    expected = torch.nn.functional.cross_entropy(by_hand.logits.flatten(0, 1).float(), labels.flatten())
    assert by_labels.loss.item() == pytest.approx(float(expected))


# --- decoding, training, dtypes ------------------------------------------------------------------------


def hybrid(vocab=29):
    """Three layers of Gated DeltaNet and one of attention in a window, each with a mixture of experts."""
    norm = RMSNorm(epsilon=1e-5)
    router = TopKRouter(experts=4, chosen=2, scores="softmax", balance=0.01, total=1.0)
    moe = MoE(router=router, expert=GLU(hidden=12, activation=SiLU(), bias=False))
    recurrent = GatedDeltaNet(heads=2, key_heads=1, key_size=6, value_size=8, epsilon=1e-6, norm=norm)
    local = Attention(
        heads=4, kv_heads=2, visibility="causal", window=5, bias=False, out_bias=False,
        rotary=RoPE(theta=10000.0, layout="half"),
    )  # fmt: skip
    layers = [Block(mixer=m, channel=moe, residual=PreNorm(norm=norm)) for m in (recurrent,) * 3 + (local,)]
    return tiny_model(vocab=vocab, width=16, head=Head(bias=False)).replace(stack=Stack(pattern=layers, repeat=1))


def full_attention(**fields):
    mixer = Attention(
        heads=2, kv_heads=2, visibility="causal", bias=False, out_bias=False, score_bias=ALiBi(), **fields
    )
    return tiny_model(layer=Block(mixer=mixer, residual=PreNorm(norm=RMSNorm(epsilon=1e-5))))


@pytest.mark.parametrize("model", [hybrid(), full_attention()], ids=["hybrid", "attention"])
def test_a_cache_grows_past_its_first_room(tmp_path, model):
    found = written_and_loaded(tmp_path, model)
    tokens = torch.randint(0, model.vocab, (2, 150))
    mask = torch.ones_like(tokens)
    mask[0, :9] = 0
    with torch.no_grad():
        whole = found(input_ids=tokens, attention_mask=mask).logits
        pieces, cache, start = [], None, 0
        for stop in (3, 40, 41, 70, 71, 150):
            output = found(
                input_ids=tokens[:, start:stop], attention_mask=mask[:, :stop], past_key_values=cache, use_cache=True
            )
            cache, start = output.past_key_values, stop
            pieces.append(output.logits)
    assert cache.get_seq_length() == 150
    real = mask > 0
    assert torch.max(torch.abs(torch.cat(pieces, dim=1) - whole)[real]) < LIMIT


def test_packed_documents_do_not_see_each_other(tmp_path):
    found = written_and_loaded(tmp_path, hybrid())
    tokens = torch.randint(0, 29, (1, 12))
    packed = found(input_ids=tokens, attention_mask=torch.tensor([[1] * 5 + [2] * 7])).logits
    apart = torch.cat([found(input_ids=part).logits for part in (tokens[:, :5], tokens[:, 5:])], dim=1)
    assert torch.max(torch.abs(packed - apart)) < LIMIT


def test_low_precision_and_gradients(tmp_path):
    model = hybrid()
    found = written_and_loaded(tmp_path, model).train()
    tokens = torch.randint(0, model.vocab, (4, 12))
    before = found(input_ids=tokens, labels=tokens).loss.item()
    optimiser = torch.optim.SGD(found.parameters(), lr=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        found(input_ids=tokens, labels=tokens).loss.backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in found.parameters())
        optimiser.step()
    assert found(input_ids=tokens, labels=tokens).loss.item() < before
    exact = found.eval()(input_ids=tokens).logits
    low = found.to(torch.bfloat16)
    logits = low(input_ids=tokens).logits
    assert logits.dtype == torch.bfloat16
    assert torch.median(torch.abs(logits.double() - exact)) < 0.05  # some token may go to another expert
    assert low.generate(tokens, max_new_tokens=5, do_sample=True, pad_token_id=0).shape == (4, 17)


def test_a_model_made_without_weights_has_those_of_the_spec(tmp_path):
    model = hybrid()
    weights = initial(model.root(), 7, "float64")
    write(tmp_path / "out", model, weights)
    module = imported(tmp_path / "out")
    config = module.ArchlabConfig(spec=json.loads((tmp_path / "out/config.json").read_text())["spec"], seed=7)
    made = module.ArchlabForCausalLM(config).state_dict()
    assert made.keys() == {f"model.{path}" for path in weights}
    for path, array in weights.items():
        np.testing.assert_array_equal(made[f"model.{path}"].numpy(), array)


@pytest.mark.slow
def test_the_model_is_traced_whole(tmp_path):
    found = written_and_loaded(tmp_path, hybrid())
    tokens = torch.randint(0, 29, (2, 6))
    compiled = torch.compile(found, backend="eager", fullgraph=True)
    assert torch.equal(compiled(input_ids=tokens).logits, found(input_ids=tokens).logits)


def test_large_weights_lie_in_several_files(tmp_path):
    from transformers.modeling_utils import load_state_dict

    weights = initial(tiny_model().root(), 0)
    tmp_path.joinpath("out").mkdir()
    write_weights(tmp_path / "out", weights, largest=4000)
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    files = sorted({*index["weight_map"].values()})
    assert len(files) > 1 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    found = {name: array for file in files for name, array in load_state_dict(tmp_path / "out" / file).items()}
    assert found.keys() == index["weight_map"].keys() == {f"model.{path}" for path in weights}
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in weights.values())


# --- transformers, in a process that has no archlab ----------------------------------------------------

BLOCKED = """
import os, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("archlab", "archlab_torch", "archlab_jax", "einops", "array_api_compat"):
            raise ImportError(f"{name} is not to be had")
sys.meta_path.insert(0, Blocked())
"""

LOADING = """
import json, sys
import numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, again = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
assert tokenizer.padding_side == "left" and tokenizer.pad_token == "<pad>" and tokenizer.eos_token == "</s>"
saved = np.load(folder + "/../expected.npz")
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float64).eval()
batch = tokenizer(["hello there", "abc"], return_tensors="pt", padding=True)
assert set(batch) == {"input_ids", "attention_mask"}
np.testing.assert_array_equal(batch["input_ids"].numpy()[batch["attention_mask"].numpy() > 0], saved["ids"])
with torch.no_grad():
    logits = model(**batch).logits.numpy()
error = float(np.max(np.abs(logits - saved["logits"])[batch["attention_mask"].numpy() > 0]))

plain = {"max_new_tokens": 12, "do_sample": False, "min_new_tokens": 12}
written = model.generate(**batch, **plain)
same = {"greedy": torch.equal(written, model.generate(**batch, **plain, use_cache=False))}
beams = model.generate(**batch, **plain, num_beams=3)
same["beams"] = torch.equal(beams, model.generate(**batch, **plain, num_beams=3, use_cache=False))
single = tokenizer(["abc"], return_tensors="pt")
same["padding"] = torch.equal(model.generate(**single, **plain)[0, 3:], written[1, 11:])
torch.manual_seed(0)
drawn = model.generate(**batch, max_new_tokens=6, do_sample=True, num_return_sequences=2)
same["sampled"] = drawn.shape[0] == 4

model.save_pretrained(again)
tokenizer.save_pretrained(again)
other = AutoModelForCausalLM.from_pretrained(again, trust_remote_code=True, dtype=torch.float64).eval()
same["saved"] = torch.equal(other.generate(**batch, **plain), written)
same["names"] = list(other.state_dict()) == list(model.state_dict())
print(json.dumps({"error": error, "same": same, "greedy": written[:, 11:].tolist()}))
"""


def in_another_process(code, *arguments, tmp_path):
    """What a program prints last, run where archlab cannot be imported."""
    script = tmp_path / "program.py"
    script.write_text(BLOCKED + code)
    cache = {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True, timeout=300,
        cwd=tmp_path, env=os.environ | cache,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_transformers_loads_it_without_archlab(tmp_path):
    tokenizer = CharTokenizer(special={"pad": "<pad>", "eos": "</s>"}).train(["abcdefgh ijklmnopqrstuvwxyz"])
    model = hybrid(vocab=tokenizer.vocab_size)
    weights = drawn_weights(model.root(), 11)
    facts = {"name": "Hybrid", "parity": {"logits, float64": 1e-14}, "training": [{"step": 1, "loss": 2.5}]}
    write(tmp_path / "out", model, weights, tokenizer=tokenizer, facts=facts)
    rows = tokenizer.encode_batch(["hello there", "abc"])
    tokens, segments = np.zeros((2, 11), dtype=np.int64), np.zeros((2, 11), dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, 11 - len(row) :], segments[i, 11 - len(row) :] = row, 1
    logits = reference.run(model, weights, {"tokens": tokens, "segments": segments}).output
    np.savez(tmp_path / "expected.npz", ids=np.concatenate(rows), logits=logits)
    found = in_another_process(LOADING, tmp_path / "out", tmp_path / "again", tmp_path=tmp_path)
    assert found["error"] < LIMIT
    assert all(found["same"].values()), found["same"]
    assert found["greedy"] == greedy(model, weights, tokens, segments, 12)
    card = (tmp_path / "out/README.md").read_text()
    for words in ("# Hybrid", "custom_code", "| logits, float64 | 1e-14 |", "| step | loss |", "type: GatedDeltaNet"):
        assert words in card


def greedy(model, weights, tokens, segments, count):
    """The most probable tokens by the reference, without any state."""
    for _ in range(count):
        last = reference.run(model, weights, {"tokens": tokens, "segments": segments}).output[:, -1]
        tokens = np.concatenate([tokens, np.argmax(last, axis=-1)[:, None]], axis=1)
        segments = np.concatenate([segments, np.ones_like(segments[:, :1])], axis=1)
    return tokens[:, -count:].tolist()


# --- bad input ----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "here").write_text("something")
    model = tiny_model()
    with pytest.raises(InputError, match="is not an empty folder; name another one"):
        write(tmp_path, model, initial(model.root(), 0))


def test_weights_of_another_architecture(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        write(tmp_path / "out", tiny_model(head=Head(bias=True)), initial(tiny_model().root(), 0))
    assert not (tmp_path / "out").exists()


class Hidden:
    """Holds a definition that stands at no file's top."""

    class Reversed(SiLU):
        """x σ(x), of another place."""


def test_a_definition_that_is_not_at_the_top_of_a_file(tmp_path):
    channel = GLU(hidden=8, activation=Hidden.Reversed(), bias=False)
    model = tiny_model(layer=Block(channel=channel, residual=PreNorm(norm=RMSNorm(epsilon=1e-5))))
    with pytest.raises(InputError, match=r"Hidden\.Reversed does not stand at the top of a file"):
        write(tmp_path / "out", model, initial(model.root(), 0))


def test_a_library_that_the_file_may_not_import(tmp_path):
    path = tmp_path / "foreign.py"
    path.write_text(
        "import yaml\nfrom archlab.spec import Mixer\n\n\nclass Foreign(Mixer):\n"
        "    def forward(self, m, x, ctx, state):\n        return x * len(yaml.safe_dump(1)), state\n"
    )
    block = Block(mixer=load_file(path).Foreign(), residual=PreNorm(norm=RMSNorm(epsilon=1e-5)))
    model = tiny_model(layer=block)
    with pytest.raises(InputError, match="a definition uses yaml, which the file cannot import"):
        write(tmp_path / "out", model, initial(model.root(), 0))


def test_a_model_that_reads_what_transformers_has_no_name_for():
    class Own(Model):
        def inputs(self):
            return {"sounds": Tokens(vocab=3, init=Normal(std=1.0)).inputs()["tokens"]}

    with pytest.raises(InputError, match="a Own reads sounds"):
        kind_of(Own(width=4))


def test_a_mask_of_the_wrong_shape(tmp_path):
    found = written_and_loaded(tmp_path, tiny_model())
    with pytest.raises(ValueError, match=r"attention_mask has the shape \(1, 1, 4, 4\); \(batch, time\) is needed"):
        found(input_ids=torch.zeros((1, 4), dtype=torch.long), attention_mask=torch.ones(1, 1, 4, 4))
