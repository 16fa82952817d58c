"""Named endpoints for programs: one client is one session, which starts as the page does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.data.person_frames import Box
from groupdnet_hub.io.images import read_photo

from ..core import actions, photos
from ..core import session as sessions
from ..core.film import film_positions, write_film
from ..core.lazy_model import refusing
from ..core.photo_parser import why_no_parser
from ..core.served_files import served_picture
from ..core.session import CURRENT, Session, checked_seed
from ..core.studio import Studio
from .events import WORKER, one_look_sentence, redraw


def add_endpoints(studio: Studio, state: gr.State) -> None:
    """Every action of the page; those that make a picture return it and a sentence."""
    labels = studio.labels

    def open_map(made: Session, label_map: str, seed: float) -> tuple[Any, ...]:
        opened = studio.run(actions.open_map, made, label_map, checked_seed(seed))
        return _answer(opened, f"Drawn with seed {checked_seed(seed)}.")

    def sample(made: Session, seed: float) -> tuple[Any, ...]:
        drawn = studio.run(actions.sample, made, checked_seed(seed))
        return _answer(drawn, f"Drawn with seed {checked_seed(seed)}.")

    def reroll(made: Session, class_name: str, seed: float, keep_pixels: bool) -> tuple[Any, ...]:
        drawn = studio.run(actions.reroll, made, class_name, checked_seed(seed), keep_pixels)
        name = labels.names[labels.id_of(class_name)]
        return _answer(
            drawn, one_look_sentence(name) if studio.one_look.holds(name) else f"Redrew {class_name}."
        )

    def candidates(made: Session, class_name: str, seed: float, keep_pixels: bool) -> tuple[Any, ...]:
        drawn, told = redraw(studio, made, class_name, checked_seed(seed), keep_pixels)
        pictures = [
            (served_picture(look.image), f"{drawn.redrawn}, seed {look.seed}") for look in drawn.candidates
        ]
        if pictures:
            told = f"{len(pictures)} candidates for {drawn.redrawn}; /pick takes one by its place."
        return drawn, pictures, told

    def pick(made: Session, place: float) -> tuple[Any, ...]:
        return _answer(actions.pick(made, _whole(place)), f"Took candidate {_whole(place)}.")

    def lock(made: Session, classes: list[str]) -> tuple[Any, ...]:
        locked = sessions.lock(made, labels, _names(classes))
        return locked, f"Locked: {', '.join(locked.locked) or 'none'}."

    def edit(made: Session, label_map: str) -> tuple[Any, ...]:
        return _answer(studio.run(actions.edit, made, label_map), "The same appearance on this map.")

    def undo(made: Session) -> tuple[Any, ...]:
        return _answer(sessions.undo(made), "Back to the picture before.")

    def redo(made: Session) -> tuple[Any, ...]:
        return _answer(sessions.redo(made), "Forward to the picture after.")

    def keep(made: Session) -> tuple[Any, ...]:
        kept = sessions.keep(made)
        return _answer(kept, kept.shelf[-1].name)

    def looks(made: Session) -> tuple[Any, ...]:
        return made, {kept.name: list(kept.look.classes) for kept in made.named_looks}

    def show(made: Session, name: str) -> tuple[Any, ...]:
        return _answer(sessions.take_back(made, name), f"Back to {name}.")

    def mix(made: Session, base: str, sources: dict[str, str]) -> tuple[Any, ...]:
        if not isinstance(sources, dict) or not all(isinstance(name, str) for name in sources.values()):
            raise ValueError('sources must name a look for each class, such as {"hair": "look 1"}.')
        mixed = studio.run(actions.mix, made, base, sources)
        return _answer(
            mixed, f"{base}, with " + ", ".join(f"{c} of {name}" for c, name in sources.items()) + "."
        )

    def morph(made: Session, first: str, second: str, t: float, classes: list[str] | None) -> tuple[Any, ...]:
        chosen = None if classes is None else _names(classes)
        morphed = studio.run(actions.morph, made, first, second, t, chosen)
        return _answer(morphed, f"Between {first} and {second}, at {t:g}.")

    def film(
        made: Session, first: str, second: str, classes: list[str] | None, kind: str, whole: bool
    ) -> tuple[Any, ...]:
        chosen, pictures = None if classes is None else _names(classes), []
        for positions in film_positions(whole):
            pictures += studio.run(actions.morph_frames, made, first, second, positions, chosen)
        return made, str(write_film(pictures, kind))

    def parse(made: Session, photo: str) -> tuple[Any, ...]:
        if studio.parser is None:
            raise ValueError(why_no_parser(labels))
        opened = read_photo(photo)
        parsed = studio.parser.parse(opened, labels, studio.size)
        put = studio.run(photos.put_photo, made, opened, parsed.box)
        told = f"The photo's label map, as the parser sees it, of {_placed(parsed.box)}."
        return put, served_picture(colour_picture(parsed.label, labels)), told

    def encode(made: Session, photo: str, label_map: str, cut_out: bool) -> tuple[Any, ...]:
        put = made if photos.is_photo_of(made, photo) else studio.run(photos.put_photo, made, photo)
        label = studio.run(photos.photo_map, put, label_map)
        kept = studio.run(photos.encode, put, label, cut_out)
        return kept, served_picture(kept.shelf[-1].look.image), kept.shelf[-1].name

    # One column of components that are never shown; their labels name the parameters.
    with gr.Column(visible=False):
        call = gr.Button()
        label_map = gr.File(type="filepath", label="label_map")
        photo = gr.File(type="filepath", label="photo")
        cut_out = gr.Checkbox(False, label="cut_out")
        seed = gr.Number(0, precision=0, label="seed")
        class_name = gr.Textbox(label="class_name")
        keep_pixels = gr.Checkbox(False, label="keep_pixels")
        place = gr.Number(0, precision=0, label="place")
        classes = gr.JSON(label="classes")
        name = gr.Textbox(label="name")
        base, sources = gr.Textbox(CURRENT, label="base"), gr.JSON(label="sources")
        first, second = gr.Textbox(CURRENT, label="first"), gr.Textbox(label="second")
        t = gr.Number(0.5, label="t")
        changing = gr.JSON(value=None, label="classes")
        kind, whole = gr.Textbox("gif", label="kind"), gr.Checkbox(False, label="whole")
        picture, message = (
            gr.Image(type="filepath", format="png", label="picture"),
            gr.Textbox(label="message"),
        )
        pictures = gr.Gallery(format="png", label="pictures")
        found, file = gr.JSON(label="looks"), gr.File(label="film")

    def add(action: Callable[..., Any], inputs: list[Any], *outputs: Any) -> None:
        @functools.wraps(action)
        def on_call(made: Session, *arguments: Any) -> Any:
            return refusing(action)(studio.enter(made), *arguments)

        call.click(on_call, [state, *inputs], [state, *outputs], api_name=action.__name__, **WORKER)

    drawn = (picture, message)
    add(open_map, [label_map, seed], *drawn)
    add(sample, [seed], *drawn)
    add(reroll, [class_name, seed, keep_pixels], *drawn)
    add(candidates, [class_name, seed, keep_pixels], pictures, message)
    add(pick, [place], *drawn)
    add(lock, [classes], message)
    add(edit, [label_map], *drawn)
    add(undo, [], *drawn)
    add(redo, [], *drawn)
    add(keep, [], *drawn)
    add(looks, [], found)
    add(show, [name], *drawn)
    add(mix, [base, sources], *drawn)
    add(morph, [first, second, t, changing], *drawn)
    add(film, [first, second, changing, kind, whole], file)
    add(parse, [photo], *drawn)
    add(encode, [photo, label_map, cut_out], *drawn)


def _answer(made: Session, message: str) -> tuple[Any, ...]:
    return made, served_picture(sessions.current(made).image), message


def _placed(box: Box) -> str:
    return f"the {box.width}x{box.height} pixels (width x height) from {box.left}, {box.top} on"


def _names(classes: Any) -> list[str]:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError('classes must be a list of class names, such as ["hair"].')
    return classes


def _whole(value: float | None) -> int:
    if value is None or not 0 <= value < actions.CANDIDATES:
        raise ValueError(f"the place must be a whole number from 0 to {actions.CANDIDATES - 1}.")
    return int(value)
