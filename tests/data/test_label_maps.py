"""Reading label maps: round trips of every kind of file, and messages of refusals."""

from __future__ import annotations

import pickle
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groupdnet_hub.data.label_maps import NoIdsError, read_instance_map, read_label_map
from groupdnet_hub.data.labels import LabelSet, classes_present, colour_picture, label_picture
from tests.helpers.label_examples import IDS, LABELS, draw_ids, numbered
from tests.helpers.shared_data import shared_folder


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


def test_a_palette_of_other_colours_does_not_count() -> None:
    picture = Image.fromarray(IDS.astype(np.uint8))
    picture.putpalette([value for colour in LABELS.palette for value in (colour[1], 255 - colour[0], 77)])
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
    with pytest.raises(ValueError, match="is not in the palette"):
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


def test_a_refusal_of_ids_passes_from_process_to_process() -> None:
    ids = np.zeros((4, 4), np.int64)
    ids[0] = 255
    with pytest.raises(NoIdsError, match="255 is not a class id") as refused:
        read_label_map(ids, numbered(8))
    passed = pickle.loads(pickle.dumps(refused.value))
    assert str(passed) == str(refused.value)
    assert str(passed).startswith(f"{passed.fault}. If it stands for unknown pixels")
    assert passed.fraction == 0.25
