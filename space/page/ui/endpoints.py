"""Named endpoints for programs: one client is one session, which starts as the page does.

Each endpoint is a function here. Its name is that of the endpoint, and it returns the session and what is answered.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr

from groupdnet_hub import Look
from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.data.person_frames import Box

from ..core import actions, photos
from ..core import session as sessions
from ..core.film import Film
from ..core.lazy_model import refusing
from ..core.memory.picture_files import picture_file
from ..core.memory.saved_work import work_of
from ..core.photo_reading.files import WholePhoto, read_whole
from ..core.photo_reading.frames import checked_frame, scaled
from ..core.photo_reading.parser import why_no_parser
from ..core.redraw import candidates as choices
from ..core.redraw.colour_wish import PIECE, Granted
from ..core.served_files import served_file, served_picture
from ..core.session import CURRENT, MAX_SEED, Session, checked_seed
from ..core.studio import Studio
from .choice_events import picked_sentence, wish_sentence
from .events import FILMS, WORKER, fixed_sentence, redraw

# The session, and what is answered: mostly the file of the picture, and a sentence.
Answer = tuple[Any, ...]
_TOLD = (
    "<h1>For programs</h1><p>All that the page does, programs can do too, in Python, JavaScript and by curl: "
    "<b>Use via API</b>, at the bottom of this page, lists what there is to call and how. One client is one session, "
    "which starts with what the page shows when it opens.</p>"
)


def add_endpoints_page(studio: Studio) -> None:
    """Offer every action of the page to programs.

    On a page of their own: gradio loads the scripts of all components of a page, hidden ones too, and those that the
    endpoints' files and pictures need are half of all.
    """
    gr.HTML(_TOLD, elem_id="title", elem_classes="endpoints", apply_default_css=False)
    state = gr.State(Session())
    # One column of components that are never shown.
    with gr.Column(visible=False):
        call = gr.Button()
        fields = _fields()
        picture = gr.Image(type="filepath", format="png", label="picture")
        message = gr.Textbox(label="message")
        pictures = gr.Gallery(format="png", label="pictures")
        found, file, saved = gr.JSON(label="looks"), gr.File(label="film"), gr.File(label="work")

    def add(action: Callable[..., Answer], *outputs: Any) -> None:
        @functools.wraps(action)
        def on_call(session: Session, *arguments: Any) -> Answer:
            changed, *answer = refusing(action)(studio, studio.enter(session), *arguments)
            return changed, *(_served(studio, part) for part in answer)

        # gradio reads the names of the parameters from it; the studio is none of them.
        _, *parameters = inspect.signature(action).parameters.values()
        on_call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        inputs = [fields[one.name] for one in parameters[1:]]
        call.click(on_call, [state, *inputs], [state, *outputs], api_name=action.__name__, **WORKER)

    drawing: tuple[Callable[..., Answer], ...] = (
        *(open_map, sample, reroll, pick, at_strength, edit, undo, redo, keep, show, mix, morph),
        *(parse, encode, open_work),
    )
    for action in drawing:
        add(action, picture, message)
    for action in (candidates, colour_wish, nine_samples):
        add(action, pictures, message)
    add(lock, message)
    add(looks, found)
    add(save_work, saved)
    # No session is changed by it, so that no other call waits for its end.
    filming = [state, *(fields[name] for name in ("first", "second", "classes", "kind", "whole"))]
    call.click(_film_of(studio), filming, file, api_name="film", **FILMS)


def _fields() -> dict[str, Any]:
    """Lay out a component for each parameter that an endpoint has, by its name, which is also its label."""
    return {
        **{name: gr.File(type="filepath", label=name) for name in ("label_map", "photo", "work")},
        **{
            name: gr.Checkbox(False, label=name)
            for name in ("cut_out", "same_appearance", "keep_pixels", "whole")
        },
        **{name: gr.Textbox(label=name) for name in ("class_name", "name", "second", "colour")},
        **{name: gr.Textbox(CURRENT, label=name) for name in ("base", "first")},
        "seed": gr.Number(0, label="seed", info=f"a whole number from 0 to {MAX_SEED}"),
        "place": gr.Number(0, label="place", info="a whole number from 0"),
        **{name: gr.JSON(label=name) for name in ("classes", "sources", "box")},
        "t": gr.Number(0.5, label="t", info="a number from {} to {}".format(*actions.MORPH_SPAN)),
        "strength": gr.Number(1, label="strength", info="a number from 0 to 1"),
        "kind": gr.Textbox("gif", label="kind"),
    }


def open_map(
    studio: Studio, session: Session, label_map: str, seed: float, same_appearance: bool = False
) -> Answer:
    """Draw a label map, but for locked classes in a new appearance or, if asked for, in that of the picture."""
    label, unknown = actions.read_upload(label_map, studio.labels, studio.size)
    opened = studio.run(actions.open_map, session, label, checked_seed(seed), same_appearance)
    how = "The same appearance, new classes" if same_appearance else "Drawn"
    return _answer(opened, f"{how} with seed {checked_seed(seed)}.{unknown}")


def sample(studio: Studio, session: Session, seed: float) -> Answer:
    """Draw every class that is not locked anew."""
    drawn = studio.run(actions.sample, session, checked_seed(seed))
    return _answer(drawn, f"Drawn with seed {checked_seed(seed)}.")


def reroll(studio: Studio, session: Session, class_name: str, seed: float, keep_pixels: bool) -> Answer:
    """Draw one class anew."""
    labels = studio.labels
    drawn = studio.run(actions.reroll, session, class_name, checked_seed(seed), keep_pixels)
    name = labels.names[labels.id_of(class_name)]
    return _answer(
        drawn, fixed_sentence(name) if studio.fixed_classes.holds(name) else f"Redrew {class_name}."
    )


def candidates(studio: Studio, session: Session, class_name: str, seed: float, keep_pixels: bool) -> Answer:
    """Draw four candidates of a class."""
    drawn, told = redraw(studio, session, class_name, checked_seed(seed), keep_pixels)
    if drawn.candidates:
        told = f"{len(drawn.candidates)} candidates for {drawn.redrawn}; /pick takes one by its place."
    return drawn, _pictures(drawn), told


def colour_wish(studio: Studio, session: Session, class_name: str, colour: str, keep_pixels: bool) -> Answer:
    """Draw candidates of a class that are as near to a colour as the model has any."""
    name, look = actions.redrawable(studio.config, session, class_name), sessions.current(session)
    if studio.fixed_classes.holds(name):
        return sessions.put_away(session), [], fixed_sentence(name)
    *_, granted = studio.colour_wishes.grant(look, name, colour, keep_pixels)
    assert isinstance(granted, Granted)
    offered = choices.offer(session, granted.looks, name, keep_pixels)
    return offered, _pictures(offered), wish_sentence(name, colour, granted)


def nine_samples(studio: Studio, session: Session, seed: float) -> Answer:
    """Draw nine samples to pick one from."""
    looks, seeds = [], choices.seeds_from(checked_seed(seed), choices.SAMPLES)
    for first in range(0, len(seeds), PIECE):
        looks += studio.run(choices.whole_samples, session, seeds[first : first + PIECE])
    offered = choices.offer(session, looks)
    return offered, _pictures(offered), "Nine samples; /pick takes one by its place."


def pick(studio: Studio, session: Session, place: float) -> Answer:
    """Take one of the candidates."""
    if place is None or place != int(place):
        raise ValueError("the place must be a whole number from 0.")
    return _answer(choices.pick(session, int(place)), f"Took candidate {int(place)}.")


def at_strength(studio: Studio, session: Session, strength: float) -> Answer:
    """Show the picked candidate at a strength."""
    shown = studio.run(choices.at_strength, session, strength)
    return _answer(shown, picked_sentence(shown))


def lock(studio: Studio, session: Session, classes: list[str]) -> Answer:
    """Lock exactly these classes."""
    locked = sessions.lock(session, studio.labels, _checked_names(classes))
    return locked, f"Locked: {', '.join(locked.locked) or 'none'}."


def edit(studio: Studio, session: Session, label_map: str) -> Answer:
    """Draw the same appearance on another label map."""
    label, unknown = actions.read_upload(label_map, studio.labels, studio.size)
    return _answer(studio.run(actions.edit, session, label), f"The same appearance on this map.{unknown}")


def undo(studio: Studio, session: Session) -> Answer:
    """Go back to the picture before."""
    return _answer(sessions.undo(session), "Back to the picture before.")


def redo(studio: Studio, session: Session) -> Answer:
    """Go forward to the picture after."""
    return _answer(sessions.redo(session), "Forward to the picture after.")


def keep(studio: Studio, session: Session) -> Answer:
    """Put the look on the shelf."""
    kept = sessions.keep(session)
    return _answer(kept, kept.shelf[-1].name)


def save_work(studio: Studio, session: Session) -> Answer:
    """Answer with one file of the history, the shelf and the locks."""
    return session, served_file(work_of(session).to_bytes(studio.identity), "groupdnet-work.zip")


def open_work(studio: Studio, session: Session, work: str) -> Answer:
    """Open saved work, a look, or a picture that carries its look."""
    opened = studio.open_file(work, session)
    return _answer(opened.session, opened.told)


def looks(studio: Studio, session: Session) -> Answer:
    """Answer with the names of all looks, each with the classes that it shows."""
    return session, {item.name: list(item.look.classes) for item in session.named_looks}


def show(studio: Studio, session: Session, name: str) -> Answer:
    """Bring a look back as the picture."""
    return _answer(sessions.take_back(session, name), f"Back to {name}.")


def mix(studio: Studio, session: Session, base: str, sources: dict[str, str]) -> Answer:
    """Draw a look with classes of other looks."""
    if not isinstance(sources, dict) or not all(isinstance(name, str) for name in sources.values()):
        raise ValueError('sources must name a look for each class, such as {"hair": "look 1"}.')
    mixed = studio.run(actions.mix, session, base, sources)
    return _answer(mixed, f"{base}, with " + ", ".join(f"{c} of {name}" for c, name in sources.items()) + ".")


def morph(
    studio: Studio, session: Session, first: str, second: str, t: float, classes: list[str] | None
) -> Answer:
    """Draw a look between two."""
    chosen = None if classes is None else _checked_names(classes)
    morphed = studio.run(actions.morph, session, first, second, t, chosen)
    return _answer(morphed, f"Between {first} and {second}, at {t:g}.")


def _film_of(studio: Studio) -> Callable[..., Awaitable[str]]:
    """Return the endpoint of films; a client that cancels its job, or is gone, stops the film."""

    async def film(  # noqa: PLR0913  (the endpoint's parameters, and what gradio gives beside them)
        session: Session,
        first: str,
        second: str,
        classes: list[str] | None,
        kind: str,
        whole: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio finds it by its default)
    ) -> str:
        """Answer with the file of a film between two looks; ``whole``: over the full range."""
        names = None if classes is None else refusing(_checked_names)(classes)
        wanted = refusing(Film)(first, second, names, kind, whole)
        steps = refusing(studio.films.make)(str(request.session_hash), studio.enter(session), wanted)
        async with aclosing(steps):
            async for step in steps:
                if step.path is not None:
                    return str(step.path)
                progress((step.drawn, step.total), desc="Drawing", unit="pictures")
        raise gr.Error("The film was stopped.", print_exception=False)

    return film


def parse(studio: Studio, session: Session, photo: str, box: list[float] | None = None) -> Answer:
    """Answer with the label map of a photo; of the part in ``box``, or of the one around the person."""
    if studio.parser is None:
        raise ValueError(why_no_parser(studio.labels))
    whole = read_whole(photo)
    chosen = _chosen_frame(studio, whole, box)
    parsed = studio.parser.parse(whole.picture, studio.labels, studio.size, chosen)
    put = studio.run(photos.put_photo, session, whole, parsed.box)
    left, top, width, height = _in_file(parsed.box, whole, studio.size)
    told = (
        f"The photo's label map, as the parser sees it, of the {width}x{height} pixels (width x height) from "
        f"{left}, {top} on."
    )
    return put, served_picture(colour_picture(parsed.label, studio.labels)), told


def encode(
    studio: Studio,
    session: Session,
    photo: str,
    label_map: str,
    cut_out: bool,
    box: list[float] | None = None,
) -> Answer:
    """Put the look of a photo on the shelf: of the part in ``box``, of the one before, or of the map's person."""
    if session.photo is not None and photos.is_photo_of(session, photo):
        put, whole = session, session.photo.whole
    else:
        whole = read_whole(photo)
        put = studio.run(photos.put_photo, session, whole)
    chosen = _chosen_frame(studio, whole, box)
    if chosen is not None:
        put = photos.move_frame(put, chosen, studio.size)
    brought = photos.bring_map(put, label_map, studio.labels, studio.size)
    encoded = studio.run(photos.encode, brought.session, brought.label, cut_out, brought.unknown)
    item = encoded.shelf[-1]
    told = item.name if brought.doubt is None else f"{item.name}. But {brought.doubt}."
    return encoded, item.look, told


