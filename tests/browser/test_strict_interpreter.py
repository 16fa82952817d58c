"""A page under ``python -X dev -W error``: nothing is left open, awaited by nobody, or out of date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import label_picture
from tests.browser.conftest import serve
from tests.browser.visitor import open_page
from tests.helpers.shared_data import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Of asyncio's complaints, how long something took depends on the machine; the first lines are what Gradio says.
_EXPECTED = re.compile(
    r"Executing <.* took \d+\.\d+ seconds|\* Running on local URL|\* To create a public link|^\s*$"
)


@pytest.fixture(scope="module")
def strict(
    model_folder: Path, examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A page whose warnings are errors: its address and its log."""
    folder = tmp_path_factory.mktemp("strict")
    command = ("-X", "dev", "-W", "error", str(ROOT / "tests" / "helpers" / "strict_page.py"))
    with serve(model_folder, examples, folder, command=command) as (address, _):
        yield address, folder / "log.txt"


def unexpected(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if not _EXPECTED.search(line)]


def call_all(client: Any, examples: Path, folder: Path) -> None:
    """Call every endpoint, and some of them wrongly."""
    from gradio_client import handle_file

    photo, label = draw_figure(5, (256, 256), crop="upper")
    photo.save(folder / "photo.png")
    label_picture(label, FIGURE_LABELS).save(folder / "map.png")
    (folder / "none.png").write_bytes(b"no picture")
    photo_file, map_file = (handle_file(folder / name) for name in ("photo.png", "map.png"))
    example = handle_file(examples / "example_04.png")
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("/open_map", (example, 7)),
        ("/keep", ()),
        ("/edit", (handle_file(examples / "example_01.png"),)),
        ("/sample", (9,)),
        ("/reroll", ("top-clothes", 3, False)),
        ("/candidates", ("hair", 5, False)),
        ("/pick", (1,)),
        ("/at_strength", (0.5,)),
        ("/colour_wish", ("hair", "#3366cc", False)),
        ("/nine_samples", (4,)),
        ("/lock", (["hair"],)),
        ("/undo", ()),
        ("/redo", ()),
        ("/looks", ()),
        ("/show", ("look 1",)),
        ("/mix", ("current", {"hair": "look 1"})),
        ("/morph", ("look 1", "current", 0.25, ["hair"])),
        ("/film", ("current", "example 2", None, "gif", False)),
        ("/film", ("current", "example 2", ["hair"], "mp4", False)),
        ("/encode", (photo_file, map_file)),
    ]
    for name, arguments in calls:
        client.predict(*arguments, api_name=name)
    work = client.predict(api_name="/save_work")
    client.predict(handle_file(work), api_name="/open_work")
    for name, arguments in (
        ("/reroll", ("no class", 3, False)),
        ("/show", ("no look",)),
        ("/edit", (handle_file(folder / "none.png"),)),
        ("/parse", (photo_file,)),
    ):
        with pytest.raises(Exception, match=r"\w+ \w+"):
            client.predict(*arguments, api_name=name)


def test_no_complaint(strict: tuple[str, Path], browser: Any, examples: Path, tmp_path: Path) -> None:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    address, log = strict
    open_page(browser, address)
    for page in ("evaluation", "evaluation-results", "programs"):
        browser.get(address + page)
    client = gradio_client.Client(
        address, verbose=False, download_files=str(tmp_path), analytics_enabled=False
    )
    names = set(client.view_api(return_format="dict", print_info=False)["named_endpoints"])
    called: set[str] = set()
    predict = client.predict

    def recorded(*arguments: Any, api_name: str) -> Any:
        called.add(api_name)
        return predict(*arguments, api_name=api_name)

    client.predict = recorded
    call_all(client, examples, tmp_path)
    assert names <= called
    assert unexpected(log) == []


def test_a_complaint_would_be_seen(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("* Running on local URL:  http://127.0.0.1:1\nResourceWarning: unclosed file <x>\n")
    assert unexpected(log) == ["ResourceWarning: unclosed file <x>"]
