"""What makes the page readable: contrast, a sign of every longer wait, all of it at hand on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.labels import label_picture
from tests.browser.conftest import serve
from tests.browser.visitor import (
    changed_by,
    click,
    leave,
    open_page,
    open_tab,
    paint,
    pixels,
    upload,
    wait_for,
)

pytestmark = pytest.mark.browser

TABS = ("Mix", "Morph", "Photo", "Map files")
# Texts whose contrast with what lies behind them is under WCAG's 4.5 to 1; what is disabled need not have it.
FAINT = """
const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
const behind = (e) => {
  if (!e) return [255, 255, 255];
  const colour = parse(getComputedStyle(e).backgroundColor);
  return colour[3] === 1 ? colour : over(colour, behind(e.parentElement));
};
const faint = [];
for (const e of document.querySelectorAll("body *")) {
  const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join(" ").trim();
  if (!text || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  if (e.closest(":disabled")) continue;
  const back = behind(e);
  const [a, b] = [light(over(parse(getComputedStyle(e).color), back)), light(back)];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) faint.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return faint;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Any, page_address: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        open_page(browser, page_address)
        is_dark = browser.execute_script("return document.body.classList.contains('dark')")
        assert is_dark == (scheme == "dark")
        for tab in TABS:
            open_tab(browser, tab)
            assert browser.execute_script(FAINT) == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_all_tabs_are_at_hand_on_a_phone(browser: Any, page_address: str) -> None:
    open_page(browser, page_address, width=390, height=844)
    for tab in TABS:
        open_tab(browser, tab)
        wide, inner = browser.execute_script(
            "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
        )
        assert wide <= inner


@pytest.mark.slow
def test_a_wait_of_over_a_second_shows_progress(browser: Any, page_address: str) -> None:
    """Whatever is pressed: here undo, behind the calls of other visitors, who have not had a turn yet."""
    gradio_client = pytest.importorskip("gradio_client")
    others = [gradio_client.Client(page_address, verbose=False, analytics_enabled=False) for _ in range(4)]
    open_page(browser, page_address)
    before = pixels(browser)
    changed_by(browser, lambda: click(browser, "#new-sample"))
    jobs = [other.submit(1, api_name="/nine_samples") for other in others]
    wait_for(lambda: any(job.status().code.name == "PROCESSING" for job in jobs), "the other visitors' turn")
    click(browser, "#undo")
    shown = """
        const wheel = document.querySelector("#picture [data-testid=status-tracker]");
        return wheel !== null && getComputedStyle(wheel).opacity === "1";
    """
    wait_for(lambda: browser.execute_script(shown), "the sign that something is going on")
    assert not np.array_equal(pixels(browser), before)
    wait_for(lambda: np.array_equal(pixels(browser), before), "the picture before", 180)
    wait_for(lambda: not browser.execute_script(shown), "the end of the sign")
    for job in jobs:
        job.result(timeout=180)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["cityscapes", "ade20k"])
def test_a_model_of_many_classes(browser: Any, tmp_path: Path, preset: str) -> None:
    """35 classes with instance edges, and 151: found by name, painted exactly; the page stays within the window."""
    whole = GroupDNetConfig.preset(preset)
    labels = LabelSet(whole.class_names, whole.palette)
    config = GroupDNetConfig.for_labels(labels, (64, 64), width=4, instance_edges=whole.instance_edges)
    GroupDNet(config).save_pretrained(tmp_path / "model")
    ids = np.zeros((64, 64), np.int64)
    ids[20:44, 20:44] = 7
    label_picture(ids, labels).save(tmp_path / "map.png")
    name = labels.names[-2]
    with serve(tmp_path / "model", None, tmp_path) as (address, _):
        browser.get(address)
        wait_for(lambda: browser.find_elements("css selector", "#painter canvas"), "the canvas")
        changed_by(browser, lambda: upload(browser, tmp_path / "map.png"))

        def rows() -> list[str]:
            return browser.execute_script(
                "return [...document.querySelectorAll('#painter .class-row')].filter((r) => !r.hidden)"
                ".map((r) => r.textContent)"
            )

        # Those of the map first; the others are folded away until one looks for them.
        shown = (labels.names[0], labels.names[7])
        assert rows()[:2] == [*shown]
        assert sorted(rows()) == sorted(labels.names)
        others = browser.find_element("css selector", "#painter .others")
        assert others.get_attribute("open") is None
        box = browser.find_element("css selector", "#painter .palette").rect
        assert box["height"] < 600
        field = browser.find_element("css selector", "#painter .finder input")
        field.send_keys(name.upper())
        assert name in rows()
        assert len(rows()) < len(labels)
        assert others.get_attribute("open") is not None
        assert browser.find_element("css selector", "#painter .palette").rect == box
        click(browser, f"#painter [data-class='{len(labels) - 2}'] .class-name")
        changed_by(browser, lambda: paint(browser, (0.2, 0.8), (0.3, 0.8)))
        field.clear()
        field.send_keys("no such class")
        assert rows() == []
        for width in (1280, 390):
            metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            for tab in TABS:
                open_tab(browser, tab)
                wide, inner, high = browser.execute_script(
                    "const page = document.documentElement;"
                    "return [page.scrollWidth, page.clientWidth, "
                    "document.querySelector('#painter .palette').getBoundingClientRect().height]"
                )
                assert wide <= inner
                assert high < 600
        leave(browser)
