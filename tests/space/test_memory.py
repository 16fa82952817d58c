"""What a session remembers: the shelf, the steps of the history, and looks in little memory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from page.core import actions
from page.core import session as sessions
from page.core.memory import shelf
from page.core.memory.packed_looks import PackedLook, packed
from page.core.session import CURRENT, SHELF_SIZE, Session

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_textures import FIGURE_LABELS


def test_the_shelf_grows_and_drops_nothing(pipeline: GroupDNetPipeline, opened: Session) -> None:
    made = opened
    for _ in range(SHELF_SIZE):
        made = sessions.keep(made)
    assert [kept.name for kept in made.shelf] == [f"look {i}" for i in range(1, SHELF_SIZE + 1)]
    for action in (sessions.keep, lambda full: sessions.keep_photo(full, sessions.current(full))):
        with pytest.raises(ValueError, match=f"the shelf is full: it holds {SHELF_SIZE} looks. Delete one"):
            action(made)
    assert sessions.keep(shelf.delete(made, 0)).shelf[-1].name == f"look {SHELF_SIZE + 1}"


@pytest.fixture
def three(pipeline: GroupDNetPipeline, opened: Session) -> Session:
    """Keep three looks, of seeds 0 to 2."""
    made = sessions.keep(opened)
    for seed in (1, 2):
        made = sessions.keep(actions.sample(pipeline, made, seed))
    return made


def test_looks_on_the_shelf_are_renamed(three: Session) -> None:
    renamed = shelf.rename(three, 1, "  red \n coat ")
    assert [kept.name for kept in renamed.shelf] == ["look 1", "red coat", "look 3"]
    assert renamed.named("red coat").seed == 1
    # A name that the shelf would have given next is passed over.
    assert sessions.keep(shelf.rename(three, 0, "look 4")).shelf[-1].name == "look 5"
    for name, said in (
        ("", "1 to 40 characters; this has 0"),
        ("x" * 41, "this has 41"),
        (None, "this has 0"),
        ("look 3", "there is a look 'look 3' already"),
        (CURRENT, "there is a look 'current' already"),
    ):
        with pytest.raises(ValueError, match=said):
            shelf.rename(three, 1, name)
    with pytest.raises(ValueError, match="no look at place 3 of the shelf, which holds 3"):
        shelf.rename(three, 3, "x")


@pytest.mark.parametrize(
    ("place", "to", "order"), [(0, 2, "231"), (2, 0, "312"), (1, 1, "123"), (1, 0, "213")]
)
def test_looks_on_the_shelf_are_reordered(three: Session, place: int, to: int, order: str) -> None:
    moved = shelf.move(three, place, to)
    assert [kept.name for kept in moved.shelf] == [f"look {number}" for number in order]
    with pytest.raises(ValueError, match="no look at place -1"):
        shelf.move(three, place, -1)


def test_a_deleted_look_can_be_brought_back_to_its_place(three: Session) -> None:
    without = shelf.delete(three, 1)
    assert [kept.name for kept in without.shelf] == ["look 1", "look 3"]
    assert shelf.restore(without).shelf == three.shelf
    with pytest.raises(ValueError, match="no look was deleted"):
        shelf.restore(shelf.restore(without))
    with pytest.raises(ValueError, match="there is another look 'look 2' by now"):
        shelf.restore(shelf.rename(without, 0, "look 2"))


def test_packed_looks_are_the_same_to_the_bit(pipeline: GroupDNetPipeline, opened: Session) -> None:
    look = pipeline.sample(sessions.current(opened).mask, seed=31)
    kept = PackedLook(look)
    before = (look.image.tobytes(), look.mask.tobytes(), look.codes.tensor.clone(), look.seed, look.classes)
    held = pickle.loads(pickle.dumps(kept))  # as a ZeroGPU Space hands it to another process
    del look
    for again in (kept.look, held.look):
        assert again.image.tobytes() == before[0]
        assert again.mask.tobytes() == before[1]
        assert torch.equal(again.codes.tensor, before[2])
        assert (again.seed, again.classes) == before[3:]
        assert packed(again).key == kept.key
    assert len(kept.archive) < again.mask.nbytes


def test_a_picture_that_is_the_same_is_no_step(pipeline: GroupDNetPipeline, three: Session) -> None:
    again = actions.sample(pipeline, three, 2)
    assert again.look is three.look
    assert again.earlier == three.earlier
    back = sessions.undo(three)
    assert actions.sample(pipeline, back, 1).later == back.later
    for unchanged in (
        sessions.take_back(three, "look 3"),
        actions.morph(pipeline, three, CURRENT, "look 1", 0.0),
        actions.edit(pipeline, three, sessions.current(three).mask.copy()),
    ):
        assert unchanged.earlier == three.earlier


def test_every_step_has_its_map(pipeline: GroupDNetPipeline, opened: Session) -> None:
    painted = sessions.current(opened).mask.copy()
    painted[:20] = FIGURE_LABELS.id_of("hair")
    made = actions.sample(pipeline, actions.edit(pipeline, opened, painted), 5)
    back = sessions.undo(made)
    assert np.array_equal(sessions.current(back).mask, painted)
    first = sessions.undo(back)
    assert np.array_equal(sessions.current(first).mask, sessions.current(opened).mask)
    assert np.array_equal(sessions.current(sessions.redo(first)).mask, painted)
