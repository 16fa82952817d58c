"""The stage: the picture with its candidates, the buttons under it, its label map, the history and the shelf."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from groupdnet_hub.data.labels import colour_picture

from ..core.memory.packed_looks import thumbnail
from ..core.redraw.candidates import CANDIDATES
from ..core.studio import Studio
from .choices import choice_bar, choices
from .components import file_url, history_row, picture, sentence, shelf_row, strip, upload_button
from .memory.keeping import WorkPanel, lay_out_work
from .painter import canvas_value, painter

# Candidates stand beside a picture that is this many times as high as wide, or higher; else under it.
UPRIGHT = 1.5
# What another map is drawn in.
NEW_APPEARANCE, SAME_APPEARANCE = "New appearance", "Same appearance"
WAITING = "The first picture is being drawn"


@dataclass(frozen=True)
class PicturePanel:
    """The picture, what was done last, and what can be picked.

    Attributes:
        candidates: of the class that was redrawn.
        samples: whole ones.
        bar: how strong the picked one is, and a colour for the class.
    """

    status: gr.HTML
    picture: gr.HTML
    candidates: gr.HTML
    samples: gr.HTML
    bar: gr.HTML


@dataclass(frozen=True)
class ControlsPanel:
    """What changes the picture as a whole."""

    new_sample: gr.Button
    nine_samples: gr.Button
    undo: gr.Button
    redo: gr.Button
    keep: gr.Button
    seed: gr.Number
    draw: gr.Button
    keep_pixels: gr.Checkbox


@dataclass(frozen=True)
class MapPanel:
    """The picture's label map, and maps to start from: in a new appearance, or in that of the picture."""

    painter: gr.HTML
    appearance: gr.Radio
    examples: gr.HTML
    upload: gr.UploadButton


@dataclass(frozen=True)
class MemoryPanel:
    """Pictures to go back to, and looks that were kept."""

    history: gr.HTML
    shelf: gr.HTML
    work: WorkPanel


@dataclass(frozen=True)
class Stage:
    """All that stands above the tabs."""

    picture: PicturePanel
    controls: ControlsPanel
    map: MapPanel
    memory: MemoryPanel


def lay_out_stage(studio: Studio) -> Stage:
    """Lay out the stage. The first picture comes when a visitor's page is ready; its place is kept."""
    upright = studio.size[0] >= UPRIGHT * studio.size[1]
    with gr.Row(elem_id="stage", elem_classes="upright" if upright else None):
        return Stage(_picture_panel(studio), _controls_panel(studio), _map_panel(studio), _memory_panel())


def _picture_panel(studio: Studio) -> PicturePanel:
    empty = WAITING if studio.examples else "Upload a label map of this model's classes to begin"
    with gr.Column(elem_id="picture-panel"):
        status = sentence("status")
        with gr.Row(elem_id="picture-row"):
            shown = picture("picture", studio.size, "The picture drawn from the label map", empty)
            candidates = choices(
                "candidates",
                "Candidates of the class that was redrawn, to pick one",
                "Press ⟳ beside a class: four new versions of it appear here to choose from.",
                CANDIDATES,
            )
        samples = choices("samples", "Whole samples, to pick one")
        bar = choice_bar("choice-bar")
    return PicturePanel(status, shown, candidates, samples, bar)


def _controls_panel(studio: Studio) -> ControlsPanel:
    with gr.Column(elem_id="controls-panel"):
        with gr.Row(elem_id="controls"):
            new_sample = gr.Button("New sample", variant="primary", elem_id="new-sample", min_width=96)
            nine = gr.Button("Nine samples", elem_id="nine-samples", min_width=96)
            undo = gr.Button("Undo", interactive=False, elem_id="undo", min_width=56)
            redo = gr.Button("Redo", interactive=False, elem_id="redo", min_width=56)
            keep = gr.Button("Keep this look", elem_id="keep", min_width=96)
        with gr.Row(elem_id="seed-row"):
            seed = gr.Number(
                studio.first_seed,
                label="Seed",
                placeholder="drawn by no seed",
                elem_id="seed",
                min_width=100,
            )
            draw = gr.Button("Draw this seed", elem_id="sample", min_width=110)
            keep_pixels = gr.Checkbox(
                False, label="Leave other pixels untouched", elem_id="keep-pixels", min_width=170
            )
    return ControlsPanel(new_sample, nine, undo, redo, keep, seed, draw, keep_pixels)


def _map_panel(studio: Studio) -> MapPanel:
    maps = [
        {
            "src": file_url(
                thumbnail(colour_picture(studio.example(path), studio.labels), sharp=True), "image/png"
            ),
            "alt": f"Example label map {number}",
            "caption": "",
            "selected": False,
        }
        for number, path in enumerate(studio.examples, start=1)
    ]
    # The map is there before the picture, and can be painted on.
    opening = studio.example(studio.opening[0][0]) if studio.opening else None
    value = None if opening is None else canvas_value(opening, studio.labels)
    canvas = painter("painter", studio.labels, studio.size, value, actions=True, picture="picture")
    with gr.Column(elem_id="maps-panel"):
        with gr.Row(elem_id="maps-head"):
            if maps:
                gr.HTML("<h2>Maps to start from</h2>", apply_default_css=False)
            appearance = gr.Radio(
                [NEW_APPEARANCE, SAME_APPEARANCE],
                value=NEW_APPEARANCE,
                label="What a map is drawn in",
                show_label=False,
                elem_id="appearance",
                min_width=100,
            )
        with gr.Row(elem_id="map-sources"):
            examples = strip("examples", "Example label maps", "", maps)
            upload = upload_button("Upload a label map", "upload")
    return MapPanel(canvas, appearance, examples, upload)


def _memory_panel() -> MemoryPanel:
    with gr.Column(elem_id="history-panel"):
        gr.HTML("<h2>History</h2>", apply_default_css=False)
        history = history_row(
            "history", "Pictures so far, to go back to", "Every picture you make is remembered here."
        )
    with gr.Column(elem_id="shelf-panel"):
        gr.HTML("<h2>Shelf</h2>", apply_default_css=False)
        shelf = shelf_row("shelf", "Kept looks, to bring back", "Keep a look to mix and morph it.")
        work = lay_out_work()
    return MemoryPanel(history, shelf, work)
