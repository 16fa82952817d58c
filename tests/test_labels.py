"""Label sets, and reading, drawing and resizing label maps: round trips, and refusals in words."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import shared_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groupdnet_hub.label_maps import read_instance_map, read_label_map
from groupdnet_hub.labels import (
    LabelSet,
    classes_present,
    colour_picture,
    instance_edges,
    label_picture,
    one_hot,
    resize_label_map,
)

LABELS = LabelSet(
    ("background", "hair", "face", "top-clothes"), ((0, 0, 0), (140, 80, 30), (255, 200, 160), (60, 120, 216))
)
IDS = np.array([[0, 1, 1, 3], [2, 2, 3, 0], [0, 0, 1, 2]])


def numbered(count: int) -> LabelSet:
    return LabelSet.from_names([f"class {i}" for i in range(count)])


def draw_ids(labels: LabelSet, height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(labels), (height, width))


# Label sets


def test_sequences_become_tuples_of_whole_numbers() -> None:
    given = LabelSet(["a", "b"], np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))  # type: ignore[arg-type]
    assert given == LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert hash(given) == hash(LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6))))
    assert all(type(value) is int for colour in given.palette for value in colour)
    assert len(given) == 2


@pytest.mark.parametrize(
    ("names", "palette", "words"),
    [
        ([], [], "classes is 0"),
        (["a", " "], [[0, 0, 0], [1, 1, 1]], "not a name"),
        (["a", 3], [[0, 0, 0], [1, 1, 1]], "not a name"),
        (["a", "a"], [[0, 0, 0], [1, 1, 1]], "'a' more than once"),
        (["a", "b"], [[0, 0, 0]], "1 colours for 2 classes"),
        (["a", "b"], [[0, 0, 0], [0, 0, 0]], "same colour twice"),
        (["a"], [[0, 0, 256]], "256"),
        (["a"], [[0, 0, 0.5]], "whole numbers"),
        (["a"], [[0, 0]], "three"),
        (["a"], ["red"], "must be a list"),
        ("a", [[0, 0, 0]], "must be a list"),
    ],
)
def test_label_sets_that_cannot_be(names: object, palette: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LabelSet(names, palette)  # type: ignore[arg-type]


def test_default_palettes_are_unique_stable_and_apart() -> None:
    assert len(set(numbered(4096).palette)) == 4096
    assert numbered(4096).palette[:300] == numbered(300).palette
    colours = np.array(numbered(60).palette, dtype=int)
    distance = np.abs(colours[:, None] - colours).max(axis=2) + np.eye(60, dtype=int) * 255
    assert distance.min() > 2 * 8  # twice the tolerance of reading: no colour can be taken for another
    with pytest.raises(ValueError, match="4096"):
        numbered(4097)
    with pytest.raises(ValueError, match="must be a list"):
        LabelSet.from_names("sky")


def test_class_files_round_trip(tmp_path: Path) -> None:
    labels = LabelSet(("ciel bleu", "Straße", "樹"), LABELS.palette[:3])
    labels.to_file(tmp_path / "classes.json")
    assert LabelSet.from_file(tmp_path / "classes.json") == labels
    LABELS.to_file(str(tmp_path / "classes.json"))
    assert LabelSet.from_file(str(tmp_path / "classes.json")) == LABELS
    assert [path.name for path in tmp_path.iterdir()] == ["classes.json"]


def test_a_class_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LABELS.to_file(tmp_path / "classes.json")

    def full_disk(path: Path, text: str, *args: object, **kwargs: object) -> None:
        path.write_bytes(text[:10].encode())
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        numbered(9).to_file(tmp_path / "classes.json")
    assert LabelSet.from_file(tmp_path / "classes.json") == LABELS
    assert [path.name for path in tmp_path.iterdir()] == ["classes.json"]


def test_class_files_are_ordered_by_id_and_keep_their_other_keys_to_themselves(tmp_path: Path) -> None:
    classes = [{"id": 1, "name": "b", "color": [1, 1, 1]}, {"id": 0, "name": "a", "color": [0, 0, 0]}]
    (tmp_path / "c.json").write_text(json.dumps({"classes": classes, "names": ["a", "b"], "void_ids": [1]}))
    assert LabelSet.from_file(tmp_path / "c.json") == LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"names": ["a"]}',
        '{"classes": []}',
        '{"classes": [{"id": 0}]}',
        '{"classes": [{"id": 1, "name": "a", "color": [0, 0, 0]}]}',
        '{"classes": [{"id": 0, "name": 3, "color": [0, 0, 0]}]}',
        '{"classes": [{"id": 0, "name": "a", "color": 5}]}',
        '{"classes": [{"id": 0, "name": "a", "color": [0, 0, 300]}]}',
        "\x00\x01",
    ],
)
def test_class_files_of_another_form_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        LabelSet.from_file(tmp_path / "wrong.json")
    with pytest.raises(ValueError, match=r"none\.json"):
        LabelSet.from_file(tmp_path / "none.json")


def test_classes_by_name_or_id() -> None:
    assert [LABELS.id_of(c) for c in ("hair", 1, np.int64(3), "top-clothes")] == [1, 1, 3, 3]
    assert LABELS.ids_of(["face", 0]) == [2, 0]
    assert LABELS.ids_of(c for c in ()) == []


@pytest.mark.parametrize(
    ("class_", "words"),
    [
        ("top-cloths", r"'top-cloths', did you mean 'top-clothes'\?.*background, hair, face"),
        ("HAIR", "did you mean 'hair'"),
        ("zebra", r"'zebra'\. The classes are background"),
        (4, r"no class 4: the ids are 0 to 3 \(background, hair"),
        (-1, "no class -1"),
        (True, "True"),
        (1.0, r"1\.0"),
        (None, "None"),
    ],
)
def test_unknown_classes(class_: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LABELS.id_of(class_)  # type: ignore[arg-type]


def test_one_name_is_no_list_of_classes() -> None:
    with pytest.raises(ValueError, match=r"\['hair'\]"):
        LABELS.ids_of("hair")


# Reading label maps


@given(
    st.sampled_from([1, 2, 8, 151, 256, 257, 4096]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 999)
)
@settings(max_examples=30, deadline=None)
def test_drawn_label_maps_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, seed: int
) -> None:
    labels, folder = numbered(count), tmp_path_factory.mktemp("maps")
    ids = draw_ids(labels, height, width, seed)
    picture = label_picture(ids, labels)
    assert picture.mode == ("P" if count <= 256 else "I;16")
    picture.save(folder / "index.png")
    colour_picture(ids, labels).save(folder / "colour.png")
    Image.fromarray(ids.astype(np.uint16)).save(folder / "deep.png")
    sources = [picture, ids, ids.astype(np.uint16), torch.from_numpy(ids), colour_picture(ids, labels)]
    sources += [folder / name for name in ("index.png", "colour.png", "deep.png")]
    sources += [np.asarray(colour_picture(ids, labels)), Image.fromarray(ids.astype(np.int32))]
    if count <= 256:
        sources += [Image.fromarray(ids.astype(np.uint8)), torch.from_numpy(ids.astype(np.uint8))]
    for source in sources:
        read = read_label_map(source, labels)
        assert read.dtype == np.int64
        assert (read == ids).all()


def test_the_palette_of_an_index_picture_does_not_count() -> None:
    picture = Image.fromarray(IDS.astype(np.uint8))
    picture.putpalette([value for colour in reversed(LABELS.palette) for value in colour])
    assert picture.mode == "P"
    assert (read_label_map(picture, LABELS) == IDS).all()


def test_indices_that_are_no_ids_are_read_by_their_colours() -> None:
    picture = Image.fromarray((IDS + 100).astype(np.uint8))
    picture.putpalette([0] * 300 + [value for colour in LABELS.palette for value in colour])
    assert (read_label_map(picture, LABELS) == IDS).all()
    picture.putpalette([9, 99, 199] * 256)
    with pytest.raises(ValueError, match=r"value 10\d is not a class id"):
        read_label_map(picture, LABELS)


def test_near_colours_snap_and_far_ones_are_refused() -> None:
    pixels = np.asarray(colour_picture(IDS, LABELS)).astype(int)
    near = (pixels + np.where(pixels < 128, 8, -8)).astype(np.uint8)
    assert (read_label_map(near, LABELS) == IDS).all()
    with pytest.raises(ValueError, match="no class of the palette"):
        read_label_map(near, LABELS, tolerance=7)
    far = pixels.astype(np.uint8)
    far[1, 1:3], far[0, 0] = (130, 80, 20), (0, 255, 0)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_label_map(Image.fromarray(far), LABELS)
    for words in ("(130, 80, 20)", "2 pixels", "1 other", "'hair'", "(140, 80, 30)"):
        assert words in str(error.value)


def test_transparency_is_refused_with_its_count() -> None:
    pixels = np.dstack((np.asarray(colour_picture(IDS, LABELS)), np.full(IDS.shape, 255, dtype=np.uint8)))
    assert (read_label_map(Image.fromarray(pixels), LABELS) == IDS).all()
    pixels[0, 0, 3], pixels[1, 1:3, 3] = 254, 0
    for source in (pixels, Image.fromarray(pixels)):
        with pytest.raises(ValueError, match=r"^3 pixels .* transparent"):
            read_label_map(source, LABELS)


def test_unknown_ids_are_refused_with_place_and_count() -> None:
    ids = IDS.copy()
    ids[1, 2:], ids[2, 0], ids[2, 1] = 37, 38, 255
    for source in (ids, torch.from_numpy(ids), Image.fromarray(ids.astype(np.uint8))):
        with pytest.raises(ValueError, match="37 is not a class id") as error:
            read_label_map(source, LABELS)
        for words in ("2 pixels", "row 1, column 2", "2 other values", "0 to 3", "(background, hair, face"):
            assert words in str(error.value)
    ids[:] = 0
    ids[0, 0] = -1
    with pytest.raises(ValueError, match="-1 is not a class id: 1 pixels"):
        read_label_map(ids, LABELS)


@pytest.mark.parametrize("mode", ["1", "LA", "PA", "CMYK", "YCbCr", "HSV", "F"])
def test_other_modes_are_refused_by_name(mode: str) -> None:
    for read in (lambda: read_label_map(Image.new(mode, (4, 3)), LABELS),
                 lambda: read_instance_map(Image.new(mode, (4, 3)))):  # fmt: skip
        with pytest.raises(ValueError, match=rf"mode {mode}\b"):
            read()


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 4)), np.zeros((1, 3, 4), dtype=int), np.zeros((3, 4, 3)), np.zeros((3, 4), dtype=bool),
     np.zeros((0, 4), dtype=int)],
)  # fmt: skip
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    for source in (array, torch.from_numpy(array)):
        with pytest.raises(ValueError, match=re.escape(f"{array.dtype} {array.shape}")):
            read_label_map(source, LABELS)


def test_jpeg_maps_need_clean_colours(tmp_path: Path) -> None:
    big = np.kron(IDS, np.ones((16, 16), dtype=int))
    colour_picture(big, LABELS).save(tmp_path / "clean.jpg", quality=100, subsampling=0)
    assert (read_label_map(tmp_path / "clean.jpg", LABELS) == big).all()
    colour_picture(draw_ids(LABELS, 32, 32, 0), LABELS).save(tmp_path / "smeared.jpg")
    with pytest.raises(ValueError, match=r"JPEG smears colours.*PNG"):
        read_label_map(tmp_path / "smeared.jpg", LABELS)


def test_grey_jpegs_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.kron(IDS, np.ones((16, 16))).astype(np.uint8)).save(tmp_path / "grey.jpg", quality=100)
    with pytest.raises(ValueError, match=r"label map is a grey JPEG.*PNG"):
        read_label_map(tmp_path / "grey.jpg", LABELS)
    with pytest.raises(ValueError, match=r"instance map is a grey JPEG.*PNG"):
        read_instance_map(tmp_path / "grey.jpg")


def test_files_that_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "map.svg").write_text("<svg/>")
    with pytest.raises(ValueError, match=r"the label map 'map\.svg' is not a picture"):
        read_label_map(tmp_path / "map.svg", LABELS)
    with pytest.raises(ValueError, match=r"the instance map 'none\.png' does not exist"):
        read_instance_map(tmp_path / "none.png")


def test_sizes() -> None:
    assert (read_label_map(IDS, LABELS, size=(3, 4)) == IDS).all()
    with pytest.raises(ValueError, match=r"3x4.*6x8.*nearest.*resize=True"):
        read_label_map(IDS, LABELS, size=(6, 8))
    assert (read_label_map(IDS, LABELS, size=(6, 8), resize=True) == np.kron(IDS, np.ones((2, 2)))).all()
    with pytest.raises(ValueError, match=r"3x4.*proportions.*4x4.*1\.333, not 1\.000"):
        read_label_map(IDS, LABELS, size=(4, 4), resize=True)
    tall = np.zeros((100, 101), dtype=int)  # 1 % off: within what is stretched
    assert read_label_map(tall, LABELS, size=(50, 50), resize=True).shape == (50, 50)


def test_a_million_pixels_are_read_quickly() -> None:
    labels = numbered(151)
    ids = draw_ids(labels, 1024, 1024, 0)
    picture = colour_picture(ids, labels)
    start = time.perf_counter()
    assert (read_label_map(picture, labels) == ids).all()
    assert time.perf_counter() - start < 5  # a table of pixels x classes takes ten times as long


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_instance_maps(tmp_path: Path, dtype: type) -> None:
    top = {np.uint8: 200, np.uint16: 33999, np.int32: 33999}.get(dtype, 2**40)
    ids = np.array([[0, 1, top], [7, 7, 2]], dtype=dtype)
    for source in (ids, torch.from_numpy(ids)):
        read = read_instance_map(source)
        assert read.dtype == np.int64
        assert (read == ids).all()
    assert (read_instance_map(ids, size=(4, 6)) == np.kron(ids, np.ones((2, 2), dtype=np.int64))).all()
    if dtype in (np.uint8, np.uint16):
        Image.fromarray(ids).save(tmp_path / "i.png")
        assert (read_instance_map(tmp_path / "i.png") == ids).all()
    elif dtype is np.int32:
        Image.fromarray(ids * 1000).save(tmp_path / "i.tif")
        assert (read_instance_map(tmp_path / "i.tif") == ids * 1000).all()
    with pytest.raises(ValueError, match="-3"):
        read_instance_map(np.array([[-3, 1]]))
    with pytest.raises(ValueError, match="mode RGB"):
        read_instance_map(Image.new("RGB", (2, 2)))


def test_real_label_maps() -> None:
    folder = shared_folder("data/fashion8")
    labels = LabelSet.from_file(folder / "classes.json")
    assert labels.names[4] == "top-clothes"
    paths = sorted((folder / "validation" / "labels").glob("*.png"))[:5]
    assert paths
    for path in paths:
        ids = read_label_map(path, labels, size=(256, 256))
        assert len(classes_present(ids, 8)) > 2
        assert (read_label_map(colour_picture(ids, labels), labels) == ids).all()


# Tensors


@given(*[st.integers(1, 12)] * 4)
@settings(max_examples=60, deadline=None)
def test_resizing_is_that_of_interpolate(height: int, width: int, new_height: int, new_width: int) -> None:
    label = torch.arange(2 * height * width).reshape(2, height, width)
    expected = torch.nn.functional.interpolate(
        label[:, None].double(), (new_height, new_width), mode="nearest"
    )
    resized = resize_label_map(label.int(), (new_height, new_width))
    assert resized.dtype == torch.int64
    assert torch.equal(resized, expected[:, 0].long())
    assert torch.equal(resize_label_map(label + 2**53, (new_height, new_width)), resized + 2**53)


def test_one_hot() -> None:
    label = torch.from_numpy(IDS)[None].repeat(2, 1, 1)
    channels = one_hot(label, 5)
    assert channels.shape == (2, 5, 3, 4)
    assert channels.dtype == torch.float32
    assert torch.equal(channels.sum(1), torch.ones(2, 3, 4))
    assert torch.equal(channels.argmax(1), label)
    assert one_hot(label, 4, dtype=torch.float16).dtype == torch.float16
    for bad, words in (
        (label + 1, "class id 4 at 4 pixels; the ids are 0 to 3"),
        (-label, "class id -3 at 4 pixels"),
    ):
        with pytest.raises(ValueError, match=words):
            one_hot(bad, 4)
    for bad in (label.float(), label[0], label[None], label > 0):
        with pytest.raises(ValueError, match=r"\[B, H, W\]"):
            one_hot(bad, 4)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_edges_are_where_a_neighbour_differs(height: int, width: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 3, (height, width))
    edges = instance_edges(torch.from_numpy(ids)[None])
    assert edges.shape == (1, 1, height, width)
    assert edges.dtype == torch.float32
    for row, column in np.ndindex(height, width):
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]
        assert edges[0, 0, row, column] == any(ids[place] != ids[row, column] for place in inside)


def test_edges_as_recorded() -> None:
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())["edges"]
    assert instance_edges(torch.tensor(facts["inst"])[None])[0, 0].tolist() == facts["edge"]


def test_classes_present() -> None:
    assert classes_present(IDS[:1], 4) == [0, 1, 3]
    assert classes_present(torch.from_numpy(IDS), 4) == [0, 1, 2, 3]


def test_drawing_refuses_what_has_no_colour() -> None:
    for draw in (label_picture, colour_picture):
        for bad, words in (
            (IDS + 1, "class id 4 at 2 pixels; the ids are 0 to 3"),
            (IDS + 256, "class id 259"),
            (IDS - 1, "class id -1"),
            (IDS[None], r"\[height, width\]"),
            (IDS * 1.0, "float64"),
        ):
            for source in (bad, torch.from_numpy(bad)):
                with pytest.raises(ValueError, match=words):
                    draw(source, LABELS)
