"""What other sites show of a link to the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")

from page.server import link_preview
from page.server.transfer import ChangedPages
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.helpers.shared_data import ROOT

GRADIOS = (
    '<html><head><meta charset="utf-8" /><meta property="og:title" content="Gradio" />'
    '<meta\n  property="og:image"\n  content="https://elsewhere/header.jpg"\n/>'
    '<meta name="twitter:creator" content="@Gradio" /><style>p { color: red }</style>'
    '<script>window.config = \'<meta property="og:title" content="theirs" />\'</script></head>ü</html>'
)


def visit(picture: Path | None) -> TestClient:
    routes = [Route("/", lambda request: HTMLResponse(GRADIOS))]
    routes += [Route("/plain", lambda request: PlainTextResponse(GRADIOS))]
    app = Starlette(routes=[*link_preview.preview_routes(picture), *routes])
    return TestClient(ChangedPages(app, [link_preview.with_preview(picture)]))


def tags(text: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:property|name)="([a-z:]+)" content="([^"]*)">', text))


def test_our_tags_take_the_place_of_gradio_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_ROOT_PATH", raising=False)
    monkeypatch.setenv("SPACE_HOST", "someone-page.hf.space")
    picture = link_preview.preview_picture()
    client = visit(picture)
    answer = client.get("/")
    found = tags(answer.text)
    assert found["og:title"] == link_preview.TITLE
    assert found["og:description"] == link_preview.DESCRIPTION
    assert found["twitter:card"] == "summary_large_image"
    assert found["og:image"] == "https://someone-page.hf.space/link-preview.png"
    assert "elsewhere" not in answer.text
    assert "@Gradio" not in answer.text
    # All else is as it was, and as long as it says.
    assert 'content="theirs"' in answer.text
    assert "<style>p { color: red }</style>" in answer.text
    assert answer.text.endswith("ü</html>")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert client.get("/plain").text == GRADIOS
    served = client.get("/link-preview.png")
    assert served.headers["content-type"] == "image/png"
    assert served.content == (ROOT / "docs" / link_preview.PICTURE).read_bytes()


def test_without_the_picture_there_is_no_tag_of_one() -> None:
    client = visit(None)
    found = tags(client.get("/").text)
    assert found["twitter:card"] == "summary"
    assert not any(name.startswith("og:image") for name in found)
    assert client.get("/link-preview.png").status_code == 404


@pytest.mark.parametrize(
    ("root", "host", "expected"),
    [
        ("", "", ""),
        ("/groupdnet", "", "/groupdnet"),
        ("", "a.hf.space", "https://a.hf.space"),
        ("/sub/", "a.hf.space", "https://a.hf.space/sub"),
        ("https://example.org/page/", "a.hf.space", "https://example.org/page"),
    ],
)
def test_the_address_is_as_full_as_is_known(
    monkeypatch: pytest.MonkeyPatch, root: str, host: str, expected: str
) -> None:
    monkeypatch.setenv("GRADIO_ROOT_PATH", root)
    monkeypatch.setenv("SPACE_HOST", host)
    assert link_preview.public_address() == expected


def test_the_space_s_settings_name_the_same_picture() -> None:
    settings = (ROOT / "space" / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert re.search(
        rf"^thumbnail: https://.*/docs/{re.escape(link_preview.PICTURE)}$", settings, re.MULTILINE
    )
