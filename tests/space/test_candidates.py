"""Which part of the picture candidates show, and which classes have none to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core import actions
from page.core import session as sessions
from page.core.fixed_classes import FixedClasses, indistinguishable, is_fixed
from page.core.memory.packed_looks import packed
from page.core.redraw import candidates
from page.core.regions import class_window
from page.core.session import Session, ShelfItem
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, Look
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.helpers.page_models import page_model

SHOES = FIGURE_LABELS.id_of("shoes")


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    return GroupDNetPipeline(page_model(fixed_classes=["hair"]))


def region(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((height, width), bool)
    made[rows, columns] = True
    return made


def test_the_window_has_a_margin_and_is_square() -> None:
    left, top, right, bottom = class_window(region(256, 128, slice(100, 140), slice(50, 70)))
    assert right - left == bottom - top == 52
    assert (left + right) / 2 == pytest.approx(60, abs=1)
    assert (top + bottom) / 2 == pytest.approx(120, abs=1)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 30), slice(0, 40)), (slice(240, 256), slice(100, 128)), (slice(60, 170), slice(30, 90))],
)
def test_the_window_stays_within_the_picture_and_holds_the_class(rows: slice, columns: slice) -> None:
    where = region(256, 128, rows, columns)
    left, top, right, bottom = class_window(where)
    assert 0 <= left < right <= 128
    assert 0 <= top < bottom <= 256
    assert where[top:bottom, left:right].sum() == where.sum()


def test_a_speck_is_shown_in_its_surroundings() -> None:
    left, top, right, bottom = class_window(region(256, 128, slice(80, 81), slice(64, 65)))
    assert (right - left, bottom - top) == (32, 32)


def test_a_class_nearly_everywhere_is_shown_with_the_whole_picture() -> None:
    assert class_window(~region(256, 128, slice(60, 200), slice(40, 90))) == (0, 0, 128, 256)


def test_pictures_are_alike_by_what_is_seen_in_the_region() -> None:
    where = region(32, 32, slice(8, 16), slice(8, 16))
    grey = np.full((32, 32, 3), 128, np.uint8)
    hardly, outside, inside = grey.copy(), grey.copy(), grey.copy()
    hardly[where] += 2
    outside[~where] = 0
    inside[where] = 160
    for other, alike in ((hardly, True), (outside, True), (inside, False)):
        assert indistinguishable([Image.fromarray(grey), Image.fromarray(other)], where) is alike


def test_a_class_whose_code_does_nothing_is_fixed(pipeline: GroupDNetPipeline, examples: Path) -> None:
    look = pipeline.sample(examples / "example_01.png", seed=3)
    assert {name for name in look.classes if is_fixed(pipeline, look, name)} == {"hair"}


def test_each_class_is_measured_once_where_most_of_it_is_seen(
    pipeline: GroupDNetPipeline, examples: Path
) -> None:
    looks = [pipeline.sample(path, seed=3) for path in sorted(examples.glob("*.png"))[:3]]
    asked = []

    def run(action: Callable[..., Any], look: Look, name: str, *seed: int) -> Any:
        asked.append((look, name, *seed))
        return action(pipeline, look, name, *seed)

    def bundled() -> list[ShelfItem]:
        return [ShelfItem(f"example {n}", packed(look)) for n, look in enumerate(looks)]

    pieces = FixedClasses(pytest.fail, run, bundled)
    assert pieces.known == []
    pieces.find()
    assert pieces.known == ["hair"]
    redrawn = [(name, seed) for _, name, seed in asked]
    assert len(redrawn) == len(set(redrawn)) == 4 * len({name for name, _ in redrawn})
    asked.clear()
    classes = FixedClasses(run, pytest.fail, bundled)
    for name in {name for name, _ in redrawn}:
        assert classes.holds(name) is pieces.holds(name) is (name == "hair")
    assert classes.holds("hair")
    names = [name for _, name in asked]
    assert len(names) == len(set(names))
    seen = np.bincount(np.concatenate([look.mask.ravel() for look in looks]), minlength=8) > 0
    assert set(names) == {name for name, here in zip(FIGURE_LABELS.names, seen, strict=True) if here}
    for look, name in asked:
        areas = [int((one.mask == FIGURE_LABELS.id_of(name)).sum()) for one in looks]
        assert int((look.mask == FIGURE_LABELS.id_of(name)).sum()) == max(areas)


def test_a_class_that_no_bundled_look_shows_enough_of_is_not_measured(
    pipeline: GroupDNetPipeline, examples: Path
) -> None:
    look = pipeline.sample(examples / "example_01.png", seed=3)
    speck = look.mask.copy()
    speck[64, 60:64] = SHOES
    classes = FixedClasses(
        pytest.fail, pytest.fail, lambda: [ShelfItem("example 1", packed(pipeline.edit(look, speck)))]
    )
    assert not classes.holds("shoes")
    assert not classes.holds("socks")
    assert not FixedClasses(pytest.fail, pytest.fail, list).holds("hair")


def test_candidates_come_to_the_page_cut_to_their_class(pipeline: GroupDNetPipeline, examples: Path) -> None:
    pytest.importorskip("gradio")
    from page.ui.views import candidates_view

    opened = actions.open_map(pipeline, Session(), examples / "example_02.png", 0)
    assert candidates_view(opened) == []
    drawn = candidates.of_class(pipeline, opened, "shoes", 5)
    window = class_window(sessions.current(opened).mask == SHOES)
    views = candidates_view(drawn)
    from page.ui.components import data_url

    assert [view["src"] for view in views] == [data_url(one.image.crop(window)) for one in drawn.candidates]
    picked = candidates.pick(drawn, 2)
    assert [view["selected"] for view in candidates_view(picked)] == [False, False, True, False]
