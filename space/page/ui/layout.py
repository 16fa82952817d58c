"""The components of the studio and where they stand; the ``*events.py`` say what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from html import escape
from typing import Any

import gradio as gr

from groupdnet_hub import LabelSet
from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.data.people import shows_people

from ..core.actions import CANDIDATES, MORPH_SPAN
from ..core.session import CURRENT, MAX_SEED
from ..core.studio import Studio
from .components import mixing_board, picture, sentence, strip, thumbnail
from .painter import painter

# What the package reads; phones offer the right files by it.
PICTURE_FILES = [".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"]
# Candidates stand beside a picture that is this many times as high as wide, or higher; else under it.
UPRIGHT = 1.5
WAITING = "The first picture is being drawn"


@dataclass(frozen=True)
class Parts:
    """The components that events read or change."""

    # the picture
    picture: gr.HTML
    status: gr.HTML
    candidates: gr.HTML
    keep_pixels: gr.Checkbox
    new_sample: gr.Button
    undo: gr.Button
    redo: gr.Button
    keep: gr.Button
    seed: gr.Number
    draw: gr.Button
    history: gr.HTML
    # its label map
    painter: gr.HTML
    examples: gr.HTML
    upload: gr.UploadButton
    # the shelf
    shelf: gr.HTML
    # mixing
    board: gr.HTML
    mix: gr.Button
    # morphing
    morph_tab: gr.Tab
    morph_picture: gr.HTML
    morph_first: gr.Dropdown
    morph_second: gr.Dropdown
    morph_position: gr.Slider
    morph_classes: gr.CheckboxGroup
    morph_use: gr.Button
    film_format: gr.Radio
    film_whole: gr.Checkbox
    film_make: gr.Button
    film: gr.DownloadButton
    # photos
    photo_tab: gr.Tab
    photo_examples: gr.HTML
    photo_upload: gr.UploadButton
    photo_map_upload: gr.UploadButton
    photo_painter: gr.HTML
    photo_status: gr.HTML
    photo_plain: gr.Checkbox
    photo_keep: gr.Button

    @property
    def stage(self) -> list[Any]:
        """What ``stage_view`` fills."""
        return [
            *(self.picture, self.painter, self.status, self.seed, self.undo, self.redo),
            *(self.candidates, self.history, *self.looks),
        ]

    @property
    def looks(self) -> list[Any]:
        """What ``looks_view`` fills."""
        return [self.shelf, self.board, self.morph_first, self.morph_second]


def make_parts(studio: Studio) -> Parts:
    """Lay out the page. The first picture comes when a visitor's page is ready; its place is kept."""
    gr.HTML(
        "<h1>GroupDNet</h1><p>Paint a label map, and it becomes a picture. Every class has an appearance of its own: "
        "<b>redraw one, and the rest stays.</b></p>",
        elem_id="title",
        apply_default_css=False,
    )
    upright = studio.size[0] >= UPRIGHT * studio.size[1]
    with gr.Row(elem_id="stage", elem_classes="upright" if upright else None):
        made = _picture_panel(studio) | _controls_panel(studio) | _map_panels(studio)
    with gr.Tabs(elem_id="tools"):
        with gr.Tab("Mix", id="mix-tab"):
            made |= _mix_panel(studio.labels)
        with gr.Tab("Morph", id="morph-tab") as morph_tab:
            made |= _morph_panel(studio) | {"morph_tab": morph_tab}
        with gr.Tab("Photo", id="photo-tab") as photo_tab:
            made |= _photo_panel(studio) | {"photo_tab": photo_tab}
        with gr.Tab("Map files", id="own-maps-tab"):
            gr.HTML(_upload_help(studio.labels), elem_id="own-maps", apply_default_css=False)
    return Parts(**{field.name: made[field.name] for field in fields(Parts)})


