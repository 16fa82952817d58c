"""How the page starts, what it loads and when, and what it offers to programs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import FIGURE_LABELS, GroupDNet, GroupDNetConfig, LabelSet, draw_figure, read_label_map

pytest.importorskip("gradio", reason="the page needs gradio")

import app
from session import Session
from studio import Studio

SPACE = Path(__file__).resolve().parents[1] / "space"
ENDPOINTS = (
    "open_map sample reroll candidates pick lock edit undo redo keep looks show mix morph film parse encode"
)


def tiny_studio(folder: Path, labels: LabelSet) -> Studio:
    config = GroupDNetConfig.for_labels(labels, image_size=(64, 64), width=4)
    GroupDNet(config).save_pretrained(folder)
    return Studio(str(folder), SPACE / "examples")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return tiny_studio(tmp_path_factory.mktemp("model"), FIGURE_LABELS)


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


# -- the page ------------------------------------------------------------------------------------------------


def test_whatever_changes_a_session_has_one_worker(studio: Studio) -> None:
    """Two changes at once would start from the same session, and one would be lost."""
    page = app.build_page(studio)
    changing = [
        event for event in page.fns.values() if any(type(part).__name__ == "State" for part in event.outputs)
    ]
    assert len(changing) > 30
    assert {event.concurrency_id for event in changing} == {"model"}
    assert {event.concurrency_limit for event in changing} == {1}


def test_every_action_is_an_endpoint_and_nothing_else_is_public(studio: Studio) -> None:
    named = app.build_page(studio).get_api_info()["named_endpoints"]
    assert set(named) == {f"/{name}" for name in ENDPOINTS.split()}
    names = [parameter["parameter_name"] for parameter in named["/reroll"]["parameters"]]
    assert names == ["class_name", "seed", "keep_pixels"]


def test_the_endpoints_are_all_described() -> None:
    readme = (SPACE / "README.md").read_text(encoding="utf-8")
    assert [name for name in ENDPOINTS.split() if f"`/{name}`" not in readme] == []


def test_the_model_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    studio = tiny_studio(tmp_path, FIGURE_LABELS)
    app.build_page(studio)
    assert "_pipeline" not in vars(studio)
    opened = studio.enter(Session())
    assert "_pipeline" in vars(studio)
    assert opened.look is opened.bundled[0].look
    assert [kept.name for kept in opened.bundled] == [f"example {i}" for i in range(1, 7)]
    assert studio.enter(opened) is opened


def test_a_model_of_other_classes_gets_no_examples(tmp_path: Path) -> None:
    other = tiny_studio(tmp_path, LabelSet.from_names(["sky", "road", "car"]))
    assert other.examples == []
    assert other.enter(Session()) == Session()
    assert app.build_page(other).blocks


def test_a_refusal_is_a_sentence_and_no_trace(studio: Studio) -> None:
    import gradio as gr

    def refuse(pipeline: Any) -> None:
        raise ValueError("there is no such class.")

    with pytest.raises(gr.Error) as refused:
        studio.run(refuse)
    assert refused.value.message == "There is no such class."
    assert not refused.value.print_exception


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
