"""What ``compile_time.py`` starts: code that imports, commands that train, and functions that build and load.

Run with the name of a function, a number of parameters and a file, it prints the seconds and the peak memory that the
function took, in bytes of the weights.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[1]
JAX, TORCH = "jax and flax", "torch"

IMPORTS = {
    JAX: ("import jax, flax", ""),
    TORCH: ("import torch", ""),
    "archlab": ("import archlab", ""),
    "archlab_jax": ("import archlab_jax", JAX),
    "archlab_torch": ("import archlab_torch", TORCH),
    "archlab --help": ("from archlab.cli import main; main(['--help'])", ""),
}
"""Code by name, and whom it is compared with."""

BUILDS = {
    "torch.nn": ("build_torch_nn", ""),
    "flax.nnx": ("build_nnx", ""),
    "archlab-torch": ("build_archlab_torch", "torch.nn"),
    "archlab-jax": ("build_archlab_jax", "flax.nnx"),
}
LOADS = {
    "safetensors.numpy": ("load_safetensors_numpy", ""),
    "safetensors.torch, copied": ("load_torch_tensors", ""),
    "safetensors.numpy, as JAX arrays": ("load_jax_arrays", ""),
    "archlab, mapped and read": ("load_archlab", "safetensors.numpy"),
    "archlab-torch, with its model": ("load_archlab_torch", "safetensors.torch, copied"),
    "archlab-jax, with its model": ("load_archlab_jax", "safetensors.numpy, as JAX arrays"),
}


def train_commands(folder: Path, nanogpt: Path | None, text: Path | None, device: str) -> dict[str, dict[str, Any]]:
    """How each contestant trains to its first step; those in JAX keep compiled programs in a folder of their own."""
    from device import device_policy

    assert text is not None
    data = folder / "data"
    data.mkdir(exist_ok=True)
    shutil.copyfile(text, data / "tiny_shakespeare.txt")
    found = {}
    backends = (("torch", "nanoGPT"), ("jax", "plain NNX script"))
    for backend, beside in backends[device == "tpu" :]:
        changes = ["train.steps=1", "train.log_every=1", "train.eval_batches=1"]
        changes.append(f"policy.device={device_policy(device).device}")
        archlab = [sys.executable, "-c", "from archlab.cli import main; raise SystemExit(main())"]
        out = str(folder / "runs" / backend)
        command = [*archlab, "train", str(ROOT / "configs/shakespeare_char_cpu.py"), *changes, "--out", out]
        env = {"ARCHLAB_DATA": str(data), "ARCHLAB_JAX_CACHE": str(folder / "ours")}
        found[f"archlab train --backend {backend}"] = {
            "command": [*command, "--backend", backend], "until": r"^step 1/1  loss", "beside": beside,
            "cache": backend == "jax", "env": env,
        }  # fmt: skip
    script = [sys.executable, str(HERE / "peers/plain_script.py"), str(text)]
    kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "theirs"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5"}
    found["plain NNX script"] = {
        "command": script, "until": r"^step 1: loss", "beside": "", "cache": True, "env": kept
    }  # fmt: skip
    if nanogpt and device != "tpu":
        found["nanoGPT"] = {
            "command": _nanogpt(nanogpt, folder, text, device), "until": r"^iter 0: loss", "beside": "", "cache": False,
            "env": {}, "folder": folder / "nanoGPT",
        }  # fmt: skip
    return found


def _nanogpt(checkout: Path, folder: Path, text: Path, device: str) -> list[str]:
    """Its own train.py in a copy of the checkout, whose data its own prepare.py has made."""
    import subprocess

    copy = folder / "nanoGPT"
    if not copy.exists():
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
        shutil.copyfile(text, copy / "data/shakespeare_char/input.txt")
        # it imports requests for a download that is not needed where the text is there
        code = "import runpy, sys, types; sys.modules['requests'] = types.ModuleType('requests'); "
        code += "runpy.run_path('data/shakespeare_char/prepare.py')"
        subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "batch_size": 12, "dropout": 0.0}
    once = {"max_iters": 0, "eval_iters": 1, "log_interval": 1, "device": device, "compile": False}
    settings = [f"--{name}={value}" for name, value in (sizes | once).items()]
    return [sys.executable, "train.py", "config/train_shakespeare_char.py", *settings]


def model(parameters: int) -> Any:
    """A Llama of about so many parameters."""
    from plain.models import Sizes, llama

    width = 2048 if parameters >= 3e8 else 512
    hidden, vocab = 4 * width, 16 * width
    layer = 2.5 * width * width + 3 * width * hidden
    layers = max(1, round((parameters - 2 * vocab * width) / layer))
    heads = width // 64
    sizes = Sizes(vocab=vocab, width=width, layers=layers, heads=heads, kv_heads=heads // 4)
    changed = llama(sizes)
    return changed.replace(stack=_with_hidden(changed.stack, hidden))  # type: ignore[attr-defined]


def _with_hidden(stack: Any, hidden: int) -> Any:
    block = stack.pattern[0]
    return stack.replace(pattern=(block.replace(channel=block.channel.replace(hidden=hidden)),))


def shapes(parameters: int) -> dict[str, tuple[int, ...]]:
    from archlab.spec import schema

    return {path: param.shape for path, param in schema(model(parameters).root()).items()}


def build_archlab(backend: str, parameters: int, file: Path) -> Callable[[], Any]:
    from archlab.backends import find_backend

    chosen, spec = find_backend(backend), model(parameters)
    return lambda: chosen.build(spec, seed=0)


def build_torch_nn(parameters: int, file: Path) -> Callable[[], Any]:
    """Modules of the same matrices, with PyTorch's own first values."""
    from torch import nn

    table = shapes(parameters)
    return lambda: [nn.Linear(*s, bias=False) if len(s) == 2 else nn.RMSNorm(s) for s in table.values()]


