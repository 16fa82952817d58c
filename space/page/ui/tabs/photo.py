"""The tab "Photo": a look from a photo, by way of its label map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from groupdnet_hub.data.people import shows_people
from groupdnet_hub.data.person_frames import Box

from ...core import photos
from ...core.actions import unknown_sentence
from ...core.lazy_model import refusing
from ...core.photo_reading.files import WholePhoto, read_whole
from ...core.photo_reading.frames import checked_frame
from ...core.photo_reading.person_check import NoPersonError
from ...core.refusal import Refusal
from ...core.session import Session
from ...core.studio import Studio
from ..components import PHOTO_FILES, data_url, sentence, strip, upload_button
from ..events import IN_PIECES, pressed, sent_by, waiting_on
from ..painter import canvas_value, painter, read_canvas
from ..photo_components import comparison, cropper, framed_photo, opacity_slider, shown_photo
from ..views import SessionView, Updates, photo_examples_view


@dataclass(frozen=True)
class PhotoPanel:
    """Where a photo comes from, its frame and label map, the picture drawn of it, and the button that keeps it."""

    examples: gr.HTML
    upload: gr.UploadButton
    map_upload: gr.UploadButton
    keep: gr.Button
    plain_backdrop: gr.Checkbox
    status: gr.HTML
    cropper: gr.HTML
    painter: gr.HTML
    comparison: gr.HTML


def lay_out_photo(studio: Studio) -> PhotoPanel:
    """Lay out the tab."""
    people = shows_people(studio.labels)
    if not studio.parser:
        parsed = "Upload the photo's label map too, or paint it over the photo"
    elif people:
        parsed = "The person in it is found, framed and parsed into a label map"
    else:
        parsed = "A photo is parsed into a label map"
    with gr.Column(elem_id="photo-panel"):
        gr.HTML(
            f"<p>Take a look from a photo. {parsed}; correct frame and map here, then put the look on the shelf. "
            "A photo can also be dropped here or pasted, and a label map on the map above.</p>",
            elem_classes="hint",
            apply_default_css=False,
        )
        with gr.Column(elem_id="photo-tries", visible=bool(studio.examples)):
            gr.HTML("<h2>Try one of these</h2>", apply_default_css=False)
            offered = "Pictures that the model has drawn, to try as photos"
            examples = strip("photo-examples", offered, "They are being drawn.")
        with gr.Row(elem_id="photo-sources"):
            upload = upload_button("Upload a photo", "photo-upload", PHOTO_FILES)
            map_upload = upload_button("Upload its label map", "photo-map-upload")
            keep = gr.Button("Put the look on the shelf", variant="primary", size="md", elem_id="photo-keep")
        # Models of people have seen cut-out people only.
        plain_backdrop = gr.Checkbox(
            people,
            label="Cut the person out: a street behind them spoils the look",
            visible=people,
            elem_id="photo-plain",
        )
        status = sentence("photo-status", "No photo yet.")
        return PhotoPanel(
            *(examples, upload, map_upload, keep, plain_backdrop, status),
            *_lay_out_views(studio),
        )


def _lay_out_views(studio: Studio) -> tuple[gr.HTML, gr.HTML, gr.HTML]:
    """Lay out the whole photo with its frame, the label map over the part in it, and that part beside the picture."""
    with gr.Row(elem_id="photo-views"):
        with gr.Column(elem_id="photo-frame-panel"):
            gr.HTML("<h2>Frame</h2>", apply_default_css=False)
            frame = cropper("photo-frame", studio.size)
        with gr.Column(elem_id="photo-map-panel"):
            with gr.Row(elem_id="photo-map-head"):
                gr.HTML("<h2>Label map</h2>", apply_default_css=False)
                opacity_slider("photo-opacity", "photo-painter")
            canvas = painter("photo-painter", studio.labels, studio.size)
        with gr.Column(elem_id="photo-look-panel"):
            gr.HTML("<h2>Photo and picture</h2>", apply_default_css=False)
            seen = comparison("photo-comparison", studio.size)
    return frame, canvas, seen


def add_photo_events(studio: Studio, tab: gr.Tab, panel: PhotoPanel, view: SessionView) -> None:
    """Connect the tab."""
    arrivals = _Arrivals(studio, panel, view)
    labels, state = studio.labels, view.state

    def on_select(session: Session) -> list[dict[str, Any]]:
        return photo_examples_view(studio.enter(session))

    def on_preview(session: Session, canvas: str | None, plain_backdrop: bool) -> dict[str, str | None]:
        """Draw what would be put on the shelf."""
        photo = refusing(photos.photo_of)(session).picture
        label = refusing(read_canvas)(canvas, labels, studio.size)
        if not label.any() and shows_people(labels):
            return {"photo": framed_photo(photo), "picture": None}
        look = studio.run(photos.look_of, session, label, plain_backdrop)
        seen = photos.on_plain_backdrop(photo, label) if plain_backdrop else photo
        return {"photo": framed_photo(seen), "picture": data_url(look.image)}

    def on_keep(session: Session, canvas: str | None, plain_backdrop: bool) -> Updates:
        refusing(photos.photo_of)(session)
        label = refusing(read_canvas)(canvas, labels, studio.size)
        encoded = studio.run(photos.encode, session, label, plain_backdrop)
        told = f"The look is on the shelf as {encoded.shelf[-1].name}: mix it, or press it to see it."
        return view.looks(encoded, session) | {panel.status: told}

    shown = [state, panel.painter, panel.status, panel.cropper]
    loading, drawing = waiting_on(panel.painter), waiting_on(panel.comparison) | IN_PIECES
    # What takes long changes no session, so that other visitors need not wait for it; what came of it is shown next.
    # Another photo or frame may be chosen while one is parsed: the last one counts.
    read, long = gr.State(None), {"trigger_mode": "always_last", **loading, **IN_PIECES}
    tab.select(on_select, state, panel.examples, **waiting_on(panel.examples))
    looked = [state, panel.painter, panel.plain_backdrop]
    photo = panel.upload.upload(arrivals.read, panel.upload, read, **long)
    frame = panel.cropper.crop(arrivals.read_frame, state, read, **long)
    for arrived in (
        photo.success(arrivals.on_photo, [state, read], shown, **loading),
        panel.examples.pick(arrivals.on_example, state, shown, **loading),
        panel.map_upload.upload(arrivals.on_map, [state, panel.map_upload], shown, **loading),
        frame.success(arrivals.on_frame, [state, panel.painter, read], shown[:3], **loading),
    ):
        arrived.success(on_preview, looked, panel.comparison, **drawing)
    again: dict[str, Any] = {"trigger_mode": "always_last", **drawing}
    panel.painter.paint(_if_photo(on_preview), looked, panel.comparison, **again)
    panel.plain_backdrop.input(_if_photo(on_preview), looked, panel.comparison, **again)
    panel.keep.click(on_keep, looked, [*view.looks_outputs, panel.status], **loading)


def _if_photo(on_preview: Any) -> Any:
    """Return an event that does nothing before there is a photo: one may paint on the empty canvas."""

    def event(session: Session, canvas: str | None, plain_backdrop: bool) -> Any:
        return gr.skip() if session.photo is None else on_preview(session, canvas, plain_backdrop)

    return event


@dataclass(frozen=True, eq=False)
class _Read:
    """A photo that was read, or another part of it.

    Attributes:
        whole: the photo.
        box: the part in its frame; None for the largest that fits.
        label: int64 [H, W], the label map of that part; None where none was found.
        told: one sentence on it.
        carries_map: whether the map that is there moves with the frame.
    """

    whole: WholePhoto
    box: Box | None
    label: np.ndarray | None
    told: str
    carries_map: bool = False


class _Arrivals:
    """What brings a photo, another frame, or a label map: each is shown as the photo under its map.

    Args:
        studio: the model and the parser.
        panel: the tab.
        view: with the session.
    """

    def __init__(self, studio: Studio, panel: PhotoPanel, view: SessionView) -> None:
        self._studio, self._panel, self._state = studio, panel, view.state

    def read(self, path: str) -> _Read:
        """Read a photo and parse it, which takes long and changes no session."""
        studio, whole = self._studio, refusing(read_whole)(path)
        if studio.parser is None:
            return _Read(whole, None, None, "Now its label map: upload it, or paint it over the photo.")
        try:
            parsed = refusing(studio.parser.parse, but=(NoPersonError,))(
                whole.picture, studio.labels, studio.size
            )
        except NoPersonError as nobody:
            return _Read(whole, None, None, _as_sentence(nobody))
        told = "Parsed. Correct frame and map where they are wrong, then put the look on the shelf."
        return _Read(whole, parsed.box, parsed.label, told)

    def on_photo(self, session: Session, read: _Read | None) -> Updates:
        if read is None:  # a call that no page makes: nothing was uploaded before
            raise Refusal("There is no photo: upload one first.")
        put = self._studio.run(photos.put_photo, self._studio.enter(session), read.whole, read.box)
        return self._with_photo(put, read.label, read.told, found=read.box)

    def on_example(self, session: Session, event: gr.EventData) -> Updates:
        session = self._studio.enter(session)
        index = refusing(pressed)(event, len(photos.examples(session)))
        put = photos.put_example(session, index)
        told = f"Picture {index + 1}, drawn by the model itself, as a photo: now put its look on the shelf."
        return self._with_photo(put, photos.examples(session)[index].look.mask, told)

    def on_map(self, session: Session, path: str) -> Updates:
        labels, size = self._studio.labels, self._studio.size
        brought = refusing(photos.bring_map)(session, path, labels, size)
        told = "The photo's map is here: now put the look on the shelf."
        if brought.unknown.any():
            more = unknown_sentence(brought.label, brought.unknown, labels)
            told = f"The photo's map is here.{more} Correct it where that is wrong, then put the look on the shelf."
        if brought.doubt is not None:
            told += f" But {brought.doubt}."
        box = photos.photo_of(brought.session).box
        return self._framed(brought.session, brought.label, told) | {
            self._panel.cropper: gr.update(box=list(box))
        }

    def read_frame(self, session: Session, event: gr.EventData) -> _Read:
        """Parse the part of the photo in another frame; one whose map was brought or painted is parsed no more."""
        labels, size, parser = self._studio.labels, self._studio.size, self._studio.parser
        photo = refusing(photos.photo_of)(session)
        whole = photo.whole
        box = refusing(checked_frame)(sent_by(event).get("box"), whole.picture.size, size)
        if parser is None or photo.label is not None:
            return _Read(whole, box, None, "Framed anew", carries_map=True)
        try:
            parsed = refusing(parser.parse, but=(NoPersonError,))(whole.picture, labels, size, box)
        except NoPersonError as nobody:
            return _Read(whole, box, None, _as_sentence(nobody))
        return _Read(whole, box, parsed.label, "Parsed anew in this frame.")

    def on_frame(self, session: Session, canvas: str | None, read: _Read | None) -> Updates:
        labels, size = self._studio.labels, self._studio.size
        if session.photo is None or read is None or read.box is None:
            return {self._panel.status: "Another photo has come meanwhile."}
        if session.photo.whole.digest != read.whole.digest:
            return {self._panel.status: "Another photo has come meanwhile."}
        if not read.carries_map:
            return self._framed(photos.move_frame(session, read.box, size), read.label, read.told)
        label = refusing(read_canvas)(canvas, labels, size)
        carried = photos.carry_map(session, label, read.box, labels)
        told = f"{read.told}, and its map with it." if carried.label.any() else f"{read.told}."
        return self._framed(carried.session, carried.label, told)

    def _with_photo(
        self, session: Session, label: np.ndarray | None, told: str, found: Box | None = None
    ) -> Updates:
        """Return what shows a new photo, its frame, and what is in it."""
        photo = photos.photo_of(session)
        framed = gr.update(
            value=shown_photo(photo.whole.picture),
            photo=list(photo.whole.picture.size),
            box=list(photo.box),
            found=None if found is None else list(found),
        )
        return self._framed(session, label, told) | {self._panel.cropper: framed}

    def _framed(self, session: Session, label: np.ndarray | None, told: str) -> Updates:
        """Return the part in the frame under its map, empty where none was found: the one before is another's."""
        studio, panel = self._studio, self._panel
        height, width = studio.size
        backdrop = data_url(photos.photo_of(session).picture.resize((width, height)))
        if label is None:
            label = np.zeros(studio.size, np.int64)
        canvas = gr.update(value=canvas_value(label, studio.labels), backdrop=backdrop)
        return {self._state: session, panel.painter: canvas, panel.status: told}


def _as_sentence(error: ValueError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
