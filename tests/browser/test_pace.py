"""How long a visitor waits, on the machine that runs the tests: ``pytest -m slow -s tests/browser/test_pace.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from browser.conftest import serve
from browser.visitor import TOP, changed_by, click, leave, open_page, sources, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_waits_are_short(browser: Any, model_folder: Any, tmp_path: Any) -> None:
    start = time.perf_counter()
    with serve(model_folder, tmp_path) as (address, _):
        ready = time.perf_counter() - start
        opened = seconds(lambda: open_page(browser, address))
        first = seconds(lambda: changed_by(browser, lambda: click(browser, "#new-sample")))

        def redraw() -> None:
            before = sources(browser, "#candidates")
            click(browser, f"#painter [data-class='{TOP}'] [data-tool=redraw]")
            wait_for(lambda: sources(browser, "#candidates") not in (before, []), "four candidates")

        rerolls = sorted(seconds(redraw) for _ in range(5))
        print(
            f"page ready {ready:.1f} s after the command, drawn {opened:.1f} s after it was opened; "
            f"sample {first:.2f} s, four candidates {rerolls[2]:.2f} s (median) after the click"
        )
        leave(browser)
    assert ready <= 15
    assert first <= 3
    assert rerolls[2] <= 1.5
