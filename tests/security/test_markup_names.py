"""Names that are markup: the page shows them as text, wherever it shows them, and asks no other server.

Classes of a model and of a parser, looks, uploaded files, and what stands in the files of a stranger.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.memory.model_identity import ModelIdentity
from page.core.memory.packed_looks import packed
from page.core.memory.saved_work import WORK_FILE, Work
from page.core.session import Session, ShelfItem

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.io.archives import archive_of, files_in
from tests.browser.conftest import chromium_with, serve
from tests.browser.visitor import (
    click,
    open_page,
    open_tab,
    severe_entries,
    status,
    wait_for,
    wait_until_idle,
)
from tests.helpers.page_models import page_model

pytestmark = pytest.mark.slow

# At most 40 characters each, so that no message cuts them; what is made of one has the mark, or leads elsewhere.
NAMES = (
    "<img src=//evil.test/i onerror=mark29=1>",
    "<script src=//evil.test/s id=mark29>",
    "<form id=mark29><input type=password>",
    "![a](//evil.test/m)[mark29](//evil.test)",
    "<a href=javascript:mark29=1 id=mark29>a",
    "<svg id=mark29 onload=mark29=1>",
    "</p>${mark29=1}{{value}}<b id=mark29>",
)
# Notes every element that is made of a name, however soon it goes.
WATCH = """
    window.made29 = [];
    const isMade = (one) => one.id === "mark29" || one.type === "password"
      || [one.src, one.href, one.action].some((to) => /evil|javascript:/.test(`${to}`));
    new MutationObserver(() => {
      for (const one of document.querySelectorAll("*")) if (isMade(one)) made29.push(one.outerHTML);
    }).observe(document, { childList: true, subtree: true, attributes: true });
    window.saved29 = [];
    HTMLAnchorElement.prototype.click = function () { saved29.push(this.download) };
    const send = window.fetch;
    window.fetch = (to, options) => send(to, window.instead29 && options?.body
      ? { ...options, body: options.body.replace(...instead29) } : options);
"""
CHOOSE = """
    const [selector, name, content] = arguments;
    const field = document.querySelector(`${selector} input[type=file]`), chosen = new DataTransfer();
    chosen.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
    field.files = chosen.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model and a parser whose classes are named by the attacker, and files of theirs.

    ``look.zip`` is a look of another model, ``work.zip`` saved work whose looks have the names too.
    """
    folder = tmp_path_factory.mktemp("markup")
    maps = folder / "maps"
    maps.mkdir()
    label = np.repeat(np.arange(32)[:, None] * len(NAMES) // 32, 32, axis=1)
    for name, names in ((NAMES[5], NAMES), ("other", NAMES[::-1])):
        page_model(LabelSet.from_names(names), (32, 32)).save_pretrained(folder / name)
    GroupDNetPipeline.from_pretrained(folder / "other").sample(label, 1).save(folder / "look.zip")
    pipe = GroupDNetPipeline.from_pretrained(model_in(folder))
    looks = [packed(pipe.sample(label, seed)) for seed in range(1 + len(NAMES))]
    shelf = tuple(ShelfItem(name, look) for name, look in zip(NAMES, looks[1:], strict=True))
    work = Work((looks[0],), 0, shelf, replace(Session(), locked=NAMES[:-1]))
    identity = ModelIdentity.of(str(model_in(folder)), pipe.model.config)
    (folder / "work.zip").write_bytes(work.to_bytes(identity))
    pipe.labels.to_file(maps / "classes.json")
    label_picture(label, pipe.labels).save(maps / f"{NAMES[5]}.png")
    (folder / "parser").mkdir()
    parser = {"model_type": "segformer", "id2label": {i: f"p{name}" for i, name in enumerate(NAMES)}}
    (folder / "parser" / "config.json").write_text(json.dumps(parser))
    return folder


def model_in(folder: Path) -> Path:
    return folder / NAMES[5]


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    parser = {"GROUPDNET_PARSER": str(folder / "parser")}
    with serve(model_in(folder), folder / "maps", folder, **parser) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open a Chromium that logs what it asks for, and notes what is made of a name."""
    with chromium_with(tmp_path_factory.mktemp("profile"), ("browser", "performance")) as opened:
        opened.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        yield opened


