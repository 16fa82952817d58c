"""Work is kept: what a visitor made is back after a reload, another server, or on another computer."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import Look
from tests.browser.conftest import chromium_with, serve
from tests.browser.visitor import (
    canvas_map,
    changed_by,
    click,
    draw_seed,
    is_shown,
    keep,
    message,
    open_page,
    paint,
    pixels,
    source,
    sources,
    status,
    upload,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser


def told(browser: Any, sentence: str) -> None:
    wait_for(lambda: sentence in status(browser), f"the sentence {sentence!r}")


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
    return browser.execute_script(script, selector)


def state(browser: Any) -> dict[str, Any]:
    """Return all that is to come back."""
    return {
        "picture": pixels(browser).tolist(),
        "map": canvas_map(browser).tolist(),
        "history": sources(browser, "#history"),
        "step": browser.execute_script(
            "return [...document.querySelectorAll('#history .pick')].map((one) => one.ariaPressed)"
        ),
        "shelf": list(zip(texts(browser, "#shelf .name span"), sources(browser, "#shelf"), strict=True)),
        "locks": browser.execute_script(
            "return [...document.querySelectorAll('#painter [data-tool=lock]')].map((one) => one.ariaPressed)"
        ),
        "seed": browser.find_element("css selector", "#seed input").get_attribute("value"),
    }


def wait_until_kept(browser: Any) -> None:
    """Wait until the browser has stored what the page shows."""
    wait_until_idle(browser)
    script = """
      const kept = document.querySelector('#keeper').dataset.kept ?? '';
      const shown = [...document.querySelectorAll('#history .pick img[data-of=src], #shelf .pick img')];
      const locks = document.querySelectorAll('#painter [data-tool=lock][aria-pressed=true]').length;
      return shown.every((one) => kept.includes(one.dataset.look)) && (!locks || kept.split(' ').includes('hair'));
    """
    wait_for(lambda: browser.execute_script(script), "the work in the browser's store")


def work(browser: Any) -> dict[str, Any]:
    """Do some of everything, and return what the page shows then."""
    draw_seed(browser, 3)
    keep(browser)
    changed_by(browser, lambda: paint(browser, (0.2, 0.2), (0.8, 0.2)))
    wait_until_idle(browser)
    click(browser, "#painter [data-class='1'] [data-tool=lock]")
    told(browser, "New samples keep hair as it is.")
    draw_seed(browser, 5)
    keep(browser)
    draw_seed(browser, 6)
    changed_by(browser, lambda: click(browser, "#undo"))
    wait_until_kept(browser)
    return state(browser)


def go_on(browser: Any) -> None:
    wait_for(lambda: is_shown(browser, "#keeper .main"), "the offer")
    changed_by(browser, lambda: click(browser, "#keeper .main"))
    told(browser, "Everything is back: 5 pictures, 2 looks on the shelf.")
    wait_until_idle(browser)


@pytest.mark.parametrize("what", ["reload"])
def test_a_reload_loses_nothing(browser: Any, page_address: str, what: str) -> None:
    open_page(browser, page_address)
    made = work(browser)
    open_page(browser, page_address, known=True)
    assert len(sources(browser, "#shelf")) == 0
    go_on(browser)
    assert state(browser) == made
