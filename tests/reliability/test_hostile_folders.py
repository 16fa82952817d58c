"""Model folders from a stranger: links, pipes and devices in the places of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from groupdnet_hub import GroupDNet
from tests.helpers.hostile_files import refused
from tests.helpers.hub_models import fingerprint, make_model

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model, to spoil."""
    make_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "training.json"])
def test_links_out_of_the_folder_are_not_followed(folder: Path, name: str) -> None:
    outside = folder.parent / f"private-{name}"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    refused(folder, f"{name} of .* is a link out of its folder")
    (folder / name).unlink()
    (folder / name).symlink_to(f"../{outside.name}")
    refused(folder, f"{name} of .* is a link out of its folder")


def test_links_that_stay_inside_are_followed(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "weights-1")
    (folder / WEIGHTS).symlink_to("weights-1")
    (folder.parent / "short").symlink_to(folder)
    assert fingerprint(GroupDNet.from_pretrained(folder.parent / "short")) == fingerprint(make_model())


@pytest.mark.parametrize("shared", [False, True])
def test_snapshots_of_a_cache_are_links_into_its_blobs(folder: Path, tmp_path: Path, shared: bool) -> None:
    cache = tmp_path / "cache"
    repository = cache / "models--user--name"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in folder.iterdir():
        blob = repository / "blobs" / f"blob-{path.name}"
        if shared:
            (cache / "blobs" / "aa").mkdir(parents=True, exist_ok=True)
            path.rename(cache / "blobs" / "aa" / path.name)
            blob.symlink_to(f"../../blobs/aa/{path.name}")
        else:
            path.rename(blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    assert fingerprint(GroupDNet.from_pretrained(snapshot)) == fingerprint(make_model())
    (tmp_path / "private.json").write_text((snapshot / "config.json").read_text())
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tmp_path / "private.json")
    refused(snapshot, "config.json of .* is a link out of its folder")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_folders_pipes_and_devices(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink()
    for make, undo in (
        (path.mkdir, path.rmdir),
        (lambda: os.mkfifo(path), path.unlink),
        (lambda: path.symlink_to("/dev/zero"), path.unlink),
        (lambda: path.symlink_to(name), path.unlink),
    ):
        make()
        refused(folder, f"has no {name}", error=FileNotFoundError)
        undo()
