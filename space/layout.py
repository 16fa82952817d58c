"""The components of the page and where they stand; ``events.py`` says what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from session import CURRENT, MAX_SEED, OPENING_SEED, SHELF_SIZE, Session

from groupdnet_hub import LabelSet, colour_picture

# What the package reads; phones offer the right files by it.
PICTURE_FILES = [".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"]


@dataclass(frozen=True)
class Parts:
    """The components that events read or change."""

    picture: gr.Image
    status: gr.Markdown
    seed: gr.Number
    draw: gr.Button
    new_sample: gr.Button
    undo: gr.Button
    keep: gr.Button
    label_map: gr.Image
    examples: gr.Gallery
    upload: gr.UploadButton
    rerolls: list[gr.Button]
    shelf: gr.Gallery
    first: gr.Dropdown
    second: gr.Dropdown
    first_picture: gr.Image
    second_picture: gr.Image
    choices: list[gr.Radio]
    mix: gr.Button

    @property
    def mixing(self) -> list[Any]:
        """What ``mix_view`` fills."""
        return [self.first_picture, self.second_picture, *self.choices]

    @property
    def stage(self) -> list[Any]:
        """What ``stage_view`` fills."""
        changed = [self.picture, self.label_map, self.status, self.seed, self.undo]
        return [*changed, *self.rerolls, *self.mixing]

    @property
    def shelves(self) -> list[Any]:
        """What ``shelf_view`` fills."""
        return [self.shelf, self.first, self.second]


def make_parts(labels: LabelSet, examples: Sequence[Path], opened: Session) -> Parts:
    """Lay out the page.

    Args:
        examples: label maps to choose from.
        opened: what a visitor finds; it may be without a picture.
    """
    gr.Markdown(
        "# GroupDNet\nA label map becomes a picture, and every class of it has an appearance of its own. "
        "**Redraw one, and the rest stays.**",
        elem_id="title",
    )
    made: dict[str, Any] = {}
    with gr.Row(elem_id="stage"):
        made |= _picture_panel(opened)
        made |= _classes_panel(labels, opened)
        made |= _controls_panel()
        made |= _map_panel(labels, examples, opened)
    with gr.Row(elem_id="looks"):
        made |= _shelf_panel()
        made |= _mix_panel(labels, opened)
    with gr.Accordion("Label maps of your own", open=False, elem_id="own-maps"):
        gr.HTML(_upload_help(labels))
    return Parts(**made)


def _image(elem_id: str, value: Any, buttons: Sequence[str] = ()) -> gr.Image:
    """A picture to look at. As PNG, since gradio's WebP would smear it."""
    return gr.Image(
        value,
        type="pil",
        format="png",
        interactive=False,
        show_label=False,
        container=False,
        buttons=list(buttons),
        elem_id=elem_id,
    )


def _picture_panel(opened: Session) -> dict[str, Any]:
    with gr.Column(elem_id="picture-panel"):
        gr.Markdown("### Picture")
        picture = _image("picture", opened.look and opened.look.image, ("download", "fullscreen"))
        status = gr.Markdown(
            "Upload a label map of this model's classes to begin."
            if opened.look is None
            else f"Drawn with seed {opened.look.seed}.",
            elem_id="status",
        )
    return {"picture": picture, "status": status}


def _controls_panel() -> dict[str, Any]:
    with gr.Column(elem_id="controls"):
        with gr.Row():
            new_sample = gr.Button("New sample", variant="primary", elem_id="new-sample", min_width=90)
            undo = gr.Button("Undo", interactive=False, elem_id="undo", min_width=60)
            keep = gr.Button("Keep this look", elem_id="keep", min_width=90)
        with gr.Row(elem_id="seed-row"):
            seed = gr.Number(
                OPENING_SEED,
                label="Seed",
                precision=0,
                minimum=0,
                maximum=MAX_SEED,
                elem_id="seed",
                min_width=120,
            )
            draw = gr.Button("Draw this seed", elem_id="sample", min_width=120)
    return {"seed": seed, "draw": draw, "new_sample": new_sample, "undo": undo, "keep": keep}


