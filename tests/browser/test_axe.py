"""What axe-core finds wrong for people who use a keyboard, a screen reader, or see little: nothing of ours."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from tests.browser.test_widths import TABS, WINDOWS
from tests.browser.visitor import candidates_of, click, keep, open_page, open_tab, wait_until_idle
from tests.helpers.page_models import MORE_LABELS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HAIR = MORE_LABELS.id_of("hair")
# What gradio draws by itself, and we cannot change.
GRADIOS = [
    "footer img",  # an icon whose alternative text says what the button beside it says
    ".select-all-checkbox",  # named by its title, not by a label
]
# Of each violation: the rule, and the first elements that it is about.
VIOLATIONS = """
const [part, excluded, done] = arguments;
const context = {include: [[part]], exclude: excluded.map((one) => [one])};
axe.run(context, {resultTypes: ["violations"]}).then(({violations}) => done(
  violations.map(({id, nodes}) => `${id}: ${nodes.slice(0, 5).map(({target}) => target.join(" ")).join(", ")}`)
));
"""


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="has axe-core")
    return (files(package) / "axe.min.js").read_text(encoding="utf-8")


def seen(window: tuple[int, int], theme: str) -> Any:
    return pytest.param(window, theme, id=f"{window[0]}-{theme}")


@pytest.mark.parametrize(
    ("window", "theme"), [seen(window, theme) for window in WINDOWS for theme in ("light", "dark")]
)
def test_axe_finds_nothing(
    browser: Any, upright_address: str, axe: str, window: tuple[int, int], theme: str
) -> None:
    open_page(browser, f"{upright_address}?__theme={theme}", *window)
    candidates_of(browser, HAIR)
    keep(browser)
    browser.set_script_timeout(60)
    browser.execute_script(axe)

    def violations(part: str) -> list[str]:
        wait_until_idle(browser)  # what waits for an answer is faint meanwhile
        return browser.execute_async_script(VIOLATIONS, part, GRADIOS)

    assert violations("html") == []
    for tab in TABS:
        open_tab(browser, tab)
        assert violations("#tools") == [], tab
    click(browser, ".help-open")
    assert violations("html") == []
