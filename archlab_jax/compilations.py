"""Compiled programs on disk, so that the next process with the same program need not compile it again."""

import functools
import hashlib
import os
import platform
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from archlab_jax import runtime

VARIABLE = "ARCHLAB_JAX_CACHE"
"""Names another folder for compiled programs, or is "off"."""
WORTH = 0.5
"""Seconds from which on a compilation is kept."""


def keep_programs() -> None:
    """Have JAX keep what it compiles, unless it was told where to, or not to, by its own settings.

    The folder is ``$ARCHLAB_JAX_CACHE``, else ``archlab/jax`` in the user's cache folder. A rehearsal keeps nothing:
    it compiles in haste what no one runs twice.
    """
    told = os.environ.get(VARIABLE, "")
    if told == "off" or runtime.rehearsing() or jax.config.values["jax_compilation_cache_dir"]:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(told).expanduser() if told else home / "archlab" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder / _processor()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH)
    compilation_cache.reset_cache()  # JAX looks for the folder once, which may have been before


@functools.cache
def _processor() -> str:
    """A name for processors with the same instructions: a program for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return f"{platform.machine()}-{hashlib.sha256(repr(features).encode()).hexdigest()[:12]}"
