"""Pages of docs: their files, commands and programs, as a reader would use them."""

import base64
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archlab import weights, yaml_text
from archlab.optim.groups import Grouped
from archlab.optim.optimizer import Optimizer
from archlab.optim.schedules import Schedule, WarmupStableDecay
from archlab.tokenizers import Tokenizer

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "add-a-mixer.md").read_text()
FILES = re.findall(r"```python (\S+)\n(.*?)```", GUIDE, re.S)
PROGRAM = Path(sys.executable).with_name("archlab")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the guide, and the configs."""
    folder = tmp_path_factory.mktemp("guide")
    for name, text in FILES:
        (folder / name).write_text(text)
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_the_files_are_there_and_short():
    lengths = {name: len(text.splitlines()) for name, text in FILES}
    assert [*lengths] == ["min_gru.py", "min_gru_jax.py", "min_gru_torch.py"]
    assert ", ".join(map(str, lengths.values())) in GUIDE  # it tells how long they are


@pytest.mark.slow
@pytest.mark.xdist_group("guide")
def test_its_commands_run(folder):
    (block,) = re.findall(r"```bash\n(.*?)```", GUIDE, re.S)
    for line in block.strip().splitlines():
        words = [str(PROGRAM), *shlex.split(line)[1:]]
        if words[1] == "train":
            words.insert(3, "train.steps=10")
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.xdist_group("guide")
def test_its_proof_holds(folder):
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("all laws hold")


def programs(page):
    """The programs of a page with what they print."""
    text = (ROOT / "docs" / page).read_text()
    blocks = (re.findall(rf"```{kind}\n(.*?)```", text, re.S) for kind in ("python", "text"))
    return [pytest.param(*pair, id=f"{page}-{i}") for i, pair in enumerate(zip(*blocks, strict=True))]


@pytest.mark.parametrize(
    ("program", "output"),
    [param for page in ("models", "optimizers", "weights", "generation") for param in programs(f"{page}.md")],
)
def test_pages_print_what_they_say(program, output, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == output


TOKENIZERS = (ROOT / "docs" / "tokenizers.md").read_text()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with what docs/tokenizers.md names: a text, and a file as tiktoken has it."""
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "text.txt").write_text("Şu köşe yaz köşesi, şu köşe kış köşesi; ortada su şişesi.\n" * 9)
    tokens = [bytes([byte]) for byte in range(256)] + [b"12", b"123", b"ve"]
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)]
    (folder / "mine.tiktoken").write_text("".join(lines))
    return folder


def test_commands_on_tokenizers_run(texts):
    (block,) = re.findall(r"```console\n(.*?)```", TOKENIZERS, re.S)
    for line in block.strip().splitlines():
        words = [str(PROGRAM), *shlex.split(line.removeprefix("$ "))[1:]]
        done = subprocess.run(words, cwd=texts, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert done.stdout


@pytest.mark.parametrize(
    ("program", "output"),
    list(zip(*(re.findall(rf"```{kind}\n(.*?)```", TOKENIZERS, re.S) for kind in ("python", "text")), strict=True)),
    ids=["trained", "tiktoken"],
)
def test_tokenizers_are_as_described(texts, program, output):
    done = subprocess.run([sys.executable, "-c", program], cwd=texts, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == output


def test_the_config_of_a_tokenizer_is_one():
    (block,) = re.findall(r"```yaml\n(.*?)```", TOKENIZERS, re.S)
    tokenizer = Tokenizer.from_dict(yaml.safe_load(block)["data"]["tokenizer"])
    assert (tokenizer.vocab, tokenizer.sentinels, tokenizer.special["eos"]) == (500, 100, "</s>")


def test_the_configs_of_a_page_can_be_read():
    """Each block of YAML in docs/optimizers.md is a part of train."""
    kinds = {"optimizer": Optimizer, "schedule": Schedule}
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "optimizers.md").read_text(), re.S)
    read = [kinds[name].from_dict(value) for block in blocks for name, value in yaml_text.parse(block).items()]
    assert [type(config) for config in read] == [WarmupStableDecay, Grouped]


HYSO = re.search(r"```python hyso\.py\n(.*?)```", (ROOT / "docs" / "hyso.md").read_text(), re.S)[1]


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_a_run_by_hand(backend, tmp_path):
    """docs/hyso.md, as it stands."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = subprocess.run(
        [sys.executable, "-c", HYSO, backend], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^20 steps, best at step \d+, 21 arrays of weights$", done.stdout, re.M), done.stdout
    assert f"trained by {backend} on python-stdlib" in done.stdout
    (log,) = tmp_path.glob("runs/*/logs/hyso.log")
    assert "step 20: held-out loss" in log.read_text()


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_the_step_of_the_page_trains(backend, tmp_path):
    """The config in docs/training.md, on top of configs/base.yaml."""
    block = re.search(r"```yaml training\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.S)[1]
    (tmp_path / "config.yaml").write_text(f"base: {ROOT / 'configs/base.yaml'}\n{block}")
    changes = ["train.steps=31", "train.eval_every=10", "train.eval_batches=1", "model.stack.repeat=2"]
    words = ["train", str(tmp_path / "config.yaml"), *changes, "--backend", backend, "--out", str(tmp_path / "run")]
    done = subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    head = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert {"nll", "skipped", "averaged_loss"} <= set(head.split(","))


@pytest.mark.slow
def test_the_page_on_hugging_face(tmp_path):
    """docs/hf.md: its commands in order, its config on what they made, and its programs."""
    page = (ROOT / "docs" / "hf.md").read_text()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}

    def run(words):
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    for block in re.findall(r"```console\n(.*?)```", page, re.S):
        for line in block.strip().splitlines():
            run([str(PROGRAM), *shlex.split(line.removeprefix("$ "))[1:]])
    (tuning,) = re.findall(r"```yaml fine-tuning\n(.*?)```", page, re.S)
    (tmp_path / "tune.yaml").write_text(tuning)
    run([str(PROGRAM), "train", "tune.yaml", "--backend", "torch", "--out", "runs/tuned"])
    run([str(PROGRAM), "runs", "export", "runs/tuned", "tuned.safetensors"])
    names = ("models/llama/weights.safetensors", "tuned.safetensors")
    before, after = (weights.load(tmp_path / name)[0] for name in names)
    assert 0 < abs(after["norm.scale"] - before["norm.scale"]).max() < 0.01
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    assert run([sys.executable, "-c", program]) == "LanguageModel 4 layers; True\n"
    (program,) = re.findall(r"```python transformers\n(.*?)```", page, re.S)
    assert run([sys.executable, "-c", program]).startswith("def ")
