"""The commands that train and use a model, with a backend in NumPy."""

import json

import pytest

import archlab.backends
from archlab.cli import main
from archlab.config_files import save
from archlab.errors import InputError
from archlab.testing.bigram import BigramBackend, bigram_run


@pytest.fixture(autouse=True)
def backends(monkeypatch):
    """Two backends called one and two."""

    def find(name):
        if name not in ("one", "two"):
            raise InputError(f"no backend {name!r}")
        return BigramBackend(name)

    monkeypatch.setattr(archlab.backends, "find_backend", find)
    monkeypatch.setattr(archlab.backends, "backend_names", lambda: ["one", "two"])


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("a rose is a rose is a rose, and a nose is a nose.\n" * 60)
    save(bigram_run(str(tmp_path / "text.txt")), tmp_path / "tiny.yaml")
    return "tiny.yaml"


def run(capfd, *arguments):
    status = main(list(map(str, arguments)))
    out, err = capfd.readouterr()
    return status, out, err


def last_json(out):
    return json.loads(out.splitlines()[-1])


def test_train_eval_resume_generate(config, tmp_path, capfd):
    status, out, _ = run(capfd, "train", config, "train.steps=10", "--backend", "one", "--out", "run", "--json")
    trained = last_json(out)
    assert status == 0
    assert {"run_dir", "backend", "steps", "train_loss", "val_loss", "tokens_per_second"} <= trained.keys()
    assert (trained["run_dir"], trained["backend"], trained["steps"]) == ("run", "one", 10)

    status, out, err = run(capfd, "train", "--resume", "run", "train.steps=20", "--backend", "two")
    assert status == 0
    assert "two: 20 steps, training loss" in out
    assert "step 20/20" in err

    status, out, _ = run(capfd, "eval", "run", "--json")
    measured = last_json(out)
    assert (status, measured["backend"], measured["step"]) == (0, "two", 20)
    assert 0 < measured["val_loss"] < trained["val_loss"]
    assert measured["tokens"] == 60 * 50 // 10 - 1
    assert "held-out loss" in run(capfd, "eval", "run", "--checkpoint", "10", "--backend", "one")[1]

    ask = ("generate", "run", "--prompt", "a r", "--max-new-tokens", "7", "--seed", "5")
    status, streamed, _ = run(capfd, *ask)
    assert status == 0
    assert streamed.startswith("a r")
    assert len(streamed) == 3 + 7 + 1
    records = [json.loads(line) for line in run(capfd, *ask, "--prompt", "nose", "--json")[1].splitlines()]
    assert [r["prompt"] for r in records] == ["a r", "nose"]
    assert "a r" + records[0]["text"] + "\n" == streamed
    one = run(capfd, *ask, "--backend", "one")[1]
    assert one == streamed


def test_weights_in_integers_are_asked_for_by_name(config, capfd, monkeypatch):
    run(capfd, "train", config, "train.steps=2", "--backend", "one", "--out", "run")
    seen = []
    monkeypatch.setattr("archlab.generation.generate", lambda *args, policy, **rest: seen.append(policy.weights) or [])
    for options in ((), ("--weights", "int4")):
        assert run(capfd, "generate", "run", "--prompt", "a", *options)[0] == 0
    assert seen == ["float", "int4"]
    assert "'int8', 'int4'" in run(capfd, "generate", "run", "--prompt", "a", "--weights", "int3")[2]


def test_a_run_directory_gets_a_name(config, capfd, tmp_path):
    status, out, _ = run(capfd, "train", config, "train.steps=2", "--backend", "two", "--json")
    assert status == 0
    assert last_json(out)["run_dir"].endswith("-tiny-two")
    assert (tmp_path / last_json(out)["run_dir"] / "loss.png").is_file()


def test_a_config_may_be_named_when_resuming(config, capfd):
    run(capfd, "train", config, "train.steps=10", "--backend", "one", "--out", "run")
    again = ("train", config, "--resume", "run", "--json")
    status, out, _ = run(capfd, *again)
    assert (status, last_json(out)["steps"], last_json(out)["backend"]) == (0, 20, "one")
    status, _, err = run(capfd, *again, "data.batch=2", "train.steps=40")
    assert (status, "data: differs from the run" in err) == (2, True)


def test_one_installed_backend_need_not_be_named(config, capfd, monkeypatch):
    monkeypatch.setattr(archlab.backends, "backend_names", lambda: ["two"])
    out = run(capfd, "train", config, "train.steps=1", "--json")[1]
    assert last_json(out)["backend"] == "two"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_explodes_is_status_1(config, capfd):
    wild = ("train.clip=null", "train.schedule.peak=1e30", "train.schedule.warmup=0")
    status, _, err = run(capfd, "train", config, *wild, "--backend", "one", "--out", "run")
    assert status == 1
    assert "try a lower learning rate" in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "no config is given"),
        (["train", "tiny.yaml"], "--backend one or --backend two"),
        (["train", "tiny.yaml", "--backend", "three"], "no backend 'three'"),
        (["train", "tinny.yaml", "--backend", "one"], "did you mean tiny.yaml"),
        (["train", "tiny.yaml", "--backend", "one", "--out", "."], "not an empty directory"),
        (["train", "tiny.yaml", "--backend", "one", "--out", "x", "--resume", "y"], "exclude each other"),
        (["train", "--resume", "nowhere"], "no such run directory: nowhere"),
        (["train", "tiny.yaml", "model.vocab=7", "--backend", "one"], "set model.vocab="),
        (["eval", "nowhere"], "no such run directory"),
        (["generate", "nowhere", "--prompt", "x"], "no such run directory"),
        (["generate", "nowhere"], "--prompt"),
        (["generate", "nowhere", "--prompt", "x", "--temperature", "-1"], "temperature: -1.0 must be"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(config, capfd, arguments, message):
    status, _, err = run(capfd, *arguments)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "Ω"], "'Ω' (U+03A9) at place 0 is not among"),
        (["--prompt", ""], "the prompt is empty"),
        (["--prompt", "a", "--max-new-tokens", "0"], "max_new_tokens is 0"),
        (["--prompt", "a", "--checkpoint", "7"], "no checkpoint '7'"),
    ],
)
def test_prompts_that_cannot_be_are_one_sentence_and_status_2(config, capfd, arguments, message):
    run(capfd, "train", config, "train.steps=1", "--backend", "one", "--out", "run")
    status, _, err = run(capfd, "generate", "run", *arguments)
    assert (status, len(err.splitlines())) == (2, 1)
    assert message in err