def _chosen_frame(studio: Studio, whole: WholePhoto, box: list[float] | None) -> Box | None:
    """Return the frame in pixels of the photo as it was read; that of the call is in pixels of its file."""
    if box is None:
        return None
    checked = checked_frame(box, whole.full_size, studio.size)
    return scaled(checked, whole.picture.width / whole.full_size[0], studio.size[0] / studio.size[1])


def _in_file(box: Box, whole: WholePhoto, size: tuple[int, int]) -> Box:
    return scaled(box, whole.full_size[0] / whole.picture.width, size[0] / size[1])


def _answer(session: Session, message: str) -> Answer:
    return session, sessions.current(session), message


def _served(studio: Studio, part: Any) -> Any:
    """Return a part of an answer as gradio takes it: looks are the files of their pictures."""
    if isinstance(part, list):
        return [(_served(studio, look), caption) for look, caption in part]
    if isinstance(part, Look):
        return served_file(picture_file(part, studio.identity), "picture.png")
    return part


def _checked_names(classes: Any) -> list[str]:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError('classes must be a list of class names, such as ["hair"].')
    return classes


def _pictures(session: Session) -> list[tuple[Look, str]]:
    """Return the candidates, with what each is."""
    what = session.redrawn or "sample"
    return [(look, f"{what}, seed {look.seed}") for look in session.candidates]
