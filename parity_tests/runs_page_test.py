"""docs/runs.md: its commands run, in order, and what it says of the folder is so."""

import re
from pathlib import Path

import pytest

from archlab.cli import COMMANDS
from archlab.cli.runs import command
from parity_tests import pages

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
LINES = pages.commands(PAGE)


def test_every_command_is_one_and_every_one_of_runs_is_shown():
    assert {line[0] for line in LINES} <= set(COMMANDS)
    shown = {line[1] for line in LINES if line[0] == "runs"}
    assert shown == {c.name or c.callback.__name__ for c in command.registered_commands}


@pytest.mark.slow
@pytest.mark.xdist_group("runs_page")
def test_its_commands_run_and_leave_the_files_it_names(tmp_path, monkeypatch, capfd):
    pages.run(LINES, tmp_path, monkeypatch, capfd)
    table = PAGE.partition("| file | what |")[2].partition("\n\n")[0]
    names = {
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1] if "|" in row else "")
    }
    made = {str(path.relative_to(run)) for run in (tmp_path / "runs").iterdir() for path in run.rglob("*")}
    absent = {name for name in names if name.rstrip("/") not in made}
    # A clean checkout has no patch, no step was bad, and no run had samples. The first checkpoint is cleaned away.
    assert absent <= {"uncommitted-1.patch", "bad/", "samples.jsonl", "checkpoints/step-000010/"}