def _map_panel(labels: LabelSet, examples: Sequence[Path], opened: Session) -> dict[str, Any]:
    with gr.Column(elem_id="map-panel"):
        gr.Markdown("### Label map")
        with gr.Row(elem_id="map-row"):
            label_map = _image(
                "label-map",
                None if opened.look is None else colour_picture(opened.look.mask, labels),
                ("download",),
            )
            with gr.Column(elem_id="map-sources"):
                gallery = gr.Gallery(
                    [str(path) for path in examples],
                    columns=3,
                    buttons=[],
                    allow_preview=False,
                    show_label=False,
                    container=False,
                    format="png",
                    elem_id="examples",
                    visible=bool(examples),
                )
                upload = gr.UploadButton(
                    "Upload a label map",
                    file_types=PICTURE_FILES,
                    file_count="single",
                    type="filepath",
                    size="md",
                    elem_id="upload",
                )
    return {"label_map": label_map, "examples": gallery, "upload": upload}


def _classes_panel(labels: LabelSet, opened: Session) -> dict[str, Any]:
    shown = () if opened.look is None else opened.look.classes
    with gr.Column(elem_id="classes-panel"):
        gr.Markdown("### Classes on this map\nPress one to redraw it. All others keep their look.")
        with gr.Row(elem_id="rerolls"):
            rerolls = [
                gr.Button(
                    name,
                    visible=name in shown,
                    size="md",
                    elem_id=f"reroll-{class_id}",
                    elem_classes=["class-name", f"class-{class_id}"],
                    min_width=120,
                )
                for class_id, name in enumerate(labels.names)
            ]
    return {"rerolls": rerolls}


def _shelf_panel() -> dict[str, Any]:
    with gr.Column(elem_id="shelf-panel"):
        gr.Markdown(
            f"### Shelf\nKeep up to {SHELF_SIZE} looks, to come back to or to mix. Press one to bring it back."
        )
        shelf = gr.Gallery(
            columns=4,
            buttons=[],
            allow_preview=False,
            show_label=False,
            container=False,
            format="png",
            elem_id="shelf",
            visible=False,
        )
    return {"shelf": shelf}


def _mix_panel(labels: LabelSet, opened: Session) -> dict[str, Any]:
    shown = () if opened.look is None else opened.look.classes
    image = opened.look and opened.look.image
    names: dict[str, Any] = {"choices": [CURRENT], "value": CURRENT, "filterable": False, "min_width": 110}
    with gr.Column(elem_id="mix-panel"):
        gr.Markdown(
            "### Mix two looks\nA gives the label map. Choose, class by class, whose appearance it has."
        )
        with gr.Row(elem_id="mix-row"):
            with gr.Column(elem_classes="mix-look", min_width=110):
                first_picture = _image("picture-a", image)
                first = gr.Dropdown(label="Look A", elem_id="look-a", **names)
            with gr.Column(elem_classes="mix-look", min_width=110):
                second_picture = _image("picture-b", image)
                second = gr.Dropdown(label="Look B", elem_id="look-b", **names)
            with gr.Column(elem_id="choices", min_width=220):
                choices = [
                    gr.Radio(
                        ["A", "B"],
                        value="A",
                        label=name,
                        visible=name in shown,
                        elem_id=f"from-{class_id}",
                        elem_classes=["choice", f"class-{class_id}"],
                    )
                    for class_id, name in enumerate(labels.names)
                ]
                mix = gr.Button("Mix", variant="primary", elem_id="mix")
    return {
        "first": first,
        "second": second,
        "first_picture": first_picture,
        "second_picture": second_picture,
        "choices": choices,
        "mix": mix,
    }


def _upload_help(labels: LabelSet) -> str:
    rows = "".join(
        f'<li class="class-{class_id}"><i></i><b>{class_id}</b> {escape(name)} <small>{r}, {g}, {b}</small></li>'
        for class_id, (name, (r, g, b)) in enumerate(zip(labels.names, labels.palette, strict=True))
    )
    return (
        "<p>A PNG whose pixels hold the class ids, or are painted in the colours below without smoothing. "
        f"Other sizes of the same proportions are resized.</p><ul>{rows}</ul>"
    )