def _upload(text: str, elem_id: str) -> gr.UploadButton:
    return gr.UploadButton(
        text, file_types=PICTURE_FILES, file_count="single", type="filepath", size="md", elem_id=elem_id
    )


def _picture_panel(studio: Studio) -> dict[str, Any]:
    made: dict[str, Any] = {}
    with gr.Column(elem_id="picture-panel"):
        empty = WAITING if studio.examples else "Upload a label map of this model's classes to begin"
        made["status"] = sentence("status")
        with gr.Row(elem_id="picture-row"):
            made["picture"] = picture("picture", studio.size, "The picture drawn from the label map", empty)
            made["candidates"] = strip(
                "candidates",
                "Candidates of the class that was redrawn, to pick one",
                "Press ⟳ beside a class: four new versions of it appear here, to pick one.",
                places=CANDIDATES,
                reveal=True,
            )
    return made


def _controls_panel(studio: Studio) -> dict[str, Any]:
    made: dict[str, Any] = {}
    with gr.Column(elem_id="controls-panel"):
        with gr.Row(elem_id="controls"):
            made["new_sample"] = gr.Button(
                "New sample", variant="primary", elem_id="new-sample", min_width=96
            )
            made["undo"] = gr.Button("Undo", interactive=False, elem_id="undo", min_width=56)
            made["redo"] = gr.Button("Redo", interactive=False, elem_id="redo", min_width=56)
            made["keep"] = gr.Button("Keep this look", elem_id="keep", min_width=96)
        with gr.Row(elem_id="seed-row"):
            made["seed"] = gr.Number(
                studio.first_seed,
                label="Seed",
                precision=0,
                minimum=0,
                maximum=MAX_SEED,
                elem_id="seed",
                min_width=100,
            )
            made["draw"] = gr.Button("Draw this seed", elem_id="sample", min_width=110)
            made["keep_pixels"] = gr.Checkbox(
                False, label="Keep every other pixel", elem_id="keep-pixels", min_width=170
            )
    return made


def _map_panels(studio: Studio) -> dict[str, Any]:
    maps = [
        {
            "src": thumbnail(colour_picture(studio.example(path), studio.labels), sharp=True),
            "alt": f"Example label map {number}",
            "caption": "",
            "selected": False,
        }
        for number, path in enumerate(studio.examples, start=1)
    ]
    canvas = painter("painter", studio.labels, studio.size, actions=True)
    with gr.Column(elem_id="maps-panel"):
        if maps:
            gr.HTML("<h2>Maps to start from</h2>", apply_default_css=False)
        with gr.Row(elem_id="map-sources"):
            examples = strip("examples", "Example label maps", "", maps)
            upload = _upload("Upload a label map", "upload")
    with gr.Column(elem_id="history-panel"):
        gr.HTML("<h2>History</h2>", apply_default_css=False)
        history = strip(
            "history", "Pictures so far, to go back to", "Every picture you make is remembered here."
        )
    with gr.Column(elem_id="shelf-panel"):
        gr.HTML("<h2>Shelf</h2>", apply_default_css=False)
        shelf = strip("shelf", "Kept looks, to bring back", "Keep a look, and it can be mixed and morphed.")
    return {"painter": canvas, "examples": examples, "upload": upload, "history": history, "shelf": shelf}


def _mix_panel(labels: LabelSet) -> dict[str, Any]:
    gr.HTML(
        "<p>Choose for every class whose appearance it has. A press on a picture takes all that it shows.</p>",
        elem_classes="hint",
        apply_default_css=False,
    )
    board = mixing_board("board", labels, {"looks": [], "base": CURRENT, "sources": {}})
    mix = gr.Button("Mix", variant="primary", elem_id="mix")
    return {"board": board, "mix": mix}


