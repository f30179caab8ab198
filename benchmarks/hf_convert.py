"""How fast a Hugging Face folder becomes a model folder, against copying its files, and how much memory it takes.

    python benchmarks/hf_convert.py                  2 GB of Llama in four shards
    python benchmarks/hf_convert.py --gigabytes 0.5 --rounds 5

Copies and conversions take turns; each is a process of its own, and neither waits for the disk. Memory is the
process's own at its peak (VmHWM), to be compared with that of a process that imports the same and converts nothing.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ml_dtypes
import numpy as np

from archlab.files import write_text
from archlab.hf.conversion import Conversion
from archlab.hf.family import find
from archlab.hf.fields import Fields
from archlab.hf.tensors import Entry
from archlab.hf.writing import Piece, write_shards

CHILD = """
import sys, time
from pathlib import Path
from archlab.hf.folders import import_folder
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as place:
        source = Path(place) / "source"
        source.mkdir()
        total, largest = make(source, arguments.gigabytes, arguments.shards)
        times: dict[str, list[float]] = {"copy": [], "convert": []}
        peaks = {}
        peaks["nothing"] = run(source, Path(place) / "out", "nothing")[1]
        for _ in range(arguments.rounds):
            for what, seconds in times.items():
                took, peaks[what] = run(source, Path(place) / "out", what)
                seconds.append(took)
                time.sleep(0.2)
    copy, convert = (statistics.median(times[what]) for what in ("copy", "convert"))
    ratios = [c / v for c, v in zip(times["copy"], times["convert"], strict=True)]
    result = {
        "bytes": total, "largest_tensor": largest, "copy_s": copy, "convert_s": convert,
        "speed": statistics.median(ratios), "speed_range": [min(ratios), max(ratios)],
        "peak_above_idle": peaks["convert"] - peaks["nothing"],
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{total / 1e9:.2f} GB, largest tensor {largest / 1e6:.0f} MB, median of {arguments.rounds}")
    print(f"copy     {copy:6.2f} s  {total / copy / 1e9:.2f} GB/s")
    print(f"convert  {convert:6.2f} s  {total / convert / 1e9:.2f} GB/s")
    print(f"speed of a copy: {result['speed']:.0%} ({min(ratios):.0%} to {max(ratios):.0%})")
    print(f"peak memory above an idle process: {result['peak_above_idle'] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
