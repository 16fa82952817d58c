"""The tab "Map files": what a label map must be like, so that it can be uploaded."""

from __future__ import annotations

from html import escape

import gradio as gr

from groupdnet_hub import LabelSet


def lay_out_map_files(labels: LabelSet) -> None:
    """Lay out the tab: the id, name and colour of each class.

    Args:
        labels: the model's classes; files of other ids or colours are refused.
    """
    gr.HTML(
        "<p>A PNG whose pixels hold the class ids, or are painted in the colours below without anti-aliasing. "
        f"Other sizes of the same proportions are resized.{_unknown(labels)}</p><ul>{_classes(labels)}</ul>",
        elem_id="own-maps",
        apply_default_css=False,
    )


def _unknown(labels: LabelSet) -> str:
    """Return a sentence on the ids and colours of unknown pixels in HTML, after a space; nothing if there are none."""
    if not labels.ignore:
        return ""
    listed = ", ".join(map(str, labels.ignore))
    drawn = "the nearest class" if labels.dont_care is None else escape(labels.names[labels.dont_care])
    return f" Pixels of the id or colour {listed} are unknown: they are drawn as {drawn}."


def _classes(labels: LabelSet) -> str:
    """Return the classes as items of a list in HTML."""
    return "".join(
        f'<li><i class="swatch" style="background: rgb({r} {g} {b})"></i><b>{class_id}</b> {escape(name)} '
        f"<small>{r}, {g}, {b}</small></li>"
        for class_id, (name, (r, g, b)) in enumerate(zip(labels.names, labels.palette, strict=True))
    )
