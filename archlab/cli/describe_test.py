import json

import pytest

from archlab import config_files
from archlab.accounting import account
from archlab.cli import main
from archlab.cli.describe import _collapsed, _turns, short, size
from archlab.config_files_test import run_config
from archlab.model import shared_example, tiny_model
from archlab.positions import SinusoidalPositions


@pytest.fixture
def describe(tmp_path, capsys):
    def call(config, *arguments):
        path = tmp_path / "config.json"
        config_files.save(config, path)
        assert main(["describe", str(path), *arguments]) == 0
        return capsys.readouterr().out

    return call


def test_json_holds_the_account(describe):
    model = tiny_model(repeat=3)
    data = json.loads(describe(model, "--json", "--length", "32", "--batch", "2"))
    counted = account(model, 32, batch=2)
    assert data["hash"] == model.hash()
    assert data["parameters"] == counted.parameters
    assert data["parameters_non_embedding"] == counted.non_embedding
    assert data["flops_per_token"] == counted.training_flops()
    assert data["forward_flops_per_token"] == counted.forward_flops()
    assert data["state_bytes"] == counted.state_bytes
    assert data["training_memory_bytes"]["total"] == counted.memory.total
    own = [p for p in data["parts"] if p["path"] == "stack.layers.2.mixer.query"]
    assert own[0]["params"] == {"kernel": {"shape": [16, 16], "axes": "D HK"}}
    assert own[0]["parameters"] == 256


def test_a_run_brings_its_length_batch_and_dtypes(describe):
    data = json.loads(describe(run_config(), "--json", "policy.compute=bfloat16"))
    assert (data["length"], data["batch"], data["dtype"], data["param_dtype"]) == (8, 2, "bfloat16", "float32")
    assert data["state_bytes"] == account(tiny_model(), 8, dtype="bfloat16", batch=2).state_bytes
    changed = json.loads(describe(run_config(), "--json", "model.stack.repeat=4", "--length", "6"))
    assert (changed["length"], changed["hash"]) == (6, tiny_model(repeat=4).hash())


def test_a_run_directory(tmp_path, capsys):
    config_files.save(run_config(), tmp_path / "config.json")
    assert main(["describe", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == tiny_model().hash()


def test_the_tree_shows_shapes_counts_and_repeated_layers_once(describe):
    model = tiny_model(repeat=4)
    text = describe(model, "--length", "64")
    lines = text.splitlines()
    assert sum("Block" in line for line in lines) == 1
    assert "layers.0–3 Block ×4" in text
    query = next(line for line in lines if "query" in line)
    assert query.split()[-8:] == ["kernel", "16×16", "D", "HK", "256", "512", "512", "512"]
    assert model.hash() in text
    assert f"{account(model, 64).parameters:,}" in text
    assert all(len(line.rstrip()) <= 100 for line in lines)


def test_shared_parts_point_to_their_parameters(describe):
    text = describe(shared_example().spec)
    assert "layers.0–2 Block ×3 → shared.block" in text
    assert "shared.block Block" in text


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ("aaaa", ["layers.0–3×4"]),
        ("ababab", ["layers.0,2,4×3", "layers.1,3,5×3"]),
        ("aabaabaabaaba", ["layers.0,3,…,9×4", "layers.1,4,…,10×4", "layers.2,5,…,11×4", "layers.12×1"]),
        ("abc", ["layers.0×1", "layers.1×1", "layers.2×1"]),
        ("abbb", ["layers.0×1", "layers.1–3×3"]),
    ],
)
def test_turns_of_layers_collapse(kinds, says):
    layer = tiny_model().stack.pattern[0]
    layers = {kind: layer.replace(channel=layer.channel.replace(hidden=8 + i)) for i, kind in enumerate("abc")}
    stack = tiny_model().stack.replace(pattern=tuple(layers[k] for k in kinds), repeat=1)
    parts = account(stack, 4, width=16).root.children
    lines = [line for turns in _turns(parts) for line in _collapsed(turns)]
    assert [f"{name}×{count}" for name, _, count in lines] == says


def test_equal_parts_that_are_no_layers_do_not_collapse(describe):
    text = describe(tiny_model())
    assert "key Linear" in text
    assert "value Linear" in text


def test_lengths_that_do_not_fit(tmp_path, capsys):
    path = tmp_path / "config.json"
    learned = next(e.spec for e in type(tiny_model()).examples() if e.spec.positions)
    config_files.save(learned, path)
    assert main(["describe", str(path), "--length", "5001"]) == 2
    assert "table of 5000 positions" in capsys.readouterr().err
    assert main(["describe", str(path), "--length", "0"]) == 2
    assert "length is 0" in capsys.readouterr().err
    config_files.save(tiny_model(positions=SinusoidalPositions(layout="half")), path)
    assert main(["describe", str(path), "--length", "50000"]) == 0


def test_counts_and_sizes_in_words():
    assert [short(n) for n in (0, 5, 1234, 758912, 8.03e9, 2e12)] == ["–", "5", "1.234k", "758.9k", "8.03G", "2T"]
    assert [size(n) for n in (12, 2048, 3 << 20, 5 << 30)] == ["12 B", "2 KiB", "3 MiB", "5 GiB"]
