"""The exit statuses and the messages of the whole command line."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

from archlab.cli import COMMANDS, CheckFailed, main
from archlab.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def describe_that(monkeypatch):
    """Replaces what ``archlab describe`` does."""

    def replace(action):
        def command() -> None:
            action()

        module = types.SimpleNamespace(command=command, EXAMPLES=("archlab describe",))
        monkeypatch.setitem(sys.modules, "archlab.cli.describe", module)

    return replace


def _raiser(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("[x]: wrong,\n  so change it"), 2, "archlab: error: [x]: wrong, so change it\n"),
        (CheckFailed("3 of 5 do not agree"), 1, "archlab: check failed: 3 of 5 do not agree\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_raises_is_one_line_and_a_status(describe_that, capsys, error, status, line):
    describe_that(_raiser(error))
    assert main(["describe"]) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", line)


def test_a_bug_shows_its_traceback(describe_that):
    describe_that(_raiser(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        main(["describe"])


def test_a_long_message_stays_on_one_line(describe_that, capsys):
    describe_that(_raiser(InputError("word " * 100)))
    main(["describe"])
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["describe"], "Missing argument 'CONFIG' (see archlab describe --help)"),
        (["describe", "--jsn"], "No such option: --jsn"),
        (["describe", "x", "--length", "many"], "Invalid value for '--length'"),
        (["descibe"], "No such command 'descibe'"),
        (["describe", "configs/tiny_lama.yaml"], "did you mean configs/tiny_llama.yaml?"),
        (["describe", "configs/tiny_llama.yaml", "stack.repeat=two"], "stack.repeat: 'two' is not an integer"),
        (["describe", "configs/tiny_llama.yaml", "stack.pattern[0].mixer.heads=7"], "heads"),
    ],
)
def test_wrong_arguments_give_one_line_and_status_2(monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("archlab: error: ")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(capsys, command):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"archlab {command} " in out


def test_the_help_of_all_lists_every_command_and_an_example(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert "Example" in out


def test_only_the_called_command_is_imported():
    code = (
        "import sys, archlab.cli as c; c.main(['describe', '--help']); print([m for m in sys.modules if 'cli.' in m])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = out.splitlines()[-1]
    assert "archlab.cli.describe" in loaded
    assert "archlab.cli.train" not in loaded


def _best_seconds(code: str) -> float:
    """Of the processor, the best of several fresh processes: what else a machine does must not decide."""
    timed = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
    runs = (subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True) for _ in range(7))
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


# What a machine of any speed is measured with: some 0.1 s.
NUMPY = _best_seconds("import numpy")


def test_importing_archlab_is_fast():
    assert _best_seconds("import archlab") < 6 * NUMPY


TOOLS = (
    "datasets", "google.protobuf", "grain", "matplotlib", "mlflow", "orbax", "pandas", "pyarrow", "safetensors",
    "scipy", "tensorboardX", "tensorflow", "tokenizers", "transformers", "typer", "wandb",
)  # fmt: skip
"""What a part of archlab needs, and imports when it runs."""
COMPILER = ("sympy", "torch._dynamo", "torch._inductor", "torch.distributed.checkpoint", "torch.distributed.tensor")
"""What PyTorch itself imports only where it is asked to compile or to distribute: seconds."""


@pytest.mark.parametrize(
    ("imported", "unwanted"),
    [
        ("archlab, archlab.reference", ("jax", "flax", "optax", "torch", "rich", *TOOLS)),
        ("archlab.cli", ("jax", "flax", "torch", "rich", *(tool for tool in TOOLS if tool != "typer"))),
        ("archlab_jax", ("torch", *TOOLS)),
        ("archlab_torch", ("jax", "flax", "rich", *TOOLS, *COMPILER)),
    ],
)
def test_importing_brings_no_more_than_is_needed(imported, unwanted):
    assert _modules(f"import {imported}", unwanted) == []


TRAINING = """
from archlab import catalog
from archlab.backends import find_backend
from archlab.optim.adamw import AdamW
from archlab.weights import initial
import numpy as np
model, rule = catalog.model("tiny-gpt"), AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1)
trainer = find_backend("torch").trainer(model, weights=initial(model.root(), 0), optimizer=rule, clip=1.0)
trainer.step({"tokens": np.zeros((1, 8), int), "targets": np.ones((1, 8), int)}, 1e-3)
"""


def test_a_step_in_pytorch_does_not_import_its_compiler():
    assert _modules(TRAINING, COMPILER) == []


def _modules(code: str, names: tuple[str, ...]) -> list[str]:
    """Those of ``names`` that a fresh process has imported after ``code``."""
    code = f"{code}\nimport sys; print([name for name in {names} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return ast.literal_eval(out.splitlines()[-1])


def test_help_is_fast():
    assert _best_seconds("import archlab.cli; archlab.cli.main(['--help'])") < 10 * NUMPY