def asked_elsewhere(browser: Any, address: str) -> list[str]:
    """Return addresses of other servers that were asked since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith((address, "data:", "blob:", "about:", "chrome"))]


def check_page(browser: Any, address: str) -> None:
    assert browser.execute_script("return made29") == []
    assert browser.execute_script("return typeof mark29 === 'number'") is False
    assert asked_elsewhere(browser, address) == []
    assert severe_entries(browser) == []


def text(browser: Any) -> str:
    """Return all text, that of hidden parts too."""
    return browser.execute_script("return document.body.textContent")


def choose(browser: Any, selector: str, name: str, content: bytes) -> None:
    """Upload a file, whose name may be one that no disk would take."""
    browser.execute_script(CHOOSE, selector, name, base64.b64encode(content).decode())


def told(browser: Any, *parts: str, patience: float = 60) -> None:
    """Wait for a toast with these texts, and until all that there are have gone."""
    script = """
        const toasts = [...document.querySelectorAll("[data-testid=toast-text]")].map((one) => one.textContent);
        const found = toasts.some((one) => arguments[0].every((part) => one.includes(part)));
        if (found) for (const one of document.querySelectorAll("[data-testid=toast-close]")) one.click();
        return found;
    """
    wait_for(lambda: browser.execute_script(script, parts), f"a message with {parts}", patience)
    wait_for(lambda: not browser.find_elements("css selector", "[data-testid=toast-text]"), "it to go")


def says(browser: Any, part: str) -> None:
    wait_for(lambda: part in status(browser), f"a status with {part}")


def found(browser: Any, selector: str, name: str) -> Any:
    """Wait for the element of these whose text or title has a name."""
    script = """
        return [...document.querySelectorAll(arguments[0])].find(
          (one) => `${one.textContent} ${one.title}`.includes(arguments[1]));
    """
    return wait_for(lambda: browser.execute_script(script, selector, name), f"{selector} of {name}")


def open_work(browser: Any, folder: Path) -> None:
    choose(browser, "#work", "work.zip", (folder / "work.zip").read_bytes())
    says(browser, "Your work is open")
    wait_until_idle(browser)


def test_names_of_classes(browser: Any, address: str, folder: Path) -> None:
    open_page(browser, address)
    for tab in ("Mix", "Morph", "Map files", "Photo"):
        open_tab(browser, tab)
    assert all(text(browser).count(name) > 3 for name in NAMES)
    for class_id, name in enumerate(NAMES):
        click(browser, f"#painter [data-class='{class_id}'] [data-tool=redraw]")
        wait_for(lambda name=name: f"{name} in" in text(browser), f"candidates for {name}")
        wait_until_idle(browser)
        click(browser, "#candidates .pick")
        says(browser, f"Redrew {name} (seed")
    check_page(browser, address)
    choose(browser, "#work", "look.zip", (folder / "look.zip").read_bytes())
    told(browser, "another model", *NAMES)
    open_work(browser, folder)
    click(browser, "#nine-samples")
    says(browser, f"All keep {', '.join(NAMES[:-1])}")
    wait_until_idle(browser)
    # The first photo, which lets the parser's names be read.
    choose(browser, "#photo-sources", "photo.png", next((folder / "maps").glob("*.png")).read_bytes())
    told(browser, *NAMES, *(f"p{name}"[:37] for name in NAMES), patience=120)
    check_page(browser, address)


def test_names_of_looks(browser: Any, address: str, folder: Path) -> None:
    open_page(browser, address)
    open_work(browser, folder)
    for index, name in enumerate(NAMES):
        item = f"#shelf .item:nth-child({index + 1})"
        click(browser, f"{item} .pick")
        says(browser, f"Back to {name}.")
        click(browser, f"{item} .name")
        click(browser, "#shelf .shelf-editor [type=submit]")
        says(browser, f"{name} is called {name} now.")
        click(browser, "#shelf .shelf-editor [aria-label^='Save this look']")
        wait_for(lambda index=index: browser.execute_script("return saved29.length") > index, "the file")
        click(browser, "#shelf .shelf-editor [aria-label^='Delete']")
        says(browser, f"{name} is deleted from the shelf.")
        click(browser, "#shelf .shelf-gone button")
        says(browser, "The look is back on the shelf.")
        wait_until_idle(browser)
    saved = browser.execute_script("return saved29")
    assert not set("".join(saved)) & set('<>(){}[]/$!"')
    check_page(browser, address)
    open_tab(browser, "Mix")
    for name in NAMES:
        found(browser, "#board thead button", name).click()
        click(browser, "#mix")
        says(browser, f"of {name}")
        wait_until_idle(browser)
    open_tab(browser, "Morph")
    for name in NAMES:
        click(browser, "#morph-a input")
        found(browser, "#morph-a [role=option]", name).click()
        wait_until_idle(browser)
        click(browser, "#morph-use")
        says(browser, f"Between {name} and")
        wait_until_idle(browser)
    check_page(browser, address)
    # gradio's own error, as of a page whose script was changed.
    for name in NAMES:
        browser.execute_script("window.instead29 = arguments", json.dumps(NAMES[-1]), json.dumps(f"?{name}"))
        click(browser, "#morph-use")
        told(browser, f"Value: ?{name} is not in the list of choices")
    check_page(browser, address)
    # What the browser has kept comes back.
    browser.execute_script("window.instead29 = null")
    open_page(browser, address, known=True)
    click(browser, "#keeper [data-work]")
    says(browser, "Everything is back")
    assert all(name in text(browser) for name in NAMES)
    check_page(browser, address)


def works(folder: Path, name: str) -> Iterator[tuple[bytes, str]]:
    """Yield files that say they are saved work, and what is told of them."""
    files = files_in((folder / "work.zip").read_bytes(), "", most_files=99, most_bytes=2**24)
    facts = json.loads(files.pop(WORK_FILE))

    def changed(**parts: Any) -> bytes:
        return archive_of({WORK_FILE: json.dumps(facts | parts).encode(), **files})

    yield changed(model={"name": name, "digest": name}), f"another model, {name!r}"
    yield changed(steps=[name]), f"lacks the look {name!r}"
    yield changed(at=name), f"it is {name!r}"
    yield changed(locked=[f"?{name}"]), f"?{name}"
    twice = f'{{"{name}": 1, "{name}": 2}}'.encode()
    yield archive_of({WORK_FILE: twice}), f"the key {name!r} occurs more than once"


def test_names_of_files_and_in_files(browser: Any, address: str, folder: Path) -> None:
    open_page(browser, address)
    open_tab(browser, "Photo")
    for name in NAMES:
        for content, sentence in works(folder, name):
            choose(browser, "#work", "work.zip", content)
            told(browser, sentence)
        # gradio takes from names what is no part of a file's.
        seen = name.rpartition("/")[2].translate(dict.fromkeys(map(ord, '<>:"|?*`$!{}'))).lstrip(" .-")
        choose(browser, "#work", f"{name}.zip", b"no archive")
        told(browser, seen[1:], "is not a zip archive")  # its first letter is a capital one here
        for buttons in ("#map-sources", "#photo-sources"):
            choose(browser, buttons, f"{name}.png", b"no picture")
            told(browser, "picture")
            choose(browser, buttons, f"{name}.exe", b"no picture")
            told(browser, "Invalid file type")  # gradio's own, of the browser
    check_page(browser, address)


def test_names_on_other_pages(browser: Any, address: str) -> None:
    # All of it is there: whoever leaves while a question is drawn breaks gradio's stream off, which it logs.
    for path, last in (("evaluation", "Question 1 of"), ("programs", "One client is one session")):
        browser.get(f"{address}{path}")
        wait_for(lambda last=last: last in text(browser), path)
        wait_until_idle(browser)
        check_page(browser, address)
    click(browser, ".show-api")
    wait_for(lambda: "/open_work" in text(browser), "what there is to call")
    check_page(browser, address)
