"""Files that are dropped on the page or pasted: they take the way of the upload buttons, or get a sentence."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from tests.browser.visitor import (
    canvas_map,
    message,
    open_page,
    open_tab,
    source,
    sources,
    status,
    wait_for,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Arguments: the event ("drop" or "paste"), the selector of where, and a list of [name, media type, content in base64].
_SEND = """
const [kind, selector, files] = arguments;
const data = new DataTransfer();
for (const [name, type, content] of files)
  data.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name, { type }));
const target = document.querySelector(selector);
const options = { bubbles: true, cancelable: true };
if (kind === "paste") {
  return target.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
}
target.dispatchEvent(new DragEvent("dragover", { ...options, dataTransfer: data }));
window.marked = document.querySelector(".receives")?.id ?? null;
return target.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
"""


def send(browser: Any, kind: str, selector: str, *paths: Path, media_type: str = "image/png") -> None:
    """Drop files on an element, or paste them into it; the browser must not leave the page for them."""
    files = [[path.name, media_type, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    assert browser.execute_script(_SEND, kind, selector, files) is False, (
        "the browser would open the file itself"
    )


def told(browser: Any) -> str:
    return browser.execute_script(
        "const p = document.querySelector('#dropped p'); return p.hidden ? '' : p.textContent"
    )


def save_map(folder: Path) -> tuple[Path, np.ndarray]:
    path, label = folder / "map.png", np.asarray(draw_figure(4, (256, 256))[1])
    label_picture(label, FIGURE_LABELS).save(path)
    return path, label


def save_photo(folder: Path) -> Path:
    draw_figure(4, (256, 256))[0].save(folder / "photo.png")
    return folder / "photo.png"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_label_map_on_the_stage_is_opened_and_a_photo_on_its_tab(
    browser: Any, page_address: str, tmp_path: Path, kind: str
) -> None:
    path, label = save_map(tmp_path)
    open_page(browser, page_address)
    size = canvas_map(browser).shape
    if kind == "paste":
        browser.execute_script("document.querySelector('#painter canvas').focus()")
    send(browser, kind, "#painter canvas", path)
    wait_for(lambda: status(browser).startswith("Your label map"), "the label map")
    expected = read_label_map(label, FIGURE_LABELS, size=size, resize=True)
    wait_for(lambda: np.array_equal(canvas_map(browser), expected), "its canvas")
    if kind == "drop":
        assert browser.execute_script("return window.marked") == "stage"
    wait_until_idle(browser)
    open_tab(browser, "Photo")
    wait_for(lambda: sources(browser, "#photo-examples"), "the tab")
    if kind == "paste":
        browser.execute_script("document.querySelector('#photo-painter canvas').focus()")
    send(browser, kind, "#photo-painter canvas", save_photo(tmp_path))
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    assert source(browser, "#photo-frame").startswith("data:image/webp")
    assert browser.execute_script("return document.querySelector('.receives')") is None
    wait_until_idle(browser)


def test_what_cannot_be_opened_is_told(browser: Any, page_address: str, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    (tmp_path / "photo.heic").write_bytes(bytes(20))
    photo, (label, _) = save_photo(tmp_path), save_map(tmp_path)
    open_page(browser, page_address)
    before = source(browser, "#picture")
    send(browser, "drop", "#stage", tmp_path / "diary.txt", media_type="text/plain")
    wait_for(
        lambda: told(browser).startswith("diary.txt cannot be opened as a label map: it must be .png"), "it"
    )
    send(browser, "drop", "#stage", tmp_path / "photo.heic", media_type="")
    wait_for(lambda: told(browser).startswith("photo.heic cannot be opened as a label map"), "it")
    send(browser, "drop", "#stage", photo, label)
    wait_for(lambda: told(browser) == "These are 2 files: one at a time, please.", "the sentence")
    send(browser, "drop", "#title", photo)
    wait_for(
        lambda: told(browser).startswith("Drop a label map on the map above, or a photo"), "the sentence"
    )
    assert source(browser, "#picture") == before
    # A file that only looks like a picture gets the server's sentence.
    (tmp_path / "diary.txt").rename(tmp_path / "diary.png")
    send(browser, "drop", "#stage", tmp_path / "diary.png")
    assert "'diary.png' is not a picture that can be read" in message(browser)
    assert source(browser, "#picture") == before


def test_another_script_may_take_a_file_first(browser: Any, page_address: str, tmp_path: Path) -> None:
    open_page(browser, page_address)
    browser.execute_script(
        "window.taken = [];"
        "window.groupdnetTakers.push(async (file, target) => window.taken.push([file.name, target]) > 0)"
    )
    before = source(browser, "#picture")
    for selector, target in (("#stage", "map"), ("#title", None)):
        send(browser, "drop", selector, save_map(tmp_path)[0])
        wait_for(lambda: browser.execute_script("return window.taken.length"), "it to be taken")
        assert browser.execute_script("return window.taken.pop()") == ["map.png", target]
    assert source(browser, "#picture") == before
    assert told(browser) == ""


def test_text_that_is_pasted_goes_where_it_should(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    left_alone = browser.execute_script(
        "const data = new DataTransfer(); data.setData('text/plain', '7');"
        "return document.querySelector('#seed input').dispatchEvent("
        "new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: data }))"
    )
    assert left_alone
    assert told(browser) == ""
