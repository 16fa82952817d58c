"""Which part of a photo becomes a picture: nothing is squeezed, nobody is cut, and its label map goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core import photos
from page.core.photo_reading.files import SIDE, read_whole
from page.core.photo_reading.frames import checked_frame, whole_frame
from page.core.session import Session
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.data.person_frames import Box

SQUARE = (64, 64)
OTHERS = LabelSet(("ground", "road", "sky"), ((0, 0, 0), (128, 64, 128), (70, 130, 180)))


def pipeline_of(labels: LabelSet, size: tuple[int, int]) -> GroupDNetPipeline:
    return GroupDNetPipeline(GroupDNet(GroupDNetConfig.for_labels(labels, image_size=size, width=4)))


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    return pipeline_of(FIGURE_LABELS, SQUARE)


def standing(height: int = 240, width: int = 160) -> tuple[Image.Image, np.ndarray]:
    """Return a photo of someone from head to foot, in the colours of its label map, and that map."""
    whole = np.zeros((height, width), np.int64)
    label = read_label_map(draw_figure(5, (160, 160))[1], FIGURE_LABELS)
    rows, columns = (np.flatnonzero(label.any(axis=axis)) for axis in (1, 0))
    label = label[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].repeat(2, 0)[: height - 8]
    left = (width - label.shape[1]) // 2
    whole[4 : 4 + len(label), left : left + label.shape[1]] = label
    return colour_picture(whole, FIGURE_LABELS), whole


def agreement(session: Session, label: np.ndarray) -> float:
    """Return how much of the framed photo, which is in the colours of its map, has the colours of ``label``."""
    height, width = label.shape
    seen = photos.photo_of(session).picture.resize((width, height), Image.Resampling.NEAREST)
    return (np.asarray(seen) == np.asarray(colour_picture(label, FIGURE_LABELS))).all(axis=2).mean()


@pytest.mark.parametrize(
    ("photo", "size"), [((160, 240), (64, 64)), ((300, 90), (128, 64)), ((90, 300), (64, 128))]
)
def test_a_frame_of_all_of_a_photo_keeps_its_proportions(
    photo: tuple[int, int], size: tuple[int, int]
) -> None:
    box = whole_frame(photo, size)
    assert box.height / box.width == pytest.approx(size[0] / size[1], rel=0.02)
    assert box.left <= 0
    assert box.top <= 0
    assert box.left + box.width >= photo[0]
    assert box.top + box.height >= photo[1]
    assert box.width == photo[0] or box.height == photo[1]


@pytest.mark.parametrize("size", [SQUARE, (128, 64)])
def test_someone_in_a_portrait_photo_is_framed_from_head_to_foot_by_their_label_map(
    size: tuple[int, int],
) -> None:
    """There is no parser; nobody chose a frame."""
    photo, whole = standing()
    put = photos.put_photo(pipeline_of(FIGURE_LABELS, size), Session(), photo)
    brought = photos.bring_map(put, whole, FIGURE_LABELS, size)
    assert agreement(brought.session, brought.label) > 0.97
    box, rows = photos.photo_of(brought.session).box, np.flatnonzero(whole.any(axis=1))
    assert box.top <= rows[0]
    assert box.top + box.height > rows[-1]
    assert brought.label.any(axis=1).mean() > 0.85
    # Another map of the same photo may move the frame again; a frame that someone chose stays.
    assert not photos.photo_of(brought.session).is_framed
    chosen = photos.move_frame(put, Box(40, 0, 80, 80 * size[0] // size[1]), size)
    assert photos.photo_of(photos.bring_map(chosen, whole, FIGURE_LABELS, size).session).box.left == 40


def test_photos_of_other_things_are_cut_to_their_middle_as_before() -> None:
    put = photos.put_photo(pipeline_of(OTHERS, SQUARE), Session(), Image.new("RGB", (200, 100)))
    assert photos.photo_of(put).box == Box(50, 0, 100, 100)


def test_a_map_that_was_brought_is_cropped_with_the_photo_and_painting_stays_on_it(
    pipeline: GroupDNetPipeline,
) -> None:
    photo, whole = standing()
    brought = photos.bring_map(photos.put_photo(pipeline, Session(), photo), whole, FIGURE_LABELS, SQUARE)
    for box in (Box(30, 20, 100, 100), Box(-60, -30, 300, 300)):
        moved = photos.carry_map(brought.session, brought.label, box, FIGURE_LABELS)
        assert photos.photo_of(moved.session).box == box
        assert agreement(moved.session, moved.label) > 0.95
    painted = brought.label.copy()
    painted[:8, :8] = FIGURE_LABELS.id_of("shoes")
    there = photos.carry_map(brought.session, painted, Box(0, 0, 240, 240), FIGURE_LABELS)
    back = photos.carry_map(there.session, there.label, photos.photo_of(brought.session).box, FIGURE_LABELS)
    assert (back.label == painted).mean() > 0.98


def test_a_map_of_the_frame_is_carried_along(pipeline: GroupDNetPipeline) -> None:
    """Also where there was none but what was painted over the photo."""
    photo, _ = standing()
    put = photos.put_photo(pipeline, Session(), photo, Box(0, 40, 160, 160))
    painted = np.zeros(SQUARE, np.int64)
    painted[16:32, 16:32] = 2
    brought = photos.bring_map(put, painted.repeat(2, 0).repeat(2, 1), FIGURE_LABELS, SQUARE)
    assert np.array_equal(brought.label, painted)
    for session in (put, brought.session):
        moved = photos.carry_map(session, painted, Box(40, 80, 80, 80), FIGURE_LABELS)
        expected = np.zeros(SQUARE, np.int64)
        expected[:32, :32] = 2
        assert (moved.label == expected).mean() > 0.99


def test_unknown_pixels_stay_unknown_in_another_frame(pipeline: GroupDNetPipeline) -> None:
    photo, whole = standing()
    labels = LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, ignore=(255,))
    brought = photos.bring_map(
        photos.put_photo(pipeline, Session(), photo, Box(0, 0, 160, 160)),
        np.where(np.arange(160) < 40, 255, whole),
        labels,
        SQUARE,
    )
    assert brought.unknown.mean() == 0.25
    moved = photos.carry_map(brought.session, brought.label, Box(0, 0, 80, 80), labels)
    assert moved.unknown.mean() == 0.5


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "must be .left, top, width, height."),
        ([1, 2, 3], "must be .left, top, width, height."),
        ([0, 0, float("nan"), 3], "must be .left, top, width, height."),
        ([0, 0, True, 1], "must be .left, top, width, height."),
        ("0,0,", "must be .left, top, width, height."),
        ([0, 0, 10, 30], "so it must be 10x20"),
        ([0, 0, 1e9, 2e9], "from 1 to 900"),
        ([0, 0, -10, -20], "from 1 to 900"),
        ([300, 0, 50, 100], "shows nothing of the photo, which is 300x200"),
        ([0, -100, 50, 100], "shows nothing of the photo"),
    ],
)
def test_a_frame_from_a_browser_may_be_anything(value: Any, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        checked_frame(value, (300, 200), (128, 64))


def test_a_frame_is_of_whole_pixels() -> None:
    assert checked_frame([-9.6, 0.2, 33.4, 67.0], (300, 200), (128, 64)) == Box(-10, 0, 33, 66)


def test_a_photo_is_read_once_and_kept_small(pipeline: GroupDNetPipeline, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (4000, 3000), (200, 30, 30)).save(path)
    whole = read_whole(path)
    assert (whole.picture.size, whole.full_size) == ((SIDE, SIDE * 3 // 4), (4000, 3000))
    put = photos.put_photo(pipeline, Session(), whole)
    path.rename(tmp_path / "other.jpg")
    assert photos.is_photo_of(put, tmp_path / "other.jpg")
    with pytest.raises(ValueError, match="the photo's file is gone"):
        photos.is_photo_of(put, path)
    moved = photos.move_frame(put, Box(0, 0, 200, 200), SQUARE)
    assert photos.photo_of(moved).picture.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=2)
