"""Which of gradio's scripts and styles a page is going to need, so that browsers fetch them all at once.

By itself gradio's first script asks for the next, and that for those of the components, one wave after the other: on a
line of 300 ms there and back each wave takes a second. What is needed is read from gradio's own list, in its built
files. Where a version of gradio has another one, nothing is preloaded, and all comes as it would by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from .transfer import Change

_FIRST = re.compile(r'(?:src|href)="\./(assets/[^"]+)"')
_IMPORTS = re.compile(r'(?:from|import)\s*"\./([\w.-]+\.js)"')
_FILES = re.compile(r"m\.f=(\[[^\]]*\])")
# How the list names a component's files: the script that it is imported from, and places in the list of all files.
_COMPONENT = (
    r"[{{,]{name}:{{(?:(?!}}[,}}]).)*?component:\(\)=>\w+\(\(\)=>import\(`\./([\w.-]+)`\)[^\[]*\[([\d,]+)\]"
)


def needed_files(components: Iterable[str]) -> list[str]:
    """Return the paths of what a page with these components needs, such as ``assets/index-1a2b3c.js``.

    Args:
        components: names of gradio's components, as in a page's configuration.
    """
    built = resources.files("gradio") / "templates" / "frontend"
    texts = {one.name: one for one in (built / "assets").iterdir()}

    def text(name: str) -> str:
        return texts[name].read_text(encoding="utf-8") if name in texts else ""

    first = [
        path.removeprefix("assets/") for path in _FIRST.findall((built / "index.html").read_text("utf-8"))
    ]
    frame = [name for name in texts if re.fullmatch(r"(core|Blocks)-[\w-]+\.(js|css)", name)]
    listing = next((script for name in frame if _FILES.search(script := text(name))), "")
    files = _FILES.search(listing)
    if files is None:
        return []
    named = [path.removeprefix("./") for path in json.loads(files[1])]
    found = [*first, *frame]
    for name in found[:]:
        found += _IMPORTS.findall(text(name))
        if name in first and (own := _FILES.search(text(name))):
            found += [path.removeprefix("./") for path in json.loads(own[1])]
    for component in components:
        entry = re.search(_COMPONENT.format(name=re.escape(component)), listing)
        if entry is not None:
            found += [entry[1], *(named[int(place)] for place in entry[2].split(","))]
    return [f"assets/{name}" for name in dict.fromkeys(found) if name in texts]


def page_preloads(config: Any) -> dict[str, str]:
    """Return what goes into the head of each page, by its path.

    Args:
        config: of the page's blocks.
    """
    types = {one["id"]: one["type"] for one in config["components"]}
    return {
        f"/{path}": "".join(map(_link, needed_files({types[number]: None for number in page["components"]})))
        for path, page in config["page"].items()
    }


def with_preloads(config: Any) -> Change:
    """Return what puts :func:`page_preloads` first into the head of each page."""
    heads = {path: head.encode() for path, head in page_preloads(config).items()}

    def change(path: str, page: bytes) -> bytes:
        return page.replace(b"<head>", b"<head>" + heads.get(path, b""), 1)

    return change


def _link(path: str) -> str:
    if path.endswith(".css"):
        return f'<link rel="preload" as="style" crossorigin href="./{path}">'
    return f'<link rel="modulepreload" crossorigin href="./{path}">'
