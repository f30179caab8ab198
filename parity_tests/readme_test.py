"""The README tells the truth: its commands run, in order, and its programs print what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST, *OTHERS = ([line[2:] for line in b.splitlines()] for b in re.findall(r"```console\n(.*?)```", README, re.S))
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.S)
OUTPUTS = re.findall(r"```text\n(.*?)```", README, re.S)


@pytest.fixture
def folder(tmp_path):
    """An empty folder with what the commands name: the configs, the command, and the user's own file."""
    folder = tmp_path
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "archlab").symlink_to(Path(sys.executable).with_name("archlab"))
    own = next(program for program in PROGRAMS if program.startswith("# shift.py"))
    (folder / "shift.py").write_text(own, encoding="utf-8")
    return folder


def shell(command, folder):
    environment = os.environ | {"XLA_FLAGS": ""}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def run(commands, folder):
    for command in commands:
        if command.startswith("make "):  # shown to exist; running `make test` would start this suite inside itself
            shell(command.replace("make ", "make --dry-run "), ROOT)
        else:
            shell(command, folder)


def test_first_commands(folder):
    """With fewer steps than the page has; make test-all takes all of them."""
    run([command.replace("train.steps=60", "train.steps=22") for command in FIRST], folder)


@pytest.mark.slow
def test_all_commands(folder):
    """In order, because later commands use what earlier ones made."""
    run([command for block in (FIRST, *OTHERS) for command in block], folder)


def test_programs(folder):
    printed = [shell(f"{sys.executable} - <<'EOF'\n{program}\nEOF", folder) for program in PROGRAMS]
    assert printed[0] == OUTPUTS[0]
    assert (folder / printed[2].strip().splitlines()[-1]).is_file()
