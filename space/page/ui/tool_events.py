"""What the tabs below the picture do: mixing, morphing, films, photos."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from groupdnet_hub.io.images import read_photo

from ..core import actions, photos
from ..core.film import film_positions, write_film
from ..core.lazy_model import refusing
from ..core.person_check import NoPersonError
from ..core.session import Session
from ..core.studio import Studio
from .components import data_url
from .events import place, waiting_on
from .layout import Parts
from .painter import canvas_value, read_canvas
from .views import looks_view, photo_examples_view, stage_view


def add_tool_events(studio: Studio, state: gr.State, parts: Parts) -> None:
    """Connect the tabs."""
    labels = studio.labels

    def stage(old: Session, new: Session, message: str) -> list[Any]:
        before = None if old.look is None else old.look.mask
        return [new, *stage_view(new, labels, message, before=before)]

    def on_mix(made: Session, board: Any) -> list[Any]:
        made = studio.enter(made)
        base, sources = refusing(_choices)(board)
        mixed = studio.run(actions.mix, made, base, sources)
        taken = ", ".join(f"{class_} of {name}" for class_, name in sources.items())
        return stage(made, mixed, f"Mixed: {base}, with {taken}.")

    def on_slide(made: Session, first: str, second: str, t: float, classes: list[str]) -> str:
        return data_url(studio.run(actions.between, studio.enter(made), first, second, t, classes).image)

    def on_use(made: Session, first: str, second: str, t: float, classes: list[str]) -> list[Any]:
        made = studio.enter(made)
        morphed = studio.run(actions.morph, made, first, second, t, classes)
        return stage(made, morphed, f"Between {first} and {second}, at {t:g}.")

    def on_film(
        made: Session,
        first: str,
        second: str,
        classes: list[str],
        kind: str,
        whole: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio finds it by its default)
    ) -> Any:
        made, pictures = studio.enter(made), []
        for positions in film_positions(whole):
            pictures += studio.run(actions.morph_frames, made, first, second, positions, classes)
            progress((len(pictures), None), desc="Drawing", unit="pictures")
        path = write_film(pictures, kind.lower())
        return gr.update(value=str(path), interactive=True, label=f"Download the {kind}")

    def on_photo(made: Session, path: str) -> list[Any]:
        made = studio.enter(made)
        if studio.parser is None:
            told = "Now its label map: upload it, or paint it over the photo."
            return photo_view(studio.run(photos.put_photo, made, path), None, told)
        photo = refusing(read_photo)(path)
        try:
            parsed = refusing(studio.parser.parse, but=(NoPersonError,))(photo, labels, studio.size)
        except NoPersonError as nobody:
            told = str(nobody)
            put = studio.run(photos.put_photo, made, photo)
            return photo_view(put, None, told[:1].upper() + told[1:])
        put = studio.run(photos.put_photo, made, photo, parsed.box)
        told = "Parsed. Correct the map where it is wrong, then put the look on the shelf."
        return photo_view(put, parsed.label, told)

    def on_photo_example(made: Session, event: gr.EventData) -> list[Any]:
        made = studio.enter(made)
        index = refusing(place)(event, len(photos.examples(made)))
        put = photos.put_example(made, index)
        told = f"Picture {index + 1}, drawn by the model itself, as a photo: now put its look on the shelf."
        return photo_view(put, photos.examples(made)[index].look.mask, told)

    def on_photo_tab(made: Session) -> list[dict[str, Any]]:
        return photo_examples_view(studio.enter(made))

    def photo_view(put: Session, label: np.ndarray | None, told: str) -> list[Any]:
        """The photo under its map, which is empty where none was found: that of the photo before is not its own."""
        height, width = studio.size
        backdrop = data_url(photos.photo_of(put).picture.resize((width, height)))
        if label is None:
            label = np.zeros(studio.size, np.int64)
        return [put, gr.update(value=canvas_value(label, labels), backdrop=backdrop), told]

    def on_photo_map(made: Session, path: str) -> list[Any]:
        label = studio.run(photos.photo_map, made, path)
        return [canvas_value(label, labels), "The photo's map is here: now put the look on the shelf."]

    def on_photo_keep(made: Session, canvas: str | None, plain_backdrop: bool) -> list[Any]:
        refusing(photos.photo_of)(made)
        label = refusing(read_canvas)(canvas, labels, studio.size)
        kept = studio.run(photos.encode, made, label, plain_backdrop)
        name = kept.shelf[-1].name
        return [
            kept,
            *looks_view(kept),
            f"The look is on the shelf as {name}: mix it, or press it to see it.",
        ]

    draws, here = waiting_on(parts.picture), waiting_on(parts.morph_picture)
    shown = [state, *parts.stage]
    ends = [state, parts.morph_first, parts.morph_second]
    morphing = [*ends, parts.morph_position, parts.morph_classes]
    parts.mix.click(on_mix, [state, parts.board], shown, **draws)
    # The picture follows the slider; positions that were passed while one was drawn are left out.
    slide: dict[str, Any] = {"trigger_mode": "always_last", **here}
    parts.morph_position.input(on_slide, morphing, parts.morph_picture, **slide)
    for chosen in (parts.morph_first, parts.morph_second, parts.morph_classes):
        chosen.input(on_slide, morphing, parts.morph_picture, **slide)
    parts.morph_tab.select(on_slide, morphing, parts.morph_picture, **here)
    parts.morph_use.click(on_use, morphing, shown, **draws)
    film_inputs = [*ends, parts.morph_classes, parts.film_format, parts.film_whole]
    parts.film_make.click(on_film, film_inputs, parts.film, **here)
    photo_parts = [parts.photo_painter, parts.photo_status]
    loading = waiting_on(parts.photo_painter)
    # Another photo may be uploaded while one is parsed: the last one counts.
    last: dict[str, Any] = {"trigger_mode": "always_last", **loading}
    parts.photo_upload.upload(on_photo, [state, parts.photo_upload], [state, *photo_parts], **last)
    parts.photo_tab.select(on_photo_tab, state, parts.photo_examples, **waiting_on(parts.photo_examples))
    parts.photo_examples.pick(on_photo_example, state, [state, *photo_parts], **loading)
    parts.photo_map_upload.upload(on_photo_map, [state, parts.photo_map_upload], photo_parts, **loading)
    parts.photo_keep.click(
        on_photo_keep,
        [state, parts.photo_painter, parts.photo_plain],
        [state, *parts.looks, parts.photo_status],
        **loading,
    )


def _choices(board: Any) -> tuple[str, dict[str, str]]:
    """What was chosen on the mixing board; it comes from the visitor's browser, and may be anything."""
    chosen = board if isinstance(board, dict) else {}
    base, sources = chosen.get("base"), chosen.get("sources")
    if not isinstance(base, str) or not isinstance(sources, dict):
        raise ValueError("the mixing board sent no choices: reload the page.")
    return base, {str(class_): str(name) for class_, name in sources.items()}
