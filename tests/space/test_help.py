"""The help behind "?": whose model it is, and that no name of it is taken for HTML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")

import gradio as gr
from page.core.studio import Studio
from page.ui.help import card_address, lay_out_help, model_facts

from tests.helpers.page_models import page_model
from tests.helpers.shared_data import ROOT


def studio_of(folder: Path, facts: object) -> Studio:
    page_model().save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(facts), encoding="utf-8")
    return Studio(str(folder), folder / "no-maps")


def test_a_model_s_own_words_are_text(tmp_path: Path) -> None:
    facts = {"license": "<script>alert(1)</script>", "data": "photos & ${alert(2)} {{alert(3)}}", "steps": 5}
    studio = studio_of(tmp_path / "<b>mine", facts)
    assert model_facts(studio) == {
        "Name": "<b>mine",
        "Pictures": "128 x 128 pixels (height x width)",
        "Classes": "8",
        "Licence": "<script>alert(1)</script>",
        "Trained on": "photos & ${alert(2)} {{alert(3)}}",
    }
    with gr.Blocks():
        shown = lay_out_help(studio)
    assert "<script>" not in shown.value
    assert "<b>mine" not in shown.value
    assert "&lt;script&gt;alert(1)" in shown.value
    # What gradio runs is the template; the value is no part of it.
    assert shown.html_template == "${value}"


def test_facts_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    assert "Licence" not in model_facts(studio_of(tmp_path / "model", ["no", "facts"]))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            ROOT / "space" / "model",
            "https://github.com/groupdnet-hub/groupdnet-hub/blob/main/space/model/README.md",
        ),
        ("user/my-groupdnet", "https://huggingface.co/user/my-groupdnet"),
        (ROOT / "tests", None),
    ],
)
def test_where_a_model_s_card_is(source: object, expected: str | None) -> None:
    assert card_address(str(source)) == expected
