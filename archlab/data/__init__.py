"""Texts and batches: one for all backends. Each name is imported when it is first asked for."""

from typing import TYPE_CHECKING

from archlab.importing import doors

if TYPE_CHECKING:
    from archlab.data.batches import Batch, Batches
    from archlab.data.config import DataConfig
    from archlab.data.corpus import Corpus, prepare_batches, prepare_corpus
    from archlab.data.datasets import dataset_names, load_text
    from archlab.data.documents import Documents, HuggingFace, JSONLines, Named, Parquet, Shards, TextFiles
    from archlab.data.mixture import MixturePart
    from archlab.data.rows import BestFit, Bucketed, Crops, Packed, Padded, Rows

__all__ = [
    "Batch",
    "Batches",
    "BestFit",
    "Bucketed",
    "Corpus",
    "Crops",
    "DataConfig",
    "Documents",
    "HuggingFace",
    "JSONLines",
    "MixturePart",
    "Named",
    "Packed",
    "Padded",
    "Parquet",
    "Rows",
    "Shards",
    "TextFiles",
    "dataset_names",
    "load_text",
    "prepare_batches",
    "prepare_corpus",
]

_DOORS = {
    "Batch": "archlab.data.batches",
    "Batches": "archlab.data.batches",
    "BestFit": "archlab.data.rows",
    "Bucketed": "archlab.data.rows",
    "Corpus": "archlab.data.corpus",
    "Crops": "archlab.data.rows",
    "DataConfig": "archlab.data.config",
    "Documents": "archlab.data.documents",
    "HuggingFace": "archlab.data.documents",
    "JSONLines": "archlab.data.documents",
    "MixturePart": "archlab.data.mixture",
    "Named": "archlab.data.documents",
    "Packed": "archlab.data.rows",
    "Padded": "archlab.data.rows",
    "Parquet": "archlab.data.documents",
    "Rows": "archlab.data.rows",
    "Shards": "archlab.data.documents",
    "TextFiles": "archlab.data.documents",
    "dataset_names": "archlab.data.datasets",
    "load_text": "archlab.data.datasets",
    "prepare_batches": "archlab.data.corpus",
    "prepare_corpus": "archlab.data.corpus",
}

__getattr__ = doors(__name__, _DOORS)
