"""Times one training step of archlab beside other libraries' and hand-written ones that compute the same.

python benchmarks/train_step.py --peer nanogpt=../nanoGPT --save
"""

from typing import Annotated

import typer
from case import SHAPES, STYLES
from comparison import Comparison, JsonFile, Only, Peer, Python, Rounds, Save, Threads, chosen, run
from contestants import ENTRIES
from device import Device
from report import Task
from styles import make_case

TASK = Task(script="train_step", title="Training step", unit="a step")


def main(
    shapes: Annotated[str, typer.Option(help=f"Which of {', '.join(SHAPES)}, separated by commas.")] = ",".join(SHAPES),
    styles: Annotated[str, typer.Option(help=f"Which of {', '.join(STYLES)}, separated by commas.")] = ",".join(STYLES),
    only: Only = "",
    peer: Peer = None,
    python: Python = None,
    device: Device = Device.cpu,
    threads: Threads = 2,
    rounds: Rounds = 9,
    steps: Annotated[int | None, typer.Option(help="Steps a round; by default as the shape says.", min=1)] = None,
    json_file: JsonFile = None,
    save: Save = False,
) -> None:
    """Time one training step of archlab beside other libraries' and hand-written ones that compute the same."""
    these = [(style, name) for style in chosen("style", styles, STYLES) for name in chosen("shape", shapes, SHAPES)]
    comparison = Comparison.begin(TASK, ENTRIES, only=only, peer=peer, python=python, device=device, save=save)
    for style, name in these:
        case = make_case(SHAPES[name], style, device.value, threads)
        comparison.time(case, rounds, steps or case.shape.steps)
    comparison.finish(json_file, save)


if __name__ == "__main__":
    run(main)
