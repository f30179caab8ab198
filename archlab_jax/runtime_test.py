"""Compiled programs are kept from one process to the next."""

import os
import subprocess
import sys

FOLDER = "from archlab_jax import runtime; runtime.keep_programs(); import jax; "
FOLDER += "print(jax.config.values['jax_compilation_cache_dir'])"
STEP = """
import numpy as np
from archlab import catalog
from archlab.backends import find_backend
from archlab.optim.adamw import AdamW
from archlab.weights import initial
from archlab_jax import runtime
runtime.WORTH = 0.0
model, rule = catalog.model("tiny-gpt"), AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1)
trainer = find_backend("jax").trainer(model, weights=initial(model.root(), 0), optimizer=rule, clip=1.0)
batch = {"tokens": np.arange(16, dtype=np.int32)[None], "targets": np.arange(1, 17, dtype=np.int32)[None]}
print([float(trainer.step(batch, 1e-2).loss).hex() for _ in range(3)])
"""


def said(code, **variables):
    """The last line that a fresh process prints, with no variable about caches but those given."""
    names = ("ARCHLAB_JAX_CACHE", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME", "XLA_FLAGS")
    env = {name: value for name, value in os.environ.items() if name not in names} | variables
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return run.stdout.splitlines()[-1]


def test_a_variable_moves_the_folder_or_does_without(tmp_path):
    assert said(FOLDER, XDG_CACHE_HOME=str(tmp_path)).startswith(str(tmp_path / "archlab" / "jax"))
    assert said(FOLDER, ARCHLAB_JAX_CACHE=str(tmp_path / "mine")).startswith(str(tmp_path / "mine"))
    assert said(FOLDER, ARCHLAB_JAX_CACHE="off") == "None"


def test_what_jax_was_told_stays(tmp_path):
    assert said(FOLDER, JAX_COMPILATION_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_a_rehearsal_keeps_nothing(tmp_path):
    code = f"from archlab_jax.runtime import virtual_devices; virtual_devices(2); {FOLDER}"
    assert said(code, ARCHLAB_JAX_CACHE=str(tmp_path)) == "None"


def test_a_kept_program_gives_the_same_bits(tmp_path):
    def files():
        return {f.name for f in tmp_path.rglob("*-cache")}

    first = said(STEP, ARCHLAB_JAX_CACHE=str(tmp_path))
    kept = files()
    assert any("train" in name for name in kept)
    assert said(STEP, ARCHLAB_JAX_CACHE=str(tmp_path)) == first
    assert files() == kept
