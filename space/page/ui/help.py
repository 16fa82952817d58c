"""The help behind "?": what words and keys mean, and where the model comes from."""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from groupdnet_hub.hub.files import FACTS_FILE
from groupdnet_hub.hub.weights import read_facts

from ..core.studio import Studio
from .components import script

PAPER = "https://arxiv.org/abs/2003.12697"
CODE = "https://github.com/groupdnet-hub/groupdnet-hub"
HUB = "https://huggingface.co"
# The folder that holds the bundled models, in a clone and in an installed package alike.
_SPACE = Path(__file__).resolve().parents[2]
_WORDS = (
    (
        "label map",
        "says for each pixel what is there: hair, face, shoes. It is the painted map beside the picture, in which "
        "every colour is a class.",
    ),
    ("class", "one kind of thing on the map, such as hair."),
    (
        "look",
        "a picture with its label map and with the appearance of each class. Looks can be kept, mixed class by class, "
        "and morphed.",
    ),
    (
        "seed",
        "the number that an appearance is drawn from. The same seed on the same map draws the same picture again.",
    ),
    ("locked", "a locked class keeps its appearance when a new sample is drawn."),
    ("shelf", "where the looks that you keep stay, to come back to and to mix and morph."),
)
_STEPS = (
    "Paint on the map: the picture follows, and every class keeps its appearance.",
    "Press ⟳ beside a class to redraw it: the rest stays. Then press one of the candidates to take it.",
    "Keep a look, then mix or morph it with others, or with the look of a photo.",
)
_KEYS = (
    (
        ("←", "→", "↑", "↓"),
        "move over the label map, with Shift further; in the list of classes, choose the next one",
    ),
    (("Space",), "paint; set the corners of a rectangle or a lasso, which Enter closes"),
    (
        ("1", "to", "9"),
        "on the label map, choose a class; among candidates, show one large, which Enter takes",
    ),
    (("B", "E", "F"), "brush, eraser, fill"),
    (("R", "L"), "rectangle, lasso"),
    (("I",), "eyedropper, which takes the class that is pressed, as Alt does with any tool"),
    (("M", "H"), "mirror; flip the whole map"),
    (("[", "]"), "smaller or larger brush"),
    (("+", "-"), "zoom, as the wheel does with Ctrl and two fingers do"),
    (("Ctrl+Z", "Ctrl+Y"), "undo and redo"),
    (("?",), "this help"),
    (("Esc",), "close it; leave full screen"),
)


def lay_out_help(studio: Studio) -> gr.HTML:
    """Lay out the button "?" and the dialog that it opens."""
    # As a value: a template would run what a name might hold.
    return gr.HTML(
        '<button type="button" class="help-open" aria-haspopup="dialog" title="Help (?)" aria-label="Help">?</button>'
        f'<dialog class="help" aria-labelledby="help-title">{_text(studio)}</dialog>',
        js_on_load=script("help.js"),
        elem_id="help",
        apply_default_css=False,
    )


def card_address(source: str) -> str | None:
    """Return where a model's card can be read, if that is known: on the Hub, or in the code's repository."""
    folder = Path(source).resolve()
    if not folder.is_dir():
        return f"{HUB}/{quote(source)}"
    if folder.is_relative_to(_SPACE):
        return f"{CODE}/blob/main/space/{quote(folder.relative_to(_SPACE).as_posix())}/README.md"
    return None


def model_facts(studio: Studio) -> dict[str, str]:
    """Return what is known of a model, as plain text by name."""
    (height, width), labels = studio.size, studio.labels
    facts = {
        "Name": Path(studio.source).name if Path(studio.source).is_dir() else studio.source,
        "Pictures": f"{height} x {width} pixels (height x width)",
        "Classes": f"{len(labels)}",
    }
    try:
        path = Path(studio.source) / FACTS_FILE
        written = read_facts(path if path.is_file() else None, studio.source)
    except (ValueError, OSError):  # whoever loads the model is told
        written = {}
    for name, key in (("Licence", "license"), ("Trained on", "data")):
        if isinstance(written.get(key), str):
            facts[name] = written[key]
    return facts


def _text(studio: Studio) -> str:
    """Return what the dialog says, in HTML."""
    links = {"The paper": PAPER, "The model's card": card_address(studio.source), "The code": CODE}
    listed = "".join(
        f'<li><a href="{escape(address)}" target="_blank" rel="noopener">{name}</a></li>'
        for name, address in links.items()
        if address
    )
    return (
        '<form method="dialog"><h2 id="help-title">Help</h2>'
        '<button class="close" aria-label="Close">&times;</button></form>'
        f"<ol>{''.join(f'<li>{step}</li>' for step in _STEPS)}</ol>"
        f"<h3>Words</h3>{_described(dict(_WORDS))}"
        f"<h3>Keys</h3><table>{''.join(map(_key_row, _KEYS))}</table>"
        f"<h3>This model</h3>{_described(model_facts(studio))}<ul>{listed}</ul>"
    )


def _described(texts: dict[str, str]) -> str:
    """Return names and what they mean as a list in HTML."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in texts.items())}</dl>"


def _key_row(row: tuple[tuple[str, ...], str]) -> str:
    keys, meaning = row
    pressed = " ".join(key if key == "to" else f"<kbd>{escape(key)}</kbd>" for key in keys)
    return f'<tr><th scope="row">{pressed}</th><td>{escape(meaning)}</td></tr>'
