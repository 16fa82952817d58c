"""What other sites show of a link to the page: its title, a sentence and the README's picture."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

TITLE = "GroupDNet: redraw one class of a picture, keep the rest"
DESCRIPTION = (
    "Paint a label map, and it becomes a picture. Every class has its own appearance: redraw one, and the rest stays."
)
PICTURE = "reroll_mix_morph_edit.png"
PICTURE_SHOWS = "A picture whose classes are redrawn one at a time, mixed, morphed and edited"
_ADDRESS = "/link-preview.png"
_SPACE = Path(__file__).resolve().parents[2]


def preview_picture() -> Path | None:
    """Return the picture: a clone has it among the documents, a Space or an installed package beside ``app.py``."""
    places = (_SPACE / PICTURE, _SPACE.parent / "docs" / PICTURE)
    return next((path for path in places if path.is_file()), None)


def preview_head(picture: Path | None) -> str:
    """Return the tags for the page's head; without a picture, those of the text alone."""
    tags = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "twitter:card": "summary" if picture is None else "summary_large_image",
    }
    if picture is not None:
        tags |= {"og:image": public_address() + _ADDRESS, "og:image:alt": PICTURE_SHOWS}
    return "".join(_tag(name, content) for name, content in tags.items())


def preview_routes(picture: Path | None) -> list[Route]:
    """Return the route under which the page's server has the picture, if there is one."""
    if picture is None:
        return []

    def serve(request: Request) -> FileResponse:
        return FileResponse(picture, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"})

    return [Route(_ADDRESS, serve)]


def public_address() -> str:
    """Return where visitors find the page, as far as its environment tells; sites want a picture's full address.

    That is ``GRADIO_ROOT_PATH`` if it is set, on a Space its host, and else nothing, which leaves addresses relative
    to the root of the site.
    """
    root = os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/")
    host = os.environ.get("SPACE_HOST", "")
    if urlsplit(root).scheme or not host:
        return root
    return f"https://{host}{root}"


def _tag(name: str, content: str) -> str:
    key = "name" if name.startswith("twitter:") else "property"
    return f'<meta {key}="{name}" content="{escape(content)}">'
