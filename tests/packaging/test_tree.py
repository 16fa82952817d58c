"""The tree stays one to find one's way in: folders of few modules, modules of a size, few public names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import groupdnet_hub
from tests.helpers.shared_data import ROOT

MOST_MODULES, LEAST_LINES, MOST_LINES, MOST_NAMES = 16, 30, 400, 15


def product_folders() -> Iterator[Path]:
    for name in ("groupdnet_hub", "train", "space/page"):
        top = ROOT / name
        yield top
        yield from (path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")


def modules(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", list(product_folders()), ids=named)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    assert len(modules(folder)) <= MOST_MODULES


def test_modules_are_neither_scraps_nor_heaps() -> None:
    lines = {
        named(path): len(path.read_text(encoding="utf-8").splitlines())
        for folder in product_folders()
        for path in modules(folder)
    }
    assert {name: count for name, count in lines.items() if count < LEAST_LINES} == {}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_few_names_are_public() -> None:
    assert len(groupdnet_hub.__all__) <= MOST_NAMES
    assert sorted(groupdnet_hub.__all__) == sorted(set(groupdnet_hub.__all__))
    assert all(hasattr(groupdnet_hub, name) for name in groupdnet_hub.__all__)


@pytest.mark.parametrize(
    ("most", "files"),
    [
        (750, [f"groupdnet_hub/models/{name}.py" for name in ("groupdnet", "encoder", "decoder", "blocks", "layers")]),
        (800, ["train/train.py", "groupdnet_hub/training/step.py", "groupdnet_hub/training/objectives/losses.py"]),
    ],
    ids=["the forward pass", "the training loop"],
)  # fmt: skip
def test_little_has_to_be_read_of(most: int, files: list[str]) -> None:
    lines = [len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files]
    assert sum(lines) <= most, dict(zip(files, lines, strict=True))