def build_nnx(parameters: int, file: Path) -> Callable[[], Any]:
    """Modules of the same matrices, with Flax's own first values."""
    import jax
    from flax import nnx

    table = shapes(parameters)

    def build() -> Any:
        rngs = nnx.Rngs(0)
        made = [
            nnx.Linear(*s, use_bias=False, rngs=rngs) if len(s) == 2 else nnx.RMSNorm(*s, rngs=rngs)
            for s in table.values()
        ]
        return jax.block_until_ready([nnx.state(one) for one in made])

    return build


def load_torch_tensors(parameters: int, file: Path) -> Callable[[], Any]:
    """As into a module: ``load_file`` maps and reads nothing yet, so that each tensor is copied."""
    from safetensors.torch import load_file

    return lambda: {name: tensor.clone() for name, tensor in load_file(file).items()}


def load_jax_arrays(parameters: int, file: Path) -> Callable[[], Any]:
    import jax
    from safetensors.numpy import load_file

    return lambda: jax.block_until_ready({name: jax.numpy.array(array) for name, array in load_file(file).items()})


def load_safetensors_numpy(parameters: int, file: Path) -> Callable[[], Any]:
    from safetensors.numpy import load_file

    return lambda: load_file(file)


def load_archlab(parameters: int, file: Path) -> Callable[[], Any]:
    """Mapped by archlab; every page is read, so that it is worth as much as arrays in memory."""
    from archlab import weights

    return lambda: [float(array.ravel()[::1024].sum()) for array in weights.load(file)[0].values()]


def load_with_model(backend: str, parameters: int, file: Path) -> Callable[[], Any]:
    from archlab import weights
    from archlab.backends import find_backend

    chosen, spec = find_backend(backend), model(parameters)
    return lambda: chosen.build(spec, weights=weights.load(file)[0])


def memory(key: str) -> int:
    """Bytes of this process now ("VmRSS") or at most ("VmHWM")."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(found.split()[1]) * 1024


def main(name: str, parameters: int, file: Path) -> None:
    if name.startswith("load") and not file.exists():
        _write(parameters, file)
    table = {"build_archlab": build_archlab, "load_archlab": load_with_model}
    prefix, _, backend = name.rpartition("_")
    if backend in ("jax", "torch") and prefix in table:
        ready = table[prefix](backend, parameters, file)
    else:
        ready = globals()[name](parameters, file)
    weights = 4 * sum(_size(shape) for shape in shapes(parameters).values())
    before, began = memory("VmRSS"), time.perf_counter()
    kept = ready()
    took = time.perf_counter() - began
    print(json.dumps({"seconds": took, "memory": (memory("VmHWM") - before) / weights, "kept": kept is not None}))


def _write(parameters: int, file: Path) -> None:
    """In a process of its own, whose memory is not that of what is measured."""
    import subprocess

    code = f"import start_up, numpy, archlab.weights as w; w.save({str(file)!r}, "
    code += f"{{n: numpy.full(s, 0.5, numpy.float32) for n, s in start_up.shapes({parameters}).items()}})"
    subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True)


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
