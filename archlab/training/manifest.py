"""The identity card of a run: what is trained on what and how, by which code, where and when."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archlab.errors import InputError
from archlab.files import write_text
from archlab.run_config import RunConfig
from archlab.spec import schema

PACKAGES = ("archlab", "numpy", "ml-dtypes", "array-api-compat", "einops", "safetensors", "tokenizers", "grain")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """model, training, data: what they are, in plain values. sessions: each stretch of training and its environment."""

    run_id: str
    created: str
    seed: int
    model: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def new(cls, run_id: str, config: RunConfig, data: dict[str, Any]) -> "Manifest":
        """The manifest of a run that is about to begin; ``data`` is the name and checksum of what it trains on."""
        model = config.model
        parameters = sum(param.size for param in schema(model.root()).values())
        return cls(
            run_id=run_id, created=now(), seed=config.train.seed,
            model={"type": type(model).__name__, "hash": model.hash(), "parameters": parameters},
            training=config.train.to_dict(), data={**config.data.to_dict(), **data},
        )  # fmt: skip


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Write it, whole or not at all."""
    write_json(path, asdict(manifest))


def load_manifest(path: Path) -> Manifest:
    """Read it back; :class:`InputError` for what is none."""
    try:
        manifest = Manifest(**json.loads(path.read_text()))
        str([f"{s['backend']} from step {s['from_step']}" for s in manifest.sessions] + [manifest.data["sha256"]])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as the manifest of a run: {error!r}") from None
    return manifest


def environment() -> dict[str, Any]:
    """When, on what and with which packages this process runs, and the git commit of the working directory."""
    return {
        "started": now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "git_commit": _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def uncommitted() -> str:
    """How files under version control differ from the commit; empty where they do not, or where there is none."""
    return _git("diff", "HEAD") or ""


def now() -> str:
    """This moment, with the time zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git prints; None where it fails, outside a repository for example."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode(errors="replace").strip() or None if result.returncode == 0 else None


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
