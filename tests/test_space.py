"""The session behind the page: what each action changes, and that refusals change nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from groupdnet_hub import FIGURE_LABELS, GroupDNet, GroupDNetConfig, GroupDNetPipeline, read_label_map

SPACE = Path(__file__).resolve().parents[1] / "space"
sys.path.insert(0, str(SPACE))

import session as actions  # noqa: E402
from session import CURRENT, SHELF_SIZE, Session  # noqa: E402


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    return GroupDNetPipeline(
        GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=4))
    )


@pytest.fixture
def opened(pipeline: GroupDNetPipeline) -> Session:
    return actions.open_map(pipeline, Session(), SPACE / "examples" / "example_1.png", 0)


def test_examples_are_maps_of_the_bundled_classes() -> None:
    examples = sorted((SPACE / "examples").glob("*.png"))
    assert len(examples) >= 4
    for path in examples:
        label = read_label_map(path, FIGURE_LABELS)
        assert label.shape == (256, 256)
        assert {2, 4} <= set(np.unique(label))


def test_reroll_changes_one_code(pipeline: GroupDNetPipeline, opened: Session) -> None:
    rerolled = actions.reroll(pipeline, opened, "hair", 5)
    old, new = actions.current(opened).codes, actions.current(rerolled).codes
    changed = [name for name in FIGURE_LABELS.names if not torch.equal(old.pick(name), new.pick(name))]
    assert changed == ["hair"]


def test_reroll_of_an_absent_class_is_refused(pipeline: GroupDNetPipeline, opened: Session) -> None:
    with pytest.raises(ValueError, match="shoes is not on this label map"):
        actions.reroll(pipeline, opened, "shoes", 5)


def test_actions_without_a_picture_say_so(pipeline: GroupDNetPipeline) -> None:
    for action in (
        lambda: actions.sample(pipeline, Session(), 0),
        lambda: actions.reroll(pipeline, Session(), "hair"),
        lambda: actions.keep(Session()),
    ):
        with pytest.raises(ValueError, match="no picture yet"):
            action()


def test_mix_with_the_shelf(pipeline: GroupDNetPipeline, opened: Session) -> None:
    kept = actions.keep(opened)
    sampled = actions.sample(pipeline, kept, 9)
    mixed = actions.mix(pipeline, sampled, CURRENT, "shelf 1", ["top-clothes"])
    codes = actions.current(mixed).codes
    assert torch.equal(codes.pick("top-clothes"), actions.current(opened).codes.pick("top-clothes"))
    assert torch.equal(codes.pick("hair"), actions.current(sampled).codes.pick("hair"))
    with pytest.raises(ValueError, match="shelf 2"):
        actions.mix(pipeline, sampled, CURRENT, "shelf 2", ["hair"])


def test_the_shelf_keeps_the_newest(pipeline: GroupDNetPipeline, opened: Session) -> None:
    made = opened
    for seed in range(SHELF_SIZE + 2):
        made = actions.keep(actions.sample(pipeline, made, seed))
    assert [look.seed for look in made.shelf] == list(range(2, SHELF_SIZE + 2))
    assert made.shelf_names[-1] == f"shelf {SHELF_SIZE}"


def test_sessions_are_values(pipeline: GroupDNetPipeline, opened: Session) -> None:
    before = actions.current(opened)
    actions.sample(pipeline, opened, 3)
    actions.keep(opened)
    assert actions.current(opened) is before
    assert opened.shelf == ()
