"""The session behind the page: what each action changes, and that refusals change nothing; how the page starts."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groupdnet_hub import (
    FIGURE_LABELS,
    GroupDNet,
    GroupDNetConfig,
    GroupDNetPipeline,
    LabelSet,
    draw_figure,
    read_label_map,
)

SPACE = Path(__file__).resolve().parents[1] / "space"
sys.path.insert(0, str(SPACE))

import session as actions  # noqa: E402
from session import CURRENT, MAX_SEED, SHELF_SIZE, UNDO_STEPS, Session  # noqa: E402


def tiny_pipeline(labels: LabelSet) -> GroupDNetPipeline:
    return GroupDNetPipeline(GroupDNet(GroupDNetConfig.for_labels(labels, image_size=(64, 64), width=4)))


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    return tiny_pipeline(FIGURE_LABELS)


@pytest.fixture
def opened(pipeline: GroupDNetPipeline) -> Session:
    return actions.open_map(pipeline, Session(), SPACE / "examples" / "example_1.png", 0)


@pytest.fixture
def app() -> Any:
    pytest.importorskip("gradio", reason="the page needs gradio")
    import app

    return app


# -- examples ------------------------------------------------------------------------------------------------


def test_examples_are_maps_of_the_bundled_classes() -> None:
    examples = sorted((SPACE / "examples").glob("*.png"))
    assert len(examples) == 6
    shown = set()
    for path in examples:
        label = read_label_map(path, FIGURE_LABELS)
        assert label.shape == (256, 256)
        assert {2, 4} <= set(np.unique(label))
        shown |= set(np.unique(label))
    assert shown == set(range(8))


def test_examples_are_what_their_script_draws() -> None:
    script = runpy.run_path(str(SPACE / "examples" / "make_examples.py"))
    for number, (seed, crop) in enumerate(script["EXAMPLES"], start=1):
        _, drawn = draw_figure(seed, (256, 256), crop=crop)
        stored = read_label_map(SPACE / "examples" / f"example_{number}.png", FIGURE_LABELS)
        assert np.array_equal(stored, drawn)


# -- actions -------------------------------------------------------------------------------------------------


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
        lambda: actions.reroll(pipeline, Session(), "hair", 0),
        lambda: actions.keep(Session()),
        lambda: actions.mix(pipeline, Session(), CURRENT, CURRENT, ["hair"]),
    ):
        with pytest.raises(ValueError, match="no picture yet"):
            action()


def test_undo_goes_back_picture_by_picture(pipeline: GroupDNetPipeline, opened: Session) -> None:
    sampled = actions.sample(pipeline, opened, 1)
    rerolled = actions.reroll(pipeline, sampled, "hair", 2)
    back = actions.undo(rerolled)
    assert back.look is sampled.look
    assert actions.undo(back).look is opened.look
    with pytest.raises(ValueError, match="no earlier picture"):
        actions.undo(opened)


def test_only_the_newest_pictures_are_remembered(pipeline: GroupDNetPipeline, opened: Session) -> None:
    made = opened
    for seed in range(UNDO_STEPS + 3):
        made = actions.sample(pipeline, made, seed)
    assert [look.seed for look in made.earlier] == list(range(2, UNDO_STEPS + 2))


def test_mix_with_the_shelf(pipeline: GroupDNetPipeline, opened: Session) -> None:
    kept = actions.keep(opened)
    sampled = actions.sample(pipeline, kept, 9)
    mixed = actions.mix(pipeline, sampled, CURRENT, "look 1", ["top-clothes"])
    codes = actions.current(mixed).codes
    assert torch.equal(codes.pick("top-clothes"), actions.current(opened).codes.pick("top-clothes"))
    assert torch.equal(codes.pick("hair"), actions.current(sampled).codes.pick("hair"))
    with pytest.raises(ValueError, match="look 2"):
        actions.mix(pipeline, sampled, CURRENT, "look 2", ["hair"])
    with pytest.raises(ValueError, match="at least one class"):
        actions.mix(pipeline, sampled, CURRENT, "look 1", [])
    with pytest.raises(ValueError, match="same picture"):
        actions.mix(pipeline, kept, CURRENT, "look 1", ["hair"])


def test_mix_is_on_the_map_of_look_a_and_of_classes_that_both_show(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    kept = actions.keep(opened)
    other = actions.open_map(pipeline, kept, SPACE / "examples" / "example_4.png", 3)
    mixed = actions.mix(pipeline, other, "look 1", CURRENT, ["hair"])
    assert np.array_equal(actions.current(mixed).mask, actions.current(opened).mask)
    shared = actions.mixable(actions.current(opened), actions.current(other))
    assert "bottom-clothes" not in shared
    assert "shoes" not in shared
    with pytest.raises(ValueError, match="shoes is not on both label maps"):
        actions.mix(pipeline, other, "look 1", CURRENT, ["shoes"])


def test_the_shelf_keeps_the_newest_under_their_own_names(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    made = actions.choose(actions.keep(opened), "look 1", CURRENT)
    for seed in range(SHELF_SIZE + 1):
        made = actions.keep(actions.sample(pipeline, made, seed))
    assert [kept.name for kept in made.shelf] == [f"look {i}" for i in range(3, SHELF_SIZE + 3)]
    assert made.named("look 5").seed == 3
    # The look that was chosen as A has left the shelf.
    assert made.first == CURRENT


def test_the_first_kept_look_becomes_look_b_and_a_choice_stays(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    kept = actions.keep(opened)
    assert (kept.first, kept.second) == (CURRENT, "look 1")
    again = actions.keep(actions.sample(pipeline, kept, 1))
    assert (again.first, again.second) == (CURRENT, "look 1")
    with pytest.raises(ValueError, match="there is no look 'look 9'"):
        actions.choose(again, "look 9", CURRENT)


def test_a_kept_look_comes_back(pipeline: GroupDNetPipeline, opened: Session) -> None:
    sampled = actions.sample(pipeline, actions.keep(opened), 4)
    back = actions.take_back(sampled, "look 1")
    assert back.look is opened.look
    assert actions.undo(back).look is sampled.look


def test_sessions_are_values(pipeline: GroupDNetPipeline, opened: Session) -> None:
    before = actions.current(opened)
    actions.sample(pipeline, opened, 3)
    actions.keep(opened)
    assert actions.current(opened) is before
    assert opened.shelf == opened.earlier == ()


@pytest.mark.parametrize("value", [None, -1, MAX_SEED + 1, 0.5, float("nan"), float("inf")])
def test_seeds_outside_are_refused(value: float | None) -> None:
    with pytest.raises(ValueError, match=f"whole number from 0 to {MAX_SEED}"):
        actions.checked_seed(value)


def test_seeds(pipeline: GroupDNetPipeline) -> None:
    assert actions.checked_seed(7.0) == 7
    assert actions.checked_seed(MAX_SEED) == MAX_SEED


# -- the page ------------------------------------------------------------------------------------------------


def test_whatever_changes_a_session_has_one_worker(app: Any, pipeline: GroupDNetPipeline) -> None:
    """Two changes at once would start from the same session, and one would be lost."""
    page = app.build_page(pipeline)
    changing = [
        event for event in page.fns.values() if any(type(part).__name__ == "State" for part in event.outputs)
    ]
    assert len(changing) > 10
    assert {event.concurrency_id for event in changing} == {"model"}
    assert {event.concurrency_limit for event in changing} == {1}


def test_only_the_endpoints_are_public(app: Any, pipeline: GroupDNetPipeline) -> None:
    named = app.build_page(pipeline).get_api_info()["named_endpoints"]
    assert set(named) == {"/open_map", "/sample", "/reroll", "/keep", "/mix"}


def test_a_model_of_other_classes_gets_no_examples(app: Any) -> None:
    other = tiny_pipeline(LabelSet.from_names(["sky", "road", "car"]))
    assert app.fitting_examples(other) == []
    assert app.build_page(other).blocks


def test_all_examples_fit_the_bundled_classes(app: Any, pipeline: GroupDNetPipeline) -> None:
    assert len(app.fitting_examples(pipeline)) == 6


def test_a_missing_model_is_named(app: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUPDNET_MODEL", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=r"The model cannot be loaded: .*nowhere"):
        app.main()
    monkeypatch.delenv("GROUPDNET_MODEL")
    monkeypatch.setattr(app, "HERE", tmp_path)
    with pytest.raises(SystemExit, match="GROUPDNET_MODEL"):
        app.main()


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit, match=r"groupdnet-hub\[space\]"):
        runpy.run_path(str(SPACE / "app.py"))
