"""How fast a Hugging Face folder becomes a model folder, against copying its files, and how much memory it takes.

    python benchmarks/hf_convert.py --save           2 GB of Llama in four shards
    python benchmarks/hf_convert.py --gigabytes 0.5 --rounds 5

Copies and conversions take turns; each is a process of its own, and neither waits for the disk. Memory is the
process's own at its peak (VmHWM), to be compared with that of a process that imports the same and converts nothing.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import ml_dtypes
import numpy as np
import typer
from report import environment

from archlab.files import write_text
from archlab.hf.conversion import Conversion
from archlab.hf.family import find
from archlab.hf.fields import Fields
from archlab.hf.tensors import Entry
from archlab.hf.writing import Piece, write_shards

RESULTS = Path(__file__).parent / "results" / "hf_convert.md"
CHILD = """
import sys, time
from pathlib import Path
import tokenizers
from archlab.hf.family import find
from archlab.hf.folders import import_folder
find("llama")  # imports are no part of what is measured
source, out, what = sys.argv[1:]
began = time.perf_counter()
if what == "convert":
    import_folder(source, out)
elif what == "copy":
    Path(out).mkdir()
    import shutil
    for file in sorted(Path(source).iterdir()):
        shutil.copyfile(file, Path(out) / file.name)
took = time.perf_counter() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(took, int(peak.split()[1]) * 1024)
"""


def make(folder: Path, gigabytes: float, shards: int) -> tuple[int, int]:
    """A Llama in bfloat16 of about that size; bytes in all, and of the largest tensor."""
    width, hidden = 2048, 5632
    each = 2 * (4 * width * width + 3 * width * hidden)
    layers = max(1, round((gigabytes * 1e9 - 4 * 32000 * width) / each))
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": width, "vocab_size": 32000,
        "intermediate_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 16,
    }  # fmt: skip
    family = find("llama")
    conversion = Conversion(family, family.model(Fields(config), "LlamaForCausalLM"))
    dtype, generator = np.dtype(ml_dtypes.bfloat16), np.random.default_rng(0)
    noise = generator.standard_normal(1 << 20).astype(dtype)

    def piece(name: str, shape: tuple[int, ...]) -> Piece:
        return Piece(name=name, entry=Entry(dtype=dtype, shape=shape), parts=lambda: iter([np.resize(noise, shape)]))

    pieces = [
        piece(name, rule.their_shape(conversion.shapes))
        for rule in conversion.rules
        for name in rule.names(conversion.shapes)
    ]
    total = sum(p.nbytes for p in pieces)
    write_shards(folder, pieces, total // shards + max(p.nbytes for p in pieces))
    write_text(folder / "config.json", json.dumps(config))
    return total, max(p.nbytes for p in pieces)


def run(source: Path, out: Path, what: str) -> tuple[float, int]:
    """Seconds and peak bytes of one process."""
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(out), what], check=True, capture_output=True, text=True
    )
    took, peak = result.stdout.split()
    shutil.rmtree(out, ignore_errors=True)
    return float(took), int(peak)


def measure(gigabytes: float, shards: int, rounds: int) -> dict[str, Any]:
    """Seconds of copies and conversions in turns, and peaks of memory."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        source, out = Path(place) / "source", Path(place) / "out"
        source.mkdir()
        total, largest = make(source, gigabytes, shards)
        times: dict[str, list[float]] = {"copy": [], "convert": []}
        peaks = {"nothing": run(source, out, "nothing")[1]}
        for _ in range(rounds):
            for what, seconds in times.items():
                took, peaks[what] = run(source, out, what)
                seconds.append(took)
    ratios = [copy / convert for copy, convert in zip(times["copy"], times["convert"], strict=True)]
    return {
        "bytes": total, "largest_tensor": largest, "rounds": rounds, "times": times, "ratios": ratios,
        "peak_above_idle": peaks["convert"] - peaks["nothing"],
    }  # fmt: skip


def lines(found: dict[str, Any]) -> list[str]:
    """What was measured, in words."""
    total, ratios = found["bytes"], found["ratios"]
    copy, convert = (statistics.median(found["times"][what]) for what in ("copy", "convert"))
    return [
        f"{total / 1e9:.2f} GB in bfloat16, largest tensor {found['largest_tensor'] / 1e6:.0f} MB, "
        f"medians of {found['rounds']} turns",
        f"a copy takes {copy:.2f} s ({total / copy / 1e9:.2f} GB/s), a conversion {convert:.2f} s "
        f"({total / convert / 1e9:.2f} GB/s)",
        f"speed of a conversion in that of a copy: {statistics.median(ratios):.0%} "
        f"({min(ratios):.0%} to {max(ratios):.0%})",
        f"peak memory above a process that imports the same alone: {found['peak_above_idle'] / 1e6:.0f} MB",
    ]


def main(
    gigabytes: Annotated[float, typer.Option(help="Of tensors.")] = 2.0,
    shards: Annotated[int, typer.Option(help="Files they are in.", min=1)] = 4,
    rounds: Annotated[int, typer.Option(help="Turns of each kind.", min=1)] = 5,
    save: Annotated[bool, typer.Option("--save", help="Write benchmarks/results/hf_convert.md.")] = False,
) -> None:
    """Time conversions beside copies."""
    found = lines(measure(gigabytes, shards, rounds))
    print("\n".join(found))
    if save:
        machine = ", ".join(f"{name} {value}" for name, value in environment(None, "cpu").items())
        text = ["# A Hugging Face folder as a model folder", "", __doc__ or "", "", f"Measured on {machine}.", ""]
        RESULTS.write_text("\n".join([*text, *(f"- {line}" for line in found)]) + "\n")


if __name__ == "__main__":
    typer.run(main)
