"""A page of mistakes that people make with configs, files and arguments.

A mistake is a row: what is typed, the words that the sentence about it must hold (where it is, the value, what to
do), and how the files differ from a small run config, a text and a trained run that are right.
"""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from archlab import weights as canonical
from archlab import yaml_text
from archlab.config_files import load_run
from archlab.files import sha256
from archlab.model import tiny_model
from archlab.training import runs

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 40
VOCAB = len(set(TEXT))
CHECKPOINT = "run/checkpoints/step-000002"


def run_config():
    """A run that is right: one test trains it."""
    norm = {"type": "RMSNorm", "epsilon": 1e-5}
    mixer = {"type": "Attention", "heads": 4, "kv_heads": 2, "visibility": "causal", "bias": False, "out_bias": False}
    channel = {"type": "MLP", "hidden": 16, "activation": "GELUTanh", "bias": False}
    block = {"type": "Block", "mixer": mixer, "channel": channel, "residual": {"type": "PreNorm", "norm": norm}}
    return {
        "model": {
            "type": "LanguageModel",
            "vocab": VOCAB,
            "width": 16,
            "embedding_init": {"type": "Normal", "std": 0.02},
            "positions": {"type": "LearnedPositions", "length": 32, "init": {"type": "Normal", "std": 0.02}},
            "stack": {"pattern": [block], "repeat": 1},
            "norm": norm,
            "head": None,
        },
        "data": {"dataset": "text.txt", "tokenizer": "CharTokenizer", "length": 16, "batch": 4},
        "train": {
            "steps": 2,
            "optimizer": {"type": "AdamW", "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1},
            "schedule": {"type": "WarmupCosine", "peak": 1e-3, "floor": 1e-4, "warmup": 1, "steps": 2},
            "clip": 1.0,
            "eval_batches": 1,
            "store": "canonical",
        },
    }


@dataclass(frozen=True)
class Wrong:
    """A mistake: the command line, words of the sentence about it, and what is done to the files before."""

    name: str
    command: str
    says: tuple[str, ...]
    prepare: Callable[[], object] = lambda: None


# --- ways to spoil files, all in the working directory ------------------------------------------------


def file(name, content):
    """Writes a file: text, bytes, or data as JSON."""

    def write():
        if isinstance(content, (str, bytes)):
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        else:
            Path(name).write_text(json.dumps(content))

    return write


def config(change, name="bad.yaml"):
    """Writes the run config after ``change`` was done to it; block and mixer come with it."""

    def write():
        data = run_config()
        change(data)
        Path(name).write_text(yaml_text.write(data))

    return write


def block(data):
    return data["model"]["stack"]["pattern"][0]


def mixer(**fields):
    return config(lambda data: block(data)["mixer"].update(fields))


def shortened(name, share=0.5):
    """Cuts a file off."""

    def cut():
        path = Path(name)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return cut


def foreign_weights():
    """Whole, but of another architecture."""
    canonical.save(f"{CHECKPOINT}/weights.safetensors", canonical.initial(tiny_model().root(), seed=0))
    noted("weights.safetensors")


def noted(name):
    """A file of the checkpoint is put down as it is now: what checks it is no checksum."""
    notes = json.loads(Path(f"{CHECKPOINT}/state.json").read_text())
    notes["files"][name] = sha256(Path(f"{CHECKPOINT}/{name}"))
    Path(f"{CHECKPOINT}/state.json").write_text(json.dumps(notes))


def pickled():
    """A pickle where a file of weights should be, and known as one."""
    Path(f"{CHECKPOINT}/weights.safetensors").write_bytes(pickle.dumps({"w": list(range(999))}))
    noted("weights.safetensors")


def bidirectional_run():
    """A run as its author's own training code may leave it: its attention sees both directions."""
    overrides = ["model.stack.pattern[0].mixer.visibility=bidirectional"]
    run = runs.Run(path=Path("run"), config=load_run("config.yaml", overrides))
    run.write_config()
    path = run.checkpoints.path(2) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spec_hash": run.config.model.hash()}))


def larger_vocabulary():
    """A tokenizer with a token that the model does not have."""
    tokenizer = json.loads(Path("run/tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["!"] = VOCAB
    Path("run/tokenizer.json").write_text(json.dumps(tokenizer))


MIXER = "model.stack.pattern[0].mixer"
PYTHON = "def get_config():\n    "
TRAIN = "train bad.yaml --backend torch --out new"
SET = "train config.yaml --backend torch --out new "
SET_JAX = "train config.yaml --backend jax --out new "
GENERATE = "generate run --prompt "

CONFIGS = [
    Wrong("text for a number", TRAIN, (f"{MIXER}.heads", "'four' is not an integer"), mixer(heads="four")),
    Wrong("quoted number", TRAIN, (f"{MIXER}.window", "'8'", "without quotes"), mixer(window="8")),
    Wrong("truth for a number", TRAIN, ("model.width", "True", "an integer"),
          config(lambda d: d["model"].update(width=True))),
    Wrong("number for a part", TRAIN, (MIXER, "7", "mapping"), config(lambda d: block(d).update(mixer=7))),
    Wrong("list for a part", TRAIN, ("data", "mapping", "DataConfig"), config(lambda d: d.update(data=[1]))),
    Wrong("heads do not divide the width", TRAIN, (f"{MIXER}.heads", "5", "width 16", "head_size"),
          mixer(heads=5, kv_heads=5)),
    Wrong("kv_heads do not divide heads", TRAIN, (f"{MIXER}.kv_heads", "3", "heads = 4"), mixer(kv_heads=3)),
    Wrong("no heads", TRAIN, (f"{MIXER}.heads", "0", "must be > 0"), mixer(heads=0)),
    Wrong("window of nothing", TRAIN, (f"{MIXER}.window", "0", "must be > 0"), mixer(window=0)),
    Wrong("dropout of everything", TRAIN, (f"{MIXER}.dropout", "1.0", "[0, 1)"), mixer(dropout=1)),
    Wrong("unknown mask", TRAIN, (f"{MIXER}.visibility", "'casual'", "did you mean 'causal'"),
          mixer(visibility="casual")),
    Wrong("rotation of nothing", TRAIN, (f"{MIXER}.rotary.fraction", "0.25", "size 4", "raise it"),
          mixer(rotary={"type": "RoPE", "theta": 1e4, "layout": "half", "fraction": 0.25})),
    Wrong("unknown key", TRAIN, (f"{MIXER}.kv_head", "did you mean 'kv_heads'"), mixer(kv_head=2)),
    Wrong("unknown section", TRAIN, ("trian", "did you mean 'train'"), config(lambda d: d.update(trian={}))),
    Wrong("unknown type", TRAIN, (f"{MIXER}.type", "'Atention'", "did you mean 'Attention'"), mixer(type="Atention")),
    Wrong("type of another family", TRAIN, (f"{MIXER}.type", "'MLP' is not a Mixer"), mixer(type="MLP")),
    Wrong("no type", TRAIN, (f"{MIXER}.type", "required", "allowed: Attention"),
          config(lambda d: block(d)["mixer"].pop("type"))),
    Wrong("no epsilon", TRAIN, ("model.stack.pattern[0].residual.norm.epsilon", "required", "missing", "a number"),
          config(lambda d: block(d)["residual"].update(norm="RMSNorm"))),
    Wrong("bare gelu", TRAIN, ("model.stack.pattern[0].channel.activation.type", "'gelu'", "GELUErf", "GELUTanh"),
          config(lambda d: block(d)["channel"].update(activation="gelu"))),
    Wrong("empty pattern", TRAIN, ("model.stack.pattern", "at least one layer"),
          config(lambda d: d["model"]["stack"].update(pattern=[]))),
    Wrong("infinite number", TRAIN, ("train.clip", "inf", "finite"), config(lambda d: d["train"].update(clip=1e999))),
    Wrong("neither run nor model", TRAIN, ("bad.yaml", "'model'", "'type'", "its keys are layers"),
          file("bad.yaml", "layers: 3\n")),
    Wrong("empty file", TRAIN, ("bad.yaml", "'model'", "no mapping"), file("bad.yaml", "")),
    Wrong("model alone", "train model.json --backend torch", ("model.json", "model alone", "data and train"),
          lambda: file("model.json", run_config()["model"])()),
    Wrong("broken YAML", TRAIN, ("bad.yaml", "YAML", "line 3, column 4"),
          file("bad.yaml", "model:\n  type: [a\n  b: c}\n")),
    Wrong("key twice", TRAIN, ("bad.yaml", "'width' stands twice", "line 2, column 1"),
          file("bad.yaml", "width: 1\nwidth: 2\n")),
    Wrong("broken JSON", "describe bad.json", ("bad.json", "JSON", "line 2, column 11"),
          file("bad.json", '{"model":\n {"vocab" 7}}')),
    Wrong("not text", TRAIN, ("bad.yaml", "UTF-8"), file("bad.yaml", b"\xff\xfe\x00m")),
    Wrong("Python that raises", "describe bad.py", ("bad.py", "get_config()", "KeyError: 'layers'"),
          file("bad.py", PYTHON + "return {}['layers']\n")),
    Wrong("Python without get_config", "describe bad.py", ("bad.py", "no get_config()"),
          file("bad.py", "config = 1\n")),
    Wrong("Python that cannot be read", "describe bad.py", ("bad.py", "SyntaxError", "line 2"),
          file("bad.py", PYTHON + "return (\n")),
    Wrong("Python that returns nothing", "describe bad.py", ("bad.py", "no mapping"),
          file("bad.py", PYTHON + "pass\n")),
    Wrong("missing config", "describe confg.yaml", ("no such config: confg.yaml", "did you mean config.yaml")),
    Wrong("missing folder", "describe nowhere/a.yaml", ("nowhere/a.yaml", "no folder nowhere")),
    Wrong("unknown suffix", "describe text.txt", ("text.txt", ".py, .yaml, .yml, .json")),
    Wrong("folder that is no run", "describe empty", ("empty", "without config.json"), lambda: Path("empty").mkdir()),
    Wrong("user's file missing", TRAIN, (f"{MIXER}.type", "no such file", "mine.py"), mixer(type="mine.py:Mine")),
    Wrong("user's class missing", TRAIN, (f"{MIXER}.type", "'Mien'", "did you mean 'Mine'"),
          lambda: (file("mine.py", "class Mine: pass\n")(), mixer(type="mine.py:Mien")())),
    Wrong("user's class of no kind", TRAIN, (f"{MIXER}.type", "Mine", "is not a Mixer"),
          lambda: (file("mine.py", "class Mine: pass\n")(), mixer(type="mine.py:Mine")())),
    Wrong("user's file that raises", TRAIN, (f"{MIXER}.type", "mine.py", "ZeroDivisionError"),
          lambda: (file("mine.py", "1 / 0\n")(), mixer(type="mine.py:Mine")())),
    Wrong("module that is not there", TRAIN, (f"{MIXER}.type", "'no_such_module'"), mixer(type="no_such_module:Mine")),
]  # fmt: skip

VALUES = [
    Wrong("no steps", SET + "train.steps=0", ("train.steps", "0", "must be > 0")),
    Wrong("half a step", SET + "train.steps=1.5", ("train.steps", "1.5", "an integer")),
    Wrong("negative rate", SET + "train.schedule.peak=-1e-3", ("train.schedule.peak", "-0.001", "must be > 0")),
    Wrong("warm-up longer than the run", SET + "train.schedule.warmup=9", ("train.schedule.warmup", "9", "steps = 2")),
    Wrong("clipping to nothing", SET + "train.clip=0", ("train.clip", "0", "> 0 or null")),
    Wrong("negative seed", SET + "train.seed=-1", ("train.seed", "-1", "must lie in")),
    Wrong("negative width", SET + "model.width=-8", ("model.width", "-8", "must be > 0")),
    Wrong("nothing held out", SET + "data.validation=0", ("data.validation", "0", "between 0 and 1")),
    Wrong("all held out", SET + "data.validation=1", ("data.validation", "1", "between 0 and 1")),
    Wrong("longer than the position table", SET + "data.length=33", ("data.length", "33", "32 positions")),
    Wrong("override that is none", SET + "foo", ("'foo'", "path=value")),
    Wrong("override without a value", SET + "train.steps=", ("train.steps", "no value", "null")),
    Wrong("override of an unknown field", SET + "train.step=5", ("train.step", "did you mean 'steps'")),
    Wrong("override in an unknown part", SET + "modle.width=5", ("modle", "did you mean 'model'")),
    Wrong("override of the wrong type", SET + f"{MIXER}.bias=maybe", (f"{MIXER}.bias", "'maybe'", "true or false")),
    Wrong("override beyond a list", SET + "model.stack.pattern[3].mixer=null", ("pattern[3]", "1 entries")),
    Wrong("override that is no YAML", SET + "train.clip=[1", ("train.clip=[1", "cannot be read")),
]  # fmt: skip

DATA = [
    Wrong("unknown dataset", SET + "data.dataset=tiny-shakspeare", ("'tiny-shakspeare'", "'tiny-shakespeare'")),
    Wrong("text that is not UTF-8", SET + "data.dataset=latin.txt", ("latin.txt", "UTF-8", "byte 4", "convert"),
          file("latin.txt", b"caf\x00\xe9 au lait" * 50)),
    Wrong("empty text", SET + "data.dataset=empty.txt", ("empty.txt", "empty"), file("empty.txt", "")),
    Wrong("text too short", SET + "data.dataset=short.txt",
          ("the train part", "too few for rows of 17", "lower data.length"), file("short.txt", "a short text")),
    Wrong("vocabulary larger than the model's", SET + "model.vocab=7",
          ("model.vocab", "7", str(VOCAB), f"set model.vocab={VOCAB}")),
    Wrong("more BPE tokens than the text has",
          SET + "model.vocab=9000 'data.tokenizer={type: BPETokenizer, vocab: 9000}'",
          ("data.tokenizer", "9000", "too much")),
    Wrong("role that there is not", SET + "'data.tokenizer={type: CharTokenizer, special: {end: </s>}}'",
          ("data.tokenizer.special", "'end'", "eos")),
    Wrong("unknown casing",
          SET + "'data.tokenizer={type: WordTokenizer, vocab: 9, normaliser: {casing: turkish}}'",
          ("data.tokenizer.normaliser.casing", "'turkish'", "did you mean 'turkish_lower'")),
    Wrong("saved tokenizer that is not there", SET + "'data.tokenizer={type: SavedTokenizer, path: small.json}'",
          ("small.json", "cannot be read")),
]  # fmt: skip

POLICIES = [
    Wrong("no backend", "train config.yaml --out new", ("--backend jax", "--backend torch")),
    Wrong("unknown backend", "train config.yaml --out new --backend pytorch", ("'pytorch'", "did you mean 'torch'")),
    Wrong("no TPU in JAX", SET_JAX + "policy.device=tpu", ("policy.device=tpu", "use policy.device=")),
    Wrong("no TPU in PyTorch", SET + "policy.device=tpu", ("policy.device=tpu", "--backend jax")),
    Wrong("mesh larger than JAX's devices", SET_JAX + "policy.mesh.data=64 data.batch=64",
          ("policy.mesh needs 64", "shrink policy.mesh")),
    Wrong("mesh larger than the processes", SET + "policy.mesh.fsdp=4", ("policy.mesh needs 4 processes", "torchrun")),
    Wrong("mesh that splits no batch", SET + "policy.mesh.data=3",
          ("data.batch", "4", "data × fsdp × accumulate = 3", "multiple")),
    Wrong("tensor parallel in PyTorch", SET + "policy.mesh.tensor=2", ("policy.mesh.tensor", "set tensor to 1")),
    Wrong("unknown kernel", SET + "policy.attention=flash", ("policy.attention", "'flash'", "allowed: auto, dense")),
    Wrong("unknown source of masks", SET + "policy.random=same",
          ("policy.random", "'same'", "allowed: fast, portable")),
    Wrong("fused softcap in PyTorch", SET + f"policy.attention=fused {MIXER}.softcap=5",
          ("stack.layers.0.mixer", "policy.attention=fused", "softcap", "policy.attention=dense")),
    Wrong("fused softcap in JAX", SET_JAX + f"policy.attention=fused {MIXER}.softcap=5",
          ("stack.layers.0.mixer", "policy.attention=fused", "softcap", "policy.attention=dense")),
    Wrong("flex dropout in PyTorch", SET + f"policy.attention=flex {MIXER}.dropout=0.1",
          ("policy.attention=flex", "dropout", "policy.attention=dense")),
    Wrong("flex training on the CPU", SET + "policy.device=cpu policy.attention=flex",
          ("policy.attention=flex", "CPU", "policy.attention=auto")),
    Wrong("flex in JAX", SET_JAX + "policy.attention=flex", ("policy.attention=flex", "policy.attention=auto")),
    Wrong("attention that sees the answer", SET + f"{MIXER}.visibility=bidirectional",
          ("stack.layers.0.mixer", "bidirectional", "'causal'")),
]  # fmt: skip

PLACES = [
    Wrong("--out is not empty", "train config.yaml --backend torch --out run", ("run", "--out", "--resume run")),
    Wrong("--out is a file", "train config.yaml --backend torch --out text.txt", ("text.txt", "--out")),
    Wrong("--out inside a file", "train config.yaml --backend torch --out text.txt/new", ("text.txt", "--out")),
    Wrong("--out and --resume", "train --resume run --out new", ("--out", "--resume", "exclude")),
    Wrong("nothing to train", "train --backend torch", ("no config", "--resume")),
    Wrong("no such run", "eval rnu", ("no such run directory: rnu",)),
    Wrong("a file for a run", "eval text.txt", ("no such run directory: text.txt",)),
    Wrong("a folder that is no run", "generate empty --prompt a", ("empty", "not a run directory"),
          lambda: Path("empty").mkdir()),
    Wrong("run without checkpoints", GENERATE + "a", ("no checkpoint", "train it again"),
          lambda: shutil.rmtree("run/checkpoints")),
    Wrong("no such checkpoint", GENERATE + "a --checkpoint 7", ("'7'", "last, best, 2")),
    Wrong("checkpoint cut off", GENERATE + "a", ("weights.safetensors", "damaged"),
          shortened(f"{CHECKPOINT}/weights.safetensors")),
    Wrong("checkpoint of no length", "eval run", ("weights.safetensors", "damaged"),
          shortened(f"{CHECKPOINT}/weights.safetensors", 0.0)),
    Wrong("checkpoint without weights", "eval run", ("weights.safetensors is missing", "no other checkpoint"),
          lambda: Path(f"{CHECKPOINT}/weights.safetensors").unlink()),
    Wrong("pickle for a checkpoint", "eval run", ("weights.safetensors", "damaged"),
          file(f"{CHECKPOINT}/weights.safetensors", pickle.dumps({"w": list(range(999))}))),
    Wrong("pickle that is meant", "eval run", ("weights.safetensors", "foreign"), pickled),
    Wrong("PyTorch's zip for a checkpoint", "eval run", ("weights.safetensors", "damaged"),
          lambda: torch.save({"w": torch.zeros(9)}, f"{CHECKPOINT}/weights.safetensors")),
    Wrong("checkpoint of another architecture", "eval run", ("step-000002/weights", "another architecture"),
          foreign_weights),
    Wrong("checkpoint's state cut off", "eval run", ("state.json", "cannot be read"),
          shortened(f"{CHECKPOINT}/state.json")),
    Wrong("optimiser cut off", "train --resume run train.steps=4", ("optimizer.safetensors", "damaged"),
          shortened(f"{CHECKPOINT}/optimizer.safetensors")),
    Wrong("sessions cut off", "eval run", ("manifest.json", "cannot be read"), shortened("run/manifest.json")),
    Wrong("tokenizer cut off", GENERATE + "a", ("tokenizer.json", "not a tokenizer"), shortened("run/tokenizer.json")),
    Wrong("sessions cut off at resume", "train --resume run train.steps=4 --backend torch", ("manifest.json",),
          shortened("run/manifest.json")),
    Wrong("foreign metrics", "train --resume run train.steps=4", ("metrics.csv", "first line must be step,split,loss"),
          file("run/metrics.csv", "epoch,loss\n1,2.5\n")),
    Wrong("run's config cut off", "eval run", ("config.json", "JSON", "line"), shortened("run/config.json")),
    Wrong("resume at the end", "train --resume run", ("already at step 2", "train.steps=")),
    Wrong("resume with another model", "train --resume run model.norm.epsilon=1e-3 train.steps=4",
          ("model", "differs", "new run")),
    Wrong("resume with other data", "train --resume run data.batch=2 train.steps=4", ("data", "differs", "new run")),
    Wrong("resume with another optimiser", "train --resume run train.optimizer.beta1=0.5 train.steps=4",
          ("train.optimizer", "differs", "new run")),
    Wrong("resume without the text", "train --resume run train.steps=4", ("'text.txt'", "no dataset, file or folder"),
          lambda: Path("text.txt").unlink()),
]  # fmt: skip

PROMPTS = [
    Wrong("no prompt", "generate run", ("--prompt", "--source")),
    Wrong("empty prompt", "generate run --prompt=", ("prompt is empty", "at least one")),
    Wrong("character outside the vocabulary", GENERATE + "foxΩ", ("'Ω' (U+03A9)", "place 3", "ByteTokenizer")),
    Wrong("token id out of range", GENERATE + "fox!",
          (f"tokens[0, 3] is {VOCAB}", f"0 … {VOCAB - 1}"), larger_vocabulary),
    Wrong("data with tokens out of range", "train --resume run train.steps=4",
          ("model.vocab", f"set model.vocab={VOCAB + 1}"), larger_vocabulary),
    Wrong("prompt too long", GENERATE + 40 * "a", ("40 tokens", "32 positions", "shorten")),
    Wrong("too many new tokens", GENERATE + "fox --max-new-tokens 30", ("30", "32 positions", "at most 29")),
    Wrong("no new tokens", GENERATE + "fox --max-new-tokens 0", ("max_new_tokens is 0", "must be > 0")),
    Wrong("negative temperature", GENERATE + "fox --temperature -1", ("temperature", "-1.0", "≥ 0")),
    Wrong("temperature that is no number", GENERATE + "fox --temperature nan", ("temperature", "nan", "finite")),
    Wrong("top_p beyond 1", GENERATE + "fox --top-p 1.5", ("top_p", "1.5", "(0, 1]")),
    Wrong("top_k of nothing", GENERATE + "fox --top-k 0", ("top_k", "0", "must be > 0")),
    Wrong("text for a number of tokens", GENERATE + "fox --max-new-tokens many", ("--max-new-tokens", "valid integer")),
    Wrong("generation that sees the answer", GENERATE + "fox", ("stack.layers.0.mixer", "bidirectional", "'causal'"),
          bidirectional_run),
    Wrong("no tokens to describe", "describe config.yaml --length 0", ("length", "0", "≥ 1")),
    Wrong("more tokens than positions to describe", "describe config.yaml --length 99", ("99", "32 positions")),
    Wrong("parity of too few tokens", "parity config.yaml --length 3", ("--length 3", "at least 8", "at most 32")),
    Wrong("parity into no folder", "parity config.yaml --json nowhere/rows.json", ("--json nowhere/rows.json",)),
    Wrong("unknown option", "describe config.yaml --lenght 5", ("--lenght", "--length", "describe --help")),
    Wrong("unknown command", "trian config.yaml", ("'trian'", "train", "archlab --help")),
]  # fmt: skip

PAGE = [*CONFIGS, *VALUES, *DATA, *POLICIES, *PLACES, *PROMPTS]