def _morph_panel(studio: Studio) -> dict[str, Any]:
    made: dict[str, Any] = {}
    names: dict[str, Any] = {"choices": [CURRENT], "value": CURRENT, "filterable": False, "min_width": 120}
    with gr.Row(elem_id="morph-row"):
        with gr.Column(elem_id="morph-picture-panel", min_width=220):
            made["morph_picture"] = picture(
                "morph-picture",
                studio.size,
                "The look between A and B",
                "Choose two looks, and move the slider",
            )
        with gr.Column(elem_id="morph-controls"):
            with gr.Row():
                made["morph_first"] = gr.Dropdown(
                    label="Look A, which gives the map", elem_id="morph-a", **names
                )
                made["morph_second"] = gr.Dropdown(label="Look B", elem_id="morph-b", **names)
            made["morph_position"] = gr.Slider(
                *MORPH_SPAN,
                value=0.5,
                step=0.05,
                label="Position: 0 is A, 1 is B, beyond them the change goes on",
                elem_id="morph-position",
            )
            made["morph_classes"] = gr.CheckboxGroup(
                list(studio.labels.names),
                value=list(studio.labels.names),
                label="Classes that change",
                show_select_all=True,
                elem_id="morph-classes",
            )
            made["morph_use"] = gr.Button("Use this picture", elem_id="morph-use")
            with gr.Row(elem_id="film-row"):
                made["film_format"] = gr.Radio(
                    ["GIF", "MP4"], value="GIF", label="Film", elem_id="film-format"
                )
                made["film_whole"] = gr.Checkbox(
                    False, label="The whole slider, not only A to B", elem_id="film-whole", min_width=150
                )
                made["film_make"] = gr.Button("Make the film", elem_id="film-make", min_width=110)
                made["film"] = gr.DownloadButton(
                    "Download", interactive=False, elem_id="film", min_width=100, variant="primary"
                )
    return made


def _photo_panel(studio: Studio) -> dict[str, Any]:
    made: dict[str, Any] = {}
    people = shows_people(studio.labels)
    if not studio.parser:
        parsed = "Upload the photo's label map too, or paint it over the photo"
    elif people:
        parsed = "The person in it is found, framed and parsed into a label map"
    else:
        parsed = "A photo is parsed into a label map"
    gr.HTML(
        f"<p>Take a look from a photo. {parsed}; correct it here, then put the look on the shelf.</p>",
        elem_classes="hint",
        apply_default_css=False,
    )
    with gr.Column(elem_id="photo-tries", visible=bool(studio.examples)):
        gr.HTML("<h2>Try one of these</h2>", apply_default_css=False)
        made["photo_examples"] = strip(
            "photo-examples", "Pictures that the model has drawn, to try as photos", "They are being drawn."
        )
    with gr.Row(elem_id="photo-sources"):
        made["photo_upload"] = _upload("Upload a photo", "photo-upload")
        made["photo_map_upload"] = _upload("Upload its label map", "photo-map-upload")
        made["photo_keep"] = gr.Button(
            "Put the look on the shelf", variant="primary", size="md", elem_id="photo-keep"
        )
    # Models of people have seen cut-out people only.
    made["photo_plain"] = gr.Checkbox(
        people,
        label="Cut the person out: a street behind her spoils the look",
        visible=people,
        elem_id="photo-plain",
    )
    made["photo_status"] = sentence("photo-status", "No photo yet.")
    made["photo_painter"] = painter("photo-painter", studio.labels, studio.size)
    return made


def _upload_help(labels: LabelSet) -> str:
    rows: Mapping[str, Any] = dict(zip(labels.names, labels.palette, strict=True))
    items = "".join(
        f'<li><i class="swatch" style="background: rgb({r} {g} {b})"></i><b>{class_id}</b> {escape(name)} '
        f"<small>{r}, {g}, {b}</small></li>"
        for class_id, (name, (r, g, b)) in enumerate(rows.items())
    )
    return (
        "<p>A PNG whose pixels hold the class ids, or are painted in the colours below without smoothing. "
        f"Other sizes of the same proportions are resized.</p><ul>{items}</ul>"
    )
