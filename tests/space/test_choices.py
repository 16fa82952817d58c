"""What can be picked: candidates at any strength and whole samples, all picks being one step of the history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from page.core import actions
from page.core import session as sessions
from page.core.redraw import candidates
from page.core.session import MAX_SEED, Session

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.helpers.page_models import page_model

HAIR = FIGURE_LABELS.id_of("hair")


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    return GroupDNetPipeline(page_model(size=(64, 64)))


@pytest.fixture
def opened(pipeline: GroupDNetPipeline, examples: Path) -> Session:
    first = actions.open_map(pipeline, Session(), examples / "example_01.png", 0)
    return actions.sample(pipeline, first, 1)


def shown(session: Session) -> np.ndarray:
    return np.asarray(sessions.current(session).image).astype(int)


def nine(pipeline: GroupDNetPipeline, session: Session, seed: int = 5) -> Session:
    seeds = candidates.seeds_from(seed, candidates.SAMPLES)
    return candidates.offer(session, candidates.whole_samples(pipeline, session, seeds))


def test_a_strength_is_between_the_picture_before_and_the_picked_one(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    drawn = candidates.of_class(pipeline, opened, "hair", 3)
    picked = candidates.pick(drawn, 1)
    half = candidates.at_strength(pipeline, picked, 0.5)
    expected = pipeline.between(sessions.current(opened), drawn.candidates[1], 0.5, ["hair"])
    assert np.array_equal(shown(half), np.asarray(expected.image))
    code, before, after = (
        one.codes.pick("hair") for one in (half.look, sessions.current(opened), drawn.candidates[1])
    )
    assert torch.allclose(code, (before + after) / 2)
    full = candidates.at_strength(pipeline, half, 1)
    assert full.look is drawn.candidates[1]
    assert candidates.at_strength(pipeline, half, 0).look is opened.look


def test_however_often_one_picks_it_is_one_step(pipeline: GroupDNetPipeline, opened: Session) -> None:
    session = candidates.of_class(pipeline, opened, "hair", 3)
    for place, strength in ((0, 0.3), (2, 1), (2, 0.6), (3, 0.05)):
        session = candidates.pick_at_strength(pipeline, session, place, strength)
        session = candidates.at_strength(pipeline, session, strength + 0.0)
        assert len(session.earlier) == len(opened.earlier) + 1
        assert session.choice is not None
        assert session.choice.picked == place
        assert len(session.candidates) == 4
    assert np.array_equal(shown(sessions.undo(session)), shown(opened))
    none = candidates.at_strength(pipeline, session, 0)
    assert none.earlier == opened.earlier  # nothing changed: no step
    again = candidates.at_strength(pipeline, none, 0.5)
    assert np.array_equal(shown(sessions.undo(again)), shown(opened))


def test_what_else_a_visitor_does_meanwhile_stays(pipeline: GroupDNetPipeline, opened: Session) -> None:
    session = candidates.pick(candidates.of_class(pipeline, opened, "hair", 3), 0)
    session = sessions.lock(sessions.keep(session), FIGURE_LABELS, ["face"])
    session = candidates.at_strength(pipeline, session, 0.5)
    assert session.locked == ("face",)
    assert [kept.name for kept in session.shelf] == ["look 1"]


def test_a_strength_before_a_pick_waits_for_it(pipeline: GroupDNetPipeline, opened: Session) -> None:
    drawn = candidates.at_strength(pipeline, candidates.of_class(pipeline, opened, "hair", 3), 0.4)
    assert drawn.look is opened.look
    assert drawn.choice is not None
    assert (drawn.choice.picked, drawn.choice.strength) == (None, 0.4)


def test_other_pixels_are_kept_at_every_strength(pipeline: GroupDNetPipeline, opened: Session) -> None:
    region = sessions.current(opened).mask == HAIR
    session = candidates.pick(candidates.of_class(pipeline, opened, "hair", 3, keep_pixels=True), 1)
    for strength in (0.25, 0.75, 1):
        session = candidates.at_strength(pipeline, session, strength)
        assert np.array_equal(shown(session)[~region], shown(opened)[~region])
        assert not np.array_equal(shown(session)[region], shown(opened)[region])


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), None, "1"])
def test_strengths_outside_are_refused(
    pipeline: GroupDNetPipeline, opened: Session, strength: object
) -> None:
    picked = candidates.pick(candidates.of_class(pipeline, opened, "hair", 3), 1)
    with pytest.raises(ValueError, match="strength must be from 0 to 1"):
        candidates.at_strength(pipeline, picked, strength)  # type: ignore[arg-type]


def test_without_candidates_nothing_is_picked(pipeline: GroupDNetPipeline, opened: Session) -> None:
    away = sessions.put_away(candidates.of_class(pipeline, opened, "hair", 3))
    assert away.look is opened.look
    for session in (opened, away, sessions.undo(candidates.pick(nine(pipeline, opened), 2))):
        with pytest.raises(ValueError, match="no candidates"):
            candidates.pick(session, 0)
        with pytest.raises(ValueError, match="no candidates"):
            candidates.at_strength(pipeline, session, 0.5)


def test_what_is_drawn_meanwhile_fits_a_picture_of_its_map_and_other_codes(
    pipeline: GroupDNetPipeline, opened: Session, examples: Path
) -> None:
    hair = candidates.of_class(pipeline, opened, "hair", 3).candidates
    whole = nine(pipeline, opened).candidates
    rerolled = actions.reroll(pipeline, opened, "hair", 99)
    resampled = actions.sample(pipeline, opened, 99)
    other = actions.edit(pipeline, opened, examples / "example_02.png")
    for session, fits in ((opened, (True, True)), (rerolled, (True, True)), (resampled, (False, True))):
        assert (candidates.still_fit(session, hair, "hair"), candidates.still_fit(session, whole)) == fits
    assert not candidates.still_fit(other, hair, "hair")
    assert not candidates.still_fit(other, whole)
    locked = sessions.lock(resampled, FIGURE_LABELS, ["face"])  # whose face the nine do not have
    assert not candidates.still_fit(locked, whole)


def test_nine_samples_leave_locked_classes_alone(pipeline: GroupDNetPipeline, opened: Session) -> None:
    locked = sessions.lock(opened, FIGURE_LABELS, ["hair", "face"])
    offered = nine(pipeline, locked, MAX_SEED - 3)
    assert offered.look is opened.look
    assert offered.redrawn == ""
    assert [look.seed for look in offered.candidates] == [*range(MAX_SEED - 3, MAX_SEED + 1), 0, 1, 2, 3, 4]
    for look in offered.candidates:
        expected = actions.sample(pipeline, locked, look.seed or 0)
        assert np.array_equal(np.asarray(look.image), shown(expected))
        for name in ("hair", "face"):
            assert torch.equal(look.codes.pick(name), sessions.current(opened).codes.pick(name))
    picked = candidates.pick(candidates.pick(offered, 4), 8)
    assert picked.look is offered.candidates[8]
    assert sessions.current(sessions.undo(picked)).seed == sessions.current(opened).seed
    half = candidates.at_strength(pipeline, picked, 0.5)
    assert torch.equal(sessions.current(half).codes.pick("face"), sessions.current(opened).codes.pick("face"))
    assert not torch.equal(
        sessions.current(half).codes.pick("top-clothes"), sessions.current(opened).codes.pick("top-clothes")
    )
