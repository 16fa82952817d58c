"""Named endpoints for programs: one client is one session, which starts as the page does."""

from __future__ import annotations

from typing import Any

import gradio as gr
import session as actions
from events import WORKER, plainly
from session import CURRENT, Session, checked_seed

from groupdnet_hub import GroupDNetPipeline


def add_endpoints(pipeline: GroupDNetPipeline, state: gr.State) -> None:
    """``/open_map``, ``/sample``, ``/reroll``, ``/keep`` and ``/mix``; each returns the picture and a sentence."""

    @plainly
    def open_map(made: Session, label_map: str, seed: float) -> tuple[Any, ...]:
        opened = actions.open_map(pipeline, made, label_map, checked_seed(seed))
        return _answer(opened, f"Drawn with seed {checked_seed(seed)}.")

    @plainly
    def sample(made: Session, seed: float) -> tuple[Any, ...]:
        return _answer(
            actions.sample(pipeline, made, checked_seed(seed)), f"Drawn with seed {checked_seed(seed)}."
        )

    @plainly
    def reroll(made: Session, class_name: str, seed: float) -> tuple[Any, ...]:
        return _answer(
            actions.reroll(pipeline, made, class_name, checked_seed(seed)), f"Redrew {class_name}."
        )

    @plainly
    def keep(made: Session) -> tuple[Any, ...]:
        kept = actions.keep(made)
        return _answer(kept, kept.shelf[-1].name)

    @plainly
    def mix(made: Session, look_a: str, look_b: str, classes: list[str]) -> tuple[Any, ...]:
        if not isinstance(classes, list):
            raise ValueError('classes must be a list of class names, such as ["hair"].')
        mixed = actions.mix(pipeline, made, look_a, look_b, classes)
        return _answer(mixed, f"{look_a}, with {', '.join(map(str, classes))} of {look_b}.")

    with gr.Column(visible=False):
        call = gr.Button()
        label_map = gr.File(type="filepath", label="label_map")
        seed = gr.Number(0, precision=0, label="seed")
        class_name = gr.Textbox(label="class_name")
        look_a, look_b = gr.Textbox(CURRENT, label="look_a"), gr.Textbox(label="look_b")
        classes = gr.JSON(label="classes")
        answer = [state, gr.Image(type="pil", format="png", label="picture"), gr.Textbox(label="message")]
    call.click(open_map, [state, label_map, seed], answer, api_name="open_map", **WORKER)
    call.click(sample, [state, seed], answer, api_name="sample", **WORKER)
    call.click(reroll, [state, class_name, seed], answer, api_name="reroll", **WORKER)
    call.click(keep, state, answer, api_name="keep", **WORKER)
    call.click(mix, [state, look_a, look_b, classes], answer, api_name="mix", **WORKER)


def _answer(made: Session, message: str) -> tuple[Any, ...]:
    return made, actions.current(made).image, message
