"""docs/performance.md names what there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "performance.md").read_text()


def test_this_jaxlib_knows_the_flags():
    (block,) = re.findall(r'```bash\nexport XLA_FLAGS="(.*?)"\n```', PAGE, re.S)
    flags = re.findall(r"--\S+", block)
    assert len(flags) == 5
    assert devices(" ".join(flags)) == 0
    assert devices("--xla_gpu_no_such_flag=true") != 0  # XLA ends a process for one that it does not know


def devices(flags):
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_the_kernels_of_recurrent_mixers_are_those_that_are_tried():
    from archlab_torch.kernels import fla

    named = set(re.findall(r"\| `(chunk_\w+)` \|", PAGE))
    assert named == {kernel.function for kernel in fla.KERNELS.values()}
    assert f"{fla.MULTIPLE} times" in PAGE
