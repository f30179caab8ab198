"""What something was measured on and with: hardware, versions of packages, commits."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BUSY = 0.5
"""Load average a core above which a machine is no place to measure."""


def processor() -> str:
    """The processor's model and its cores."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", info.read_text()) if sys.platform == "linux" else None
    return f"{named[1] if named else platform.processor()} {os.cpu_count()} cores"


def nvidia_gpu() -> str:
    """The name of the first GPU, as its driver says it."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package, or that it is not installed."""
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit(path: Path) -> str:
    """The commit of the git checkout that ``path`` lies in, and whether files differ from it."""
    changed = " with uncommitted changes" if _git(path, "status", "--porcelain", "--untracked-files=no") else ""
    return (_git(path, "rev-parse", "--short=12", "HEAD") or "no git checkout") + changed


def _git(path: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(path), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""  # a machine without git
    return done.stdout.strip()


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_busy() -> bool:
    """Whether other work on this machine makes times mean little: threads that wait for one another suffer manyfold."""
    return os.getloadavg()[0] > BUSY * usable_cores()
