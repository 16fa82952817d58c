"""What other sites show of a link to the page: its title, a sentence and the README's picture."""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from .transfer import Change

TITLE = "GroupDNet: redraw one class of a picture, keep the rest"
DESCRIPTION = "Paint a label map: it becomes a picture. Redraw one class, and the rest stays."
PICTURE = "reroll_mix_morph_edit.png"
PICTURE_SHOWS = "A picture whose classes are redrawn one at a time, mixed, morphed and edited"
_ADDRESS = "/link-preview.png"
_SPACE = Path(__file__).resolve().parents[2]
_TAG = re.compile(rb'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')


def preview_picture() -> Path | None:
    """Return the picture: a clone has it among the documents, a Space or an installed package beside ``app.py``."""
    places = (_SPACE / PICTURE, _SPACE.parent / "docs" / PICTURE)
    return next((path for path in places if path.is_file()), None)


def preview_routes(picture: Path | None) -> list[Route]:
    """Return what serves the picture, if there is one."""
    return [] if picture is None else [Route(_ADDRESS, _serving(picture))]


def with_preview(picture: Path | None) -> Change:
    """Return what puts our tags in place of those that gradio writes into each page, of its own name and picture.

    What ``launch(head=...)`` takes comes too late: a script puts it there, and sites run none.
    """
    tags = preview_tags(picture).encode()

    def change(path: str, page: bytes) -> bytes:
        ours = iter([tags])
        head, script, rest = page.partition(b"<script")
        return _TAG.sub(lambda _: next(ours, b""), head) + script + rest

    return change


def preview_tags(picture: Path | None) -> str:
    """Return the tags for the head of a page; without a picture, those of the text alone."""
    tags = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "twitter:card": "summary" if picture is None else "summary_large_image",
    }
    if picture is not None:
        tags |= {"og:image": public_address() + _ADDRESS, "og:image:alt": PICTURE_SHOWS}
    return "".join(
        f'<meta {"name" if name.startswith("twitter:") else "property"}="{name}" content="{escape(content)}">'
        for name, content in tags.items()
    )


def public_address() -> str:
    """Return where visitors find the page, as far as its environment tells; sites want a picture's full address.

    That is ``GRADIO_ROOT_PATH`` if it is an address, on a Space its host, and else nothing, which leaves addresses
    relative to the root of the site.
    """
    root = os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/")
    host = os.environ.get("SPACE_HOST", "")
    if urlsplit(root).scheme or not host:
        return root
    return f"https://{host}{root}"


def _serving(picture: Path) -> Any:
    def serve(request: Request) -> FileResponse:
        return FileResponse(
            picture, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"}
        )

    return serve
