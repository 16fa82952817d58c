"""Looks and codes of a stranger that are not of the model's shapes are refused before anything is made of them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.memory.saved_work import read_look
from PIL import Image

from groupdnet_hub import AppearanceCodes, GroupDNetPipeline, Look
from groupdnet_hub.io.archives import archive_of, files_in
from tests.helpers.hostile_files import refusal, safetensors, tensor
from tests.helpers.hub_models import CONFIG, LABELS, make_model

CLASSES = len(LABELS)
FACTS = {
    "format": "groupdnet-codes-1",
    "labels": json.dumps({"names": LABELS.names, "palette": LABELS.palette}),
}


@pytest.fixture(scope="module")
def look() -> Look:
    return GroupDNetPipeline(make_model()).sample(np.zeros(CONFIG.image_size, np.int64), 3)


@pytest.fixture
def files(look: Look) -> dict[str, bytes]:
    """Of a saved look."""
    return files_in(look.to_bytes(), "the look", most_files=8, most_bytes=2**26)


def png(height: int, width: int, mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (width, height)).save(content, "PNG")
    return content.getvalue()


def test_a_look_of_the_model_is_read(look: Look, tmp_path: Path) -> None:
    look.save(tmp_path / "look")
    for found in (
        Look.load(tmp_path / "look", CONFIG),
        Look.from_bytes(look.to_bytes(), config=CONFIG),
        read_look(look.to_bytes(), CONFIG),
    ):
        assert np.array_equal(found.mask, look.mask)
        assert found.codes.tensor.equal(look.codes.tensor)
    assert AppearanceCodes.load(tmp_path / "look" / "codes.safetensors", CONFIG).labels.names == LABELS.names


def test_codes_of_a_quarter_of_a_gibibyte(tmp_path: Path, files: dict[str, bytes]) -> None:
    values = 2**26 // CLASSES
    header = {"__metadata__": FACTS, "codes": tensor(CLASSES, values, 1, 1, end=4 * CLASSES * values)}
    path = tmp_path / "codes.safetensors"
    path.write_bytes(safetensors(header))
    with path.open("r+b") as file:  # a hole, which takes no disk
        file.truncate(path.stat().st_size + 4 * CLASSES * values)
    told = f"its codes are {values}x1x1 for each class, this model's"
    with refusal(f"codes.safetensors is of another model: {told}"):
        AppearanceCodes.load(path, CONFIG)
    for name in ("mask.png", "image.png", "look.json"):
        (tmp_path / name).write_bytes(files[name])
    with refusal(told):
        Look.load(tmp_path, CONFIG)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            {"codes": tensor(CLASSES, 1, 1, 1, dtype="F64", end=8 * CLASSES)},
            "must hold one tensor, codes, of",
        ),
        (
            {"codes": tensor(CLASSES, 1, 1, 1, dtype="I32", end=4 * CLASSES)},
            "must hold one tensor, codes, of",
        ),
        ({"codes": tensor(CLASSES, 1, 1, end=4 * CLASSES)}, r"codes have shape \(3, 1, 1\)"),
        ({"codes": tensor(2, 1, 1, 1, end=8)}, r"codes have shape \(2, 1, 1, 1\); 3 classes need"),
        ({"codes": tensor(CLASSES, 2**40, 2**40, 1, end=64)}, "is damaged or cut off"),
        (
            {"codes": tensor(CLASSES, 1, 1, 1, end=12), "more": tensor(CLASSES, 1, 1, 1, end=12)},
            "is damaged or cut off",  # both name the same bytes
        ),
        (
            {"codes": tensor(CLASSES, 1, 1, 1, end=12), "more": tensor(1, begin=12, end=16)},
            "must hold one tensor, codes, of",
        ),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: dict[str, Any], told: str) -> None:
    path = tmp_path / "codes.safetensors"
    size = max(entry["data_offsets"][1] for entry in header.values())
    path.write_bytes(safetensors({"__metadata__": FACTS, **header}, bytes(size)))
    for config in (None, CONFIG):
        with refusal(told):
            AppearanceCodes.load(path, config)


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "codes.safetensors"
    one, two = (json.dumps(tensor(CLASSES, 1, 1, 1, begin=12 * n, end=12 * (n + 1))) for n in (0, 1))
    text = f'{{"__metadata__": {json.dumps(FACTS)}, "codes": {one}, "codes": {two}}}'
    path.write_bytes(safetensors(text.encode(), bytes(24)))
    with refusal("is damaged or cut off"):
        AppearanceCodes.load(path, CONFIG)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("mask.png", png(4096, 4096, "L"), r"its picture is 4096x4096 \(height x width\)"),
        ("image.png", png(4096, 4096), "image.png and mask.png in the look have different sizes"),
        (
            "instance.png",
            png(4096, 4096, "I;16"),
            "instance.png and mask.png in the look have different sizes",
        ),
    ],
)
def test_pictures_of_a_look_that_unfold(
    files: dict[str, bytes], name: str, content: bytes, told: str
) -> None:
    facts = json.loads(files["look.json"]) | {"instance": name == "instance.png"}
    archive = archive_of({**files, "look.json": json.dumps(facts).encode(), name: content})
    with refusal(told):
        Look.from_bytes(archive, config=CONFIG)


def test_an_archive_that_unpacks_to_more_than_looks_have(files: dict[str, bytes]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(name, file if name != "codes.safetensors" else bytes(2**24))
    assert len(content.getvalue()) < 2**18
    with refusal(r"the look holds 16.0 MiB of files; at most 1 MiB are read"):
        Look.from_bytes(content.getvalue(), config=CONFIG)
