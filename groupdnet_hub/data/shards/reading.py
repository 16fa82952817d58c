"""Reading shards as a stream of rows, or a small split of them as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub.data.shards.writing import ROW_GROUP


def stream_shards(files: Sequence[Path]) -> Any:
    """Return the rows of shards as a ``datasets.IterableDataset``, which is shuffled and divided by shards.

    datasets' own reader of Parquet waits five seconds at the end of each pass, for the threads of its scans; this one
    starts none.

    Args:
        files: shards with the same columns.

    Raises:
        ValueError: for a file that is not a shard.
    """
    import datasets
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        features = datasets.Features.from_arrow_schema(read_schema(files[0]))
    except ArrowException as error:
        raise ValueError(f"{files[0]} is not a Parquet file: {error}") from None
    named = [str(file) for file in files]
    return datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs={"files": named})


def load_shards(files: Sequence[Path]) -> Any:
    """Return the rows of shards as a ``datasets.Dataset``, which unpacks them into its cache."""
    import datasets

    return datasets.load_dataset("parquet", data_files=[str(file) for file in files], split="train")


def _rows(files: Sequence[str]) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    for name in files:
        try:
            with ParquetFile(name) as file:
                for batch in file.iter_batches(batch_size=ROW_GROUP, use_threads=False):
                    yield from batch.to_pylist()
        except ArrowException as error:
            raise ValueError(f"{name} is damaged: {error}") from None
