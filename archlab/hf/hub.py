"""Where a Hugging Face model lies: a folder here, or a snapshot of the hub."""

import re
from pathlib import Path

from archlab.errors import InputError

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def folder(source: str) -> Path:
    """The folder ``source``, or where a snapshot of the hub's model of that name was put.

    Without the network it is one that was downloaded before. Raises :class:`InputError` where there is neither.
    """
    path = Path(source).expanduser()
    if path.exists() or not _NAME.fullmatch(source) or source.startswith("."):
        if not path.is_dir():
            raise InputError(f"no such folder: {source}")
        return path
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(f"no such folder: {source}; to take it from the hub, pip install 'archlab[hub]'") from None
    try:
        return Path(
            snapshot_download(source, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"])
        )
    except Exception as error:  # the library raises many kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{source} is no folder here, and the hub did not give it: {first}") from None
