"""What one picks from: pictures that are enlarged in the picture's place, and a bar of what can be wished of them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .components import script

# To wish for at a press; any other colour is in the browser's own chooser.
SWATCHES = (
    *(("black", "#1c1c1e"), ("grey", "#8a8d91"), ("white", "#f2f2f0"), ("brown", "#5c3a24")),
    *(("sand", "#d8b27a"), ("red", "#b3262e"), ("green", "#3d7a4b"), ("blue", "#3366cc")),
)  # fmt: skip


def choices(elem_id: str, label: str, empty: str = "", places: int = 0) -> gr.HTML:
    """Lay out pictures to pick one from; ``pick`` is sent with the ``index`` of the one that was pressed.

    The picture under the pointer, or with the focus, is shown as large as the picture of the page, and in its place.
    Its value is a list of dicts with ``src`` (a data URL), ``alt`` and ``selected``.

    Args:
        elem_id: its id on the page.
        label: what it is, for screen readers.
        empty: what stands there without pictures.
        places: how many empty frames stand there without pictures.
    """
    return gr.HTML(
        [],
        html_template=f'<div class="choices" role="group" aria-label="{label}"></div>',
        js_on_load=script("choices.js"),
        apply_default_css=False,
        elem_id=elem_id,
        empty=empty,
        places=places,
    )


def choice_bar(elem_id: str) -> gr.HTML:
    """Lay out what can be wished of candidates: how strong the picked one is, and which colour the class has.

    Its value is a dict with ``offered``, what the candidates are of (nothing without candidates), ``wishes``, whether
    there can be a colour, and ``strength`` in percent. It sends ``strength`` (``percent``, and ``moving`` while the
    slider is held), ``wish`` (``colour``, "#rrggbb") and ``dismiss``.
    """
    swatches: list[dict[str, Any]] = [{"name": name, "colour": colour} for name, colour in SWATCHES]
    return gr.HTML(
        {"offered": "", "wishes": False, "strength": 100},
        html_template='<div class="choice-bar"></div>',
        js_on_load=script("choice_bar.js"),
        apply_default_css=False,
        elem_id=elem_id,
        swatches=swatches,
    )
