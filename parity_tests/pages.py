"""Pages whose commands are run."""

import re
import shlex
from pathlib import Path

import pytest

from archlab.cli import main

CONFIGS = Path(__file__).parents[1] / "configs"


def commands(page: str) -> list[list[str]]:
    """The arguments of ``archlab`` in each line of a page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page, re.S)
    return [shlex.split(line[2:])[1:] for block in blocks for line in block.splitlines()]


def run(
    lines: list[list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run commands in ``folder``, which gets the configs; all must succeed."""
    (folder / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(folder)
    for line in lines:
        assert main(line) == 0, f"{line}: {capfd.readouterr().err[-2000:]}"
