"""Another label map for a picture: in a new appearance, with what is locked, or in the same appearance; strokes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from page.core import actions
from page.core import session as sessions
from page.core.session import Session
from page.ui.painter import Stroke, canvas_value, read_stroke

from groupdnet_hub import GroupDNetPipeline, Look
from groupdnet_hub.data.figure_textures import FIGURE_LABELS

HAIR, SHOES, SOCKS = map(FIGURE_LABELS.id_of, ("hair", "shoes", "socks"))


@pytest.fixture
def other(pipeline: GroupDNetPipeline, examples: Path) -> np.ndarray:
    return actions.read_map(pipeline, examples / "example_02.png")


def alike(one: Look, other: Look) -> set[str]:
    """Return the classes whose codes are the same in two looks."""
    names = FIGURE_LABELS.names
    return {name for name in names if torch.equal(one.codes.pick(name), other.codes.pick(name))}


def test_locks_hold_on_another_map(pipeline: GroupDNetPipeline, opened: Session, other: np.ndarray) -> None:
    """Where both maps have the class; all else is that of the seed."""
    before, fresh = sessions.current(opened), pipeline.sample(other, 5)
    without = other.copy()
    without[other == HAIR] = 0
    assert "shoes" in fresh.classes
    assert "shoes" not in before.classes
    locked = sessions.lock(opened, FIGURE_LABELS, ["hair", "face", "shoes"])
    drawn = sessions.current(actions.open_map(pipeline, locked, other, 5))
    assert alike(drawn, before) == {"hair", "face"}
    assert alike(drawn, fresh) == set(FIGURE_LABELS.names) - {"hair", "face"}
    assert np.array_equal(drawn.mask, other)
    assert actions.kept_by_locks(locked, FIGURE_LABELS, other) == ("hair", "face")
    assert actions.kept_by_locks(locked, FIGURE_LABELS, without) == ("face",)
    unlocked = sessions.current(actions.open_map(pipeline, opened, other, 5))
    assert np.array_equal(np.asarray(unlocked.image), np.asarray(fresh.image))


def test_the_same_appearance_on_another_map(
    pipeline: GroupDNetPipeline, opened: Session, other: np.ndarray
) -> None:
    """Classes that are new on it are drawn by the seed, locked or not."""
    before, fresh = sessions.current(opened), pipeline.sample(other, 5)
    drawn = sessions.current(actions.open_map(pipeline, opened, other, 5, same_appearance=True))
    new = set(fresh.classes) - set(before.classes)
    assert new
    assert alike(drawn, before) == set(FIGURE_LABELS.names) - new
    assert alike(drawn, fresh) == new
    again = actions.open_map(pipeline, opened, other, 5, same_appearance=True)
    assert np.array_equal(np.asarray(sessions.current(again).image), np.asarray(drawn.image))
    # Without a picture there is no appearance to keep.
    first = sessions.current(actions.open_map(pipeline, Session(), other, 5, same_appearance=True))
    assert alike(first, fresh) == set(FIGURE_LABELS.names)


def test_a_stroke_is_painted_on_the_map_of_now(
    pipeline: GroupDNetPipeline, opened: Session, other: np.ndarray
) -> None:
    before = sessions.current(opened).mask
    after = before.copy()
    after[:4, :4] = SOCKS
    painted = Stroke(before, after, 1).painted_on(other)
    assert (painted[:4, :4] == SOCKS).all()
    painted[:4, :4] = other[:4, :4]
    assert np.array_equal(painted, other)
    drawn = actions.edit(pipeline, opened, after)
    assert np.array_equal(sessions.current(drawn).mask, after)
    assert len(drawn.earlier) == 1
    same = actions.edit(pipeline, drawn, after.copy())
    assert len(same.earlier) == 1, "what changes nothing is no step"


def test_what_a_canvas_may_send_as_a_stroke() -> None:
    before, after = np.zeros((64, 64), np.int64), np.full((64, 64), HAIR)
    maps = {"before": canvas_value(before, FIGURE_LABELS), "after": canvas_value(after, FIGURE_LABELS)}
    stroke = read_stroke({**maps, "number": 3}, FIGURE_LABELS, (64, 64))
    assert (stroke.number, *map(np.ndarray.tolist, (stroke.before, stroke.after))) == (
        *(3, before.tolist()),
        after.tolist(),
    )
    for sent, told in (
        ({}, "no numbered stroke"),
        ({**maps, "number": "3"}, "no numbered stroke"),
        ({**maps, "number": True}, "no numbered stroke"),
        ({"after": maps["after"], "number": 3}, "sent no PNG"),
        ({**maps, "after": "data:image/png;base64,AAAA", "number": 3}, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=told):
            read_stroke(sent, FIGURE_LABELS, (64, 64))
