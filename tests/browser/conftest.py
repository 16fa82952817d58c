"""A running page and a headless Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub import GroupDNetPipeline
from tests.browser.visitor import severe_entries
from tests.helpers.page_models import MORE_LABELS, page_model, save_examples
from tests.helpers.shared_data import ROOT

UPRIGHT_SIZE = (256, 128)
# Of its results.
EVALUATION_KEY = "correct horse battery staple"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small model of ``FIGURE_LABELS``, in whose pictures each class has the look of its own code."""
    folder = tmp_path_factory.mktemp("model")
    page_model().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pipe(model_folder: Path) -> GroupDNetPipeline:
    return GroupDNetPipeline.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def page_address(page_server: tuple[str, int]) -> str:
    """Where the page is."""
    return page_server[0]


@pytest.fixture(scope="session")
def answers_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page writes the answers of the human evaluation."""
    return tmp_path_factory.mktemp("evaluation") / "answers.sqlite3"


@pytest.fixture(scope="session")
def page_server(
    model_folder: Path, examples: Path, answers_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """Serve the page: its address, and the number of its process."""
    variables = {
        "GROUPDNET_EVALUATION_ANSWERS": str(answers_file),
        "GROUPDNET_EVALUATION_KEY": EVALUATION_KEY,
    }
    with serve(model_folder, examples, tmp_path_factory.mktemp("page"), **variables) as server:
        yield server


@pytest.fixture(scope="session")
def upright_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save ``model``, of sixteen classes and 256x128, in which a hat is fixed, and its ``maps``."""
    folder = tmp_path_factory.mktemp("upright")
    page_model(MORE_LABELS, UPRIGHT_SIZE, fixed_classes=["hat"]).save_pretrained(folder / "model")
    save_examples(folder / "maps", MORE_LABELS, UPRIGHT_SIZE)
    return folder


@pytest.fixture(scope="session")
def upright_address(upright_folder: Path) -> Iterator[str]:
    """Of a page without a parser."""
    folder = upright_folder
    with serve(folder / "model", folder / "maps", folder) as (address, _):
        yield address


@contextmanager
def serve(
    model_folder: Path | None,
    examples: Path | None,
    folder: Path,
    root: Path = ROOT,
    *,
    port: int = 0,
    command: tuple[str, ...] = (),
    **variables: str,
) -> Iterator[tuple[str, int]]:
    """Run ``python space/app.py`` on a free port, from when it answers: its address and process number.

    Args:
        model_folder: of the model that it draws with; None for the bundled one.
        examples: of its maps; None for the bundled ones.
        folder: for its log.
        root: of the checkout that is served.
        port: of its address; a free one by default.
        command: what follows ``python``; the page's script by default.
        variables: of its environment.
    """
    pytest.importorskip("gradio", reason="the page needs gradio")
    port, log = port or free_port(), folder / "log.txt"
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(root),
        "GROUPDNET_EVALUATION_ANSWERS": str(folder / "answers.sqlite3"),
        # The bundled parser is tested by itself: most tests bring label maps.
        "GROUPDNET_PARSER": "none",
        **variables,
    }
    for name, path in (("GROUPDNET_MODEL", model_folder), ("GROUPDNET_EXAMPLES", examples)):
        environment.pop(name, None)
        if path is not None:
            environment[name] = str(path)
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, *(command or (str(root / "space" / "app.py"),))],
            env=environment,
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(1200):
            if server.poll() is not None:
                pytest.fail(f"the page ended: {log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(address, timeout=2).read()
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        else:
            pytest.fail(f"the page did not come up: {log.read_text()[-2000:]}")
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open a Chromium for the tests of a file; each of them opens the page anew."""
    with chromium_with(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@contextmanager
def chromium_with(profile: Path, logs: tuple[str, ...] = ("browser",)) -> Iterator[Any]:
    """Open a headless Chromium that keeps its files in the folder ``profile``, and these logs."""
    selenium = pytest.importorskip("selenium.webdriver", reason="browser tests need selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("browser tests need chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        # Whatever is asked of elsewhere fails, and is then an error on the console.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        "--window-size=1280,1000",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


@pytest.fixture(autouse=True)
def _console_stays_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: no error on the browser's console, none of a request to elsewhere either."""
    opened = request.getfixturevalue("browser") if "browser" in request.fixturenames else None
    if opened is not None:
        opened.get("about:blank")  # which may break off what the test before had begun
        severe_entries(opened)
    yield
    if opened is not None:
        assert severe_entries(opened) == []
