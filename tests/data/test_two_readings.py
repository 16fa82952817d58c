"""Data sets whose label maps can be read in two ways: which one was taken is said once, and not for every item."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import PairedImages, StreamedImages
from tests.helpers.label_examples import LABELS, draw_ids
from tests.helpers.loader_warnings import shown_by_workers

SIZE = (8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs whose maps' palettes have the classes' colours in another order; the photos have an orientation."""
    order = np.roll(np.arange(len(LABELS)), 1)
    split = tmp_path / "train"
    for part in ("images", "labels"):
        (split / part).mkdir(parents=True)
    lines = []
    for number in range(3):
        name = f"{number}.png"
        orientation = Image.Exif()
        orientation[0x0112] = 3
        Image.new("RGB", SIZE).save(split / "images" / name, exif=orientation)
        indices = np.argsort(order)[draw_ids(LABELS, *SIZE, seed=number)]
        picture = Image.fromarray(indices.astype(np.uint8))
        picture.putpalette([value for i in order for value in LABELS.palette[i]])
        picture.save(split / "labels" / name)
        lines.append(json.dumps({"file_name": f"images/{name}", "label_file_name": f"labels/{name}"}))
    (split / "metadata.jsonl").write_text("\n".join(lines))
    LABELS.to_file(tmp_path / "classes.json")
    return tmp_path


def test_each_kind_of_doubt_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = PairedImages.from_folder(folder, SIZE)
    with pytest.warns(UserWarning, match="palette") as told:
        items = [data[i] for i in range(3)] + [data.untransformed()[0]]
    assert len(told) == 2
    assert "EXIF" in str(told[0].message)
    assert str(told[1].message).startswith(
        "label map '0.png': it can be read as class colours of its palette"
    )
    assert not caplog.text
    for number, item in enumerate(items[:3]):
        assert np.array_equal(item["label"].numpy(), draw_ids(LABELS, *SIZE, seed=number))


def test_maps_that_are_read_alone_tell_it_too(folder: Path) -> None:
    data = PairedImages.from_folder(folder, SIZE)
    with pytest.warns(UserWarning, match="palette") as told:
        labels = [data.label(i) for i in range(3)]
    assert len(told) == 1
    with pytest.warns(UserWarning, match="EXIF") as told:
        assert all(torch.equal(data[i]["label"], labels[i]) for i in range(3))
    assert len(told) == 1


def test_a_stream_tells_it_once(folder: Path) -> None:
    pairs = PairedImages.from_folder(folder, SIZE).pairs
    stream = StreamedImages([{"image": one, "label": map_} for one, map_, _ in pairs], LABELS, SIZE)
    with pytest.warns(UserWarning, match="palette") as told:
        assert len([*stream, *stream.untransformed()]) == 6
    assert len(told) == 2


def test_workers_of_a_loader_tell_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PairedImages.from_folder(folder, SIZE)
    assert shown_by_workers(data, folder, monkeypatch).count("it can be read as") == 1
