"""The tab "Morph": from one look to another and beyond, as a picture or a film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ...core import actions
from ...core.actions import MORPH_SPAN
from ...core.film import film_positions, write_film
from ...core.session import CURRENT, Session
from ...core.studio import Studio
from ..components import picture
from ..events import waiting_on
from ..views import SessionView, Updates


@dataclass(frozen=True)
class FilmPanel:
    """What makes a film of the morph."""

    format: gr.Radio
    full_range: gr.Checkbox
    make: gr.Button
    download: gr.DownloadButton


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
            film = _film_panel()
    return MorphPanel(shown, first, second, position, classes, use, film)


def _film_panel() -> FilmPanel:
    with gr.Row(elem_id="film-row"):
        return FilmPanel(
            format=gr.Radio(["GIF", "MP4"], value="GIF", label="Film", elem_id="film-format"),
            full_range=gr.Checkbox(
                False, label="The full range, not only A to B", elem_id="film-whole", min_width=150
            ),
            make=gr.Button("Make the film", elem_id="film-make", min_width=110),
            download=gr.DownloadButton(
                "Download", interactive=False, elem_id="film", min_width=100, variant="primary"
            ),
        )


def add_morph_events(studio: Studio, tab: gr.Tab, panel: MorphPanel, view: SessionView) -> None:
    """Connect the tab."""

    def on_slide(session: Session, first: str, second: str, t: float, classes: list[str]) -> str:
        return view.file_of(studio.run(actions.between, studio.enter(session), first, second, t, classes))

    def on_use(session: Session, first: str, second: str, t: float, classes: list[str]) -> Updates:
        session = studio.enter(session)
        morphed = studio.run(actions.morph, session, first, second, t, classes)
        return view.changed(session, morphed, f"Between {first} and {second}, at {t:g}.")

    def on_film(
        session: Session,
        first: str,
        second: str,
        classes: list[str],
        kind: str,
        full_range: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio finds it by its default)
    ) -> Any:
        session, pictures = studio.enter(session), []
        for positions in film_positions(full_range):
            pictures += studio.run(actions.morph_frames, session, first, second, positions, classes)
            progress((len(pictures), None), desc="Drawing", unit="pictures")
        path = write_film(pictures, kind.lower())
        return gr.update(value=str(path), interactive=True, label=f"Download the {kind}")

    here = waiting_on(panel.picture)
    ends = [view.state, panel.first, panel.second]
    morphing = [*ends, panel.position, panel.classes]
    # The picture follows the slider; positions that were passed while one was drawn are left out.
    slide: dict[str, Any] = {"trigger_mode": "always_last", **here}
    for moved in (panel.position, panel.first, panel.second, panel.classes):
        moved.input(on_slide, morphing, panel.picture, **slide)
    tab.select(on_slide, morphing, panel.picture, **here)
    panel.use.click(on_use, morphing, view.outputs, **waiting_on(view.stage.picture.picture))
    filming = [*ends, panel.classes, panel.film.format, panel.film.full_range]
    panel.film.make.click(on_film, filming, panel.film.download, **here)
