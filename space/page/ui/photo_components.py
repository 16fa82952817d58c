"""The components of the tab "Photo": the photo with its frame, photo and picture together; dropped files."""

from __future__ import annotations

import gradio as gr
from PIL import Image

from .components import MAP_FILES, PHOTO_FILES, script, seen_url

# The whole photo is shown at up to this many pixels of its longer side, and the part in the frame.
_SHOWN, _FRAMED = 900, 640


def cropper(elem_id: str, size: tuple[int, int]) -> gr.HTML:
    """Lay out a photo with a frame that can be moved and resized; ``crop`` is sent with the new ``box``.

    Its value is the whole photo as a data URL. Of its properties, ``photo`` is the photo's [width, height], ``box`` the
    frame, [left, top, width, height] in its pixels, and ``found`` the frame of the person that the parser found.

    Args:
        elem_id: its id on the page.
        size: (height, width) of the model's pictures, whose proportions the frame keeps.
    """
    return gr.HTML(
        None,
        html_template='<div class="cropper"></div>',
        js_on_load=script("cropper.js"),
        apply_default_css=False,
        elem_id=elem_id,
        height=size[0],
        width=size[1],
        photo=None,
        box=None,
        found=None,
    )


def comparison(elem_id: str, size: tuple[int, int]) -> gr.HTML:
    """Lay out a photo and the picture drawn of it, one over the other, with a seam to move.

    Its value is a dict with the data URLs ``photo`` and ``picture``, which may be None.

    Args:
        elem_id: its id on the page.
        size: (height, width) of the model's pictures.
    """
    return gr.HTML(
        None,
        html_template='<div class="seam-tools"></div><figure class="comparison"></figure>',
        js_on_load=script("comparison.js"),
        apply_default_css=False,
        elem_id=elem_id,
        height=size[0],
        width=size[1],
    )


def opacity_slider(elem_id: str, painter_id: str) -> gr.HTML:
    """Lay out a slider for how much of the photo the label map of a painter covers."""
    return gr.HTML(
        html_template=(
            '<label class="opacity">Photo <input type="range" min="0" max="100" value="60" '
            'aria-label="How much of the photo its label map covers, in percent"> Map</label>'
        ),
        js_on_load=(
            'element.querySelector("input").oninput = ({ target }) => '
            f'document.getElementById("{painter_id}").style.setProperty("--map-opacity", target.value / 100);'
        ),
        apply_default_css=False,
        elem_id=elem_id,
    )


def dropped_files() -> gr.HTML:
    """Lay out what takes files that are dropped on the page or pasted: photos, and label maps."""
    return gr.HTML(
        html_template='<p class="dropped" role="alert" hidden></p>',
        js_on_load=script("drop.js"),
        apply_default_css=False,
        elem_id="dropped",
        photo_files=PHOTO_FILES,
        map_files=MAP_FILES,
    )


def shown_photo(photo: Image.Image) -> str:
    """Return a whole photo as the page shows it, as a data URL."""
    return seen_url(photo, _SHOWN)


def framed_photo(photo: Image.Image) -> str:
    """Return the part of a photo in its frame as the page shows it, as a data URL."""
    return seen_url(photo, _FRAMED)
