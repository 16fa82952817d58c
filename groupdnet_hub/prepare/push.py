"""Uploading a prepared folder as a data set to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groupdnet_hub.data.shards.layout import FOLDER


def require_datasets() -> Any:
    """Return the optional library ``datasets``.

    Raises:
        ValueError: if it is not installed; the message names the install command.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(
            "--push_to_hub needs the library datasets: pip install 'groupdnet-hub[hub-data]', or pip install datasets"
        ) from None
    return datasets


def load_prepared(folder: Path, cache_dir: Path | None = None) -> Any:
    """Return a prepared folder as a ``datasets.DatasetDict``.

    Its columns are ``image``, ``label``, perhaps ``instance``, and the rest of metadata.jsonl.

    Args:
        folder: prepared folder.
        cache_dir: cache of ``datasets``; its own by default.
    """
    datasets = require_datasets()
    return datasets.load_dataset(
        "imagefolder", data_dir=str(folder.resolve()), cache_dir=None if cache_dir is None else str(cache_dir)
    )


def push(folder: Path, name: str, *, private: bool, shards: bool = False) -> str:
    """Upload a prepared folder as a data set, with its ``classes.json``, which training needs.

    Args:
        folder: prepared folder.
        name: Hub id of the data set.
        private: whether to make it private.
        shards: whether it holds shards, which are uploaded as they are.

    Returns:
        The URL of the data set.

    Raises:
        ValueError: if the upload fails; the prepared folder stays.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        if shards:
            HfApi().create_repo(name, repo_type="dataset", private=private or None, exist_ok=True)
            HfApi().upload_folder(
                repo_id=name, repo_type="dataset", folder_path=folder, allow_patterns=f"{FOLDER}/*.parquet"
            )
        else:
            load_prepared(folder).push_to_hub(name, private=private or None)
        HfApi().upload_file(
            path_or_fileobj=str(folder / "classes.json"),
            path_in_repo="classes.json",
            repo_id=name,
            repo_type="dataset",
        )
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, ConnectionError) as error:
        raise ValueError(f"the upload to {name} failed: {' '.join(str(error).split())}") from None
    return f"{HfApi().endpoint}/datasets/{name}"
