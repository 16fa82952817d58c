"""Paired pictures and label maps: folders, Hugging Face rows, flips, and what is wrong with a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from groupdnet_hub import LabelSet, PairedImages, StreamedImages
from groupdnet_hub.data import paired
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.figures import write_figures
from groupdnet_hub.io.images import read_photo as read_photo_of_file
from tests.helpers.shared_data import shared_folder

FLIP = Placement(random_flip=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 6, size=(64, 64))
    return folder


def test_items(drawn: Path) -> None:
    item = PairedImages.from_folder(drawn, (32, 32))[0]
    assert item["image"].shape == (3, 32, 32)
    assert item["image"].dtype == torch.float32
    assert -1 <= item["image"].min() < item["image"].max() <= 1
    assert item["label"].shape == (32, 32)
    assert item["label"].dtype == torch.int64
    assert set(item["label"].unique().tolist()) <= set(range(8))


def test_several_folders(drawn: Path, tmp_path: Path) -> None:
    write_figures(tmp_path / "more", 2, size=(48, 48), seed=9)
    data = PairedImages.from_folder([drawn, tmp_path / "more"], (32, 32))
    first, second = (PairedImages.from_folder(folder, (32, 32)) for folder in (drawn, tmp_path / "more"))
    assert len(data) == len(first) + len(second) == 8
    assert torch.equal(data[5]["image"], first[5]["image"])
    assert torch.equal(data[7]["label"], second[1]["label"])
    LabelSet.from_names(["sky", "road"]).to_file(tmp_path / "more" / "classes.json")
    with pytest.raises(ValueError, match="more holds other classes than"):
        PairedImages.from_folder([drawn, tmp_path / "more"], (32, 32))


def test_flips_depend_on_seed_epoch_and_item_alone(drawn: Path) -> None:
    plain = PairedImages.from_folder(drawn, (32, 32))
    data = PairedImages.from_folder(drawn, (32, 32), transform=Placement(random_flip=True, seed=3))

    def flipped(epoch: int) -> list[bool]:
        data.set_epoch(epoch)
        found = []
        for i in range(len(data)):
            same = torch.equal(data[i]["image"], plain[i]["image"])
            mirrored = torch.equal(data[i]["image"], plain[i]["image"].flip(-1))
            assert same != mirrored
            assert torch.equal(
                data[i]["label"], plain[i]["label"].flip(-1) if mirrored else plain[i]["label"]
            )
            found.append(mirrored)
        return found

    epochs = [flipped(epoch) for epoch in range(6)]
    assert flipped(0) == epochs[0]
    assert len({tuple(flips) for flips in epochs}) > 1
    assert 0.2 < sum(map(sum, epochs)) / 36 < 0.8


def test_hugging_face_imagefolder(drawn: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("imagefolder", data_dir=str(drawn), split="train", cache_dir=str(tmp_path))
    from_rows = PairedImages.from_rows(rows, FIGURE_LABELS, (64, 64))
    from_folder = PairedImages.from_folder(drawn, (64, 64))
    assert len(from_rows) == len(from_folder)
    for i in range(len(from_rows)):
        assert torch.equal(from_rows[i]["image"], from_folder[i]["image"])
        assert torch.equal(from_rows[i]["label"], from_folder[i]["label"])
    with pytest.raises(ValueError, match=r"no column 'photo'; it has image, label"):
        PairedImages.from_rows(rows, FIGURE_LABELS, (64, 64), image_column="photo")


def test_fashion8() -> None:
    folder = shared_folder("data/fashion8")
    assert read_label_set(folder) == FIGURE_LABELS
    data = PairedImages.from_folder(folder, (128, 128), split="validation")
    assert len(data) == 150
    assert data[0]["image"].shape == (3, 128, 128)


def test_label_sets_inside_a_split() -> None:
    assert len(read_label_set(shared_folder("data/coco130"))) == 130


def test_what_is_missing_is_named(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder test in"):
        PairedImages.from_folder(drawn, (32, 32), split="test")
    with pytest.raises(ValueError, match=r"no classes\.json"):
        read_label_set(tmp_path)
    (tmp_path / "train").mkdir()
    FIGURE_LABELS.to_file(tmp_path / "classes.json")
    with pytest.raises(ValueError, match=r"no metadata\.jsonl"):
        PairedImages.from_folder(tmp_path, (32, 32))
    listing = tmp_path / "train" / "metadata.jsonl"
    listing.write_text('{"file_name": "a.png"}\n')
    with pytest.raises(ValueError, match=r"line 1 .* label_file_name"):
        PairedImages.from_folder(tmp_path, (32, 32))
    listing.write_text("\n")
    with pytest.raises(ValueError, match="names no picture"):
        PairedImages.from_folder(tmp_path, (32, 32))
    listing.write_text(json.dumps({"file_name": "a.png", "label_file_name": "b.png"}))
    with pytest.raises(ValueError, match=r"a\.png"):
        PairedImages.from_folder(tmp_path, (32, 32))[0]


def test_pictures_and_maps_of_different_sizes(drawn: Path, tmp_path: Path) -> None:
    write_figures(tmp_path, 1, size=(32, 32))
    name = "figure_00000.png"
    (tmp_path / "train" / "images" / name).write_bytes((drawn / "train" / "images" / name).read_bytes())
    with pytest.raises(ValueError, match=r"64x64 .* 32x32"):
        PairedImages.from_folder(tmp_path, (32, 32))[0]


def test_any_callable_transforms_items(drawn: Path) -> None:
    """It is told what the random change depends on, and the classes of the data set."""
    seen = []

    def transform(item: Mapping[str, Tensor], epoch: int, index: int, **known: object) -> dict[str, Tensor]:
        seen.append((epoch, index, known["class_count"]))
        return {"image": item["image"].float(), "label": item["label"]}

    plain = PairedImages.from_folder(drawn, (32, 32))
    data = PairedImages(plain.pairs, plain.labels, (32, 32), transform=transform)
    data.set_epoch(2)
    bytes_of_the_picture = (plain[1]["image"] + 1) * 127.5
    torch.testing.assert_close(data[1]["image"], bytes_of_the_picture)
    assert torch.equal(data.untransformed()[1]["image"], plain[1]["image"])
    assert seen == [(2, 1, len(FIGURE_LABELS))]
    with pytest.raises(ValueError, match="need a Placement"):
        data.moves(0)


def test_items_are_those_of_the_placement_to_the_bit(drawn: Path) -> None:
    placement = Placement(random_flip=True, random_shift=0.2, random_scale=0.1, random_turn=9, seed=4)
    plain = PairedImages.from_folder(drawn, (32, 32))
    data = PairedImages.from_folder(drawn, (32, 32), transform=placement)
    for epoch in range(2):
        data.set_epoch(epoch)
        for i in range(3):
            expected = placement(plain[i], epoch, i, class_count=len(FIGURE_LABELS))
            assert torch.equal(data[i]["label"], expected["label"])
            assert torch.equal(data[i]["image"], expected["image"])


def test_cached_items_are_the_same(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PairedImages.from_folder(drawn, (32, 32), transform=FLIP)
    one = sum(value.nbytes for value in plain[0].values()) // 4
    cached = PairedImages.from_folder(drawn, (32, 32), transform=FLIP, cache_bytes=3 * one)
    expected, read = list(plain), []

    def read_photo(*args: object) -> Image.Image:
        read.append(args)
        return read_photo_of_file(*args)

    monkeypatch.setattr(paired, "read_photo", read_photo)
    for _ in range(2):
        for i, item in enumerate(expected):
            found = cached[i]
            assert all(torch.equal(found[name], value) for name, value in item.items())
    assert len(plain) < len(read) < 2 * len(plain)  # the memory was too small for all


def test_workers_that_live_on_see_the_next_epoch(drawn: Path) -> None:
    data = PairedImages.from_folder(drawn, (32, 32), transform=FLIP, cache_bytes=2**20)
    loader = DataLoader(
        data, batch_size=6, num_workers=1, persistent_workers=True, generator=torch.Generator()
    )
    for epoch in range(4):
        data.set_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batch["image"], torch.stack([data[i]["image"] for i in range(6)]))


def test_a_stream_gives_the_items_of_its_rows(drawn: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(drawn), split="train", streaming=True, cache_dir=str(tmp_path)
    )
    items = list(StreamedImages(rows, FIGURE_LABELS, (64, 64)))
    folder = PairedImages.from_folder(drawn, (64, 64))
    assert len(items) == len(folder)
    for item, expected in zip(items, folder, strict=True):
        assert torch.equal(item["image"], expected["image"])
        assert torch.equal(item["label"], expected["label"])
    flipped = StreamedImages(rows.shuffle(seed=1, buffer_size=4), FIGURE_LABELS, (64, 64), transform=FLIP)
    epochs = []
    for epoch in (0, 1, 0):
        flipped.set_epoch(epoch)
        epochs.append(torch.stack([item["image"] for item in flipped]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    with pytest.raises(ValueError, match="no column 'photo'; it has image"):
        next(iter(StreamedImages(rows, FIGURE_LABELS, (64, 64), image_column="photo")))
