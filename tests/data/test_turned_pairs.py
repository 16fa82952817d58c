"""EXIF orientations of photos and of their maps: both are applied, and where one has none it is said."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import PairedImages, StreamedImages
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.io.headers import Header, header_of
from groupdnet_hub.io.images import read_photo
from tests.helpers.deep_pictures import chunk
from tests.helpers.label_examples import LABELS, draw_ids
from tests.helpers.loader_warnings import shown_by_workers

ORIENTATION = 0x0112
TALL, SQUARE = (8, 6), (8, 8)
# How pixels are turned to be upright: EXIF 2.32, section 4.6.5.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def tagged(orientation: int) -> dict[str, Any]:
    """How to save a picture with an orientation; with 1, none is written."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return {} if orientation == 1 else {"exif": exif}


def save_pair(
    folder: Path,
    size: tuple[int, int],
    photo: int,
    label: int,
    *,
    name: str = "a",
    instance: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write a photo and its map of the given orientations, and return their pixels as they are stored."""
    ids = draw_ids(LABELS, *size, seed=0)
    colours = np.asarray(LABELS.palette, np.uint8)[ids]
    for part in ("images", "labels", "instances"):
        (folder / "train" / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours).save(folder / "train" / "images" / f"{name}.png", **tagged(photo))
    Image.fromarray(ids.astype(np.uint8)).save(folder / "train" / "labels" / f"{name}.png", **tagged(label))
    entry = {"file_name": f"images/{name}.png", "label_file_name": f"labels/{name}.png"}
    if instance is not None:
        entry["instance_file_name"] = f"instances/{name}.png"
        path = folder / "train" / entry["instance_file_name"]
        Image.fromarray((ids * 1000).astype(np.uint16)).save(path, **tagged(instance))
    LABELS.to_file(folder / "classes.json")
    with (folder / "train" / "metadata.jsonl").open("a") as listing:
        listing.write(json.dumps(entry) + "\n")
    return colours, ids


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_maps_are_turned_as_viewers_show_them(tmp_path: Path, suffix: str, orientation: int) -> None:
    ids = draw_ids(LABELS, *TALL, seed=0)
    expected = UPRIGHT[orientation](ids)
    path = tmp_path / f"map.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    colours = Image.fromarray(np.asarray(LABELS.palette, np.uint8)[ids])
    pictures = [colours]
    if suffix != "webp":
        pictures += [Image.fromarray(ids.astype(np.uint8)), Image.fromarray(ids.astype(np.uint16))]
    for picture in pictures:
        picture.save(path, **tagged(orientation), **lossless)
        assert header_of(path) == Header(TALL, orientation)
        assert (read_label_map(path, LABELS) == expected).all()
        with Image.open(path) as opened:
            assert header_of(opened) == Header(TALL, orientation)
            assert (read_label_map(opened, LABELS) == expected).all()
        if picture.mode != "RGB":
            assert (read_instance_map(path) == expected).all()


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    ids = draw_ids(LABELS, *TALL, seed=0)
    Image.fromarray(ids.astype(np.uint8)).save(tmp_path / "map.png")
    content = (tmp_path / "map.png").read_bytes()
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    end = chunk(b"IEND", b"")
    behind = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + end
    (tmp_path / "map.png").write_bytes(content.removesuffix(end) + behind)
    assert header_of(tmp_path / "map.png") == Header(TALL, 8)
    assert (read_label_map(tmp_path / "map.png", LABELS) == UPRIGHT[8](ids)).all()


def test_a_turned_grey_jpeg_is_refused_as_a_map_all_the_same(tmp_path: Path) -> None:
    Image.fromarray(draw_ids(LABELS, *TALL, seed=0).astype(np.uint8)).save(tmp_path / "a.jpg", **tagged(6))
    for read in (lambda path: read_label_map(path, LABELS), read_instance_map):
        with pytest.raises(ValueError, match="JPEG"):
            read(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pair_of_one_orientation_is_turned_alike(tmp_path: Path, orientation: int) -> None:
    colours, ids = save_pair(tmp_path, TALL, orientation, orientation, instance=orientation)
    expected = UPRIGHT[orientation](ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        item = PairedImages.from_folder(tmp_path, expected.shape)[0]
    assert (item["label"].numpy() == expected).all()
    assert (item["instance"].numpy() == expected * 1000).all()
    shown = ((item["image"] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert (shown == UPRIGHT[orientation](colours)).all()


@pytest.mark.parametrize(("photo", "label"), [(6, 1), (5, 1), (1, 8), (1, 7)])
def test_a_pair_that_is_turned_against_itself_is_refused(tmp_path: Path, photo: int, label: int) -> None:
    save_pair(tmp_path, TALL, photo, label)
    turned, other = ("photo", "label map") if photo > 1 else ("label map", "photo")
    words = (
        rf"item 0 \(images/a.png, labels/a.png\): the {turned} 'a.png' is turned by its EXIF orientation "
        rf"{max(photo, label)} and the {other} is not: as they are stored they fit. Remove"
    )
    with pytest.raises(ValueError, match=words):
        PairedImages.from_folder(tmp_path, TALL)[0]


@pytest.mark.parametrize(
    ("size", "photo", "label"), [(TALL, 3, 1), (TALL, 2, 1), (SQUARE, 6, 1), (TALL, 1, 4), (SQUARE, 1, 8)]
)
def test_a_doubtful_pair_is_told_once(tmp_path: Path, size: tuple[int, int], photo: int, label: int) -> None:
    for name in "abc":
        _, ids = save_pair(tmp_path, size, photo, label, name=name)
    data = PairedImages.from_folder(tmp_path, size)
    words = f"'a.png' is turned by its EXIF orientation {max(photo, label)} and .* sizes do not tell"
    with pytest.warns(UserWarning, match=words) as told:
        items = [data[i] for i in range(3)] + [data.untransformed()[0]]
    assert len(told) == 1
    assert (items[2]["label"].numpy() == UPRIGHT[label](ids)).all()


def test_workers_of_a_loader_tell_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        save_pair(tmp_path, SQUARE, 3, 1, name=name)
    data = PairedImages.from_folder(tmp_path, SQUARE)
    assert shown_by_workers(data, tmp_path, monkeypatch).count("EXIF orientation 3") == 1


def test_a_map_of_the_turned_photo_is_right(tmp_path: Path) -> None:
    """Drawn on the photo as viewers show it, and saved without an orientation: the common case of phones."""
    ids = draw_ids(LABELS, *TALL, seed=0)
    Image.fromarray(np.zeros((*TALL[::-1], 3), np.uint8)).save(tmp_path / "a.jpg", **tagged(6))
    assert read_photo(tmp_path / "a.jpg").size == TALL[::-1]
    assert check_orientations(tmp_path / "a.jpg", ids) is None


def test_instance_maps(tmp_path: Path) -> None:
    save_pair(tmp_path / "one", TALL, 6, 6, instance=1)
    with pytest.raises(
        ValueError, match=r"photo 'a.png' is turned .* 6 and the instance map is not: as they are"
    ):
        PairedImages.from_folder(tmp_path / "one", TALL)[0]
    save_pair(tmp_path / "two", SQUARE, 6, 6, instance=1)
    with pytest.warns(UserWarning, match="orientation 6 and the instance map is not, and their sizes do not"):
        PairedImages.from_folder(tmp_path / "two", SQUARE)[0]


def test_what_cannot_be_read_has_no_header(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    Image.new("L", (4, 4)).save(tmp_path / "cut.png", **tagged(6))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:40])
    for source in (tmp_path / "text.png", tmp_path / "none.png", tmp_path, None, 3):
        assert header_of(source) is None
        assert check_orientations(source, np.zeros(TALL)) is None
    assert header_of(read_photo(np.zeros((*TALL, 3), np.uint8))) == Header(TALL)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("embedded", [False, True])
def test_rows_of_a_data_set_are_taken_as_their_files_are(
    tmp_path: Path, streamed: bool, embedded: bool
) -> None:
    """``datasets`` turns pictures as it decodes them, and forgets that it did."""
    datasets = pytest.importorskip("datasets")
    colours, ids = save_pair(tmp_path, TALL, 1, 1)
    files = {
        "image": str(tmp_path / "train" / "images" / "a.png"),
        "label": str(tmp_path / "train" / "labels" / "a.png"),
    }

    def items(photo: int, label: int) -> Any:
        save_pair(tmp_path, TALL, photo, label)
        cells = {
            key: [{"bytes": Path(file).read_bytes(), "path": None} if embedded else file]
            for key, file in files.items()
        }
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Image()})
        rows = datasets.Dataset.from_dict(cells, features=features)
        if not streamed:
            return PairedImages.from_rows(rows, LABELS, TALL)[0]
        stream = rows.to_iterable_dataset().shuffle(seed=0, buffer_size=4)
        return next(iter(StreamedImages(stream, LABELS, TALL)))

    assert (items(1, 1)["label"].numpy() == ids).all()
    both = items(3, 3)
    assert (both["label"].numpy() == UPRIGHT[3](ids)).all()
    shown = ((both["image"] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert (shown == UPRIGHT[3](colours)).all()
    with pytest.warns(UserWarning, match="EXIF orientation 3 and the label map is not"):
        items(3, 1)
    with pytest.raises(ValueError, match=r"item 0.*EXIF orientation 6 and the label map is not: as they are"):
        items(6, 1)
