import json

import pytest

from archlab import config_files
from archlab.cli import main
from archlab.model import tiny_model


@pytest.fixture
def model(tmp_path):
    config_files.save(tiny_model(repeat=1), tmp_path / "model.json")
    return str(tmp_path / "model.json")


def test_a_real_backend(model, tmp_path, capsys):
    shape = ["--backend", "torch", "--length", "8", "--batch", "2", "--rounds", "2", "--steps", "1"]
    files = ["--json", str(tmp_path / "speed.json"), "--save", str(tmp_path / "speed.md")]
    assert main(["bench", model, "policy.device=cpu", *shape, *files, "--decode", "--peak-tflops", "1"]) == 0
    shown = capsys.readouterr().out
    assert "A training step" in shown and "aten::mm" in shown and "Decoding, greedy" in shown
    (measured,) = json.loads((tmp_path / "speed.json").read_text())["measured"]
    assert (measured["device"], measured["batch"], measured["length"]) == ("cpu", 2, 8)
    assert measured["mfu"] == pytest.approx(measured["flops_per_second"] / 1e12)
    assert measured["compile_seconds"] == pytest.approx(measured["begun"]["first"] - measured["median"]["median"])
    assert [row["batch"] for row in measured["decoding"]] == [1, 2]
    assert "## Environment" in (tmp_path / "speed.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--flops", "7n"], "--flops '7n' is no way to count; "),
        (["--peak-tflops", "0"], "--peak-tflops 0 must be > 0"),
        (["--json", "missing/speed.json"], "--json missing/speed.json cannot be written"),
        (["--backend", "troch"], "no backend 'troch'; did you mean 'torch'?"),
        ([], "say which backend to time: --backend jax or --backend torch or --backend both"),
        (["--backend", "jax", "policy.device=tpux"], "policy.device: 'tpux' is not allowed"),
        (["--backend", "jax", "--batch", "3", "policy.accumulate=2"], "data.batch: 3 cannot be split"),
        (["--backend", "jax", "--decode", "--length", "1"], "--length 2 or more"),
    ],
)
def test_wrong_arguments_give_one_line_before_anything_starts(model, capsys, arguments, says):
    assert main(["bench", model, *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_changes_alone_are_no_config(capsys):
    assert main(["bench", "policy.compute=bfloat16", "--backend", "jax"]) == 2
    assert "no config is given, only changes" in capsys.readouterr().err
