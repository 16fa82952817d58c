"""What other sites show of a link to the page: its title, a sentence and the README's picture."""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


def preview_options(picture: Path | None) -> dict[str, Any]:
    """Return options of the page's server, with which its pages have our tags, and it the picture if there is one."""
    options: dict[str, Any] = {"middleware": [Middleware(PreviewTags, tags=preview_tags(picture))]}
    if picture is not None:
        options["routes"] = [Route(_ADDRESS, _serving(picture))]
    return options


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


class PreviewTags:
    """Puts our tags in place of those that gradio writes into each page, which show its own name and picture.

    What ``launch(head=...)`` takes comes too late: a script puts it there, and sites run none.
    """

    def __init__(self, app: ASGIApp, tags: str) -> None:
        self.app, self.tags = app, tags.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, but with our tags in what is HTML."""
        start: Message | None = None
        parts: list[bytes] = []

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_html(message):
                start = message
            elif start is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    page = self._tagged(b"".join(parts))
                    MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
                    await send(start)
                    await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, send_tagged if scope["type"] == "http" else send)

    def _tagged(self, page: bytes) -> bytes:
        ours = iter([self.tags])
        head, script, rest = page.partition(b"<script")
        return _TAG.sub(lambda _: next(ours, b""), head) + script + rest


def _is_html(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("text/html")


def _serving(picture: Path) -> Any:
    def serve(request: Request) -> FileResponse:
        return FileResponse(
            picture, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"}
        )

    return serve
