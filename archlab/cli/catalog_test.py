import json
from pathlib import Path

import pytest

from archlab import catalog, config_files
from archlab.accounting import account
from archlab.cli import main
from archlab.cli.catalog import REGION, page_text, rows
from archlab.parity import regions

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"


def printed(capsys, *arguments):
    assert main(["catalog", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_line_for_every_entry(capsys):
    out = printed(capsys)
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for name in catalog.names():
        assert catalog.entry(name).title in lines[name]
        assert catalog.entry(name).paper[:30] in lines[name]
    assert "938.2k" in lines["gpt-936k"]
    assert all(len(line.rstrip()) <= 140 for line in out.splitlines())


def test_json_holds_the_account(capsys):
    data = {item["name"]: item for item in json.loads(printed(capsys, "--json"))}
    assert list(data) == catalog.names()
    counted = account(catalog.model("gemma-3"), catalog.entry("gemma-3").sizes["length"])
    assert data["gemma-3"]["parameters"] == counted.parameters
    assert data["gemma-3"]["forward_flops_per_token"] == counted.forward_flops()["causal"]
    assert data["gemma-3"]["state_bytes"] == counted.state_bytes
    assert data["gemma-3"]["sizes"]["window"] == 64


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "vit"])
def test_what_is_printed_of_one_is_a_config(capsys, tmp_path, name):
    out = printed(capsys, name, "--vocab", "65", "--length", "32")
    assert out.startswith(f"# {name}: {catalog.entry(name).title}, {catalog.entry(name).paper}\n")
    assert "# Sizes: vocab 65, length 32," in out
    path = tmp_path / "model.yaml"
    path.write_text(out, encoding="utf-8")
    assert config_files.load_model(path) == catalog.model(name, vocab=65, length=32)


def test_one_as_json(capsys):
    data = json.loads(printed(capsys, "gpt2", "--json"))
    assert config_files.from_data(data["model"]) == catalog.model("gpt2")
    assert data["sizes"] == catalog.entry("gpt2").sizes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gtp2"], "no architecture 'gtp2' in the catalogue; did you mean 'gpt2'?"),
        (["--vocab", "3"], "--vocab and --length belong to archlab catalog NAME"),
        (["gpt2", "--length", "0"], "gpt2: length is 0; it must be > 0"),
        (["gpt2", "--markdown", "page.md"], "--markdown writes the whole catalogue"),
        (["--markdown", "missing.md"], "missing.md has no place for what is generated"),
    ],
)
def test_bad_input(capsys, arguments, says):
    assert main(["catalog", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_page_is_what_it_generates():
    again = "run archlab catalog --markdown docs/catalog.md"
    assert regions.read(PAGE, REGION) == page_text(rows()), again


# --- a name in the place of a config ------------------------------------------------------------------


def test_describe_takes_a_name_and_changes(capsys):
    assert main(["describe", "llama-3", "stack.repeat=2", "--length", "32", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    model = catalog.model("llama-3")
    assert data["hash"] == model.replace(stack=model.stack.replace(repeat=2)).hash()


def test_a_model_is_no_run(capsys):
    assert main(["train", "gpt2", "--backend", "jax"]) == 2
    assert "gpt2 describes a model alone; a run config with model, data and train is needed" in capsys.readouterr().err


def test_a_misspelt_name(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["describe", "lama-3"]) == 2
    assert "no such config: lama-3; did you mean 'llama-3', which archlab catalog lists?" in capsys.readouterr().err
