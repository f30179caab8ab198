"""Times greedy decoding of archlab beside other libraries' and hand-written loops that write the same tokens.

python benchmarks/decode.py --save
"""

from typing import Annotated

import typer
from case import SHAPES
from comparison import Comparison, JsonFile, Only, Peer, Python, Rounds, Save, Threads, chosen, run
from device import Device
from report import Task
from styles import make_writing
from writers import WRITERS

TASK = Task(script="decode", title="Decoding", unit="a token")


def main(
    shapes: Annotated[str, typer.Option(help=f"Which of {', '.join(SHAPES)}, separated by commas.")] = "S1,S2",
    batches: Annotated[str, typer.Option(help="Numbers of prompts, separated by commas.")] = "1,8",
    prompt: Annotated[int, typer.Option(help="Tokens of a prompt.", min=1)] = 32,
    new: Annotated[int, typer.Option(help="Tokens written after each prompt.", min=2)] = 128,
    only: Only = "",
    peer: Peer = None,
    python: Python = None,
    device: Device = Device.cpu,
    threads: Threads = 2,
    rounds: Rounds = 9,
    times: Annotated[int, typer.Option(help="Generations a round.", min=1)] = 1,
    json_file: JsonFile = None,
    save: Save = False,
) -> None:
    """Time greedy decoding of archlab beside other libraries' and hand-written loops that write the same tokens."""
    these = [(SHAPES[name], batch) for name in chosen("shape", shapes, SHAPES) for batch in _numbers(batches)]
    comparison = Comparison.begin(TASK, WRITERS, only=only, peer=peer, python=python, device=device, save=save)
    for shape, batch in these:
        comparison.time(make_writing(shape, batch, prompt, new, device.value, threads), rounds, times)
    comparison.finish(json_file, save)


def _numbers(given: str) -> list[int]:
    words = given.split(",")
    if wrong := [word for word in words if not word.isdecimal() or int(word) == 0]:
        raise typer.BadParameter(f"--batches {given}: {wrong[0]!r} is no number of prompts; give for example 1,8")
    return [int(word) for word in words]


if __name__ == "__main__":
    run(main)
