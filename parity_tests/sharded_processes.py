"""The sharded law under PyTorch: run as one of four processes, writes rows.json into the folder given.

Usage: sharded_processes.py FOLDER TYPE…, with RANK and WORLD_SIZE in the environment.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import torch.distributed as dist

from archlab.config import find_type
from archlab.parity.bench import Bench
from archlab.parity.build_laws import sharded
from archlab.parity.cases import Case, cases_of, registered_cases
from archlab.policy import Mesh
from archlab.spec import Spec


def rows_of(case: Case) -> dict:
    """The rows of a case; an error as text, which every process meets alike."""
    try:
        return {"rows": [vars(row) for row in sharded(Bench(case), "torch", (), mesh=Mesh(data=2, fsdp=2))]}
    except Exception:
        return {"error": traceback.format_exc()}


def main(folder: Path, types: list[str]) -> None:
    store = dist.FileStore(str(folder / "store"), int(os.environ["WORLD_SIZE"]))
    dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    cases = registered_cases() + [case for name in types for case in cases_of(find_type(name, Spec))]
    table = {case.name: rows_of(case) for case in cases}
    if dist.get_rank() == 0:
        (folder / "rows.json").write_text(json.dumps(table))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
