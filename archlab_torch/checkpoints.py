"""Checkpoints by torch.distributed.checkpoint, in safetensors files: its own format has a pickle in it."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from archlab.errors import InputError
from archlab_torch.module import from_numpy, to_numpy

# One process is what is meant: it would be said at every checkpoint.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


class Store:
    """See :class:`archlab.training.stores.Store`; an array of shape () comes back as (1,)."""

    name = "torch.distributed.checkpoint"

    def write(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        from torch.distributed import checkpoint  # a second to import, needed where something is written or read

        tensors = {name: from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        writer = checkpoint.HuggingFaceStorageWriter(str(folder / "arrays"))
        checkpoint.save(tensors, storage_writer=writer, no_dist=True)

    def read(self, folder: Path, kind: str) -> dict[str, np.ndarray]:
        from torch.distributed import checkpoint

        reader = checkpoint.HuggingFaceStorageReader(str(folder / "arrays"))
        try:
            known = reader.read_metadata().state_dict_metadata
            tensors = {
                name: torch.empty(item.size, dtype=item.properties.dtype)  # type: ignore[union-attr]
                for name, item in known.items()
                if name.startswith(f"{kind}/")
            }
            checkpoint.load(tensors, storage_reader=reader, no_dist=True)
        except (OSError, ValueError, KeyError, checkpoint.CheckpointException) as error:
            raise InputError(f"{folder / 'arrays'} cannot be read: {error}") from None
        return {name.removeprefix(f"{kind}/"): to_numpy(tensor) for name, tensor in tensors.items()}
