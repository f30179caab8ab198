"""The sharded law and training under PyTorch: run as one of four processes, writes rows.json into the folder given.

Usage: sharded_processes.py FOLDER TYPE…, with RANK and WORLD_SIZE in the environment.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist

from archlab.config import find_type
from archlab.model import tiny_model
from archlab.parity.bench import Bench, Row
from archlab.parity.build_laws import sharded
from archlab.parity.cases import cases_of, drawn_weights, registered_cases
from archlab.parity.training import mesh_rows
from archlab.policy import Mesh
from archlab.spec import Spec

MESH = Mesh(data=2, fsdp=2)


def told(rows: Callable[[], list[Row]]) -> dict:
    """Rows as plain data; an error as text, which every process meets alike."""
    try:
        return {"rows": [vars(row) for row in rows()]}
    except Exception:
        return {"error": traceback.format_exc()}


def training() -> list[Row]:
    model = tiny_model(dropout=0.2)
    return mesh_rows("torch", model, drawn_weights(model.root(), 5), MESH, length=10)


def main(folder: Path, types: list[str]) -> None:
    store = dist.FileStore(str(folder / "store"), int(os.environ["WORLD_SIZE"]))
    dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    cases = registered_cases() + [case for name in types for case in cases_of(find_type(name, Spec))]
    table = {case.name: told(lambda case=case: sharded(Bench(case), "torch", (), mesh=MESH)) for case in cases}
    table["training"] = told(training)
    if dist.get_rank() == 0:
        (folder / "rows.json").write_text(json.dumps(table))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
