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
from groupdnet_hub.io.images import read_photo

from ..core import actions, photos
from ..core import session as sessions
from ..core.film import Film
from ..core.lazy_model import refusing
from ..core.memory.picture_files import picture_file
from ..core.memory.saved_work import work_of
from ..core.photo_parser import why_no_parser
from ..core.served_files import served_file, served_picture
from ..core.session import CURRENT, Session, checked_seed
from ..core.studio import Studio
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
    # One column of components that are never shown; their labels name the parameters.
    with gr.Column(visible=False):
        call = gr.Button()
        label_map = gr.File(type="filepath", label="label_map")
        photo = gr.File(type="filepath", label="photo")
        cut_out = gr.Checkbox(False, label="cut_out")
        seed = gr.Number(0, label="seed")
        same_appearance = gr.Checkbox(False, label="same_appearance")
        class_name = gr.Textbox(label="class_name")
        keep_pixels = gr.Checkbox(False, label="keep_pixels")
        place = gr.Number(0, label="place")
        classes = gr.JSON(label="classes")
        name = gr.Textbox(label="name")
        base, sources = gr.Textbox(CURRENT, label="base"), gr.JSON(label="sources")
        first, second = gr.Textbox(CURRENT, label="first"), gr.Textbox(label="second")
        t = gr.Number(0.5, label="t")
        changing = gr.JSON(value=None, label="classes")
        kind, whole = gr.Textbox("gif", label="kind"), gr.Checkbox(False, label="whole")
        picture = gr.Image(type="filepath", format="png", label="picture")
        message = gr.Textbox(label="message")
        pictures = gr.Gallery(format="png", label="pictures")
        work, saved = gr.File(type="filepath", label="work"), gr.File(label="work")
        found, file = gr.JSON(label="looks"), gr.File(label="film")

    def add(action: Callable[..., Answer], inputs: list[Any], *outputs: Any) -> None:
        @functools.wraps(action)
        def on_call(session: Session, *arguments: Any) -> Answer:
            changed, *answer = refusing(action)(studio, studio.enter(session), *arguments)
            return changed, *(_served(studio, part) for part in answer)

        # gradio reads the names of the parameters from it; the studio is none of them.
        signature = inspect.signature(action)
        on_call.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=list(signature.parameters.values())[1:]
        )
        call.click(on_call, [state, *inputs], [state, *outputs], api_name=action.__name__, **WORKER)

    drawn = (picture, message)
    add(open_map, [label_map, seed, same_appearance], *drawn)
    add(sample, [seed], *drawn)
    add(reroll, [class_name, seed, keep_pixels], *drawn)
    add(candidates, [class_name, seed, keep_pixels], pictures, message)
    add(pick, [place], *drawn)
    add(lock, [classes], message)
    add(edit, [label_map], *drawn)
    for action in (undo, redo, keep):
        add(action, [], *drawn)
    add(save_work, [], saved)
    add(open_work, [work], *drawn)
    add(looks, [], found)
    add(show, [name], *drawn)
    add(mix, [base, sources], *drawn)
    add(morph, [first, second, t, changing], *drawn)
    add(parse, [photo], *drawn)
    add(encode, [photo, label_map, cut_out], *drawn)
    # No session is changed by it, so that no other call waits for its end.
    filming = [state, first, second, changing, kind, whole]
    call.click(_film_of(studio), filming, file, api_name="film", **FILMS)


def open_map(studio: Studio, session: Session, label_map: str, seed: float, same_appearance: bool) -> Answer:
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
    pictures = [(look, f"{drawn.redrawn}, seed {look.seed}") for look in drawn.candidates]
    if pictures:
        told = f"{len(pictures)} candidates for {drawn.redrawn}; /pick takes one by its place."
    return drawn, pictures, told


def pick(studio: Studio, session: Session, place: float) -> Answer:
    """Take one of the candidates."""
    return _answer(actions.pick(session, _checked_place(place)), f"Took candidate {_checked_place(place)}.")


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


def parse(studio: Studio, session: Session, photo: str) -> Answer:
    """Answer with the label map of a photo."""
    if studio.parser is None:
        raise ValueError(why_no_parser(studio.labels))
    opened = read_photo(photo)
    parsed = studio.parser.parse(opened, studio.labels, studio.size)
    box = parsed.box
    put = studio.run(photos.put_photo, session, opened, box)
    told = (
        f"The photo's label map, as the parser sees it, of the {box.width}x{box.height} pixels (width x height) from "
        f"{box.left}, {box.top} on."
    )
    return put, served_picture(colour_picture(parsed.label, studio.labels)), told


def encode(studio: Studio, session: Session, photo: str, label_map: str, cut_out: bool) -> Answer:
    """Put the look of a photo on the shelf."""
    known = photos.is_photo_of(session, photo)
    put = session if known else studio.run(photos.put_photo, session, photo)
    label, unknown = photos.photo_map(put, label_map, studio.labels, studio.size)
    encoded = studio.run(photos.encode, put, label, cut_out, unknown)
    item = encoded.shelf[-1]
    return encoded, item.look, item.name


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


def _checked_place(value: float | None) -> int:
    if value is None or not 0 <= value < actions.CANDIDATES or value != int(value):
        raise ValueError(f"the place must be a whole number from 0 to {actions.CANDIDATES - 1}.")
    return int(value)
