"""The tab "Photo": a look from a photo, by way of its label map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from groupdnet_hub.data.people import shows_people
from groupdnet_hub.io.images import read_photo

from ...core import photos
from ...core.actions import unknown_sentence
from ...core.lazy_model import refusing
from ...core.person_check import NoPersonError
from ...core.session import Session
from ...core.studio import Studio
from ..components import data_url, sentence, strip, upload_button
from ..events import pressed, waiting_on
from ..painter import canvas_value, painter, read_canvas
from ..views import SessionView, Updates, photo_examples_view


@dataclass(frozen=True)
class PhotoPanel:
    """Where a photo comes from, the canvas with its label map, and the button that takes its look."""

    examples: gr.HTML
    upload: gr.UploadButton
    map_upload: gr.UploadButton
    keep: gr.Button
    plain_backdrop: gr.Checkbox
    status: gr.HTML
    painter: gr.HTML


def lay_out_photo(studio: Studio) -> PhotoPanel:
    """Lay out the tab."""
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
        offered = "Pictures that the model has drawn, to try as photos"
        examples = strip("photo-examples", offered, "They are being drawn.")
    with gr.Row(elem_id="photo-sources"):
        upload = upload_button("Upload a photo", "photo-upload")
        map_upload = upload_button("Upload its label map", "photo-map-upload")
        keep = gr.Button("Put the look on the shelf", variant="primary", size="md", elem_id="photo-keep")
    # Models of people have seen cut-out people only.
    plain_backdrop = gr.Checkbox(
        people,
        label="Cut the person out: a street behind them spoils the look",
        visible=people,
        elem_id="photo-plain",
    )
    return PhotoPanel(
        *(examples, upload, map_upload, keep, plain_backdrop),
        status=sentence("photo-status", "No photo yet."),
        painter=painter("photo-painter", studio.labels, studio.size),
    )


def add_photo_events(studio: Studio, tab: gr.Tab, panel: PhotoPanel, view: SessionView) -> None:
    """Connect the tab."""
    labels, state = studio.labels, view.state

    def shown(session: Session, label: np.ndarray | None, told: str) -> Updates:
        """Return the photo under its map, which is empty where none was found: the one before is of another photo."""
        height, width = studio.size
        backdrop = data_url(photos.photo_of(session).picture.resize((width, height)))
        if label is None:
            label = np.zeros(studio.size, np.int64)
        canvas = gr.update(value=canvas_value(label, labels), backdrop=backdrop)
        return {state: session, panel.painter: canvas, panel.status: told}

    def on_photo(session: Session, path: str) -> Updates:
        session = studio.enter(session)
        if studio.parser is None:
            told = "Now its label map: upload it, or paint it over the photo."
            return shown(studio.run(photos.put_photo, session, path), None, told)
        photo = refusing(read_photo)(path)
        try:
            parsed = refusing(studio.parser.parse, but=(NoPersonError,))(photo, labels, studio.size)
        except NoPersonError as nobody:
            told = str(nobody)
            put = studio.run(photos.put_photo, session, photo)
            return shown(put, None, told[:1].upper() + told[1:])
        put = studio.run(photos.put_photo, session, photo, parsed.box)
        told = "Parsed. Correct the map where it is wrong, then put the look on the shelf."
        return shown(put, parsed.label, told)

    def on_example(session: Session, event: gr.EventData) -> Updates:
        session = studio.enter(session)
        index = refusing(pressed)(event, len(photos.examples(session)))
        put = photos.put_example(session, index)
        told = f"Picture {index + 1}, drawn by the model itself, as a photo: now put its look on the shelf."
        return shown(put, photos.examples(session)[index].look.mask, told)

    def on_select(session: Session) -> list[dict[str, Any]]:
        return photo_examples_view(studio.enter(session))

    def on_map(session: Session, path: str) -> Updates:
        label, unknown = refusing(photos.photo_map)(session, path, labels, studio.size)
        told = "The photo's map is here: now put the look on the shelf."
        if unknown.any():
            more = unknown_sentence(label, unknown, labels)
            told = f"The photo's map is here.{more} Correct it where that is wrong, then put the look on the shelf."
        doubt = photos.doubt_of_map(session, path)
        if doubt is not None:
            told += f" But {doubt}."
        return {panel.painter: canvas_value(label, labels), panel.status: told}

    def on_keep(session: Session, canvas: str | None, plain_backdrop: bool) -> Updates:
        refusing(photos.photo_of)(session)
        label = refusing(read_canvas)(canvas, labels, studio.size)
        encoded = studio.run(photos.encode, session, label, plain_backdrop)
        told = f"The look is on the shelf as {encoded.shelf[-1].name}: mix it, or press it to see it."
        return view.looks(encoded, session) | {panel.status: told}

    loading, canvas = waiting_on(panel.painter), [panel.painter, panel.status]
    # Another photo may be uploaded while one is parsed: the last one counts.
    last: dict[str, Any] = {"trigger_mode": "always_last", **loading}
    panel.upload.upload(on_photo, [state, panel.upload], [state, *canvas], **last)
    tab.select(on_select, state, panel.examples, **waiting_on(panel.examples))
    panel.examples.pick(on_example, state, [state, *canvas], **loading)
    panel.map_upload.upload(on_map, [state, panel.map_upload], canvas, **loading)
    keeping = [state, panel.painter, panel.plain_backdrop]
    panel.keep.click(on_keep, keeping, [*view.looks_outputs, panel.status], **loading)
