"""The tab "Morph": from one look to another and beyond, as a picture or a film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ...core import actions
from ...core.actions import MORPH_SPAN
from ...core.session import CURRENT, Session
from ...core.studio import Studio
from ..components import picture
from ..events import waiting_on
from ..views import SessionView, Updates
from .film_panel import FilmPanel, add_film_events, lay_out_film


@dataclass(frozen=True)
class MorphPanel:
    """Two looks, how far it is from one to the other, and the picture there."""

    picture: gr.HTML
    first: gr.Dropdown
    second: gr.Dropdown
    position: gr.Slider
    classes: gr.CheckboxGroup
    use: gr.Button
    film: FilmPanel


def lay_out_morph(studio: Studio) -> MorphPanel:
    """Lay out the tab."""
    names: dict[str, Any] = {"choices": [CURRENT], "value": CURRENT, "filterable": False, "min_width": 120}
    with gr.Row(elem_id="morph-row"):
        with gr.Column(elem_id="morph-picture-panel", min_width=220):
            empty = "Choose two looks, and move the slider"
            shown = picture("morph-picture", studio.size, "The look between A and B", empty)
        with gr.Column(elem_id="morph-controls"):
            with gr.Row():
                first = gr.Dropdown(label="Look A, which gives the map", elem_id="morph-a", **names)
                second = gr.Dropdown(label="Look B", elem_id="morph-b", **names)
            position = gr.Slider(
                *MORPH_SPAN,
                value=0.5,
                step=0.05,
                label="Position: 0 is A, 1 is B; beyond them the change continues",
                elem_id="morph-position",
            )
            classes = gr.CheckboxGroup(
                list(studio.labels.names),
                value=list(studio.labels.names),
                label="Classes that change",
                show_select_all=True,
                elem_id="morph-classes",
            )
            use = gr.Button("Use this picture", elem_id="morph-use")
            film = lay_out_film()
    return MorphPanel(shown, first, second, position, classes, use, film)


def add_morph_events(
    page: gr.Blocks, studio: Studio, tab: gr.Tab, panel: MorphPanel, view: SessionView
) -> None:
    """Connect the tab."""

    def on_slide(session: Session, first: str, second: str, t: float, classes: list[str]) -> str:
        return view.file_of(studio.run(actions.between, studio.enter(session), first, second, t, classes))

    def on_use(session: Session, first: str, second: str, t: float, classes: list[str]) -> Updates:
        session = studio.enter(session)
        morphed = studio.run(actions.morph, session, first, second, t, classes)
        return view.changed(session, morphed, f"Between {first} and {second}, at {t:g}.")

    here = waiting_on(panel.picture)
    ends = [view.state, panel.first, panel.second]
    morphing = [*ends, panel.position, panel.classes]
    # The picture follows the slider; positions that were passed while one was drawn are left out.
    slide: dict[str, Any] = {"trigger_mode": "always_last", **here}
    for moved in (panel.position, panel.first, panel.second, panel.classes):
        moved.input(on_slide, morphing, panel.picture, **slide)
    tab.select(on_slide, morphing, panel.picture, **here)
    panel.use.click(on_use, morphing, view.outputs, **waiting_on(view.stage.picture.picture))
    add_film_events(page, studio, panel.film, view, (panel.first, panel.second, panel.classes))
