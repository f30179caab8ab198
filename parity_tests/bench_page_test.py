"""docs/bench.md: its commands run, and it names every way to count and every option."""

import json
import re
from pathlib import Path

import pytest

from archlab.accounting import CONVENTIONS
from archlab.bench.subject import RUN_KEYS
from archlab.cli import main
from parity_tests import pages

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
LINES = pages.commands(PAGE)


def test_conventions_options_and_keys_are_named(capsys):
    assert all(f"| `{name}`" in PAGE for name in CONVENTIONS)
    assert all(f"`{key}.…`" in PAGE for key in RUN_KEYS)
    assert main(["bench", "--help"]) == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--backend", "--length", "--batch"}
    assert [option for option in sorted(options) if option not in PAGE] == []


@pytest.mark.slow
@pytest.mark.xdist_group("bench_page")
def test_its_commands_run(tmp_path, monkeypatch, capfd):
    pages.run(LINES, tmp_path, monkeypatch, capfd)
    assert "## Memory" in Path("speed.md").read_text(encoding="utf-8")
    (measured,) = json.loads(Path("speed.json").read_text(encoding="utf-8"))["measured"]
    assert measured["config"]["policy"]["compute"] == "bfloat16"
    assert any(path.is_file() for path in Path("traces").rglob("*"))
