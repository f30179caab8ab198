"""``archlab parity``: the report of one model, and its exit status."""

import json

import pytest
import torch.nn.functional as F
from rich.console import Console

import archlab_torch.norms as torch_norms
from archlab.cli import main
from archlab.config_files import save
from archlab.errors import InputError
from archlab.inits import Normal
from archlab.model import tiny_model
from archlab.parity.report import compare_backends, share
from archlab.positions import LearnedPositions
from archlab.spec import schema

MODEL = tiny_model(repeat=1)
LONGEST = 20
KEYS = {"spec", "item", "backend", "dtype", "error", "limit", "pass"}
pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def report():
    return compare_backends(MODEL, length=8)


def test_every_layer_and_parameter_has_its_row(report):
    assert report.passed
    where = {(row.item, row.backend, row.dtype): set() for row in report.rows}
    for row in report.rows:
        where[row.item, row.backend, row.dtype].add(row.where)
    layers = {"embedding", "stack.layers.0.mixer.query", "stack.layers.0.mixer", "stack.layers.0", "norm", "output"}
    for backend in ("jax", "torch"):
        for dtype in ("float64", "float32"):
            assert layers <= where["forward", backend, dtype]
        assert where["gradients", backend, "float32"] == schema(MODEL.root()).keys()
        assert "slope of the reference" in where["gradients", backend, "float64"]
    assert where["gradients", "torch", "float64"] > schema(MODEL.root()).keys()
    assert {row.dtype for row in report.rows if row.item == "training"} == {"float64", "float32"}


def test_tables_start_with_the_worst(report):
    console = Console(width=100, record=True)
    for table in report.tables():
        console.print(table)
        shares = [float(cell) for cell in table.columns[-1]._cells]
        assert shares == sorted(shares, reverse=True)
    text = console.export_text()
    assert all(word in text for word in ("forward", "gradients", "training", "stack.layers.0.mixer.query.kernel"))
    assert share(report.worst) == max(map(share, report.rows))


def test_the_command_writes_rows_and_exits_by_the_verdict(tmp_path, monkeypatch, capsys):
    config, rows = tmp_path / "model.yaml", tmp_path / "rows.json"
    save(MODEL, config)
    assert main(["parity", str(config), "--length", "8", "--json", str(rows)]) == 0
    held = json.loads(rows.read_text())
    assert all(row.keys() >= KEYS and row["pass"] is True for row in held)

    monkeypatch.setattr(torch_norms.F, "rms_norm", lambda x, *args: F.layer_norm(x, (x.shape[-1],)))
    assert main(["parity", str(config), "--length", "8", "--json", str(rows)]) == 1
    broken = [row for row in json.loads(rows.read_text()) if not row["pass"]]
    assert {row["backend"] for row in broken} == {"torch"}
    assert "exceed their limits" in capsys.readouterr().err


def test_an_impossible_length_is_named(tmp_path, capsys):
    model = tiny_model(repeat=1, positions=LearnedPositions(length=LONGEST, init=Normal(std=0.1)))
    with pytest.raises(InputError, match=f"at most {LONGEST}"):
        compare_backends(model, length=LONGEST + 1)
    config = tmp_path / "model.yaml"
    save(model, config)
    assert main(["parity", str(config), "--length", "3"]) == 2
    assert "--length 3" in capsys.readouterr().err


def test_no_backend_is_no_silent_success():
    with pytest.raises(InputError, match="no backend"):
        compare_backends(MODEL, backends=[])
