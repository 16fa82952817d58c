"""The page's own components: pictures, strips of pictures, and what their scripts are made of."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from groupdnet_hub import LabelSet

STATIC = Path(__file__).resolve().parent / "static"
# What the package reads; phones offer the right files by it.
MAP_FILES = [".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"]
PHOTO_FILES = [*MAP_FILES, ".heic", ".heif", ".hif", ".avif"]
_PICTURE = (
    '<figure class="picture" style="aspect-ratio: {{width}} / {{height}}">'
    '{{#if value}}<img src="{{value}}" alt="{{alt}}" width="{{width}}" height="{{height}}">'
    '<a class="save" href="{{value}}" download="picture.png" title="Download" aria-label="Download: {{alt}}">'
    "&#8595;</a>"
    "{{else}}<figcaption>{{empty}}</figcaption>{{/if}}</figure>"
)


def script(*names: str) -> str:
    """Return files of JavaScript as one script; those that are named later use the ones before."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in ("dom.js", *names))


def data_url(picture: Image.Image) -> str:
    """Return a picture as a PNG that is part of the page: exact, and on no disk."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return file_url(buffer.getvalue(), "image/png")


def seen_url(picture: Image.Image, side: int | None = None) -> str:
    """Return a picture to be looked at, in a tenth of the bytes of :func:`data_url`; some values are slightly off.

    Args:
        picture: the picture.
        side: pixels that its longer side has at most; by default as many as it has.
    """
    if side is not None and max(picture.size) > side:
        scale = side / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90, method=0)
    return file_url(buffer.getvalue(), "image/webp")


def file_url(content: bytes, media_type: str) -> str:
    """Return a file as a data URL, part of the page and on no disk."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def picture(
    elem_id: str, size: tuple[int, int], alt: str, empty: str, value: Image.Image | None = None
) -> gr.HTML:
    """Lay out a picture that keeps its place while it changes; its value is a data URL.

    Args:
        elem_id: its id on the page.
        size: (height, width).
        alt: what it shows, for screen readers.
        empty: what stands there without a picture.
        value: the picture at first.
    """
    return gr.HTML(
        None if value is None else data_url(value),
        html_template=_PICTURE,
        js_on_load=None,
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="picture-holder",
        height=size[0],
        width=size[1],
        alt=alt,
        empty=empty,
    )


def pinned_copy(elem_id: str, picture_id: str, sentence_id: str) -> gr.HTML:
    """Lay out what shows a picture small, with a sentence, where the window is narrow and the picture out of sight.

    It stands before all that is scrolled beneath it.

    Args:
        elem_id: its id on the page.
        picture_id: of the picture.
        sentence_id: of the sentence.
    """
    return gr.HTML(
        "",
        html_template='<div class="pin"></div>',
        js_on_load=script("pinned.js"),
        apply_default_css=False,
        elem_id=elem_id,
        picture=f"#{picture_id}",
        sentence=f"#{sentence_id} p",
    )


def strip(elem_id: str, label: str, empty: str, value: Sequence[dict[str, Any]] = ()) -> gr.HTML:
    """Lay out a row of pictures to press; ``pick`` is sent with the ``index`` of the one that was.

    Args:
        elem_id: its id on the page.
        label: what the row is, for screen readers.
        empty: what stands there without pictures.
        value: dicts with ``src`` (a data URL), ``alt``, ``caption`` and ``selected``.
    """
    return gr.HTML(
        list(value),
        html_template=f'<div class="strip" role="group" aria-label="{label}"></div>',
        js_on_load=script("strip.js"),
        apply_default_css=False,
        elem_id=elem_id,
        empty=empty,
    )


def history_row(elem_id: str, label: str, empty: str) -> gr.HTML:
    """Lay out the steps of a history; ``pick`` is sent with the ``index`` of the one that was pressed.

    Args:
        elem_id: its id on the page.
        label: what the row is, for screen readers.
        empty: what stands there without pictures.
    """
    # gradio learns the names of a component's events from its script: "pick", "missing".
    return gr.HTML(
        [],
        html_template=f'<div class="strip" role="group" aria-label="{label}"></div>',
        js_on_load=script("thumbnails.js", "history.js"),
        apply_default_css=False,
        elem_id=elem_id,
        empty=empty,
    )


def shelf_row(elem_id: str, label: str, empty: str) -> gr.HTML:
    """Lay out kept looks, to press, rename, move, save and delete.

    It sends ``pick``, ``download`` and ``delete`` with an ``index``, ``rename`` with a ``name`` as well, ``move`` with
    the place ``to``, and ``restore``.

    Args:
        elem_id: its id on the page.
        label: what the row is, for screen readers.
        empty: what stands there without looks.
    """
    return gr.HTML(
        {"looks": [], "deleted": None},
        html_template=f'<div class="shelf" aria-label="{label}"></div>',
        js_on_load=script("thumbnails.js", "shelf.js"),
        apply_default_css=False,
        elem_id=elem_id,
        empty=empty,
        download=None,
    )


def sentence(elem_id: str, text: str = "") -> gr.HTML:
    """Lay out one line that screen readers announce when it changes. Its value is plain text."""
    return gr.HTML(
        text,
        html_template='<p class="sentence" role="status"></p>',
        js_on_load=script("sentence.js"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def upload_button(text: str, elem_id: str, file_types: Sequence[str] = MAP_FILES) -> gr.UploadButton:
    """Lay out a button that uploads one picture; its value is the file's path."""
    return gr.UploadButton(
        text, file_types=list(file_types), file_count="single", type="filepath", size="md", elem_id=elem_id
    )


def named_colours(labels: LabelSet) -> list[dict[str, Any]]:
    """Return the classes as the scripts take them: ``name`` and ``colour``."""
    return [
        {"name": name, "colour": list(colour)}
        for name, colour in zip(labels.names, labels.palette, strict=True)
    ]


def mixing_board(elem_id: str, labels: LabelSet, value: dict[str, Any]) -> gr.HTML:
    """Lay out a table of looks and classes in which the visitor chooses whose appearance each class takes.

    Args:
        elem_id: its id on the page.
        labels: the classes.
        value: ``looks``, dicts with ``name``, ``classes`` and what :meth:`Thumbnails.of` returns. The browser adds
            ``base``, the look that gives the label map, and ``sources``, class name to look name.
    """
    return gr.HTML(
        value,
        html_template=f'<div class="board-scroll"><table class="board" id="{elem_id}-table"></table></div>',
        js_on_load=script("thumbnails.js", "board.js"),
        apply_default_css=False,
        elem_id=elem_id,
        classes=named_colours(labels),
    )
